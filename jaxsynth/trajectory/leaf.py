"""The leaves of the snapshots of a trajectory, indexed as numpy arrays are."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxsynth.trajectory import store
from jaxsynth.trajectory.lazy import Lazy, dense
from jaxsynth.types import PyTree


class Leaf:
  """One array of all runs and snapshots, [R, K, ...], read when indexed.

  Indexed as an array is, by whole numbers, slices, lists and masks; several
  lists select their outer product.
  """

  def __init__(self, array: Lazy, runs: np.ndarray, rows: np.ndarray):
    self._array, self._runs, self._rows = array, runs, rows
    self.shape = (len(runs), len(rows), *array.shape[2:])
    self.dtype = array.dtype

  def __getitem__(self, index) -> np.ndarray:
    return self._array.read(self._where(index))

  def prepare(self, index) -> None:
    """Begins to open what `start(index)` needs."""
    self._array.prepare(self._where(index))

  def start(self, index) -> Callable[[], np.ndarray]:
    """Begins to read `self[index]`; the function returned waits for it."""
    return self._array.start(self._where(index))

  def _where(self, index) -> list:
    index = _expand(index, len(self.shape))
    axes = (self._runs, self._rows, *map(np.arange, self.shape[2:]))
    return [_pick(values, i) for values, i in zip(axes, index)]


def read_all(leaves: Mapping[str, Leaf], index) -> dict[str, np.ndarray]:
  """The same index of several leaves, all opened and read at once."""
  for leaf in leaves.values():
    leaf.prepare(index)
  running = {name: leaf.start(index) for name, leaf in leaves.items()}
  return {name: running.pop(name)() for name in list(running)}


def as_tree(leaves: Mapping[str, np.ndarray]) -> PyTree:
  """Leaves by the names of `Trajectory.leaves` as the tree that was kept."""
  return store.unflatten(
    {('' if n == 'snapshots' else n): a for n, a in leaves.items()}
  )


def _expand(index, ndim: int) -> list:
  """One index per axis, with the axes that were left out."""
  index = list(index) if isinstance(index, tuple) else [index]
  dots = [i for i, part in enumerate(index) if part is Ellipsis]
  at = dots[0] if dots else len(index)
  missing = ndim - len(index) + len(dots)
  if missing < 0 or len(dots) > 1:
    raise IndexError(f'{len(index)} indices for an array of {ndim} axes')
  index[at : at + 1] = [slice(None)] * missing
  return index


def _pick(values: np.ndarray, index) -> Any:
  """An index of the array on disk for an index into this view."""
  picked = values[index]
  if np.ndim(picked) == 0:
    return int(picked)
  return dense(picked)
