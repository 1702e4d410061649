"""Paths through a concept space: when concepts are learned, where paths turn.

At each of K snapshots a model's generations for one prompt have some share
with each concept on: a path [K, 2] for two concepts, of which the first half
of a generalisation ends at (1, 1). A model that learned both at one pace would
keep to the diagonal; one that learns the stronger concept first makes for that
concept's corner, which is a class it was trained on, and turns there.

  departure   (second - first) / sqrt 2, the distance from the diagonal, signed:
              negative on the side of (1, 0)
  turn        the angle between the way from the start to the farthest point and
              the way from there to the end
  learned     the first snapshot in the middle of three whose smoothed accuracy
              exceeds a level

Source: Park, Okawa, Lee, Lubana and Tanaka (2024), arXiv 2406.19370, and its
code, cfpark00/concept-learning: smoothing by a Gaussian over the index of
snapshots (1.5 for accuracies, 2 for paths), erosion by a window of three.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.types import Array, Key

# The Gaussian ends at so many deviations.
CUT = 4.0


def smoothed(curve: Array, deviation: float) -> Array:
  """A curve under a Gaussian over the index of snapshots, ends reflected.

  Args:
    curve: [K, ...].
    deviation: of the Gaussian, in snapshots; 0 leaves the curve as it is.

  Returns:
    The curve, [K, ...].
  """
  if deviation == 0:
    return curve
  num, reach = curve.shape[0], int(CUT * deviation + 0.5)
  offsets = np.arange(-reach, reach + 1)
  kernel = np.exp(-0.5 * (offsets / deviation) ** 2)
  place = (np.arange(num)[:, None] + offsets) % (2 * num)
  place = np.where(place < num, place, 2 * num - 1 - place)
  return jnp.einsum('w,kw...->k...', kernel / kernel.sum(), curve[place])


def learned(curve: Array, steps: Array, level: Array) -> dict[str, Array]:
  """When an accuracy stays above a level: the published learning time.

  Args:
    curve: accuracy, smoothed, [K].
    steps: [K].
    level: what it must exceed, [].

  Returns:
    at: step of the first snapshot that exceeds the level with both of its
    neighbours, []; the last step if there is none; found: whether there is.
  """
  above_K = curve > level
  kept_K = above_K[:-2] & above_K[1:-1] & above_K[2:]
  found = kept_K.any()
  return {
    'at': jnp.where(found, steps[1:-1][kept_K.argmax()], steps[-1]),
    'found': found,
  }


def departure(path: Array) -> dict[str, Array]:
  """How far a path leaves the diagonal, to which side, and how it turns there.

  Args:
    path: share of generations with each of two concepts, [K, 2].

  Returns:
    farthest: the signed distance from the diagonal where it is largest, [];
    index: of that snapshot, int []; turn: the angle there, in degrees, [];
    0 where the path has no way to or from there.
  """
  apart_K = (path[:, 1] - path[:, 0]) / jnp.sqrt(2.0)
  index = jnp.abs(apart_K).argmax()
  there, back = path[index] - path[0], path[-1] - path[index]
  sizes = jnp.linalg.norm(there) * jnp.linalg.norm(back)
  cosine = there @ back / jnp.where(sizes > 1e-6, sizes, 1.0)
  angle = jnp.rad2deg(jnp.arccos(jnp.clip(cosine, -1.0, 1.0)))
  return {
    'farthest': apart_K[index],
    'index': index,
    'turn': jnp.where(sizes > 1e-6, angle, 0.0),
  }


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  curve = jnp.linspace(0.0, 1.0, 9) + 0.1 * jax.random.uniform(key, (9,))
  path = jnp.stack([curve, jnp.square(curve)], 1)
  return {
    'smoothed': (path, 1.5),
    'learned': (curve, jnp.arange(9.0), jnp.asarray(0.5)),
    'departure': (path,),
  }
