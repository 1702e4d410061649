"""Proving that a trajectory holds what it says: no byte, step or run wrong.

`check` looks at every file of a trajectory; docs/trajectory.md says what it
proves and what it cannot. `jaxsynth.verify` adds what needs the training's
config: step 0 recomputed, the identities of the runs.
"""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from jaxsynth import progress
from jaxsynth.config import config_hash
from jaxsynth.trajectory import contents, manifest, paths, plan, saves
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory.contents import Fault, Save
from jaxsynth.trajectory.history import History


@dataclasses.dataclass
class Result:
  """What `check` found.

  Attributes:
    folder: the trajectory.
    index: the index, or the copy of a damaged one; {} if there is none.
    versions: identities of the versions of the index.
    counts: runs, snapshots, segments, full states.
    head: digest of the newest full state or segment, and through it of all
      that came before: noted elsewhere, it shows any later change.
    faults: what is not as it was written.
    warnings: what may be meant.
    notes: what was not looked at, and why.
    equal: (position of the run, step, next step) of consecutive snapshots
      that are equal although gradients were not zero and finite.
    first: the snapshots of step 0, leaf -> [R, ...].
  """

  folder: Path
  index: dict[str, Any] = dataclasses.field(default_factory=dict)
  versions: set[str] = dataclasses.field(default_factory=set)
  counts: dict[str, int] = dataclasses.field(default_factory=dict)
  head: str = ''
  faults: list[Fault] = dataclasses.field(default_factory=list)
  warnings: list[str] = dataclasses.field(default_factory=list)
  notes: list[str] = dataclasses.field(default_factory=list)
  equal: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)
  first: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

  @property
  def summary(self) -> str:
    counted = ', '.join(f'{n} {what}' for what, n in self.counts.items())
    return f'{counted}, {len(self.faults)} faults'

  def fault(self, file: Path, what: str, *where) -> None:
    self.faults.append(Fault(str(file), what, *where))

  def as_json(self) -> dict[str, Any]:
    """What a program may want to know."""
    return {
      'folder': str(self.folder),
      **{what.replace(' ', '_'): n for what, n in self.counts.items()},
      'head': self.head,
      'faults': [f._asdict() for f in self.faults],
      'warnings': self.warnings,
      'notes': self.notes,
    }


def check(folder: Path, quiet: bool = True) -> Result:
  """Checks every file of a trajectory against what was written.

  Args:
    folder: the trajectory.
    quiet: no progress bar.

  Returns:
    What was found; no faults means everything is as it was written.
  """
  folder = paths.listed(folder)
  result = Result(folder)
  _index(result)
  faults, warnings = contents.strays(folder)
  result.faults += faults
  result.warnings += warnings
  segments, *others = (saves.named(folder / kind) for kind in saves.KINDS)
  fulls = sorted(itertools.chain(*others), key=lambda p: int(p.name))
  newest = max((int(p.name) for p in [*segments, *fulls]), default=0)
  start = result.index.get('start', 0)
  history, states = History(_marks(fulls), start), []
  with progress.bar('check', len(segments) + len(fulls), quiet) as update:
    for done, path in enumerate([*segments, *fulls]):
      save, faults, warnings = contents.read(path, int(path.name) < newest)
      result.faults += faults
      result.warnings += warnings
      if save is not None:
        _identity(result, save)
        if done < len(segments):
          history.add(save)
        else:
          _full(result, history, save)
          states.append(save._replace(arrays={}))
      update(done + 1, path.name)
  result.faults += history.faults
  result.equal, result.first = history.standing_still(), history.first
  _same_arrays(result, states)
  _plans(result, history, states)
  result.counts = {
    'runs': len(result.index.get('runs', [])),
    'snapshots': len(history.steps['snapshots']),
    'segments': history.count,
    'full states': len(states),
  }
  result.head = history.head
  if states and states[-1].body['step'] == history.reached:
    result.head = manifest.content(states[-1].body)
  return result


def _marks(paths: list[Path]) -> dict[int, list[tuple[Path, str]]]:
  """The full states whose manifest can be read, and their digests, by step."""
  out: dict[int, list[tuple[Path, str]]] = {}
  for path in paths:
    try:
      body = manifest.read(path)
    except manifest.DamagedError:
      continue
    out.setdefault(body['step'], []).append((path, manifest.state_digest(body)))
  return out


