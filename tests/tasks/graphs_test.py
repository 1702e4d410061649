"""Acyclic graphs: their laws, and their paths, of which networkx judges."""

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jaxsynth.errors import UserError
from jaxsynth.tasks.lib import graphs

KEY = jax.random.key(5)


def as_networkx(graph):
  made = nx.from_numpy_array(
    np.asarray(graph.edges), create_using=nx.DiGraph, edge_attr='one'
  )
  assert nx.is_directed_acyclic_graph(made)
  return made


MAKERS = {
  'bernoulli': lambda key: graphs.bernoulli(key, 14, 0.35),
  'hierarchical': lambda key: graphs.hierarchical(key, 4, 4, 0.6),
}


@pytest.mark.parametrize('name', MAKERS)
def test_paths_are_those_of_networkx(name):
  """How many there are and how long they are, for every pair."""
  graph = jax.jit(MAKERS[name])(KEY)
  known = as_networkx(graph)
  counts = jax.jit(graphs.count_paths)(graph.edges)
  lengths = jax.jit(graphs.mean_path_length)(graph.edges)
  many = 0
  for s in known:
    for g in known:
      paths = [p for p in nx.all_simple_paths(known, s, g) if s != g]
      paths = paths or ([[s]] if s == g else [])
      many += len(paths) > 2
      assert counts[s, g] == len(paths)
      if paths:
        mean = np.mean([len(p) - 1 for p in paths])
        assert lengths[s, g] == pytest.approx(mean, abs=1e-5)
      else:
        assert np.isnan(lengths[s, g])
  assert many > 5


@pytest.mark.parametrize('name', MAKERS)
def test_distances_are_those_of_networkx(name):
  graph = jax.jit(MAKERS[name])(KEY)
  known = dict(nx.all_pairs_shortest_path_length(as_networkx(graph)))
  expected = [
    [known[s].get(g, np.nan) for g in range(len(known))]
    for s in range(len(known))
  ]
  np.testing.assert_array_equal(graphs.distances(graph.edges), expected)
  assert np.nanmax(expected) > 2


@pytest.mark.parametrize('name', MAKERS)
def test_edges_follow_the_rank(name):
  graph = MAKERS[name](KEY)
  i, j = np.nonzero(np.asarray(graph.edges))
  step = np.asarray(graph.rank)[j] - np.asarray(graph.rank)[i]
  assert (step == 1).all() if name == 'hierarchical' else (step > 0).all()
  assert (np.diff(graph.rank) < 0).any()  # numbers say nothing of the order


def test_edges_have_their_probability():
  many = jax.vmap(lambda k: graphs.bernoulli(k, 40, 0.05).edges.sum())
  edges = many(jax.random.split(KEY, 400))
  spread = np.sqrt(780 * 0.05 * 0.95)
  assert edges.mean() == pytest.approx(39, abs=4 * spread / 20)
  assert edges.std() == pytest.approx(spread, rel=0.15)


def test_reach_decays_with_the_gap_at_the_published_size():
  """10 layers of 20 nodes and p = .05: mean paths of gap d are N^(d-1) p^d,
  and the share of pairs with any path falls, as in plain numpy."""

  def measure(key):
    graph = graphs.hierarchical(key, 10, 20, 0.05)
    paths = graphs.count_paths(graph.edges)
    gap = graph.rank - graph.rank[:, None]
    of = lambda x, d: jnp.where(gap == d, x, 0).sum() / (gap == d).sum()
    some = (paths > 0).astype(jnp.float32)
    return jnp.array([[of(paths, d), of(some, d)] for d in (1, 2, 9)])

  got = np.asarray(jax.lax.map(measure, jax.random.split(KEY, 200)))
  error = got.std(0) / np.sqrt(200)
  np.testing.assert_array_less(abs(got.mean(0)[:, 0] - 0.05), 4 * error[:, 0])
  random, plain = np.random.default_rng(0), []
  for _ in range(2000):
    there = np.eye(20)
    for _ in range(9):
      there = (there @ (random.random((20, 20)) < 0.05) > 0).astype(float)
    plain.append(there.mean())
  reach = got.mean(0)[:, 1]
  assert reach[0] == pytest.approx(0.05, abs=4 * error[0, 1])
  assert reach[2] == pytest.approx(np.mean(plain), abs=4 * error[2, 1])
  assert reach[2] < 0.7 * reach[0]


