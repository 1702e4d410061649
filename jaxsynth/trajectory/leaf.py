"""One array of a trajectory over all its segments, read lazily and checked."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jaxsynth.trajectory import manifest, store


class Leaf:
  """One array of all runs and rows, [R, K, ...], read when indexed.

  Indexed as an array is, by whole numbers, slices, lists and masks; several
  lists select their outer product. What is read is compared, run by run and
  row by row, with the checksums of the manifests.

  Args:
    segments: the segments and their manifests.
    name: as in the manifests, e.g. 'snapshots.w'.
    runs: which runs of the segments this view shows.
    rows: which rows; None shows all.

  Raises:
    DamagedError: on reading, if a value is not what was written.
  """

  def __init__(
    self,
    segments: Sequence[tuple[Path, dict]],
    name: str,
    runs: np.ndarray,
    rows: np.ndarray | None = None,
  ):
    self._parts = [(p, m) for p, m in segments if name in m['arrays']]
    self._name, self._runs = name, runs
    try:
      arrays = [store.open_array(path, name) for path, _ in self._parts]
      self._array = store.concat(arrays, 1)
    except ValueError as e:
      raise self._unreadable(e) from None
    self._rows = np.arange(self._array.shape[1]) if rows is None else rows
    self.shape = (len(runs), len(self._rows), *self._array.shape[2:])
    self.dtype = self._array.dtype.numpy_dtype

  def __getitem__(self, index) -> np.ndarray:
    index = expand(index, len(self.shape))
    lead = [_pick(v, i) for v, i in zip((self._runs, self._rows), index)]
    try:
      got = np.asarray(self._array.oindex[tuple(lead)].read().result())
    except ValueError as e:
      raise self._unreadable(e) from None
    where = [np.atleast_1d(np.arange(n)[i]) for n, i in
             zip(self._array.shape, lead)]  # fmt: skip
    self._compare(got.reshape(*map(len, where), *self.shape[2:]), *where)
    first = sum(not isinstance(i, int) for i in lead)
    for axis in reversed(range(len(self.shape) - 2)):
      before = (slice(None),) * (first + axis)
      got = got[(*before, index[2 + axis])]
    return got

  @cached_property
  def _crc(self) -> np.ndarray:
    """The checksums of all runs and rows, uint32 [R, K]."""
    parts = [
      manifest.unpack(m['crc32'][self._name], len(m['run_ids']))
      for _, m in self._parts
    ]
    return np.concatenate(parts, 1)

  def _compare(self, got: np.ndarray, runs: np.ndarray, rows: np.ndarray):
    wrong = manifest.rows_crc(got) != self._crc[np.ix_(runs, rows)]
    if not wrong.any():
      return
    run, row = (int(i[0]) for i in np.nonzero(wrong))
    run, row = runs[run], rows[row]
    for path, body in self._parts:
      count = body['arrays'][self._name]['shape'][1]
      if row < count:
        step = manifest.step_of_row(body, self._name, row)
        raise manifest.DamagedError(
          f'{path}: {self._name} of run {body["run_ids"][run]} at step {step} '
          "is not what was written; open_trajectory(..., damaged='skip') "
          'leaves such segments out'
        )
      row -= count

  def _unreadable(self, error: Exception) -> manifest.DamagedError:
    first = str(error).splitlines()[0]
    return manifest.DamagedError(
      f'{self._parts[0][0].parent}: {self._name} cannot be read: {first}'
    )


def expand(index, ndim: int) -> list:
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
  if len(picked) and np.array_equal(
    picked, np.arange(picked[0], picked[0] + len(picked))
  ):
    return slice(int(picked[0]), int(picked[0]) + len(picked))
  return picked
