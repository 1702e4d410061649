"""Divergences, the nearest algorithm, and weights against scipy's optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from jaxsynth.analysis import mixture

A, C, V = 4, 30, 5
weigh = jax.jit(mixture.interpolation_weights)


@pytest.fixture(scope='module')
def algorithms():
  rng = np.random.default_rng(0)
  return jnp.asarray(rng.dirichlet(np.ones(V), (A, C)), jnp.float32)


@pytest.fixture(scope='module')
def model():
  rng = np.random.default_rng(1)
  return jnp.asarray(rng.dirichlet(np.ones(V), C), jnp.float32)


def test_divergences_equal_scipys_entropies(model, algorithms):
  out = mixture.kl_to_algorithms(model, algorithms)
  p, q = np.float64(model), np.float64(algorithms)
  forward = [[stats.entropy(p[c], q[a, c]) for c in range(C)] for a in range(A)]
  back = [[stats.entropy(q[a, c], p[c]) for c in range(C)] for a in range(A)]
  for name, expected in [
    ('model_to_algorithm', forward),
    ('algorithm_to_model', back),
  ]:
    np.testing.assert_allclose(out[name], np.mean(expected, 1), rtol=1e-5)


def test_a_zero_meets_eps():
  p, q = jnp.asarray([[1.0, 0.0]]), jnp.asarray([[0.0, 1.0]])
  np.testing.assert_allclose(mixture.mean_kl(p, q), -np.log(1e-8), rtol=1e-6)
  np.testing.assert_allclose(mixture.mean_kl(p, p), 0.0, atol=1e-7)


@pytest.mark.parametrize('which', range(A))
def test_nearest_finds_the_algorithm_behind_a_smoothed_model(algorithms, which):
  model = 0.9 * algorithms[which] + 0.1 / V
  out = mixture.nearest(model, algorithms)
  kl = np.sort(
    mixture.kl_to_algorithms(model, algorithms)['model_to_algorithm']
  )
  assert int(out['index']) == which
  np.testing.assert_allclose(out['kl'], kl[0], rtol=1e-6)
  np.testing.assert_allclose(out['margin'], kl[1] - kl[0], rtol=1e-6)


def test_nearest_of_a_diverged_model_is_none(model, algorithms):
  assert int(mixture.nearest(jnp.nan * model, algorithms)['index']) == -1


@pytest.mark.parametrize(
  'planted', [(0.1, 0.2, 0.3, 0.4), (0.0, 1.0, 0.0, 0.0), (0.5, 0.0, 0.5, 0.0)]
)
def test_a_planted_mixture_is_recovered(algorithms, planted):
  w = jnp.asarray(planted)
  out = weigh(jnp.einsum('a,acv->cv', w, algorithms), algorithms)
  np.testing.assert_allclose(out['weights'], w, atol=3e-3)
  assert abs(float(out['kl'])) < 1e-5


def test_weights_reach_the_optimum_that_scipy_finds(model, algorithms):
  p, q = np.float64(model), np.float64(algorithms)
  entropy = -(p * np.log(p)).sum() / C

  def objective(w):
    return -(p * np.log(np.einsum('a,acv->cv', w, q))).sum() / C - entropy

  best = optimize.minimize(
    objective,
    np.full(A, 1 / A),
    method='SLSQP',
    bounds=[(0, 1)] * A,
    constraints={'type': 'eq', 'fun': lambda w: w.sum() - 1},
    options={'ftol': 1e-12},
  )
  out = weigh(model, algorithms, 2000)
  np.testing.assert_allclose(out['weights'], best.x, atol=2e-3)
  np.testing.assert_allclose(out['kl'], best.fun, atol=1e-6)
  np.testing.assert_allclose(
    out['kl'], objective(np.float64(out['weights'])), atol=1e-6
  )


def test_the_objective_never_rises_and_the_gap_bounds_what_is_left(
  model, algorithms
):
  trace = jax.jit(jax.vmap(mixture.interpolation_weights, (None, None, 0)))(
    model, algorithms, jnp.asarray([*range(40), 5000])
  )
  kl, gap = np.asarray(trace['kl']), np.asarray(trace['gap'])
  assert (np.diff(kl) < 1e-6).all()
  assert kl[0] - kl[-1] > 1e-3
  assert (kl - kl[-1] <= gap + 1e-6).all()
  assert gap[-1] < 1e-4 < gap[0]
  np.testing.assert_allclose(trace['weights'].sum(-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize('num_steps', [0, 1, 2])
def test_updates_and_gap_equal_the_formulas(model, algorithms, num_steps):
  """The gap against log max_a g_a, the weights against w_a <- w_a g_a."""
  p, q = np.float64(model), np.float64(algorithms)

  def gains(w):
    return (p * q / np.einsum('a,acv->cv', w, q)).sum(-1).mean(-1)

  w = np.full(A, 1 / A)
  for _ in range(num_steps):
    w = w * gains(w)
  out = weigh(model, algorithms, num_steps)
  np.testing.assert_allclose(out['weights'], w, rtol=1e-4)
  np.testing.assert_allclose(out['gap'], np.log(gains(w).max()), rtol=1e-3)


def test_zeros_in_the_model_and_the_algorithms_are_harmless():
  model = jnp.eye(V)
  algorithms = jnp.stack([jnp.eye(V), jnp.roll(jnp.eye(V), 1, 0)])
  out = weigh(model, algorithms)
  np.testing.assert_allclose(out['weights'], [1.0, 0.0], atol=1e-6)
  np.testing.assert_allclose(out['kl'], 0.0, atol=1e-6)


def test_equal_algorithms_share_their_weight(model, algorithms):
  twice = jnp.concatenate([algorithms, algorithms[:1]])
  w = weigh(model, twice, 2000)['weights']
  once = weigh(model, algorithms, 2000)['weights']
  np.testing.assert_allclose(w[0], w[-1], rtol=1e-4)
  np.testing.assert_allclose(w[0] + w[-1], once[0], atol=2e-3)


def test_a_map_over_cells_is_vmap(algorithms):
  w = jnp.stack([jnp.eye(A)[jnp.asarray([0, 2])], jnp.eye(A)[1:3]])  # [2, 2, A]
  models = jnp.einsum('ija,acv->ijcv', w, algorithms)
  nearest = jax.vmap(jax.vmap(mixture.nearest, (0, None)), (0, None))
  found = nearest(models, algorithms)['index']
  np.testing.assert_array_equal(found, [[0, 2], [1, 2]])
