"""Flows of linear networks: closed forms, SciPy, and each other.

Integrated flows are single precision with relative tolerance 1e-6 a step:
they are held to 1e-4 of their size.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from jaxsynth.analysis import linear_flow
from jaxsynth.analysis.descents import swing
from jaxsynth.analysis.gradient_flow import gradient_flow

TIMES = jnp.linspace(0.0, 6.0, 31)


def drawn(seed, d=3, width=3, scale=0.4):
  rng = np.random.default_rng(seed)
  u = scale * rng.standard_normal((d, width))
  return u, rng.uniform(0.2, 3.0, d)


def published_field(w, a):
  """The equation as the publication prints it, in double precision."""
  big = np.diag(a)
  return w @ big + big @ w - 0.5 * (big @ w @ w + w @ w @ big + 2 * w @ big @ w)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), d=st.sampled_from([1, 3, 4]))
def test_field_is_the_published_one_and_its_entries(seed, d):
  u, a = drawn(seed, d, d + 1)
  w = u @ u.T
  expected = published_field(w, a)
  args = jnp.asarray(w, jnp.float32), jnp.asarray(a, jnp.float32)
  field = linear_flow.tied_field(*args)
  np.testing.assert_allclose(field, expected, rtol=1e-4, atol=1e-4)
  terms = linear_flow.tied_terms(*args)
  total = terms['growth'] - terms['suppression'] - terms['noise']
  np.testing.assert_allclose(total, expected, rtol=1e-4, atol=1e-4)


def test_entries_by_loops():
  """Growth, suppression and noise as sums over named entries."""
  u, a = drawn(0, 4, 4)
  w = u @ u.T
  terms = linear_flow.tied_terms(jnp.asarray(w), jnp.asarray(a))
  for i in range(4):
    for j in range(4):
      others = [k for k in range(4) if k not in (i, j)]
      noise = sum(w[k, i] * w[k, j] * (a[i] + a[j] + 2 * a[k]) for k in others)
      held = w[i, i] * (3 * a[i] + a[j])
      held += (i != j) * w[j, j] * (3 * a[j] + a[i])
      growth = w[i, j] * (a[i] + a[j])
      got = [terms[n][i, j] for n in ('growth', 'suppression', 'noise')]
      expected = [growth, 0.5 * w[i, j] * held, 0.5 * noise]
      np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('d', 'width'), [(2, 2), (3, 5), (3, 1)])
def test_tied_flow_is_scipys(d, width):
  u, a = drawn(d + width, d, width)
  flat = lambda t, w: published_field(w.reshape(d, d), a).ravel()
  peer = solve_ivp(
    flat, (0, 6), (u @ u.T).ravel(), t_eval=TIMES, rtol=1e-10, atol=1e-12
  )
  expected = peer.y.T.reshape(-1, d, d)
  got = linear_flow.tied(
    jnp.asarray(u, jnp.float32), jnp.asarray(a, jnp.float32), TIMES, 1.0
  )
  if width < d:  # a direction at zero: the peer leaves it, rounding helps
    expected, got = expected[:10], got[:10]
  np.testing.assert_allclose(got, expected, atol=1e-4)


def test_flow_of_the_loss_is_the_published_one_twice_as_fast():
  """The gradient of the loss with respect to U, by automatic differentiation,
  knows nothing of the equation."""
  u, a = (jnp.asarray(x, jnp.float32) for x in drawn(7, 3, 4))
  loss = lambda u: linear_flow.population_loss(u @ u.T, a)
  path = gradient_flow(loss, u, TIMES)
  w = path @ jnp.swapaxes(path, 1, 2)
  true = linear_flow.tied(u, a, TIMES, linear_flow.TRUE)
  np.testing.assert_allclose(w, true, atol=1e-4)
  published = linear_flow.tied(u, a, 2 * TIMES, linear_flow.PUBLISHED)
  np.testing.assert_allclose(w, published, atol=1e-4)
  slow = linear_flow.tied(u, a, TIMES, linear_flow.PUBLISHED)
  assert abs(w - slow).max() > 0.2


def test_a_diagonal_start_grows_logistically():
  """w' = 2 a w (1 - w) has w = 1 / (1 + (1 / w(0) - 1) e^{-2 a t})."""
  start, a = jnp.asarray([0.01, 0.2, 0.05]), jnp.asarray([2.0, 0.5, 1.0])
  w = linear_flow.tied(jnp.diag(jnp.sqrt(start)), a, TIMES, 1.0)
  odds = (1 / start - 1) * np.exp(-2 * a * TIMES[:, None])
  expected = 1 / (1 + odds)
  np.testing.assert_allclose(
    np.diagonal(w, axis1=1, axis2=2), expected, atol=1e-4
  )
  np.testing.assert_allclose(w[:, 0, 1], 0, atol=1e-7)


