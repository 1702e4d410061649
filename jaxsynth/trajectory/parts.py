"""A trajectory written by several processes: everyone its own runs.

Each process holds the runs START..STOP of the sweep and writes only those. A
save comes into being like this:

  1. every process writes STEP.ATTEMPT/part-00024 (its first run is number 24;
     an OCDBT database, one chunk a run and array) and, beside it,
     part-00024.json: its files with their digests, its arrays with their
     checksums;
  2. all meet at a barrier;
  3. process 0 reads these, removes them, renames STEP.ATTEMPT to STEP, and
     writes the save's manifest, STEP.json: it names every file of every part.

So a save is committed when all parts of it are, by one rename and one file,
and a straggler of an earlier attempt writes where nobody looks. Parts follow
one another in the order of runs: the reader (`store.open_array`) sees one
array, and checking, resuming and reading need not know who wrote it.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxsynth import leaves, peers
from jaxsynth.trajectory import manifest, paths, saves, store
from jaxsynth.trajectory.queue import SaveQueue
from jaxsynth.trajectory.writer import Writer, load_state, step_name
from jaxsynth.types import PyTree


class Described:
  """An array of a save whose parts others have written: all but its values.

  Attributes:
    shape: [R, ...].
    dtype: of its elements.
    crc: as `manifest.rows_crc` gives them.
  """

  def __init__(self, shape: tuple[int, ...], dtype: str, crc: np.ndarray):
    self.shape, self.dtype, self.crc = shape, np.dtype(dtype), crc


class Whole(dict):
  """The arrays of a save, name -> Described, and its files.

  Attributes:
    files: as `manifest.stated_files` gives them for the folder of the save.
  """

  def __init__(self, bodies: list[dict[str, Any]]):
    """Joins what the parts say of themselves, in their order."""
    for name, first in bodies[0]['arrays'].items():
      crc = [manifest.unpack(b['crc32'][name], b['runs']) for b in bodies]
      shape = (sum(b['runs'] for b in bodies), *first['shape'][1:])
      self[name] = Described(shape, first['dtype'], np.concatenate(crc))
    self.files = {n: f for b in bodies for n, f in b['files'].items()}


class _Parts:
  """This process's parts of saves.

  Attributes:
    attempt: the same in every process, another in every attempt.
    runs: which runs of the sweep this process holds.
  """

  def __init__(self, attempt: str, runs: range):
    self.attempt, self.runs = attempt, runs

  def staging(self, folder: Path) -> Path:
    return folder.with_name(f'{folder.name}.{self.attempt}')

  def write(self, folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes this process's part of a save and waits for the others'."""
    staging = self.staging(folder)
    staging.mkdir(parents=True, exist_ok=True)
    if self.runs:
      name = f'{store.PART}{self.runs.start:05d}'
      known = saves.place(
        staging / name, lambda here: store.save_part(here, arrays)
      )
      said = manifest.account(staging / name, arrays, known)
      files = {f'{name}/{file}': x for file, x in said['files'].items()}
      body = {**said, 'files': files, 'runs': len(self.runs)}
      manifest.write_json(staging / f'{name}.json', body)
    peers.wait(str(staging))

  def whole(self, folder: Path) -> Whole:
    """What all parts hold; their own account of it is removed."""
    bases = store.bases(self.staging(folder))
    paths = [manifest.path_of(base) for base in bases]
    bodies = [manifest.load_json(path) for path in paths]
    for path in paths:
      path.unlink()
    return Whole(bodies)


