"""Writing a trajectory: segments, checkpoints, branch points, and resuming.

  FOLDER/index.json            what this is: runs, plan, layout, config, ...
  FOLDER/segments/START        snapshots and metrics of some whole calls
  FOLDER/checkpoints/STEP      the full state to resume from, latest two
  FOLDER/branches/STEP         full states kept for ever

each save with its manifest beside it. One worker thread writes in order, at
most one save waiting, so a segment is committed before the checkpoint that
follows it. A segment that exists is never written over: its recomputation
after a crash is compared with it.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jaxsynth.errors import UserError
from jaxsynth.trajectory import manifest, store
from jaxsynth.types import PyTree

KEEP_CHECKPOINTS = 2
# Parts of an index a user may decide to continue under another of.
ALLOWABLE = ('layout', 'source_digest')


class NonDeterminismError(Exception):
  """A recomputed segment differs from the committed one."""


def differences(old: Any, new: Any, at: str = '') -> list[str]:
  """Where two JSON values differ, one 'path: old -> new' each."""
  if isinstance(old, Mapping) and isinstance(new, Mapping):
    out = []
    for key in sorted(set(old) | set(new), key=str):
      here = f'{at}.{key}' if at else str(key)
      out += differences(old.get(key), new.get(key), here)
    return out
  return [] if old == new else [f'{at}: {old!r} -> {new!r}']


def step_name(step: int) -> str:
  return f'{step:010d}'


def committed(folder: Path) -> list[Path]:
  """The committed saves in a folder, by step."""
  if not folder.is_dir():
    return []
  found = (p.with_suffix('') for p in folder.glob('*.json'))
  return sorted(p for p in found if p.name.isdigit() and p.is_dir())


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
    self.folder = folder = Path(folder).absolute()
    index = json.loads(json.dumps(index))  # as it will be read back
    try:
      folder.mkdir(parents=True, exist_ok=True)
      self._lock = open(folder / 'lock', 'a+')  # noqa: SIM115
    except OSError as e:
      raise UserError(f'cannot write to {folder}: {e.strerror}') from None
    self._take_lock()
    path = folder / 'index.json'
    if path.exists():
      self._compare(path, index, allow)
    else:
      manifest.write_json(path, index)
    self.run_ids = [run['run_id'] for run in index['runs']]
    self._sweep()
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

  def _compare(self, path: Path, new: dict, allow: tuple[str, ...]) -> None:
    old = manifest.load_json(path)
    notes = old.pop('resumed_under', [])
    found = differences(old, new)
    part = lambda difference: difference.split(':')[0].split('.')[0]
    allowed = [d for d in found if part(d) in allow]
    differing = [d for d in found if d not in allowed]
    if differing:
      self._lock.close()
      shown = '; '.join(differing[:3])
      more = f' (+{len(differing) - 3} more)' if len(differing) > 3 else ''
      parts = sorted({part(d) for d in differing})
      way = 'choose another workdir'
      if set(parts) <= set(ALLOWABLE):
        flags = ' '.join(f'--allow {name}' for name in parts)
        way += f', or continue all the same with {flags}'
      raise UserError(
        f'{self.folder} holds another training, nothing was changed: '
        f'{shown}{more}; {way}'
      )
    if allowed and allowed not in notes:
      notes = [*notes, allowed]
      manifest.write_json(path, {**old, 'resumed_under': notes})

  def _sweep(self) -> None:
    """Removes what a killed process left half-written, nothing committed."""
    for name in ('segments', 'checkpoints', 'branches'):
      folder = self.folder / name
      folder.mkdir(exist_ok=True)
      keep = {p.name for p in committed(folder)}
      for path in folder.iterdir():
        if path.is_dir() and path.name not in keep:
          shutil.rmtree(path)
        elif path.name.endswith('.part'):
          path.unlink()

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
    folder = self.folder / 'segments' / step_name(start)
    if not manifest.path_of(folder).exists():
      return None
    return manifest.read(folder)['stop']

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
    self._submit(self._segment, folder, arrays, labels)

  def _segment(self, folder: Path, arrays: dict, labels: dict) -> None:
    if not manifest.path_of(folder).exists():
      self._place(folder, arrays)
      manifest.commit(folder, arrays, labels)
      return
    old = manifest.read(folder)
    crc = {n: manifest.pack(manifest.rows_crc(a)) for n, a in arrays.items()}
    wrong = differences(old['crc32'], crc)
    if wrong or any(old[k] != v for k, v in labels.items()):
      names = [d.split(':')[0] for d in wrong]
      raise NonDeterminismError(
        f'{folder}: recomputing steps {labels["start"]}..{labels["stop"]} '
        f'gave other values in {names[:3]}; the committed ones are unchanged'
      )

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
    folder = self.folder / name / step_name(step)
    if manifest.path_of(folder).exists():
      return
    self._place(folder, arrays)
    manifest.commit(folder, arrays, {'step': step, 'run_ids': self.run_ids})
    for old in committed(self.folder / 'checkpoints')[:-KEEP_CHECKPOINTS]:
      manifest.path_of(old).unlink()
      shutil.rmtree(old)

  def _place(self, folder: Path, arrays: dict) -> None:
    store.save(folder, arrays)

  def finished(self, last: int) -> bool:
    """Whether the full state after step `last` is committed."""
    folder = self.folder / 'branches' / step_name(last)
    return manifest.path_of(folder).exists()

  def latest(self, like: PyTree) -> tuple[int, PyTree] | None:
    """The newest full state to resume from, or None at the very start.

    Args:
      like: a tree of the state's structure.
    """
    saves = [
      *committed(self.folder / 'checkpoints'),
      *committed(self.folder / 'branches'),
    ]
    if not saves:
      return None
    newest = max(saves, key=lambda p: int(p.name))
    return int(newest.name), load_state(newest, like, self.rows)


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
  return store.like(like, store.load(folder, list(store.flatten(like)), rows))