def test_paths_are_drawn_uniformly():
  graph = MAKERS['bernoulli'](KEY)
  known = as_networkx(graph)
  counts = np.array(graphs.count_paths(graph.edges))
  s, g = np.unravel_index(counts.argmax(), counts.shape)
  number = {tuple(p): i for i, p in enumerate(nx.all_simple_paths(known, s, g))}
  assert len(number) == counts[s, g] > 20
  size = 200 * len(number)
  go = jax.jit(
    lambda a, b: graphs.sample_paths(
      graph.edges, graphs.count_paths(graph.edges), KEY, a, b, 14
    )
  )
  drawn = go(jnp.full(size, s), jnp.full(size, g))
  rows = np.asarray(drawn.nodes)
  seen = np.bincount(
    [number[tuple(r[:n])] for r, n in zip(rows, drawn.length)],
    minlength=len(number),
  )
  assert stats.chisquare(seen).pvalue > 1e-3
  assert (rows[np.arange(14) >= np.asarray(drawn.length)[:, None]] == -1).all()


def test_pairs_without_a_path_and_paths_of_one_node():
  graph = MAKERS['bernoulli'](KEY)
  order = jnp.argsort(graph.rank)
  first, last = order[0], order[-1]
  counts = graphs.count_paths(graph.edges)
  pairs = jnp.array([last, last]), jnp.array([first, last])
  drawn = graphs.sample_paths(graph.edges, counts, KEY, *pairs, 14)
  assert drawn.length.tolist() == [0, 1]
  assert drawn.nodes[1].tolist() == [int(last)] + [-1] * 13
  short = jnp.array([first] * 50), jnp.array([last] * 50)
  long_ones = graphs.sample_paths(graph.edges, counts, KEY, *short, 14)
  cut = graphs.sample_paths(graph.edges, counts, KEY, *short, 4)
  fits = np.asarray(long_ones.length) <= 4
  assert 0 < fits.sum() < 50
  assert set(np.asarray(cut.length).tolist()) <= {0, 2, 3, 4}


def test_walks_end_where_nothing_follows():
  graph = MAKERS['hierarchical'](KEY)
  edges = np.asarray(graph.edges)
  top = int(np.flatnonzero((np.asarray(graph.rank) == 0) & edges.any(1))[0])
  drawn = jax.jit(lambda s: graphs.sample_walks(graph.edges, KEY, s, 4))(
    jnp.full(4000, top)
  )
  second = np.asarray(drawn.nodes[:, 1])
  neighbours = np.flatnonzero(edges[top])
  seen = np.bincount(second, minlength=16)[neighbours]
  assert seen.sum() == 4000
  assert stats.chisquare(seen).pvalue > 1e-3
  for row, n in zip(np.asarray(drawn.nodes)[:200], drawn.length):
    path = row[:n]
    assert edges[path[:-1], path[1:]].all()
    assert not edges[path[-1]].any()


picked = jax.jit(graphs.pick)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 2, 37, 60]), st.integers(0, 2**31), st.booleans())
def test_indices_are_drawn_by_their_weights(size, seed, exact):
  """As in numpy where sums are exact; else never without a weight."""
  random = np.random.default_rng(seed)
  weights = random.random((50, size), np.float32)
  if exact:
    weights = np.floor(weights * random.choice([2, 1000]))
  weights *= random.random((50, size)) < random.random()
  uniform = random.random(50, np.float32)
  uniform[:2] = 0, np.nextafter(np.float32(1), np.float32(0))
  index, total = jax.tree.map(np.asarray, picked(weights, uniform))
  np.testing.assert_allclose(total, weights.sum(1), rtol=1e-5)
  for w, u, j in zip(weights, uniform, index):
    if w.any():
      assert w[j] > 0
      if exact:
        running = np.cumsum(w)
        last = np.flatnonzero(w)[-1]
        first = np.searchsorted(running, u * running[-1], 'right')
        assert j == min(first, last)


def test_indices_have_their_shares():
  weights = np.random.default_rng(0).random(40) ** 3
  uniform = (np.arange(100_000, dtype=np.float32) + 0.5) / 100_000
  index, _ = picked(np.tile(weights, (100_000, 1)).astype('f'), uniform)
  seen = np.bincount(index, minlength=40) / 100_000
  np.testing.assert_allclose(seen, weights / weights.sum(), atol=2e-5)


def test_one_layer_is_no_hierarchy():
  with pytest.raises(UserError, match='num_layers must be at least 2'):
    graphs.hierarchical(KEY, 1, 4, 0.5)