class FirstWriter(Writer):
  """The writer of process 0: it alone decides what is committed."""

  def __init__(self, parts: _Parts, rows: range, *args):
    super().__init__(*args)
    self._parts = parts
    self.rows = slice(rows.start, rows.stop)

  def _segment(self, folder: Path, labels: dict, arrays: dict) -> None:
    self._parts.write(folder, arrays)
    super()._segment(folder, labels, self._parts.whole(folder))
    self._drop(folder)

  def _checkpoint(self, step: int, keep: bool, arrays: dict) -> None:
    folder = _save_folder(self.folder, step, keep)
    self._parts.write(folder, arrays)
    super()._checkpoint(step, keep, self._parts.whole(folder))
    self._drop(folder)

  def _place(self, folder: Path, arrays: dict) -> None:
    self._parts.staging(folder).rename(folder)

  def _drop(self, folder: Path) -> None:
    """Removes parts that were not needed: the save stood from before."""
    paths.remove(self._parts.staging(folder), ignore_errors=True)

  def committed_stop(self, start: int) -> int | None:
    return peers.first(lambda: Writer.committed_stop(self, start))

  def next_start(self, step: int) -> int | None:
    return peers.first(lambda: Writer.next_start(self, step))

  def finished(self, last: int) -> bool:
    return peers.first(lambda: Writer.finished(self, last))

  def latest(self, like: PyTree) -> tuple[int, PyTree] | None:
    found = []

    def look() -> int | None:
      found.append(Writer.latest(self, like))
      return None if found[0] is None else found[0][0]

    peers.first(look)
    return found[0]

  def __exit__(self, kind, *exc) -> None:
    super().__exit__(kind, *exc)
    if kind is None:
      peers.wait(f'{self.folder} {self._parts.attempt}')


class PartWriter:
  """The writer of every other process: its parts, and what process 0 says."""

  def __init__(self, parts: _Parts, rows: range, folder: Path):
    self.folder, self._parts = paths.of(folder).absolute(), parts
    self._rows = slice(rows.start, rows.stop)
    self._queue = SaveQueue()
    self.memory = self._queue.memory

  def wait(self) -> None:
    self._queue.wait()

  def __enter__(self) -> 'PartWriter':
    return self

  def __exit__(self, kind, *exc) -> None:
    self._queue.close()
    if kind is None:  # then process 0 has committed all there is
      peers.wait(f'{self.folder} {self._parts.attempt}')

  def segment(
    self,
    start: int,
    stop: int,
    snapshot_steps: list[int],
    eval_steps: list[int],
    arrays: dict[str, np.ndarray],
  ) -> None:
    del stop, snapshot_steps, eval_steps
    folder = self.folder / 'segments' / step_name(start)
    self._queue.submit(self._parts.write, folder, arrays=arrays)

  def checkpoint(self, step: int, state: PyTree, keep: bool) -> None:
    folder = _save_folder(self.folder, step, keep)
    self._queue.submit(self._parts.write, folder, arrays=leaves.flatten(state))

  def committed_stop(self, start: int) -> int | None:
    return peers.first(lambda: None)

  def next_start(self, step: int) -> int | None:
    return peers.first(lambda: None)

  def finished(self, last: int) -> bool:
    return peers.first(lambda: None)

  def latest(self, like: PyTree) -> tuple[int, PyTree] | None:
    step = peers.first(lambda: None)
    if step is None:
      return None
    folders = (_save_folder(self.folder, step, k) for k in (False, True))
    folder = next(f for f in folders if manifest.path_of(f).exists())
    return step, load_state(folder, like, self._rows, verify=False)


def _save_folder(folder: Path, step: int, keep: bool) -> Path:
  return folder / ('branches' if keep else 'checkpoints') / step_name(step)


def open_writer(
  folder: Path,
  index: dict[str, Any],
  allow: tuple[str, ...],
  held: range,
  states: range,
) -> Writer | PartWriter:
  """The writer of this process, alone or as one of several.

  Args:
    folder: of the trajectory.
    index: see `Writer`.
    allow: see `Writer`.
    held: the runs this process holds and writes.
    states: the runs whose states it needs to start.

  Raises:
    UserError: process 0 cannot write there; raised in every process.
  """
  if peers.count() == 1:
    return Writer(folder, index, allow)
  made: list[Writer] = []

  def begin() -> str:
    attempt = secrets.token_hex(4)
    parts = _Parts(attempt, held)
    made.append(FirstWriter(parts, states, folder, index, allow))
    return attempt

  attempt = peers.first(begin)
  return made[0] if made else PartWriter(_Parts(attempt, held), states, folder)
