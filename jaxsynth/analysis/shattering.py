"""Representation shattering: how far an edit moves the shape of a manifold.

The representations of N entities have the Euclidean distances D [N, N], a
shape that no rotation or shift of all of them changes. An edit that takes the
distances from D to D* shatters it by

  R(D*) = |D* - D|_F / |D|_F

Source: Nishi, Ramesh, Okawa, Khona, Tanaka and Lubana (2024),
"Representation Shattering in Transformers", arXiv 2410.17194.
"""

import jax
import jax.numpy as jnp

from jaxsynth.types import Array, Key


def distances(points: Array) -> Array:
  """Euclidean distances of all pairs of points.

  Args:
    points: [..., N, D].

  Returns:
    [..., N, N], zero on the diagonal.
  """
  gaps = points[..., :, None, :] - points[..., None, :, :]
  return jnp.sqrt(jnp.square(gaps).sum(-1))


def shattering(before: Array, after: Array) -> Array:
  """R(D*), the relative change of all distances.

  Args:
    before: representations before the edit, [..., N, D].
    after: after it, [..., N, D].

  Returns:
    [...], zero where no distance has changed.
  """
  old, new = distances(before), distances(after)
  norm = lambda d: jnp.sqrt(jnp.square(d).sum((-2, -1)))
  return norm(new - old) / norm(old)


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for every function here, for the contract suite."""
  a, b = jax.random.split(key)
  before = jax.random.normal(a, (2, 5, 3))
  after = before + 0.1 * jax.random.normal(b, (2, 5, 3))
  return {'distances': (before,), 'shattering': (before, after)}
