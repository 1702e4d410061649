"""The commands that grow a trajectory, look closer at it, or take it along.

Each is described to the parser by `add` and carried out by the function of
its name, which returns the exit code.
"""

import argparse
from collections.abc import Callable

import numpy as np

from jaxsynth.commands import join, say, unsaid
from jaxsynth.errors import UserError
from jaxsynth.trajectory import paths

Command = Callable[[str, str, str], argparse.ArgumentParser]


def add(command: Command) -> None:
  """Adds the parsers: command(name, summary, examples) makes one."""
  p = command(
    'zoom',
    'Retrain some steps of some runs with denser snapshots, and prove it.',
    '  jaxsynth zoom runs/mine --run=3 --steps=400:500\n'
    '  jaxsynth zoom runs/mine --run=0,3 --steps=400:500:5 --evals=every:5\n'
    '  jaxsynth zoom runs/mine --run=8fa53d30c91e --steps=0:20\n'
    '  jaxsynth zoom runs/mine/stages/train --run=all --steps=every:10\n\n'
    'starts from the last full state at or before the first step: a branch\n'
    'point (train.branches in the config), a checkpoint, or step 0. All that\n'
    'the zoom and its source both have is compared bit for bit; exits 1 and\n'
    'names run and step if anything differs. The zoom is a trajectory like\n'
    'any other: stage.open_trajectory, jaxsynth analyze, jaxsynth check.',
  )
  p.add_argument('trajectory', help='a workdir with one, or its folder')
  p.add_argument(
    '--run', required=True, metavar='RUNS',
    help='positions (3, or 0,3, or 0:4), run_ids, or all',
  )  # fmt: skip
  p.add_argument(
    '--steps', required=True,
    help='FIRST:LAST[:STRIDE], both included; or a plan (every:10)',
  )  # fmt: skip
  p.add_argument('--evals', help='evaluate at these steps too; as --steps')
  p.add_argument('--output', help='default: WORKDIR/zooms/NAME')
  p.add_argument(
    '--tolerance', type=float, default=1e-2,
    help='distance accepted where the layout differs (%(default)s)',
  )  # fmt: skip
  _training(p)

  p = command(
    'extend',
    'Train a finished training for more steps.',
    '  jaxsynth extend runs/mine --steps=20000\n'
    '  jaxsynth extend runs/mine --steps=20000 --snapshots=every:500\n'
    '  jaxsynth extend runs/mine --steps=20000 --fork=runs/longer\n\n'
    'in place, what is on disk stays as it is, and the result is bit for bit\n'
    'a training of the new length. Where something depends on the length (a\n'
    'decayed schedule, a plan such as log:50) it is refused with what to do.\n'
    '--fork trains the longer config elsewhere, from the last full state both\n'
    'have in common, and stretches a decay to the new length.',
  )
  p.add_argument('workdir', help='of a train command, or one trajectory')
  p.add_argument('--steps', required=True, type=int, help='the new length')
  for name in ('snapshots', 'evals', 'branches'):
    p.add_argument(
      f'--{name}', metavar='PLAN',
      help=f'{name} of the new steps; default: the plan goes on',
    )  # fmt: skip
  p.add_argument('--fork', metavar='NEWDIR', help='leave this one, train there')
  _training(p)

  p = command(
    'add-seeds',
    'Train more runs of a finished training; all are then read as one.',
    '  jaxsynth add-seeds runs/mine --seeds=8:16\n'
    '  jaxsynth add-seeds runs/mine \\\n'
    "    '--config.sweep.traced.optimizer.peak_lr=(1e-2,)'\n\n"
    'the second adds values of an axis the sweep has, for its seeds. No file\n'
    'of the old runs is touched; the new ones are bit for bit those of one\n'
    'sweep over all. Interrupted, the same command continues.',
  )
  p.add_argument('workdir', help='of a train or reproduce command')
  p.add_argument('--seeds', help='a count (8), list (0,5,9) or range (8:16)')
  p.add_argument(
    '--config.sweep.traced.AXIS', metavar='VALUES', dest='_overrides',
    help='new values of an axis of the sweep',
  )  # fmt: skip
  _training(p)

  p = command(
    'export',
    'Write snapshots as safetensors, or everything as zarr for xarray.',
    '  jaxsynth export runs/mine --to=safetensors --runs=0,3 \\\n'
    '    --steps=0,100,1000 --output=tensors\n'
    '  jaxsynth export runs/mine --to=zarr --output=mine.zarr\n\n'
    "needs the extra: pip install 'jaxsynth[export]'",
  )
  p.add_argument('trajectory', help='a workdir with one, or its folder')
  p.add_argument('--to', required=True, help='safetensors or zarr')
  p.add_argument('--output', required=True, help='a folder to be made')
  p.add_argument('--runs', default='all', help='as --run of zoom (all)')
  p.add_argument('--steps', help='snapshots, as --steps of zoom (all)')
  p.add_argument('--quiet', action='store_true', help='no progress bar')


def _training(p: argparse.ArgumentParser) -> None:
  p.add_argument(
    '--allow', action='append', default=[],
    choices=['layout', 'source_digest'],
    help='go on although this has changed since',
  )  # fmt: skip
  p.add_argument('--quiet', action='store_true', help='no progress bars')


def runs_of(text: str, traj) -> list[int]:
  """Positions of the runs a text names.

  Args:
    text: 'all', a range '0:4', or positions and run_ids, separated by commas.
    traj: a trajectory.

  Raises:
    UserError: there is no such run.
  """
  ids = traj.runs.run_id.tolist()
  if text == 'all':
    return list(range(len(ids)))
  first, colon, stop = text.partition(':')
  if colon and first.isdigit() and stop.isdigit():
    named = [str(i) for i in range(int(first), int(stop))]
  else:
    named = [part for part in text.split(',') if part]
  out = []
  for name in named:
    if name in ids:
      out.append(ids.index(name))
    elif name.isdigit() and int(name) < len(ids):
      out.append(int(name))
    else:
      raise UserError(
        f'no run {name!r}: name one of 0..{len(ids) - 1}, or a run_id such as '
        f'{ids[0]!r}'
      )
  if not out:
    raise UserError(f'{text!r} names no run')
  return sorted(set(out))


