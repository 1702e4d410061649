"""Weighted means, and how those of parts make that of the whole."""

import jax.numpy as jnp

from jaxsynth.types import Array


def mean(values: Array, weights: Array) -> Array:
  """The mean of values under weights that broadcast to them; 0 without any."""
  weights = jnp.broadcast_to(weights, values.shape)
  total = weights.sum()
  return (values * weights).sum() / jnp.where(total > 0, total, 1)


def shares(weights: Array) -> Array:
  """What share of all weight [P, ...] each of P parts has, [P]; 0 without any.

  The mean of a whole is the sum over its parts of share times mean.
  """
  each = weights.reshape(len(weights), -1).sum(-1)
  total = each.sum()
  return each / jnp.where(total > 0, total, 1)