def _index(result: Result) -> None:
  folder = result.folder
  try:
    result.index = indexes.read(folder)
  except manifest.DamagedError as e:
    path = indexes.path_of(folder)
    result.fault(path, str(e).removeprefix(f'{path}: '))
    try:
      result.index = indexes.from_copy(folder)
    except manifest.DamagedError as e:
      result.fault(path, str(e))
  index = result.index
  if index.get('format') == 1:
    result.notes.append(
      f'{folder}: format 1: its index has no digest, its saves no chain'
    )
  elif index:
    intact, faults = indexes.copies(folder)
    result.versions = {indexes.identity(body) for body in [index, *intact]}
    result.faults += [Fault(*fault.split(': ', 1)) for fault in faults]
    if index not in intact:
      result.fault(folder / 'indexes', 'no copy of the index')
  if config_hash(index.get('config')) != index.get(
    'config_hash', config_hash(index.get('config'))
  ):
    result.fault(folder / 'index.json', 'config_hash is of another config')


def _identity(result: Result, save: Save) -> None:
  """Labels that every save shares."""
  if result.index:
    ids = [run['run_id'] for run in result.index['runs']]
    if save.body['run_ids'] != ids:
      result.fault(save.path, 'labelled with other runs than the index')
    accepted = result.versions | _copied_under(result.index, save)
    if result.versions and save.body.get('index') not in accepted:
      result.fault(save.path, 'written under another index')


def _copied_under(index: dict[str, Any], save: Save) -> set[str]:
  """The indexes that a save may name if a fork copied it from its source."""
  origin = index.get('origin') or {}
  before = int(save.path.name) < origin.get('step', 0)
  return set(origin.get('indexes', ())) if before else set()


def _full(result: Result, history: History, save: Save) -> None:
  """One full state against the history."""
  step, body = save.body['step'], save.body
  if history.reached is not None and step > history.reached:
    result.fault(
      save.path,
      f'is of step {step}, but the segments end at {history.reached}',
    )
  elif body['format'] > 1 and body['segment'] != history.ends.get(step):
    result.fault(save.path, 'does not follow the segment that ends there')
  compared = False
  for name, kept in history.kept.get(step, {}).items():
    own = name_in(save.arrays, name)
    if own is None:
      continue
    compared = True
    same = contents.same_bits(kept, save.arrays[own].astype(kept.dtype))
    for run in np.flatnonzero(~same):
      what = 'differs from the snapshot of that step'
      result.fault(save.path, what, own, body['run_ids'][run], step)
  if step in history.kept and not compared:
    result.notes.append(
      f'{save.path}: not compared with the snapshot: no array of its name'
    )


def _same_arrays(result: Result, states: list[Save]) -> None:
  """All full states hold the same arrays, of the same kind."""
  for save in states:
    if save.body['arrays'] != states[0].body['arrays']:
      result.fault(save.path, f'holds other arrays than {states[0].path}')


def name_in(arrays: dict, name: str) -> str | None:
  """The name in a full state of what a snapshot calls `name`."""
  leaf = name.removeprefix('snapshots').lstrip('.')
  for own in (f'params.{leaf}' if leaf else 'params', leaf):
    if own in arrays:
      return own
  return None


def _zoom(index: dict[str, Any]) -> bool:
  return (index.get('origin') or {}).get('kind') == 'zoom'


def _plans(result: Result, history: History, states: list[Save]) -> None:
  """Steps that are repeated, out of order, missing or never planned."""
  if 'config' not in result.index:
    result.notes.append(f'{result.folder}: no config, plans not compared')
    return
  index, start = result.index, result.index.get('start', 0)
  train, last = index['config']['train'], index['steps']
  held = {**history.steps, 'branches': sorted(
    s.body['step'] for s in states if s.path.parent.name == 'branches'
  )}  # fmt: skip
  for kind, steps in held.items():
    if steps != sorted(set(steps)):
      result.fault(result.folder, f'{kind} are repeated or out of order')
    if history.reached is None:
      continue
    planned = set(plan.steps_of(train.get(kind, ()), last).tolist())
    planned = {s for s in planned if s >= start}
    due = {s for s in planned if s <= history.reached}
    if kind == 'branches':
      begun = _zoom(index) and (start or start in steps)
      planned |= {start, last} if begun else {last}
      # The newest is written after the segments that lead to it.
      due = {s for s in planned if s < history.reached or s == last} & {
        s for s in planned if s <= history.reached
      }
    for what, wrong in (
      ('missing', due - set(steps)),
      ('not in the plan', set(steps) - planned),
    ):
      if wrong:
        text = f'{kind} {what}: steps {sorted(wrong)[:5]}'
        result.fault(result.folder, text, '', '', min(wrong))
  if history.reached is not None and history.reached < last:
    result.notes.append(
      f'{result.folder}: not finished, {history.reached} of {last} steps'
    )