def _no_overrides(args: argparse.Namespace) -> None:
  if args.overrides:
    raise UserError(
      f'`jaxsynth {args.command}` takes no --config: the config is that of '
      'the trajectory'
    )


def zoom(args: argparse.Namespace) -> int:
  """Looks closer at some steps; 1 if they were not retraced."""
  _no_overrides(args)
  from jaxsynth import launch, stage
  from jaxsynth.grow import source
  from jaxsynth.grow import zoom as zooming
  from jaxsynth.train import layout

  folder = source.one_in(paths.of(args.trajectory))
  steps = zooming.parse_steps(args.steps)
  layout.configure()
  traj = stage.open_trajectory(folder)
  output = args.output or zooming.default_output(folder, args.run, args.steps)
  with launch.Stopper() as stopping:
    result = zooming.zoom(
      traj.sel(run=runs_of(args.run, traj)),
      steps,
      paths.of(output),
      evals=zooming.parse_steps(args.evals) if args.evals else None,
      tolerance=args.tolerance,
      allow=args.allow,
      stopping=stopping,
      say=say,
      quiet=args.quiet,
    )
  return _proved(result)


def _proved(result) -> int:
  """Prints a training and its proof; 1 if the proof failed."""
  from jaxsynth import launch

  traj, proof = result
  print(f'{traj.folder}: {len(traj.runs)} runs, {len(traj.steps)} snapshots')
  print(proof.text())
  for fault in proof.faults[:20]:
    print(f'  {fault}')
  if len(proof.faults) > 20:
    print(f'  and {len(proof.faults) - 20} more')
  return 0 if proof.passed else launch.EXIT_FAILED


def extend(args: argparse.Namespace) -> int:
  """Trains for more steps, in place or in a fork."""
  _no_overrides(args)
  if args.fork and (args.distributed or args.coordinator):
    raise UserError('one process forks: leave out --processes, --distributed')
  from jaxsynth import launch
  from jaxsynth.grow import extend as extending
  from jaxsynth.grow import fork as forking
  from jaxsynth.grow import lengthen, source, zoom
  from jaxsynth.trajectory import shards

  folders = shards.standing(paths.of(args.workdir))
  given = {name: getattr(args, name) for name in lengthen.PLANS}
  plans = {k: zoom.parse_steps(v) for k, v in given.items() if v}
  code = 0
  with launch.Stopper() as stopping:
    mute = join(args, stopping)
    options = {
      'plans': plans, 'allow': args.allow, 'quiet': args.quiet or mute,
      'stopping': stopping, 'say': unsaid if mute else say,
    }  # fmt: skip
    if not args.fork:
      for folder in folders:  # all are checked before one is changed
        extending.prepared(folder, args.steps, plans, allow=args.allow)
    for folder in folders:
      if args.fork:
        name = source.workdir_of(folder)[1]
        output = paths.of(args.fork) / 'stages' / name
        code |= _proved(forking.fork(folder, args.steps, output, **options))
        continue
      _print(extending.extend(folder, args.steps, **options), mute)
  return code


def _print(traj, mute: bool) -> None:
  if not mute:
    print(
      f'{traj.folder}: {len(traj.runs)} runs, {len(traj.steps)} snapshots up '
      f'to step {traj.metrics.step.values[-1]}'
    )


def add_seeds(args: argparse.Namespace) -> int:
  """Trains more runs."""
  from jaxsynth import launch
  from jaxsynth.grow import seeds
  from jaxsynth.trajectory import shards

  overrides = [*launch.seed_overrides(args.seeds), *args.overrides]
  folders = seeds.in_order(shards.standing(paths.of(args.workdir)))
  with launch.Stopper() as stopping:
    mute = join(args, stopping)
    for folder in folders:  # all are checked before one is changed
      seeds.prepared(folder, overrides, allow=args.allow)
    for folder in folders:
      traj = seeds.add_runs(
        folder,
        overrides,
        allow=args.allow,
        stopping=stopping,
        say=unsaid if mute else say,
        quiet=args.quiet or mute,
      )
      _print(traj, mute)
  return 0


def export(args: argparse.Namespace) -> int:
  """Writes a trajectory in another format."""
  _no_overrides(args)
  from jaxsynth import export as exporting
  from jaxsynth import stage
  from jaxsynth.grow import source, zoom
  from jaxsynth.trajectory import plan

  traj = stage.open_trajectory(source.one_in(paths.of(args.trajectory)))
  rows = runs_of(args.runs, traj)
  steps = None
  if args.steps:
    wanted = zoom.parse_steps(args.steps)
    steps = plan.steps_of(wanted, int(traj.steps[-1]))
    if isinstance(wanted, str) or ':' in args.steps:
      steps = np.intersect1d(steps, traj.steps)
    if not len(steps):
      raise UserError(f'no snapshot is in --steps={args.steps}')
  view = traj.sel(run=rows, steps=steps)
  size = exporting.export(view, args.output, args.to, quiet=args.quiet)
  print(
    f'{args.output}: {len(view.run_index)} runs, {len(view.steps)} snapshots, '
    f'{size / 1e6:.1f} MB'
  )
  return 0


COMMANDS = {
  'zoom': zoom,
  'extend': extend,
  'add-seeds': add_seeds,
  'export': export,
}
