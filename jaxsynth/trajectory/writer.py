"""Writing a trajectory: segments, checkpoints, branch points, and resuming.

  FOLDER/index.json            what this is: runs, plan, layout, config, ...
  FOLDER/segments/START        snapshots and metrics of some whole calls
  FOLDER/checkpoints/STEP      the full state to resume from, latest two
  FOLDER/branches/STEP         full states kept for ever

each save with its manifest beside it. One worker thread writes in order, so a
segment is committed before the checkpoint that follows it, and nothing after a
save that failed; how much may wait is in `trajectory.queue`. A save that exists
is never written over: its recomputation after a crash is compared with it. One
that is damaged is set aside and written anew.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxsynth import leaves, progress
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import manifest, paths, saves, store
from jaxsynth.trajectory.bucket_lock import take
from jaxsynth.trajectory.compare import (
  allowed_differences,
  differences,
  differing_rows,
)
from jaxsynth.trajectory.queue import SaveQueue
from jaxsynth.trajectory.saves import committed
from jaxsynth.types import PyTree

KEEP_CHECKPOINTS = 2


class NonDeterminismError(Exception):
  """A recomputed save differs from the committed one."""


def step_name(step: int) -> str:
  return f'{step:010d}'


class Writer:
  """The one process that writes a trajectory folder.

  Where several write one, see `trajectory.parts`.

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

  rows = slice(None)  # of a full state: those this process computes on

  def __init__(
    self, folder: Path, index: dict[str, Any], allow: tuple[str, ...] = ()
  ):
    self.folder = folder = paths.of(folder).absolute()
    index = json.loads(json.dumps(index))  # as it will be read back
    self._lock = take(folder / 'lock')
    try:
      index = self._open(index, allow)
    except BaseException:
      self._lock.close()
      raise
    self.run_ids = [run['run_id'] for run in index['runs']]
    self._start = index.get('start', 0)
    self._identity = indexes.identity(index)
    # What the saves that follow name: segments by where they end, the full
    # state at a step.
    self._segments = self._ends()
    self._states: dict[int, str] = {}
    self._queue = SaveQueue()
    self.memory = self._queue.memory

  def _open(self, new: dict, allow: tuple[str, ...]) -> dict[str, Any]:
    """Writes the index, or compares it with the one on disk; tidies up."""
    if indexes.path_of(self.folder).exists() or saves.history(self.folder):
      new = self._compare(new, allow)
    else:
      indexes.write(self.folder, new)
    saves.sweep(self.folder)
    return new

  def _compare(self, new: dict, allow: tuple[str, ...]) -> dict[str, Any]:
    """The index on disk, if it is the new one but for what is allowed."""
    old, history = indexes.split(indexes.read(self.folder))
    notes = history.get('resumed_under', [])
    allowed = allowed_differences(self.folder, old, new, allow)
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

  def wait(self) -> None:
    """Waits for the saves under way and raises what went wrong in them."""
    self._queue.wait()

  def close(self) -> None:
    try:
      self._queue.close()
    finally:
      self._lock.close()

  def __enter__(self) -> 'Writer':
    return self

  def __exit__(self, *exc) -> None:
    self.close()

  def committed_stop(self, start: int) -> int | None:
    """Where the committed segment that begins at `start` ends, if any."""
    folder = self.folder / 'segments' / step_name(start)
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
    folder = self.folder / 'segments' / step_name(start)
    self._queue.submit(self._segment, folder, labels, arrays=arrays)

  def _segment(self, folder: Path, labels: dict, arrays: dict) -> None:
    start = labels['start']
    links = {
      'index': self._identity,
      'previous': self._segments.get(start),
      'started_from': self._states.get(start),
    }
    body = self._commit(folder, labels, links, arrays)
    self._segments[labels['stop']] = manifest.content(body)

  def _commit(
    self, folder: Path, labels: dict, links: dict, arrays: dict
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
      # A second try need not keep every full state that the first one kept.
      stated = {k: v for k, v in links.items() if k != 'index'}
      if stated.get('started_from') is None:
        stated.pop('started_from', None)
      followed = all(old.get(k) == v for k, v in stated.items())
      if followed and not manifest.faults(folder):
        return old
    self._lock.check()  # what lies there may be of who took it over
    if aside := saves.set_aside(self.folder, folder):
      progress.note(f'{folder} was damaged: set aside as {aside}, rewritten')
    return self._write(folder, arrays, {**labels, **links})

  def _write(self, folder: Path, arrays: dict, labels: dict) -> dict[str, Any]:
    """One save and its manifest, or an error and nothing half-written."""
    saves.probe(folder)
    try:
      known = self._place(folder, arrays)
      self._lock.check()
      return manifest.commit(folder, arrays, labels, known)
    except Exception:
      if self._lock.held():
        saves.clear(folder)
      raise

  def checkpoint(self, step: int, state: PyTree, keep: bool) -> None:
    """Saves the full state [R, ...] in the background.

    Args:
      step: updates done.
      state: host arrays, not changed by the caller afterwards.
      keep: as a branch point, for ever; else as one of the latest two.
    """
    self._queue.submit(
      self._checkpoint, step, keep, arrays=leaves.flatten(state)
    )

  def _checkpoint(self, step: int, keep: bool, arrays: dict) -> None:
    name = 'branches' if keep else 'checkpoints'
    folder = self.folder / name / step_name(step)
    labels = {'step': step, 'run_ids': self.run_ids}
    links = {'index': self._identity, 'segment': self._segments.get(step)}
    body = self._commit(folder, labels, links, arrays)
    self._states = {step: manifest.state_digest(body)}
    for old in committed(self.folder / 'checkpoints')[:-KEEP_CHECKPOINTS]:
      saves.drop(old)

  def _place(self, folder: Path, arrays: dict) -> dict | None:
    """Writes the folder of a save; see `saves.place`."""
    return saves.place(folder, lambda here: store.save(here, arrays))

  def finished(self, last: int) -> bool:
    """Whether the full state after step `last` and all before it are there."""
    folder = self.folder / 'branches' / step_name(last)
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
        state = load_state(path, like, self.rows)
      except manifest.DamagedError as e:
        aside = saves.set_aside(self.folder, path)
        progress.note(f'{e}: set aside as {aside}')
        continue
      step = int(path.name)
      self._states = {step: manifest.state_digest(manifest.read(path))}
      return step, state
    return None


def load_state(
  folder: Path, like: PyTree, rows=slice(None), verify: bool = True
) -> PyTree:
  """A full state [R, ...] from a checkpoint or branch point.

  Args:
    folder: the save.
    like: a tree of the state's structure.
    rows: which runs, as an index of the run axis.
    verify: compare every file with the manifest first.

  Raises:
    DamagedError: the files do not match their manifest.
  """
  faults = manifest.faults(folder) if verify else []
  if faults:
    raise manifest.DamagedError('; '.join(faults))
  return leaves.like(like, store.load(folder, leaves.names(like), rows))
