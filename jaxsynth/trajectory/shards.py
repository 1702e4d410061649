"""Several trajectories of different runs, read as one along the run axis.

A *shard* is a trajectory of its own: its runs were trained apart, by another
command or on another machine, under a config that differs in nothing but its
seeds and the values of its traced axes. `join` reads shards as one trajectory
with one table of runs; nothing on disk is changed or copied.

Shards that were added to a trajectory lie inside it, in FOLDER/shards/NAME,
and `opened` reads FOLDER with all of them that are finished.
"""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsynth.errors import UserError
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import paths
from jaxsynth.trajectory.compare import differences
from jaxsynth.trajectory.cut import missing, reached
from jaxsynth.trajectory.leaf import expand
from jaxsynth.trajectory.trajectory import Trajectory

if TYPE_CHECKING:
  import pandas as pd
  import xarray as xr

FOLDER = 'shards'
# What may differ between the configs of two shards.
_VARIES = ('seeds', 'first_seed', 'traced')


class JoinedLeaf:
  """A `Leaf` over several shards: indexed alike, each shard read once."""

  def __init__(self, parts: list, runs: np.ndarray, rows: np.ndarray):
    self._parts, self._runs, self._rows = parts, runs, rows
    self._ends = np.cumsum([part.shape[0] for part in parts])
    self.shape = (len(runs), len(rows), *parts[0].shape[2:])
    self.dtype = parts[0].dtype

  def __getitem__(self, index) -> np.ndarray:
    self.prepare(index)
    return self.start(index)()

  def prepare(self, index) -> None:
    """Begins to open what `start(index)` needs."""
    for part, inside, _ in self._split(index):
      part.prepare(inside)

  def start(self, index) -> Callable[[], np.ndarray]:
    """Begins to read `self[index]`; the function returned waits for it."""
    running = [(p.start(i), here) for p, i, here in self._split(index)]
    number = np.ndim(self._runs[expand(index, len(self.shape))[0]]) == 0

    def finish() -> np.ndarray:
      got = [(wait(), here) for wait, here in running]
      size = sum(len(here) for _, here in got)
      first = got[0][0]
      out = np.empty((size, *first.shape[1:]), first.dtype)
      for rows, here in got:
        out[here] = rows
      return out[0] if number else out

    return finish

  def _split(self, index) -> list[tuple[Any, tuple, np.ndarray]]:
    """(leaf of a shard, index of it, at which places of the result)."""
    run, row, *rest = expand(index, len(self.shape))
    runs, rows = np.atleast_1d(self._runs[run]), self._rows[row]
    owner = np.searchsorted(self._ends, runs, side='right')
    out = []
    for shard in np.unique(owner) if len(runs) else [0]:
      part, here = self._parts[shard], np.flatnonzero(owner == shard)
      local = runs[here] - (self._ends[shard] - part.shape[0])
      out.append((part, (local, rows, *rest), here))
    return out


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Joined(Trajectory):
  """A trajectory whose runs lie in several shards; made by `join`."""

  members: tuple[Trajectory, ...] = ()

  @property
  def shards(self) -> tuple[Trajectory, ...]:
    return self.members

  @cached_property
  def index(self) -> dict[str, Any]:
    """The first shard's, with the runs of all and where they lie."""
    one = self.members[0].index
    parts = [
      {
        'folder': str(m.folder),
        'runs': len(m.index['runs']),
        'layout': m.index.get('layout'),
        'source_digest': m.index.get('source_digest'),
      }
      for m in self.members
    ]
    runs = [run for m in self.members for run in m.index['runs']]
    return {**one, 'runs': runs, 'shards': parts}

  def leaf(self, name: str) -> 'JoinedLeaf':
    """One array over all runs and snapshots, [R, K, ...], read lazily."""
    parts = [m.leaf(name) for m in self.members]
    return JoinedLeaf(parts, self.run_index, self.rows)

  @cached_property
  def metrics(self) -> 'xr.Dataset':
    """As of one trajectory; the axis `run` goes over all shards."""
    import xarray as xr  # slow, see `mapping`

    whole = xr.concat([m.metrics for m in self.members], 'run')
    view = whole.isel(run=self.run_index)
    return view.assign_coords(run=np.arange(len(self.run_index)))

  def branch(self, step: int) -> Path:
    raise UserError(
      f'the full states of {self.folder} lie in {len(self.members)} shards: '
      'ask one of traj.shards'
    )


def _comparable(traj: Trajectory) -> dict[str, Any]:
  """What shards of one trajectory have in common."""
  config = traj.index.get('config') or {}
  section = config.get('sweep', {})
  sweep = {k: v for k, v in section.items() if k not in _VARIES}
  axes = traj.index['runs'][0]
  return {
    'config': {**config, 'sweep': sweep},
    'axes': sorted(axes['hparams']),
    'streams': sorted(axes['seeds']),
    'parent': {
      k: v
      for k, v in (traj.index.get('parent') or {}).items()
      if k in ('config_hash', 'step')
    },
    'steps': traj.index.get('steps'),
    'start': traj.start,
  }


def _sampled(traj: Trajectory) -> dict[str, list[int]]:
  """The steps that are on disk."""
  return {
    'snapshot steps': traj.steps.tolist(),
    'evaluation steps': [s for _, m in traj.segments for s in m['eval_steps']],
    'last step': [traj.segments[-1][1]['stop']],
  }


