"""The losses of regression, against formulas."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.models.base import Output
from jaxsynth.train.supervised import half_squared_distance, mean_squared_error
from jaxsynth.types import Batch


def test_half_squared_distance_is_half_the_size_times_the_mean():
  """And its weights leave examples out."""
  key = jax.random.key(0)
  x, w = jax.random.normal(key, (5, 3)), jnp.eye(3) + 0.1
  apply = lambda p, inputs, key: Output(inputs @ p, {})
  weights = jnp.asarray([1.0, 1, 0, 1, 2])
  batch = Batch(x, x, weights, {})
  value, _ = half_squared_distance(apply, w, batch, key, 0)
  each = 0.5 * np.square(np.asarray(x @ w - x)).sum(1)
  expected = (each * np.asarray(weights)).sum() / 5
  np.testing.assert_allclose(value, expected, rtol=1e-5)
  mean, _ = mean_squared_error(apply, w, batch, key, 0)
  np.testing.assert_allclose(value, 1.5 * mean, rtol=1e-5)
