"""What each command does with its arguments; returns its exit code.

Heavy modules are imported where they are used, so that `--help` and mistakes
answer at once.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxsynth.errors import UserError
from jaxsynth.stopping import Stopper
from jaxsynth.trajectory import paths


def list_everything(args: argparse.Namespace) -> int:
  """Lists studies, tasks, models, configs and analyses."""
  from jaxsynth import catalogue

  print(
    json.dumps(catalogue.everything(), indent=1)
    if args.json
    else catalogue.text()
  )
  return 0


def several(args: argparse.Namespace, argv: Sequence[str]) -> int:
  """Runs the command as several processes of this machine."""
  from jaxsynth import spawn
  from jaxsynth.train import layout

  if args.distributed or args.coordinator:
    raise UserError(
      '--processes starts the other processes itself: leave out '
      '--distributed and --coordinator'
    )
  cores = args.cpu_devices or max(1, layout.cores() // max(args.processes, 1))

  def command(number: int, coordinator: str) -> list[str]:
    return [
      *(sys.executable, '-m', 'jaxsynth.cli', *argv, '--processes=1'),
      f'--coordinator={coordinator}',
      f'--process_id={number}',
      f'--process_count={args.processes}',
      f'--cpu_devices={cores}',
    ]

  return spawn.run(command, args.processes)


def join(args: argparse.Namespace, stopping: Stopper) -> bool:
  """Joins the other processes, if there are any; whether this one is mute."""
  from jaxsynth import launch, peers

  launch.join(
    peers.Cluster(
      args.distributed,
      args.coordinator,
      args.process_id,
      args.process_count,
      args.heartbeat,
      args.patience,
    ),
    args.cpu_devices,
    stopping,
  )
  return peers.index() > 0


def reproduce(args: argparse.Namespace) -> int:
  """Runs a study to its verdict; 1 if a gated claim failed."""
  workdir = Path(args.workdir or f'runs/{args.study}-{args.preset}')
  with Stopper() as stopping:
    from jaxsynth import capacity, launch
    from jaxsynth.studies import reproduce as studies
    from jaxsynth.studies import verdict

    job = capacity.parse(args.job) if args.job else None
    mute = join(args, stopping)
    result = studies.reproduce(
      args.study,
      args.preset,
      workdir,
      [*launch.seed_overrides(args.seeds), *args.overrides],
      stopping=stopping,
      allow=args.allow,
      say=unsaid if mute else say,
      quiet=args.quiet or mute,
      shards=args.shards,
      shard=args.shard,
      job=job,
    )
  if mute or result is None:
    return 0
  verdict.show(result, workdir)
  return 0 if result['passed'] else launch.EXIT_FAILED


def train(args: argparse.Namespace) -> int:
  """Trains a config."""
  with Stopper() as stopping:
    from jaxsynth import capacity, launch

    overrides = [*launch.seed_overrides(args.seeds), *args.overrides]
    config = launch.load_config(args.config, overrides)
    job = capacity.parse(args.job) if args.job else None
    mute = join(args, stopping)
    groups = launch.train(
      config,
      paths.of(args.workdir),
      tensorboard_log=args.tensorboard and not mute,
      stopping=stopping,
      allow=args.allow,
      say=unsaid if mute else say,
      quiet=args.quiet or mute,
      shards=args.shards,
      shard=args.shard,
      job=job,
    )
  if mute:
    return 0
  for label, traj in groups.items():
    print(f'{traj.folder}: {len(traj.runs)} runs, {len(traj.steps)} snapshots')
    if label == '' and traj.runs['diverged_at'].notna().any():
      print(traj.runs.to_string())
  return 0


def plan(args: argparse.Namespace) -> int:
  """Says what a training would take."""
  from jaxsynth import build, capacity, estimate, launch, split
  from jaxsynth.train import layout

  overrides = [*launch.seed_overrides(args.seeds), *args.overrides]
  config = launch.load_config(args.config, overrides)
  groups = build.groups(config)
  job, count = capacity.parse(args.job) if args.job else None, args.shards
  layout.configure()
  if count == capacity.AUTO:
    count = capacity.shards(groups, job or capacity.here())
  if args.shards == 1:
    say(capacity.advice(groups, job or capacity.here()))
  else:
    planned = split.lines(groups, count)
    say('\n'.join([f'{count} shards, a job each', *planned]))
  plans = {label: estimate.measure(setup) for label, setup in groups.items()}
  if args.json:
    print(json.dumps({'groups': plans, 'compiles': len(groups)}, indent=1))
    return 0
  print(launch.say_groups(groups))
  for label, estimated in plans.items():
    if label:
      print(f'\n{label}')
    for line in estimate.lines(estimated):
      print(line)
  return 0


def analyze(args: argparse.Namespace) -> int:
  """Maps an analysis over trajectories."""
  from jaxsynth import catalogue
  from jaxsynth.train import layout
  from jaxsynth.trajectory import shards

  fn = catalogue.analysis(args.analysis, args.arguments)
  output = args.output and paths.local(args.output, 'an analysis is written')
  folders = shards.standing(paths.of(args.workdir))
  layout.configure()
  from jaxsynth import stage

  for folder in folders:
    data = stage.open_trajectory(folder).map(fn, title=args.analysis)
    print(data)
    if output:
      name = output
      if len(folders) > 1:
        name = name.with_stem(f'{name.stem}-{folder.name}')
      if name.exists():
        raise UserError(f'{name} exists: choose another --output')
      data.to_netcdf(name, engine='h5netcdf')
      print(f'written to {name}')
  return 0


def report(args: argparse.Namespace) -> int:
  """Prints a verdict that was reached before."""
  from jaxsynth.studies import verdict
  from jaxsynth.trajectory import manifest

  workdir = paths.of(args.workdir)
  path = workdir / 'verdict.json'
  if not path.exists():
    raise UserError(f'{workdir} holds no verdict: run `jaxsynth reproduce`')
  verdict.show(manifest.load_json(path), workdir)
  return 0


def check(args: argparse.Namespace) -> int:
  """Checks trajectories; 1 if there is a fault."""
  from jaxsynth import catalogue, verify
  from jaxsynth.train import layout
  from jaxsynth.trajectory import cut, index

  layout.configure()
  folders = catalogue.trajectories(paths.of(args.workdir))
  if args.rebuild_index:
    for folder in folders:
      say(index.rebuild(folder))
  results = [verify.check(folder, args.quiet) for folder in folders]
  if args.json:
    print(json.dumps([result.as_json() for result in results], indent=1))
  for result in [] if args.json else results:
    print(f'{result.folder}: {result.summary}')
    for kind in ('faults', 'warnings', 'notes'):
      for line in getattr(result, kind):
        print(f'  {kind.removesuffix("s")}: {line}')
    print(f'  head: {result.head}')
  for line in cut.missing(Path(args.workdir)).values():
    say(f'missing: {line}')
  return 1 if any(result.faults for result in results) else 0


def unsaid(line: str) -> None:
  """What process 0 says for all."""


def say(line: str) -> None:
  """Progress goes to standard error, results to standard output."""
  print(line, file=sys.stderr, flush=True)