def join(members: Sequence[Trajectory]) -> Trajectory:
  """Trajectories of different runs as one, in the order given.

  Args:
    members: of one config apart from seeds and values of traced axes, with
      the same steps.

  Returns:
    The trajectory itself if there is one; else one whose `folder`, `apply`
    and `constants` are those of the first.

  Raises:
    UserError: they differ in more than their runs, or share a run.
  """
  first, *others = members
  for other in others:
    found = differences(_comparable(first), _comparable(other))
    if found:
      raise UserError(
        f'{other.folder} is no shard of {first.folder}: {"; ".join(found[:3])}'
      )
    ours, theirs = _sampled(first), _sampled(other)
    for kind, steps in ours.items():
      if steps != theirs[kind]:
        odd = sorted(set(steps) ^ set(theirs[kind]))
        raise UserError(
          f'{other.folder} is no shard of {first.folder}: its {kind} differ '
          f'at {odd[:5]}'
        )
  owner: dict[str, Path] = {}
  for m in members:
    for run in m.index['runs']:
      if run['run_id'] in owner:
        raise UserError(
          f'run {run["run_id"]} is in {owner[run["run_id"]]} and in {m.folder}'
        )
      owner[run['run_id']] = m.folder
  if not others:
    return first
  return Joined(
    folder=first.folder,
    apply=first.apply,
    constants=first.constants,
    members=tuple(members),
  )


def added(folder: Path) -> list[Path]:
  """The shards that were added to a trajectory, by name."""
  return [p for p in sorted((folder / FOLDER).glob('*')) if _trajectory(p)]


def _trajectory(folder: Path) -> bool:
  """Whether a folder is one, even if its index is lost."""
  names = ('index.json', 'segments')
  return folder.name != 'damaged' and any((folder / n).exists() for n in names)


def opened(folder: Path, damaged: str = 'raise') -> Trajectory:
  """A trajectory with all runs that were added to it.

  A shard that is not as far as the trajectory itself, because it is being
  trained or was interrupted, is left out with a warning; so is one of a sweep
  cut into shards that was never begun.

  Args:
    folder: the trajectory.
    damaged: as of `Trajectory`, for each shard; where 'skip' leaves other
      steps in one than in another, they cannot be read as one.

  Raises:
    UserError: there is no trajectory; the message names the shard to train if
      its runs belong to one.
  """
  lost = missing(folder)
  if not _trajectory(folder) and (line := lost.get(folder.absolute())):
    raise UserError(f'the first runs are missing: {line}')
  for line in lost.values():
    warnings.warn(f'left out: {line}', stacklevel=3)
  first = Trajectory(folder, damaged=damaged)
  stop = first.segments[-1][1]['stop']
  members = [first]
  for path in added(folder):
    if path.absolute() in lost:
      continue
    if reached(path) == stop and indexes.read(path)['steps'] == stop:
      members.append(Trajectory(path, damaged=damaged))
      continue
    warnings.warn(
      f'left out {path}: it is at step {reached(path)} of {stop}; the command '
      'that began it finishes it',
      stacklevel=3,
    )
  return join(members)


def standing(workdir: Path) -> list[Path]:
  """The trajectories at or below a folder that stand for themselves.

  Not among them are shards, which are read with the trajectory they were
  added to, and zooms, unless `workdir` itself is one.

  Raises:
    UserError: there is none.
  """
  workdir = paths.of(workdir)
  seen = paths.listed(workdir)
  if not seen.is_dir():
    raise UserError(f'no folder {workdir}')
  found = []
  names = ('index.json', 'segments')
  inside = {p.parent for name in names for p in seen.rglob(name)}
  for path in sorted(filter(_trajectory, inside)):
    shard = path.parent.name == FOLDER and _trajectory(path.parents[1])
    zoom = (indexes.read(path).get('origin') or {}).get('kind') == 'zoom'
    if path == seen or not (shard or zoom):
      found.append(workdir / path.relative_to(seen))
  if not found:
    raise UserError(f'{workdir} holds no trajectory')
  return found


def find(folder: Path) -> Path:
  """The trajectory at a folder, or else the only one below it.

  Raises:
    UserError: there are several.
  """
  if _trajectory(folder) or not folder.is_dir():
    return folder
  if (folder / FOLDER).is_dir():  # its own runs are missing, others are there
    return folder
  found = standing(folder)
  if len(found) > 1:
    names = ', '.join(str(path) for path in found[:4])
    rest = ', ...' if len(found) > 4 else ''
    raise UserError(
      f'{folder} holds {len(found)} trajectories, name one: {names}{rest}'
    )
  return found[0]


def table(workdir: Path) -> 'pd.DataFrame':
  """One table of the runs of all trajectories at or below a folder.

  Args:
    workdir: of a sweep; its static groups are trajectories of their own.

  Returns:
    A row a run, indexed by the folder of its trajectory within `workdir` and
    its position in that, shards included. A shard that is missing is named in
    a warning.

  Raises:
    UserError: there is no trajectory.
  """
  import pandas as pd  # slow, see `mapping`

  found = standing(workdir)
  for path, line in missing(workdir).items():
    if not any(path.is_relative_to(p.absolute()) for p in found):
      warnings.warn(f'left out: {line}', stacklevel=2)
  tables = {str(path.relative_to(workdir)): opened(path).runs for path in found}
  return pd.concat(tables, names=['group', 'run'])
