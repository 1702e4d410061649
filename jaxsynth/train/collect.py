"""From what calls leave on the devices to the arrays of a segment.

Snapshots are most of what a training moves, so they are copied once: the
pieces of each call are views of what came from the devices, and `joined` puts
the pieces of all calls of a segment in their places.
"""

from collections.abc import Callable

import jax
import numpy as np

from jaxsynth import leaves
from jaxsynth.train import placing
from jaxsynth.train.keeping import nested
from jaxsynth.types import PyTree


def pieces(
  parts: list[PyTree], kind: str, count: int
) -> dict[str, list[np.ndarray]]:
  """The first rows of block trees [block, rows, ...] as named host pieces.

  On a CPU they are views of the devices' buffers, where these are needed
  whole and one device holds them: nothing is copied.

  Args:
    parts: the block trees.
    kind: what their names begin with.
    count: how many rows.

  Returns:
    name -> one array [runs, count, ...] per block and device, in order.
  """

  def cut(array: np.ndarray) -> np.ndarray:
    few = 2 * count < array.shape[1]
    return array[:, :count].copy() if few else array[:, :count]

  def of(array: jax.Array) -> list[np.ndarray]:
    return [cut(piece) for piece in placing.pieces(array)]

  flat = [leaves.flatten({kind: nested(part)}) for part in parts]
  return {n: [a for named in flat for a in of(named[n])] for n in flat[0]}


def joined(
  calls: list[list[np.ndarray]],
  runs: int,
  empty: Callable[[tuple[int, ...], np.dtype], np.ndarray] = np.empty,
) -> np.ndarray:
  """The pieces of one leaf from several calls as one array, copied once.

  Args:
    calls: for each call its `pieces`, [runs, K, ...].
    runs: R; what lies beyond are dummies.
    empty: makes the array.

  Returns:
    [R, sum of K, ...].
  """
  one = calls[0][0]
  count = sum(parts[0].shape[1] for parts in calls)
  out = empty((runs, count, *one.shape[2:]), one.dtype)
  column = 0
  for parts in calls:
    row, end = 0, column + parts[0].shape[1]
    for part in parts:
      target = out[row : row + len(part), column:end]
      target[...] = part[: len(target)]
      row += len(part)
    column = end
  return out
