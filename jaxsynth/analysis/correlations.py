"""Pearson correlations of latents with what is known to be true.

With weights p_n that sum to one over examples,

  r_ij = cov_p(z_i, y_j) / (sd_p(z_i) sd_p(y_j))

Source: Menon, Shrivastava, Krueger and Lubana (2024), arXiv 2410.11767, where
latents are compared with features of a grammar.
"""

import jax
import jax.numpy as jnp

from jaxsynth.types import Array, Key

# Deviations below this share of the largest value count as none.
LEAST = 1e-5


def pearson(codes: Array, features: Array, weights: Array) -> Array:
  """Correlations of every latent with every feature.

  Args:
    codes: [N, L].
    features: [N, F].
    weights: which examples count, and how much, [N].

  Returns:
    [L, F], in [-1, 1]; 0 for a latent or a feature that does not vary.
  """
  share = (weights / weights.sum())[:, None]

  def standard(x: Array) -> Array:
    apart = x - (share * x).sum(0)
    deviation = jnp.sqrt((share * jnp.square(apart)).sum(0))
    most = jnp.abs(jnp.where(share > 0, x, 0)).max(0)
    varies = deviation > LEAST * most
    return jnp.where(varies, apart / jnp.where(varies, deviation, 1), 0)

  return (share * standard(codes)).T @ standard(features)


def examples(key: Key) -> dict[str, tuple]:
  """Arguments for every function here; see tests/contracts."""
  a, b, c = jax.random.split(key, 3)
  codes = jax.nn.relu(jax.random.normal(a, (20, 5)))
  features = jax.random.normal(b, (20, 3))
  weights = (jax.random.uniform(c, (20,)) > 0.3).astype(jnp.float32)
  return {'pearson': (codes, features, weights)}
