"""Writing a trajectory: segments, checkpoints, branch points, and resuming.

  FOLDER/index.json            what this is: runs, plan, layout, config, ...
  FOLDER/segments/START        snapshots and metrics of some whole calls
  FOLDER/checkpoints/STEP      the full state to resume from, latest two
  FOLDER/branches/STEP         full states kept for ever

each save with its manifest beside it. One worker thread writes in order, at
most one save waiting, so a segment is committed before the checkpoint that
follows it. A save that exists is never written over: its recomputation after
a crash is compared with it. One that is damaged is set aside and written anew.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jaxsynth import progress
from jaxsynth.errors import UserError
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import manifest, saves, store
from jaxsynth.trajectory.compare import (
  allowed_differences,
  differences,
  differing_rows,
)
from jaxsynth.trajectory.saves import committed
from jaxsynth.types import PyTree

KEEP_CHECKPOINTS = 2


class NonDeterminismError(Exception):
  """A recomputed save differs from the committed one."""


def _step_name(step: int) -> str:
  return f'{step:010d}'


class Writer:
  """The one process that writes a trajectory folder.

  Args:
    folder: created if missing.
    index: what the trajectory is; JSON. Must equal the index on disk.
    allow: top-level index keys that may differ from the one on disk
      ('layout', 'source_digest'); the index on disk then keeps a note of the
      difference under 'resumed_under'.

  Raises:
    UserError: the folder holds another trajectory, cannot be written, or
      another process is writing it.
  """

  def __init__(
    self, folder: Path, index: dict[str, Any], allow: tuple[str, ...] = ()
  ):
    self.folder = folder = Path(folder).absolute()
    index = json.loads(json.dumps(index))  # as it will be read back
    try:
      folder.mkdir(parents=True, exist_ok=True)
      self._lock = open(folder / 'lock', 'a+')  # noqa: SIM115
    except OSError as e:
      raise UserError(f'cannot write to {folder}: {e.strerror}') from None
    self._take_lock()
    if indexes.path_of(folder).exists() or saves.history(folder):
      index = self._compare(index, allow)
    else:
      indexes.write(folder, index)
    self.run_ids = [run['run_id'] for run in index['runs']]
    self._start = index.get('start', 0)
    self._identity = indexes.identity(index)
    saves.sweep(folder)
    # What the saves that follow name: segments by where they end, the full
    # state at a step.
    self._segments = self._ends()
    self._states: dict[int, str] = {}
    self._worker = ThreadPoolExecutor(1, 'trajectory-writer')
    self._pending: Future | None = None

  def _take_lock(self) -> None:
    try:
      fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      self._lock.seek(0)
      holder = self._lock.read().strip() or 'another process'
      self._lock.close()
      raise UserError(
        f'{self.folder} is being written by {holder}; wait for it or choose '
        'another workdir'
      ) from None
    self._lock.truncate(0)
    self._lock.write(f'process {os.getpid()}')
    self._lock.flush()

  def _compare(self, new: dict, allow: tuple[str, ...]) -> dict[str, Any]:
    """The index on disk, if it is the new one but for what is allowed."""
    try:
      old, history = indexes.split(indexes.read(self.folder))
      notes = history.get('resumed_under', [])
      allowed = allowed_differences(self.folder, old, new, allow)
    except UserError:
      self._lock.close()
      raise
    if allowed and allowed not in notes:
      history['resumed_under'] = [*notes, allowed]
      indexes.write(self.folder, {**old, **history})
    return old

  def _ends(self) -> dict[int, str]:
    """The content of each segment by where it ends."""
    pieces = saves.history(self.folder, start=self._start)
    return {p.stop: manifest.content(p.body) for p in pieces if p.body}

  def begin(
    self, copied: Sequence[Path], state: tuple[int, PyTree] | None
  ) -> None:
    """What a training that begins within another takes from it.

    Args:
      copied: saves that are copied, in order of steps.
      state: (step, full state [R, ...]) to train from; a branch point here.
    """
    for path in copied:
      saves.copy(path, self.folder)
    self._segments = self._ends()
    if state is not None:
      self.checkpoint(*state, keep=True)
      self.wait()

  def _submit(self, fn, *args) -> None:
    self.wait()
    self._pending = self._worker.submit(fn, *args)

  def wait(self) -> None:
    """Waits for the save in flight and raises what went wrong in it."""
    if self._pending is not None:
      pending, self._pending = self._pending, None
      pending.result()

  def close(self) -> None:
    try:
      self.wait()
    finally:
      self._worker.shutdown()
      self._lock.close()

  def __enter__(self) -> 'Writer':
    return self

  def __exit__(self, *exc) -> None:
    self.close()

  def committed_stop(self, start: int) -> int | None:
    """Where the committed segment that begins at `start` ends, if any."""
    folder = self.folder / 'segments' / _step_name(start)
    if not folder.is_dir():
      return None
    try:
      return manifest.read(folder)['stop']
    except manifest.DamagedError:
      return None

  def next_start(self, step: int) -> int | None:
    """Where the next segment on disk after `step` begins, if any."""
    found = (int(p.name) for p in saves.named(self.folder / 'segments'))
    return min((start for start in found if start > step), default=None)

  def segment(
    self,
    start: int,
    stop: int,
    snapshot_steps: list[int],
    eval_steps: list[int],
    arrays: dict[str, np.ndarray],
  ) -> None:
    """Writes one segment in the background.

    Args:
      start: updates done before its first step.
      stop: updates done after its last.
      snapshot_steps: the K steps of arrays 'snapshots.*', [R, K, ...].
      eval_steps: the steps of arrays 'evals.*', [R, E, ...].
      arrays: those, and 'scalars.*' [R, stop - start].
    """
    labels = {
      'start': start,
      'stop': stop,
      'snapshot_steps': snapshot_steps,
      'eval_steps': eval_steps,
      'run_ids': self.run_ids,
    }
    folder = self.folder / 'segments' / _step_name(start)
    self._submit(self._segment, folder, arrays, labels)

  def _segment(self, folder: Path, arrays: dict, labels: dict) -> None:
    start = labels['start']
    links = {
      'index': self._identity,
      'previous': self._segments.get(start),
      'started_from': self._states.get(start),
    }
    body = self._commit(folder, arrays, labels, links)
    self._segments[labels['stop']] = manifest.content(body)

  def _commit(
    self, folder: Path, arrays: dict, labels: dict, links: dict
  ) -> dict[str, Any]:
    """Writes a save, or compares with the one that is there.

    One that is damaged, or follows a save that is no more, is set aside and
    written anew.
    """
    try:
      old = manifest.read(folder)
    except manifest.DamagedError:
      old = None
    if old is not None:
      wrong = differing_rows(old, arrays)
      wrong += differences({k: old[k] for k in labels}, labels)
      if wrong:
        more = f' (+{len(wrong) - 3} more)' if len(wrong) > 3 else ''
        raise NonDeterminismError(
          f'{folder}: recomputed, it differs: {"; ".join(wrong[:3])}{more}; '
          'the committed one is unchanged'
        )
      followed = all(old.get(k) == v for k, v in links.items() if k != 'index')
      if followed and not manifest.faults(folder):
        return old
    if aside := saves.set_aside(self.folder, folder):
      progress.note(f'{folder} was damaged: set aside as {aside}, rewritten')
    store.save(folder, arrays)
    return manifest.commit(folder, arrays, {**labels, **links})

  def checkpoint(self, step: int, state: PyTree, keep: bool) -> None:
    """Saves the full state [R, ...] in the background.

    Args:
      step: updates done.
      state: host arrays, not changed by the caller afterwards.
      keep: as a branch point, for ever; else as one of the latest two.
    """
    self._submit(self._checkpoint, step, store.flatten(state), keep)

  def _checkpoint(self, step: int, arrays: dict, keep: bool) -> None:
    name = 'branches' if keep else 'checkpoints'
    folder = self.folder / name / _step_name(step)
    labels = {'step': step, 'run_ids': self.run_ids}
    links = {'index': self._identity, 'segment': self._segments.get(step)}
    body = self._commit(folder, arrays, labels, links)
    self._states = {step: manifest.state_digest(body)}
    for old in committed(self.folder / 'checkpoints')[:-KEEP_CHECKPOINTS]:
      manifest.path_of(old).unlink()
      shutil.rmtree(old)

  def finished(self, last: int) -> bool:
    """Whether the full state after step `last` and all before it are there."""
    folder = self.folder / 'branches' / _step_name(last)
    reached = saves.reached(self.folder, self._start)
    return saves.stands(folder) and reached >= last

  def latest(self, like: PyTree) -> tuple[int, PyTree] | None:
    """The newest full state to resume from, or None at the very start.

    One that is damaged is set aside, and one beyond a hole in the history is
    passed over; both are said.

    Args:
      like: a tree of the state's structure.
    """
    reached = saves.reached(self.folder, self._start)
    found = [
      *committed(self.folder / 'checkpoints'),
      *committed(self.folder / 'branches'),
    ]
    for path in sorted(found, key=lambda p: int(p.name), reverse=True):
      if int(path.name) > reached:
        progress.note(
          f'{path} is not resumed from: the history before it is whole only '
          f'up to step {reached}'
        )
        continue
      try:
        state = load_state(path, like)
      except manifest.DamagedError as e:
        aside = saves.set_aside(self.folder, path)
        progress.note(f'{e}: set aside as {aside}')
        continue
      step = int(path.name)
      self._states = {step: manifest.state_digest(manifest.read(path))}
      return step, state
    return None


def load_state(folder: Path, like: PyTree, rows=slice(None)) -> PyTree:
  """A full state [R, ...] from a checkpoint or branch point.

  Args:
    folder: the save.
    like: a tree of the state's structure.
    rows: which runs, as an index of the run axis.

  Raises:
    DamagedError: the files do not match their manifest.
  """
  faults = manifest.faults(folder)
  if faults:
    raise manifest.DamagedError('; '.join(faults))
  return store.like(like, store.load(folder, list(store.flatten(like)), rows))
