"""Full states on disk: which steps have one, and reading some runs of it.

A *branch point* is kept for ever, a *checkpoint* only until two newer ones
exist. The runs of a trajectory may lie in several shards, each with full
states of its own; here they read as one.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxsynth import leaves
from jaxsynth.trajectory import manifest, store
from jaxsynth.trajectory.saves import committed
from jaxsynth.trajectory.trajectory import Trajectory
from jaxsynth.types import PyTree

KINDS = ('branches', 'checkpoints')


def _saves(traj: Trajectory, kinds: Sequence[str]) -> dict[int, Path]:
  """Folders of one shard's full states by step, branch points first."""
  out: dict[int, Path] = {}
  for kind in kinds:
    for path in committed(traj.folder / kind):
      out.setdefault(int(path.name), path)
  return out


def kept(traj: Trajectory, kinds: Sequence[str] = KINDS) -> list[int]:
  """The steps, in order, at which all runs have a full state."""
  steps = [set(_saves(shard, kinds)) for shard in traj.shards]
  return sorted(set.intersection(*steps))


def located(traj: Trajectory, rows: Sequence[int]) -> list[tuple[int, int]]:
  """(shard, row in that shard) of rows of the run axis on disk."""
  sizes = [len(shard.index['runs']) for shard in traj.shards]
  ends = np.cumsum(sizes)
  out = []
  for row in rows:
    shard = int(np.searchsorted(ends, row, side='right'))
    out.append((shard, int(row - (ends[shard] - sizes[shard]))))
  return out


def load(
  traj: Trajectory,
  step: int,
  rows: Sequence[int],
  kinds: Sequence[str] = KINDS,
) -> PyTree:
  """Full states after `step` updates, nested dicts of leaves [R, ...].

  Args:
    traj: of one or several shards.
    step: one of `kept(traj, kinds)`.
    rows: R rows of the run axis on disk, as in `traj.run_index`.
    kinds: where to look, in this order.

  Raises:
    UserError: no full state was kept at this step.
    DamagedError: the files do not match their manifest.
  """
  places = located(traj, rows)
  loaded = {}
  for number in sorted({shard for shard, _ in places}):
    shard = traj.shards[number]
    folder = _saves(shard, kinds).get(step) or shard.branch(step)
    faults = manifest.faults(folder)
    if faults:
      raise manifest.DamagedError('; '.join(faults))
    loaded[number] = store.load(folder, list(manifest.read(folder)['arrays']))
  names = next(iter(loaded.values()))
  return leaves.unflatten(
    {n: np.stack([loaded[s][n][row] for s, row in places]) for n in names}
  )
