"""Sparse maps against optax, closed forms and definitions of projections."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth.models import _sparse

ROWS, SIZE = 7, 12
sorting = jax.jit(jax.vmap(optax.projections.projection_simplex))
sparsemax = jax.jit(_sparse.sparsemax)


def rows(seed, scale=1.0):
  rng = np.random.default_rng(seed)
  return jnp.asarray(scale * rng.standard_normal((ROWS, SIZE)), jnp.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-3, 30))
def test_sparsemax_equals_the_projection_that_sorts(seed, scale):
  v = rows(seed, scale)
  np.testing.assert_allclose(sparsemax(v), sorting(v), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_sparsemax_is_the_nearest_point(seed):
  """(v - z) . (y - z) <= 0 for every y of the simplex: for its corners."""
  v = np.asarray(rows(seed, 3.0), np.float64)
  z = np.asarray(sparsemax(jnp.asarray(v, jnp.float32)), np.float64)
  assert (z >= 0).all()
  np.testing.assert_allclose(z.sum(-1), 1, atol=1e-6)
  toward = (v - z)[:, None, :] * (np.eye(SIZE) - z[:, None, :])
  assert toward.sum(-1).max() < 1e-5


def test_sparsemax_of_two_is_a_clipped_line():
  gap = jnp.linspace(-3, 3, 31)
  z = sparsemax(jnp.stack([gap, jnp.zeros(31)], -1))
  np.testing.assert_allclose(z[:, 0], jnp.clip((1 + gap) / 2, 0, 1), atol=1e-6)


def test_sparsemax_ignores_shifts_and_survives_large_ones():
  v = jnp.round(8 * rows(0)) / 8
  np.testing.assert_array_equal(sparsemax(v + 1024.0), sparsemax(v))
  far = jnp.zeros(SIZE).at[3].set(1e8)
  np.testing.assert_array_equal(sparsemax(far), jnp.eye(SIZE)[3])
  equal = jnp.full(SIZE, -1e8)
  np.testing.assert_allclose(sparsemax(equal), 1 / SIZE, atol=1e-6)


def test_sparsemax_differential_is_centring_on_the_support():
  for v in rows(1, 0.5):
    on = np.asarray(sparsemax(v) > 0, float)
    assert 1 < on.sum() < SIZE
    expected = np.diag(on) - np.outer(on, on) / on.sum()
    for derivative in (jax.jacfwd, jax.jacrev):
      got = derivative(_sparse.sparsemax)(v)
      np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize('k', [1, 3, SIZE])
def test_top_k_keeps_what_a_sort_says(k):
  values = jax.nn.relu(rows(2)).at[0].set(0).at[1, 0].set(1e-40)
  kept = np.asarray(jax.jit(_sparse.top_k)(values, jnp.int32(k)))
  value, index = jax.lax.top_k(values, k)
  expected = np.zeros(values.shape, np.float32)
  np.put_along_axis(expected, np.asarray(index), np.asarray(value), -1)
  np.testing.assert_array_equal(kept, expected)
  least = _sparse.kth_largest(values, k)
  np.testing.assert_array_equal(least, value[:, -1:])


def test_top_k_passes_gradients_where_it_keeps():
  values = jax.nn.relu(rows(3))
  grad = jax.grad(lambda v: _sparse.top_k(v, 3).sum())(values)
  kept = _sparse.top_k(values, 3) > 0
  np.testing.assert_array_equal(grad[kept], 1)
  assert (grad.sum(-1) == 3).all()


def test_jump_and_its_straight_through_derivatives():
  width, threshold = 0.1, jnp.asarray([0.5])
  values = jnp.asarray([[0.2], [0.46], [0.54], [2.0]])
  out = _sparse.jump(values, threshold, width)
  np.testing.assert_array_equal(out[:, 0], [0, 0, values[2, 0], 2])
  far, near, over, above = range(4)
  for fn, height, passes in (
    (_sparse.jump, 0.5 / width, [0, 0, 1, 1]),
    (_sparse.exceeds, 1 / width, [0, 0, 0, 0]),
  ):
    each = lambda v, t, fn=fn: fn(v, t, width)
    by_threshold = jax.vmap(
      jax.grad(lambda t, v, f=each: f(v, t)[0]), (None, 0)
    )
    slopes = by_threshold(threshold, values)[:, 0]
    np.testing.assert_allclose(slopes[jnp.asarray([near, over])], -height)
    np.testing.assert_array_equal(slopes[jnp.asarray([far, above])], 0)
    by_value = jax.grad(lambda v, f=each: f(v, threshold).sum())(values)
    np.testing.assert_array_equal(by_value[:, 0], passes)
