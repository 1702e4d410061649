"""More runs: further seeds, or further values of an axis, of a training.

The new runs are a trajectory of their own inside the old one,
FOLDER/shards/NAME, and are read together with it
(`jaxsynth.trajectory.shards`); no file of the old runs is touched. Runs never
see each other, so the whole is, bit for bit, what one sweep over all of them
would have been.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from jaxsynth import build, stage
from jaxsynth.config import flat, override
from jaxsynth.errors import UserError, unknown
from jaxsynth.grow import source
from jaxsynth.train.program import Program
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import paths, shards
from jaxsynth.trajectory.trajectory import Trajectory

_SEEDS = ('sweep.seeds', 'sweep.first_seed')
_AXES = 'sweep.traced.'


def _setup(traj: Trajectory, overrides: Sequence[str]) -> build.Setup:
  """The config of a trajectory with other runs."""
  config = build.complete(traj.index['config'])
  axes = flat(traj.index['config']['sweep']['traced'])
  for item in overrides:
    path, _, text = item.partition('=')
    if path.startswith(_AXES):
      if path.removeprefix(_AXES) not in axes:
        raise unknown('axis of this sweep', path.removeprefix(_AXES), axes)
    elif path not in _SEEDS:
      raise UserError(
        f'{path} would be another training: runs are added by --seeds and '
        f'--config.{_AXES}AXIS'
      )
    override(config, path, text)
  return build.build(config)


def _refuse_known(traj: Trajectory, setup: build.Setup, target: Path) -> None:
  """Refuses runs that are there already, finished or not."""
  owner = {run['run_id']: traj.folder for run in traj.index['runs']}
  for path in shards.added(traj.folder):
    if path != target:
      owner |= {r['run_id']: path for r in indexes.read(path)['runs']}
  specs = setup.sweep.runs()
  known = [s for s in specs if s.id in owner]
  if known:
    streams = set(setup.sweep.streams) - set(setup.sweep.fixed)
    seeds = sorted({s.seeds[k] for s in known for k in streams})
    raise UserError(
      f'{len(known)} of {len(specs)} runs are in {owner[known[0].id]} already '
      f'(seeds {", ".join(map(str, seeds[:8]))}): name only new ones'
    )


def prepared(
  folder: Path,
  overrides: Sequence[str],
  program: Program | None = None,
  allow: Sequence[str] = (),
) -> tuple[Trajectory, build.Setup, Path, stage.Parent | None]:
  """(trajectory, config of the new runs, their folder, parent), all checked.

  Raises:
    UserError: as `add_runs`, of which these are the arguments.
  """
  traj = Trajectory(paths.of(folder))
  if traj.index.get('origin'):
    raise UserError(
      f'{folder} is a {traj.index["origin"]["kind"]}: add runs to '
      f'{traj.origin.folder}'
    )
  if not overrides:
    raise UserError('name the runs to add, as in --seeds=8:16')
  found = source.of(traj, program, allow)
  source.require_layout(found, allow)
  source.require_finished(traj)
  setup = _setup(traj, overrides)
  first, last = min(setup.sweep.seed_list), max(setup.sweep.seed_list)
  name = f'seeds_{first}-{last}_{setup.config_hash[:8]}'
  target = traj.folder / shards.FOLDER / name
  _refuse_known(traj, setup, target)
  return traj, setup, target, _parent(traj)


def add_runs(
  folder: Path,
  overrides: Sequence[str],
  *,
  program: Program | None = None,
  allow: Sequence[str] = (),
  stopping: Callable[[], bool] = lambda: False,
  say: Callable[[str], None] = print,
  quiet: bool = False,
) -> Trajectory:
  """Trains more runs of a finished training; interrupted, continues.

  Args:
    folder: the trajectory.
    overrides: which runs, as overrides of its config: 'sweep.seeds=8',
      'sweep.first_seed=8', 'sweep.traced.optimizer.peak_lr=(0.01,)'.
    program: of the training, if not the ordinary one.
    allow: 'source_digest' and 'layout' go on although they have changed.
    stopping: asked between calls.
    say: takes one line.
    quiet: no progress bar.

  Returns:
    The trajectory with the old runs and the new ones.

  Raises:
    UserError: they cannot be added, or are there already.
    loop.Stopped: `stopping` said so; what was done is saved.
  """
  traj, setup, target, parent = prepared(folder, overrides, program, allow)
  say(
    f'add-seeds: {len(setup.sweep.runs())} new runs beside '
    f'{len(traj.index["runs"])} in {traj.folder}'
  )
  stage.train(
    setup,
    target,
    program=program,
    parent=parent,
    title='add-seeds',
    allow=tuple(allow),
    stopping=stopping,
    quiet=quiet,
  )
  return stage.open_trajectory(traj.folder, program=program)


def _parent(traj: Trajectory) -> stage.Parent | None:
  """The parent, in which new runs find theirs by identity.

  Raises:
    UserError: the old runs were given theirs by position.
  """
  parent = source.parent_of(traj)
  if parent is None:
    return None
  named = stage.Parent(parent.trajectory, parent.step)
  if stage.match(named, source.specs_of(traj)) != list(parent.runs):
    raise UserError(
      f'the runs of {traj.folder} were given their parents by position: which '
      'parents new runs would have is not known'
    )
  return named


def in_order(folders: Sequence[Path]) -> list[Path]:
  """Trajectories with every parent before its children."""

  def depth(folder: Path) -> int:
    record = indexes.read(folder).get('parent')
    if record is None:
      return 0
    return 1 + depth(paths.at(folder, record['trajectory']).resolve())

  return sorted(folders, key=depth)
