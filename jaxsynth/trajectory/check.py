"""Proving that a trajectory holds what it says: no byte, step or run wrong."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsynth.trajectory import manifest, plan, store
from jaxsynth.trajectory.writer import committed


class Result(NamedTuple):
  """What `check` found.

  Attributes:
    summary: what was looked at, in one line.
    faults: each names file, array, run or step.
    warnings: what may be meant.
  """

  summary: str
  faults: list[str]
  warnings: list[str]


def _contents(folder: Path, body: dict) -> tuple[dict, list[str]]:
  """A save's arrays, and where they differ from the manifest's checksums."""
  arrays = store.load(folder, list(body['arrays']))
  faults, runs = [], body['run_ids']
  for name, array in arrays.items():
    expected = manifest.unpack(body['crc32'][name], len(runs))
    found = manifest.rows_crc(array)
    if expected.shape != found.shape:
      faults.append(f'{folder}: {name} has another shape than stated')
      continue
    steps = body.get('snapshot_steps', [])
    for run, row in zip(*np.nonzero(expected != found)):
      at = (
        f'step {steps[row]}' if name.startswith('snapshots') else f'row {row}'
      )
      faults.append(f'{folder}: {name} of run {runs[run]} at {at} differs')
  return arrays, faults


def _equal_neighbours(name: str, body: dict, arrays: dict) -> list[str]:
  """Runs whose consecutive snapshots are equal in every array."""
  kept = [a for n, a in arrays.items() if n.startswith('snapshots')]
  if not kept or kept[0].shape[1] < 2:
    return []
  same = np.all(
    [
      (a[:, 1:] == a[:, :-1]).reshape(*a[:, 1:].shape[:2], -1).all(-1)
      for a in kept
    ],
    axis=0,
  )
  steps = body['snapshot_steps']
  return [
    f'{name}: run {body["run_ids"][r]} is equal at steps {steps[k]} and '
    f'{steps[k + 1]}'
    for r, k in zip(*np.nonzero(same))
  ]


def check(folder: Path) -> Result:
  """Checks every save of a trajectory against its manifest and the index.

  Looks for: files missing, added or changed; arrays that do not match their
  checksums; gaps, repeats and disorder of steps; steps the plan does not
  name; labels of other runs; equal consecutive snapshots (a warning).

  Args:
    folder: the trajectory.

  Returns:
    What was found; no faults means everything is as it was written.
  """
  faults: list[str] = []
  warnings: list[str] = []
  try:
    index = manifest.load_json(folder / 'index.json')
    ids = [run['run_id'] for run in index['runs']]
  except (manifest.DamagedError, KeyError, TypeError) as e:
    return Result('the index cannot be read', [str(e)], [])
  reached, snapshot_steps, last = 0, [], None
  segments = committed(folder / 'segments')
  for path in segments:
    found = manifest.faults(path)
    faults += found
    if found:
      reached = None
      continue
    body = manifest.read(path)
    if body['run_ids'] != ids:
      faults.append(f'{path}: labelled with other runs than the index')
    if body['start'] != int(path.name):
      faults.append(f'{path}: labelled as starting at step {body["start"]}')
    if reached is not None and body['start'] != reached:
      faults.append(
        f'{path}: starts at step {body["start"]}, the one before ends at '
        f'{reached}'
      )
    reached = body['stop']
    snapshot_steps += body['snapshot_steps']
    arrays, wrong = _contents(path, body)
    faults += wrong
    warnings += _equal_neighbours(path.name, body, arrays)
    if body['snapshot_steps'] and body['snapshot_steps'][-1] == body['stop']:
      last = body['stop'], arrays
  saves = [*committed(folder / 'checkpoints'), *committed(folder / 'branches')]
  for path in saves:
    found = manifest.faults(path)
    faults += found
    if found:
      continue
    state, wrong = _contents(path, manifest.read(path))
    faults += wrong
    if last and int(path.name) == last[0]:
      faults += _differs_from_snapshot(path, state, last[1])
  faults += _plan_faults(folder, index, snapshot_steps, reached)
  summary = (
    f'{len(ids)} runs, {len(snapshot_steps)} snapshots in {len(segments)} '
    f'segments, {len(saves)} full states, {len(faults)} faults'
  )
  return Result(summary, faults, warnings)


def _differs_from_snapshot(path: Path, state: dict, snapshots: dict) -> list:
  """Arrays of a full state that differ from the snapshot of that step."""
  out = []
  for name, array in snapshots.items():
    own = name.replace('snapshots', 'params', 1)
    if name.startswith('snapshots') and own in state:
      kept = array[:, -1]
      if not np.array_equal(kept, state[own], equal_nan=True):
        out.append(f'{path}: {own} differs from the snapshot of that step')
  return out


def _plan_faults(
  folder: Path, index: dict, steps: list[int], reached: int | None
) -> list[str]:
  """Steps that are repeated, out of order, missing or never planned."""
  out = []
  if steps != sorted(set(steps)):
    out.append(f'{folder}: snapshot steps are repeated or out of order')
  if reached is None:
    return out
  train = index['config']['train']
  planned = plan.steps_of(train['snapshots'], index['steps'])
  planned = set(planned[planned <= reached].tolist())
  for kind, wrong in (
    ('missing', planned - set(steps)),
    ('not in the plan', set(steps) - planned),
  ):
    if wrong:
      out.append(f'{folder}: snapshots {kind}: steps {sorted(wrong)[:5]}')
  return out
