"""Percolation: equations solved, components found, and both compared."""

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from scipy import optimize

from jaxsynth.analysis import percolation

KEY = jax.random.key(3)


def test_threshold_at_the_published_size():
  """90 entities and 1,800 values of a class; 900 and 18,000 in all."""
  got = percolation.threshold(
    jnp.array([90.0, 900.0]), jnp.array([1800, 18000])
  )
  np.testing.assert_allclose(got['probability'], [0.0024845, 0.00024845], 1e-4)
  np.testing.assert_allclose(got['pairs'], [402.49, 4024.9], rtol=1e-4)


@pytest.mark.parametrize('times', [1.02, 1.2, 2.0, 5.0])
def test_giant_solves_its_equations(times):
  """Against a root found by scipy, for more values than entities and fewer."""
  for E, K in ((300.0, 1200.0), (1200.0, 300.0)):
    p = times / np.sqrt(E * K)
    got = percolation.giant(p, E, K)
    map_ = lambda s, p=p, E=E, K=K: (
      1 - np.exp(-p * K * (1 - np.exp(-p * E * s))) - s
    )
    root = optimize.brentq(map_, 1e-4, 1)
    assert got['entities'] == pytest.approx(root, rel=2e-3)
    assert got['values'] == pytest.approx(1 - np.exp(-p * E * root), rel=2e-3)


def test_nothing_below_the_threshold():
  got = percolation.giant(jnp.array([0.5, 0.999]) / 600, 300.0, 1200.0)
  assert (got['entities'] == 0).all()
  assert (got['values'] == 0).all()


def test_a_share_is_reached_at_its_probability():
  share = jnp.array([0.1, 0.5, 0.95])
  p = percolation.probability_at(share, 300.0, 1200.0)
  np.testing.assert_allclose(
    percolation.giant(p, 300.0, 1200.0)['entities'], share, rtol=1e-4
  )
  small = percolation.probability_at(jnp.array(1e-3), 300.0, 1200.0)
  assert small * 600 == pytest.approx(1, abs=2e-3)  # the threshold


@pytest.mark.parametrize('density', [0.01, 0.03, 0.08])
def test_components_are_those_of_networkx(density):
  seen = np.random.default_rng(0).random((40, 60)) < density
  graph = nx.Graph()
  graph.add_nodes_from(range(100))
  graph.add_edges_from((i, 40 + j) for i, j in zip(*np.nonzero(seen)))
  most = max(nx.connected_components(graph), key=len)
  got = jax.jit(percolation.largest_component)(jnp.asarray(seen))
  share = got['entities'] * 40 + got['values'] * 60
  assert share == pytest.approx(len(most))
  entities = sum(i < 40 for i in most)
  assert got['entities'] == pytest.approx(entities / 40)


def test_simulation_meets_the_solution():
  """300 x 1200, 20 draws, 1.5 to 3 times the threshold: within 0.03."""
  run = jax.jit(lambda key, p: percolation.simulate(key, p, 300, 1200))
  for times in (0.5, 1.5, 2.0, 3.0):
    p = times / 600
    drawn = [run(k, p) for k in jax.random.split(KEY, 20)]
    solved = percolation.giant(p, 300.0, 1200.0)
    for name in ('entities', 'values'):
      mean = np.mean([d[name] for d in drawn])
      assert mean == pytest.approx(float(solved[name]), abs=0.03)


def test_the_transition_grows_with_the_root_of_the_values():
  """The threshold does; half of the entities are joined a little later, and
  by more at small |K|: as solved, and as simulated."""
  sizes = jnp.array([100.0, 400.0, 1600.0])
  edge = percolation.threshold(50.0, sizes)['pairs']
  assert percolation.exponent(sizes, edge)['exponent'] == pytest.approx(0.5)
  pairs = lambda share: (
    percolation.probability_at(jnp.array(share), 50.0, sizes) * 50 * sizes
  )
  near = percolation.exponent(sizes, pairs(1e-3))['exponent']
  assert near == pytest.approx(0.5, abs=1e-3)
  half = percolation.exponent(sizes, pairs(0.5))['exponent']
  assert 0.4 < half < 0.49
  keys, found = jax.random.split(KEY, 16), []
  for K in sizes.astype(int).tolist():
    p = jnp.linspace(1.0, 2.0, 9) / np.sqrt(50 * K)
    at = jax.vmap(percolation.simulate, (None, 0, None, None))
    go = jax.jit(lambda key, p=p, K=K, at=at: at(key, p, 50, K)['entities'])
    share = jax.lax.map(go, keys).mean(0)
    found.append(float(jnp.interp(0.5, share, p)) * 50 * K)
  got = percolation.exponent(sizes, jnp.array(found))['exponent']
  assert got == pytest.approx(float(half), abs=0.06)


def test_exponents_are_recovered():
  x = jnp.array([1.0, 2.0, 3.0, 7.0])
  got = percolation.exponent(x, 4 * x**1.5)
  assert got['exponent'] == pytest.approx(1.5, abs=1e-5)
  assert got['prefactor'] == pytest.approx(4, rel=1e-5)
  assert got['error'] == pytest.approx(0, abs=1e-5)


def test_enough_inferences_connect_the_component():
  seen = jax.random.uniform(KEY, (30, 40)) < 0.06
  known = [percolation.inferred(seen, n) for n in (0, 1, 2, 30)]
  np.testing.assert_array_equal(known[0], seen)
  sizes = [int(k.sum()) for k in known]
  assert sizes == sorted(sizes)
  assert sizes[0] < sizes[1] < sizes[-1]
  got = percolation.largest_component(seen)
  parts = nx.from_numpy_array(
    np.block(
      [
        [np.zeros((30, 30)), np.asarray(seen)],
        [np.asarray(seen).T, np.zeros((40, 40))],
      ]
    )
  )
  pairs = sum(
    sum(i < 30 for i in c) * sum(i >= 30 for i in c)
    for c in nx.connected_components(parts)
  )
  assert sizes[-1] == pairs
  assert got['inferable'] * 1200 <= pairs + 0.01


def test_draws_until_so_many_are_distinct():
  random = np.random.default_rng(0)
  n = int(percolation.draws_for(jnp.array(300.0), jnp.array(1000.0)))
  distinct = [len(np.unique(random.integers(0, 1000, n))) for _ in range(200)]
  assert np.mean(distinct) == pytest.approx(300, abs=2)