def test_swing_by_of_the_worked_example():
  """d = s = 2, mu = (1, 2), sigma = 0.05, W(0) = 0.01 [[1, .9], [.9, 1]].

  Expected: a fourth-order Runge-Kutta integration of the published equation
  at steps of 1e-3, to the digits it was noted with.
  """
  means = jnp.asarray([1.0, 2.0])
  a = 0.05**2 + means**2 / 2
  times = jnp.linspace(0.0, 10.0, 10_001)

  @jax.jit
  def loss(correlation):
    w = 0.01 * jnp.asarray([[1.0, correlation], [correlation, 1.0]])
    w = linear_flow.tied(jnp.linalg.cholesky(w), a, times, 1.0)
    return linear_flow.composition_loss(w, means)

  curve = loss(0.9)
  found = jax.jit(swing)(curve)
  turns = jnp.asarray([found['low_at'], found['high_at']])
  np.testing.assert_allclose(curve[0], 2.4148, atol=6e-5)
  np.testing.assert_allclose(curve[turns], [0.3177, 0.3949], atol=6e-5)
  np.testing.assert_allclose(times[turns], [1.72, 3.31], atol=6e-3)
  np.testing.assert_allclose(curve[-1], 2.2539e-4, rtol=2e-3)  # scipy's
  for correlation in (0.0, -0.9):
    assert (np.diff(loss(correlation)) <= 1e-6).all()


def test_a_nearly_singular_start_does_not_run_away():
  """In W alone, the negative side of a zero eigenvalue is a runaway."""
  u = jnp.asarray([[0.05, 0.0], [-0.07, 1e-5]])
  a = jnp.asarray([0.5, 2.0])
  w = linear_flow.tied(u, a, jnp.linspace(0.0, 60.0, 7), 1.0)
  assert np.linalg.eigvalsh(w).min() > -1e-6
  np.testing.assert_allclose(w[-1], np.eye(2), atol=1e-3)


def test_one_layer_is_its_formula_and_its_flow():
  rng = np.random.default_rng(1)
  start = jnp.asarray(0.3 * rng.standard_normal((4, 4)), jnp.float32)
  a = jnp.asarray([0.5, 2.0, 0.1, 0.0])
  w = np.asarray(linear_flow.one_layer(start, a, TIMES))
  path = gradient_flow(
    lambda w: linear_flow.population_loss(w, a), start, TIMES
  )
  np.testing.assert_allclose(w, path, atol=1e-4)
  z = np.array([1.0, 2.0, 3.0, 0.0])
  for k in range(4):
    decay = np.exp(-np.asarray(TIMES)[:, None] * np.asarray(a))
    f_k = (1 - decay[:, k]) * z[k] + decay @ (np.asarray(start)[k] * z)
    np.testing.assert_allclose(w[:, k] @ z, f_k, atol=1e-5)
  rows = linear_flow.one_layer(start[:2], a, TIMES)
  np.testing.assert_allclose(rows, w[:, :2], atol=1e-6)


def test_population_loss_is_the_mean_over_the_clusters():
  rng = np.random.default_rng(2)
  w = rng.standard_normal((3, 3))
  root = rng.standard_normal((3, 1000))
  x = np.linalg.qr(root.T)[0] * np.sqrt([500.0, 1500.0, 0.0])  # x^T x = 1000 A
  expected = 0.5 * np.square(x @ w.T - x).sum(1).mean()
  got = linear_flow.population_loss(
    jnp.asarray(w), jnp.asarray([0.5, 1.5, 0.0])
  )
  np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_composition_loss_of_many():
  w = jnp.stack([jnp.eye(2), jnp.zeros((2, 2))])
  got = linear_flow.composition_loss(w, jnp.asarray([1.0, 2.0]))
  np.testing.assert_allclose(got, [0.0, 2.5])
