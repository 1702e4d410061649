"""A fork: a training goes on under another config, in a folder of its own.

What is copied is the past that a continuation needs: the segments up to the
newest full state, and the full states. The original is only read. The index
of the fork is that of its own config, and names under `forked_from` the
original, the step from which the two differ, and what differs in their
indices.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxsynth.errors import UserError
from jaxsynth.trajectory import manifest
from jaxsynth.trajectory.writer import committed, differences


def _newest(old: Path) -> Path:
  """The newest full state that a fork may start from."""
  saves = [p for k in ('checkpoints', 'branches') for p in committed(old / k)]
  if not saves:
    raise UserError(f'{old} has no full state yet to fork from')
  return max(saves, key=lambda path: int(path.name))


def _check(
  state: Path,
  old: Mapping[str, Any],
  new: Mapping[str, Any],
  shapes: Mapping[str, Any],
  starts: set[int],
) -> None:
  """Refuses a config that cannot go on from this state."""
  step = int(state.name)
  ids = lambda index: [run['run_id'] for run in index['runs']]
  if ids(old) != ids(new):
    raise UserError(
      'a fork keeps its runs, and these are others: seeds and traced values '
      'must be as in the original'
    )
  kept = manifest.read(state)['arrays']
  stated = {
    name: {'shape': [len(ids(old)), *x.shape], 'dtype': np.dtype(x.dtype).name}
    for name, x in shapes.items()
  }
  wrong = differences(kept, stated)
  if wrong:
    raise UserError(f'the state to go on from has another shape: {wrong[0]}')
  if step >= new['steps']:
    raise UserError(
      f'the original has reached step {step}: a fork needs train.steps above it'
    )
  if step not in starts:
    raise UserError(
      f'no call of the new plan begins at step {step}, where the fork would '
      f'start: add {step} to train.branches'
    )


def fork(
  old: Path,
  new: Path,
  index: dict[str, Any],
  shapes: Mapping[str, Any],
  starts: set[int],
) -> bool:
  """Makes `new` the past of `old`, to go on under another index.

  Args:
    old: the trajectory to fork; it is not changed.
    new: where the fork goes. A fork that was made before is left as it is.
    index: what the fork is.
    shapes: name -> shape and type of each array of one run's state.
    starts: the steps at which the new plan can go on.

  Returns:
    Whether it was made now.

  Raises:
    UserError: the config does not fit the state, `new` holds something else,
      or there is nothing to fork yet.
    DamagedError: the original does not hold what its manifests say.
  """
  if not (old / 'index.json').exists():
    raise UserError(f'{old} holds no trajectory to fork')
  origin = os.path.relpath(old, new)
  if (new / 'index.json').exists():
    made = manifest.load_json(new / 'index.json').get('forked_from')
    if not made or made['trajectory'] != origin:
      raise UserError(f'{new} holds another training: choose another --fork')
    return False
  if new.exists():
    raise UserError(f'{new} exists and is no fork: choose another --fork')
  before, state = manifest.load_json(old / 'index.json'), _newest(old)
  _check(state, before, index, shapes, starts)
  step = int(state.name)
  past = lambda path: manifest.read(path).get('stop', int(path.name)) <= step
  kinds = (old / 'segments', old / 'branches')
  saves = [p for kind in kinds for p in committed(kind) if past(p)]
  saves = [*(p for p in saves if p != state), state]
  bad = [fault for path in saves for fault in manifest.faults(path)]
  if bad:
    raise manifest.DamagedError('; '.join(bad))
  half = new.with_name(new.name + '.part')
  if half.exists():
    shutil.rmtree(half)
  for path in saves:
    to = half / path.relative_to(old)
    shutil.copytree(path, to)
    shutil.copy2(manifest.path_of(path), manifest.path_of(to))
  note = {
    'trajectory': origin,
    'step': step,
    'config_hash': before.get('config_hash'),
    'differences': differences(before, index),
  }
  manifest.write_json(half / 'index.json', {**index, 'forked_from': note})
  half.rename(new)
  return True
