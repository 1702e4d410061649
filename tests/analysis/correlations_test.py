"""Pearson correlations against numpy's."""

import jax.numpy as jnp
import numpy as np

from jaxsynth.analysis.correlations import pearson


def test_equals_numpy_on_what_counts():
  rng = np.random.default_rng(0)
  codes = rng.standard_normal((60, 4)) + 100 * np.arange(4)
  features = codes[:, :3] @ rng.standard_normal((3, 2))
  features += rng.standard_normal((60, 2))
  keep = rng.random(60) > 0.4
  spoilt = np.where(keep[:, None], codes, 1e3)
  found = pearson(*map(jnp.asarray, (spoilt, features, keep.astype(float))))
  known = np.corrcoef(codes[keep].T, features[keep].T)[:4, 4:]
  np.testing.assert_allclose(found, known, atol=1e-4)
  assert abs(known).max() > 0.5


def test_weights_repeat_examples():
  rng = np.random.default_rng(1)
  codes, features = rng.standard_normal((9, 2)), rng.standard_normal((9, 3))
  times = rng.integers(0, 4, 9)
  again = np.repeat(np.arange(9), times)
  found = pearson(*map(jnp.asarray, (codes, features, times.astype(float))))
  whole = pearson(
    jnp.asarray(codes[again]),
    jnp.asarray(features[again]),
    jnp.ones(len(again)),
  )
  np.testing.assert_allclose(found, whole, atol=1e-5)


def test_what_does_not_vary_has_no_correlation():
  """A dead latent, and a constant that rounding would make one of."""
  codes = jnp.asarray([[0.0, 0.1, 1.0], [0.0, 0.1, 2.0], [0.0, 0.1, 3.0]])
  features = jnp.asarray([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]])
  found = pearson(codes, features, jnp.ones(3))
  np.testing.assert_allclose(found, [[0, 0], [0, 0], [1, 0]], atol=1e-5)
