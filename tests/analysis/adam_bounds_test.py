"""Adam's bounds against sequences, in double precision, and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth.analysis import adam_bounds

BETAS = np.asarray([0.999, 0.99, 0.9, 0.9, 0.8, 0.5, 0.81])
GAMMAS = np.asarray([0.9, 0.99, 0.93, 0.98, 0.97, 0.1, 0.9])  # last: r = 1
N = 300


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64(True):
    yield


def test_numbers_of_the_source():
  """C as published, zero at gamma (1 + beta) = 2 beta; both growth rates."""
  out = adam_bounds.rates(
    np.asarray([0.9, 0.9, 0.8]), np.asarray([0.96, 0.98, 0.97])
  )
  np.testing.assert_allclose(out['exact'], [0.0119, 0.0325, 0.0811], atol=5e-5)
  np.testing.assert_allclose(
    out['continuous'], [0.0139, 0.0351, 0.0941], atol=5e-5
  )
  edge = adam_bounds.rates(BETAS, 2 * BETAS / (1 + BETAS))
  np.testing.assert_allclose(edge['C'], 0, atol=1e-15)


def test_updates_are_optax_adams():
  gradients = np.random.default_rng(0).normal(size=(40, 5))
  transform = optax.scale_by_adam(b1=0.8, b2=0.95, eps=0.0)
  state, expected = transform.init(gradients[0]), []
  for g in gradients:
    u, state = transform.update(jnp.asarray(g), state)
    expected.append(u)
  got = adam_bounds.updates(jnp.asarray(gradients), 0.95, 0.8)
  np.testing.assert_allclose(got, np.stack(expected), rtol=1e-10)


def test_the_adversarial_sequence_attains_the_bound_at_every_length():
  for count in (1, 10, N):
    bound = adam_bounds.bounds(BETAS, GAMMAS, jnp.arange(count))['exact'][:, -1]
    g = adam_bounds.adversarial(BETAS, GAMMAS, count)
    u = jax.vmap(adam_bounds.updates)(g, BETAS, GAMMAS)[:, -1]
    np.testing.assert_allclose(u, bound, rtol=1e-10)


@settings(max_examples=30, deadline=None)
@given(
  st.integers(0, 10**6),
  st.floats(0.3, 0.999),
  st.floats(0.05, 0.995),
  st.floats(0, 6),
)
def test_no_gradients_exceed_the_bound(seed, beta, gamma, spread):
  """Of sizes over up to twelve orders of magnitude, in any order."""
  rng = np.random.default_rng(seed)
  with jax.enable_x64(True):
    size = 10.0 ** rng.uniform(-spread, spread, (60, 8))
    g = jnp.asarray(size * rng.normal(size=(60, 8)))
    u = abs(adam_bounds.updates(g, beta, gamma)).max(1)
    bound = adam_bounds.bounds(beta, gamma, jnp.arange(60))['exact']
    assert (u <= bound * (1 + 1e-10)).all()


def test_impulse_is_a_sequence_of_one_gradient():
  g = jnp.zeros(N).at[0].set(1.0)
  closed = adam_bounds.impulse(BETAS, GAMMAS, jnp.arange(N))
  u = jax.vmap(adam_bounds.updates, (None, 0, 0))(g, BETAS, GAMMAS)
  np.testing.assert_allclose(u, closed, rtol=1e-10)
  late = adam_bounds.rates(BETAS, GAMMAS)['exact']
  forgot = (BETAS < 0.95) & (GAMMAS < 0.95)  # the corrections at the start
  assert forgot.sum() == 3
  last = np.log(u[:, -1] / u[:, -2])
  np.testing.assert_allclose(last[forgot], late[forgot], atol=1e-6)


def test_bounds_agree_where_decays_are_near_one():
  """To first order: halving 1 - beta and 1 - gamma halves the difference."""
  gaps = []
  for x in (0.04, 0.02, 0.01):
    n = jnp.asarray([round(4 / x)])
    out = adam_bounds.bounds(jnp.asarray(1 - x / 2), jnp.asarray(1 - x), n)
    gaps.append(float(out['continuous'][0] / out['exact'][0] - 1))
  ratios = np.asarray(gaps[:-1]) / gaps[1:]
  np.testing.assert_allclose(ratios, 2, atol=0.2)


def test_norms_are_those_of_the_weights_themselves():
  rng = np.random.default_rng(1)
  w, eta, decay = rng.normal(size=12), 0.1, 0.3
  first, sizes, inner, lengths = np.linalg.norm(w), [], [], []
  for _ in range(50):
    u = rng.normal(size=12)
    sizes.append(eta * np.linalg.norm(u))
    inner.append(eta * w @ u)
    w = w - eta * (u + decay * w)
    lengths.append(np.linalg.norm(w))
  shrink = 1 - eta * decay
  out = adam_bounds.norms(first, np.asarray(sizes), shrink, np.asarray(inner))
  np.testing.assert_allclose(out['exact'], lengths, rtol=1e-10)
  none = adam_bounds.norms(first, np.asarray(sizes), shrink, np.zeros(50))
  np.testing.assert_allclose(out['averaged'], none['exact'], rtol=1e-12)
  assert abs(out['averaged'][-1] / lengths[-1] - 1) > 1e-3
