"""One array of a trajectory over all its segments, read lazily and checked."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jaxsynth.errors import StorageError
from jaxsynth.trajectory import manifest, store
from jaxsynth.trajectory.lazy import Lazy, dense, positions


class Leaf:
  """One array of all runs and rows, [R, K, ...], read when indexed.

  Indexed as an array is, by whole numbers, slices, lists and masks; several
  lists select their outer product. What is read is compared, run by run and
  row by row, with the checksums of the manifests.

  Args:
    name: as in the manifests, e.g. 'snapshots.w'.
    array: all segments that hold it as one.
    parts: those segments and their manifests.
    runs: which runs of the segments this view shows.
    rows: which rows; None shows all.

  Raises:
    DamagedError: on reading, if a value is not what was written.
    StorageError: on reading, if the storage does not answer.
  """

  def __init__(
    self,
    name: str,
    array: Lazy,
    parts: Sequence[tuple[Path, dict]],
    runs: np.ndarray,
    rows: np.ndarray | None = None,
  ):
    self._name, self._array, self._parts = name, array, parts
    self._runs = runs
    self._rows = np.arange(array.shape[1]) if rows is None else rows
    self.shape = (len(runs), len(self._rows), *array.shape[2:])
    self.dtype = array.dtype

  def __getitem__(self, index) -> np.ndarray:
    self.prepare(index)
    return self.start(index)()

  def prepare(self, index) -> None:
    """Begins to open what `start(index)` needs."""
    lead, _ = self._where(index)
    self._array.prepare(self._whole(lead))

  def start(self, index) -> Callable[[], np.ndarray]:
    """Begins to read `self[index]`; the function returned waits for it."""
    lead, rest = self._where(index)
    try:
      wait = self._array.start(self._whole(lead))
    except (ValueError, KeyError) as e:
      raise self._unreadable(e) from None

    def finish() -> np.ndarray:
      try:
        got = wait()
      except (ValueError, KeyError) as e:
        raise self._unreadable(e) from None
      where = [positions(i, n) for i, n in zip(lead, self._array.shape)]
      self._compare(got.reshape(*map(len, where), *self.shape[2:]), *where)
      first = sum(not isinstance(i, int) for i in lead)
      for axis in reversed(range(len(rest))):
        got = got[(*[slice(None)] * (first + axis), rest[axis])]
      return got

    return finish

  def _where(self, index) -> tuple[list, list]:
    """Indices of runs and rows on disk, and of the axes after them."""
    index = expand(index, len(self.shape))
    lead = [_pick(v, i) for v, i in zip((self._runs, self._rows), index)]
    return lead, index[2:]

  def _whole(self, lead: list) -> list:
    """Checksums are of whole rows, so whole rows are read."""
    return [*lead, *[slice(None)] * (len(self.shape) - 2)]

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

  def _unreadable(self, error: Exception) -> Exception:
    first = (str(error).splitlines() or [''])[0]
    if store.is_trouble(error):
      return StorageError(f'{self._parts[0][0].parent}: {first}')
    return manifest.DamagedError(
      f'{self._parts[0][0].parent}: {self._name} cannot be read: {first}'
    )


def read_all(leaves: Mapping[str, Leaf], index) -> dict[str, np.ndarray]:
  """The same index of several leaves, all opened and read at once."""
  for leaf in leaves.values():
    leaf.prepare(index)
  running = {name: leaf.start(index) for name, leaf in leaves.items()}
  return {name: running.pop(name)() for name in list(running)}


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
  return int(picked) if np.ndim(picked) == 0 else dense(picked)
