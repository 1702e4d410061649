"""`jaxsynth check`: a trajectory against its files, its config and its parent.

`trajectory.check` proves that the files are as they were written. Here the
config is built again: the runs must be those of the config, and the snapshots
of step 0 must equal, bit for bit, the initialisation computed anew or the
state of the parent the stage started from.
"""

from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth import build, leaves, progress, stage
from jaxsynth.errors import UserError
from jaxsynth.train import engine as engines
from jaxsynth.train import layout as layouts
from jaxsynth.train.blocks import blocks_of, gather, initial
from jaxsynth.train.supervised import section
from jaxsynth.train.sweep import RunSpec
from jaxsynth.trajectory import check as checking
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import manifest, paths, shards, store
from jaxsynth.trajectory.check import Result
from jaxsynth.trajectory.compare import differences
from jaxsynth.trajectory.contents import same_bits


def check(folder: Path, quiet: bool = True) -> Result:
  """Checks a trajectory: see docs/trajectory.md for what this proves.

  Args:
    folder: the trajectory.
    quiet: no progress bars.
  """
  result = checking.check(folder, quiet)
  index = result.index
  if not {'config', 'layout', 'source_digest'} <= set(index):
    result.notes.append(f'{folder}: no config, step 0 not recomputed')
    return result
  for run in index['runs']:
    if RunSpec(run['seeds'], run['hparams']).id != run['run_id']:
      what = 'is not the identity of its seeds and hyperparameters'
      result.fault(indexes.path_of(folder), what, '', run['run_id'])
  try:
    setup = build.build(index['config'])
  except UserError as e:
    result.notes.append(
      f'{folder}: step 0 not recomputed: its config cannot be built here: {e}'
    )
    return result
  origin = index.get('origin') or {}
  zoomed = origin.get('kind') == 'zoom'
  ids = [spec.id for spec in setup.sweep.runs()]
  if (origin['run_ids'] if zoomed else ids) != [
    run['run_id'] for run in index['runs']
  ]:
    whose = 'origin' if zoomed else 'config'
    result.fault(
      indexes.path_of(folder), f'its runs are not those of its {whose}'
    )
  _standing_still(result, setup)
  if index.get('start', 0):
    result.notes.append(
      f'{folder}: begins at step {index["start"]}, with a state of '
      f'{origin.get("trajectory")} that is not compared'
    )
  elif not result.first:
    result.notes.append(f'{folder}: step 0 was not kept, not recomputed')
  elif index['parent']:
    parent = paths.at(folder, index['parent']['trajectory'])
    _compare_parent(result, parent)
  else:
    _compare_initial(result, setup, quiet)
  return result


def _standing_still(result: Result, setup: build.Setup) -> None:
  """Warns of equal snapshots where the learning rate was not zero."""
  if setup.train.snapshot_dtype != 'float32':
    return  # small steps vanish in the rounding
  for run, before, step in result.equal:
    known = result.index['runs'][run]
    hparams = setup.optimizer.hparams | section(known['hparams'], 'optimizer')
    if np.any(setup.optimizer.lr(hparams, jnp.arange(before, step)) != 0):
      result.warnings.append(
        f'{result.folder}: run {known["run_id"]} is equal at steps {before} '
        f'and {step}, although it was trained'
      )


def _compare(
  result: Result, kept: dict, rows: slice, what: str, fault: bool = True
) -> None:
  """Compares some runs of step 0 with what they should be."""
  runs = result.index['runs'][rows]
  for name in sorted(set(kept) | set(result.first)):
    if name not in kept or name not in result.first:
      result.fault(result.folder, 'is on one side only', name, '', 0)
      continue
    same = same_bits(result.first[name][rows], kept[name])
    for i in np.flatnonzero(~same):
      if fault:
        result.fault(result.folder, what, name, runs[i]['run_id'], 0)
      else:
        result.warnings.append(
          f'{result.folder}: {name} of run {runs[i]["run_id"]} at step 0 {what}'
        )


def _compare_initial(result: Result, setup: build.Setup, quiet: bool) -> None:
  folder, index = result.folder, result.index
  if index.get('program', 'own') == 'own':
    result.notes.append(
      f'{folder}: step 0 not recomputed: the training had a program of its own'
    )
    return
  try:
    present = layouts.lasting(stage.layout_of(setup).record())
    found = differences(index['layout'], present)
  except UserError as e:
    found = [str(e)]
  if found:
    result.notes.append(
      f'{folder}: step 0 not recomputed: another layout: {"; ".join(found[:3])}'
    )
    return
  same_code = index['source_digest'] == setup.source_digest
  what = 'is not the initialisation'
  if not same_code:
    what += ' of the present code, which is not that of the training'
  for rows, kept in _initial(setup, index['runs'], quiet):
    _compare(result, kept, rows, what, fault=same_code)


def _initial(
  setup: build.Setup, runs: list[dict], quiet: bool
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
  """The snapshots of step 0, computed as a training computes them."""
  program, layout = stage.program_of(setup), stage.layout_of(setup)
  shared = setup.sweep.shares(program.constant_streams)
  sizes = stage.schedule_of(setup, program)
  engine = engines.build(program, layout, sizes, shared)
  keep = jax.jit(jax.vmap(program.keep))
  specs = [RunSpec(run['seeds'], run['hparams']) for run in runs]
  with progress.bar('initialise', len(specs), quiet) as update:
    for i in range(0, len(specs), layout.block):
      part = specs[i : i + layout.block]
      blocks = blocks_of(part, engine, layout)
      kept = keep(initial(blocks, engine)[0])
      host = gather(blocks, [kept], copy=False)
      yield slice(i, i + len(part)), leaves.flatten({'snapshots': host})
      update(i + len(part))


def _compare_parent(result: Result, parent: Path) -> None:
  """Step 0 of a stage against the states of the parent it started from.

  Its runs may lie in shards that were added to the parent.
  """
  folder, record = result.folder, result.index['parent']
  places: dict[str, tuple[Path, int]] = {}
  try:
    begun = indexes.first_hash(indexes.read(parent))
    for shard in [parent, *shards.added(parent)]:
      for row, run in enumerate(indexes.read(shard)['runs']):
        branch = shard / 'branches' / f'{record["step"]:010d}'
        places[run['run_id']] = branch, row
    wanted = [
      places[run_id] for run_id in record['run_ids'] if run_id in places
    ]
    branches = dict.fromkeys(branch for branch, _ in wanted)
    for branch in branches:
      if faults := manifest.faults(branch):
        raise manifest.DamagedError(faults[0])
  except manifest.DamagedError as e:
    result.notes.append(f'{folder}: step 0 not compared with its parent: {e}')
    return
  if begun != record['config_hash'] or len(wanted) != len(record['run_ids']):
    result.fault(folder, f'its parent {parent} is another training now')
    return
  stated = manifest.read(wanted[0][0])['arrays']
  names = {n: checking.name_in(stated, n) for n in result.first}
  if None in names.values():
    result.notes.append(
      f'{folder}: step 0 not compared with its parent: other names of leaves'
    )
    return
  arrays = {b: store.load(b, list(names.values())) for b in branches}
  kept = {
    n: np.stack([arrays[b][own][row] for b, row in wanted]).astype(
      result.first[n].dtype
    )
    for n, own in names.items()
  }
  what = f'is not the state of its parent {parent} at step {record["step"]}'
  _compare(result, kept, slice(len(wanted)), what)
