"""The `jaxsynth` command."""

import argparse
import sys
import traceback
from collections.abc import Sequence

from jaxsynth import commands, commands_grow
from jaxsynth.errors import UserError, disk_trouble, unknown
from jaxsynth.spawn import HEARTBEAT_S, PATIENCE_S
from jaxsynth.stopping import EXIT_INTERRUPTED, EXIT_RESTART

_PRESETS = 'smoke, quick, standard or paper'

_TOP = """\
Train many small networks at once on tasks with known ground truth, keep their
whole history, and reproduce published findings about how networks learn.

  jaxsynth list                                    what there is
  jaxsynth reproduce markov_mixture                one study, to its verdict
  jaxsynth plan --config=markov_mixture:paper      what a training would cost
  jaxsynth train --config=markov_mixture:quick --workdir=runs/mine
  jaxsynth analyze runs/mine --analysis=attention.model_scores
  jaxsynth check runs/mine                         is every byte what it was?
  jaxsynth zoom runs/mine --run=3 --steps=400:500  look closer
  jaxsynth extend runs/mine --steps=20000          train for longer
  jaxsynth add-seeds runs/mine --seeds=8:16        train more runs
  jaxsynth export runs/mine --to=zarr --output=mine.zarr
"""


def _parser() -> tuple[argparse.ArgumentParser, dict]:
  """The parser, and the parser of each command by name."""
  top = argparse.ArgumentParser(
    prog='jaxsynth',
    allow_abbrev=False,
    description=_TOP,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    epilog='`jaxsynth COMMAND --help` explains a command by example.',
  )
  parsers = top.add_subparsers(dest='command', metavar='COMMAND')

  def command(name: str, summary: str, example: str) -> argparse.ArgumentParser:
    return parsers.add_parser(
      name,
      help=summary,
      description=summary,
      epilog=f'examples:\n{example}',
      allow_abbrev=False,
      formatter_class=argparse.RawDescriptionHelpFormatter,
    )

  p = command(
    'list',
    'List studies, tasks, models, configs and analyses.',
    '  jaxsynth list\n  jaxsynth list --json',
  )
  p.add_argument('--json', action='store_true', help='for a program to read')

  p = command(
    'reproduce',
    'Run a study: train, measure, draw, and judge its claims.',
    '  jaxsynth reproduce markov_mixture\n'
    '  jaxsynth reproduce markov_mixture --preset=standard --seeds=8\n'
    '  jaxsynth reproduce markov_mixture --config.train.steps=4000\n\n'
    'exits 0 if no gated claim failed, 1 if one did or a disk is full, 2 on a\n'
    'mistake in the command, 75 if it was interrupted: the same command then\n'
    'continues.',
  )
  p.add_argument('study', help='its name, see `jaxsynth list`')
  p.add_argument('--preset', default='quick', help=f'{_PRESETS} (quick)')
  p.add_argument('--workdir', help='default: runs/STUDY-PRESET')
  _shards(p)
  p.add_argument(
    '--shard', type=int, metavar='I', help='train only that one, from 0'
  )
  _common(p)
  _together(p)

  p = command(
    'train',
    'Train the runs of a config and keep their trajectory.',
    '  jaxsynth train --config=markov_mixture:quick --workdir=runs/mine\n'
    '  jaxsynth train --config=my/config.py --workdir=runs/mine \\\n'
    '    --config.optimizer.peak_lr=3e-4 --seeds=16\n'
    '  jaxsynth train --config=markov_mixture --workdir=runs/lrs \\\n'
    "    '--config.sweep.traced.optimizer.peak_lr=(3e-4,1e-3,3e-3)'\n"
    '  jaxsynth train --config=markov_mixture --workdir=runs/widths \\\n'
    "    '--config.sweep.static.model.d_model=(16,32,64)'",
  )
  p.add_argument('--config', required=True, help='NAME[:PRESET] or a file')
  p.add_argument(
    '--workdir',
    required=True,
    help='where the runs are kept: a folder, gs://BUCKET/... or s3://BUCKET/...',
  )
  p.add_argument('--tensorboard', action='store_true', help='write live curves')
  _shards(p)
  p.add_argument(
    '--shard', type=int, default=0, metavar='I', help='which, from 0 (0)'
  )
  _common(p)
  _together(p)

  p = command(
    'plan',
    'Say what a training would take, before anything is written.',
    '  jaxsynth plan --config=markov_mixture:standard\n'
    '  jaxsynth plan --config=markov_mixture:paper --seeds=16\n\n'
    'compiles one call and times a few steps on this machine.',
  )
  p.add_argument('--config', required=True, help='NAME[:PRESET] or a file')
  _shards(p)
  p.add_argument('--json', action='store_true', help='for a program to read')
  _common(p, training=False)

  p = command(
    'analyze',
    'Map an analysis over every snapshot of a trajectory.',
    '  jaxsynth analyze runs/mine --analysis=attention.model_scores \\\n'
    '    --with split=in_distribution --output=scores.nc',
  )
  p.add_argument('workdir', help='of a train or reproduce command')
  p.add_argument('--analysis', required=True, help='MODULE.FUNCTION')
  p.add_argument(
    '--with', dest='arguments', action='append', default=[],
    metavar='NAME=VALUE', help='arguments of the function',
  )  # fmt: skip
  p.add_argument('--output', help='a netCDF file; default: printed only')

  p = command(
    'report',
    'Print the verdict of a finished study and where its report lies.',
    '  jaxsynth report runs/markov_mixture-quick',
  )
  p.add_argument('workdir', help='of a reproduce command')

  p = command(
    'check',
    'Check every file, digest, step and label of the trajectories.',
    '  jaxsynth check runs/mine\n'
    '  jaxsynth check runs/mine --rebuild_index\n\n'
    'exits 1 and names each fault found. `head` is a digest of all that was\n'
    'written: noted elsewhere, it shows whether anything changed since.',
  )
  p.add_argument('workdir', help='of a train or reproduce command')
  p.add_argument(
    '--rebuild_index',
    action='store_true',
    help='first put back an index that is damaged; it is kept aside',
  )
  p.add_argument('--json', action='store_true', help='for a program to read')
  p.add_argument('--quiet', action='store_true', help='no progress bars')
  commands_grow.add(command)
  for name in ('extend', 'add-seeds'):
    _together(parsers.choices[name])
  return top, parsers.choices


def _common(p: argparse.ArgumentParser, training: bool = True) -> None:
  p.add_argument('--seeds', help='a count (8), list (0,5,9) or range (0:8)')
  p.add_argument(
    '--config.PATH',
    metavar='VALUE',
    dest='_overrides',
    help='override one value of the config; repeat as needed',
  )
  if training:
    p.add_argument(
      '--allow',
      action='append',
      default=[],
      choices=['layout', 'source_digest'],
      help='continue a training although this has changed since',
    )
    p.add_argument('--quiet', action='store_true', help='no progress bars')


def _count_or_auto(text: str) -> int | str:
  if text != 'auto' and not text.lstrip('-').isdigit():
    raise argparse.ArgumentTypeError(f"a number or 'auto', got {text!r}")
  return text if text == 'auto' else int(text)


def _shards(p: argparse.ArgumentParser) -> None:
  p.add_argument(
    '--shards', type=_count_or_auto, default=1, metavar='N',
    help="cut the sweep into N jobs; 'auto' for as many as its size asks for",
  )  # fmt: skip
  p.add_argument(
    '--job', metavar='DEVICESxGIB',
    help='what a job has, for --shards=auto; default: what is here',
  )  # fmt: skip


_TOGETHER = (
  *('--processes', '--distributed', '--coordinator', '--process_count'),
  *('--process_id', '--cpu_devices', '--heartbeat', '--patience'),
)


def _together(p: argparse.ArgumentParser) -> None:
  g = p.add_argument_group('several processes train one sweep together')
  g.add_argument(
    '--processes', type=int, default=1, metavar='N',
    help='start N on this machine and divide its cores among them',
  )  # fmt: skip
  g.add_argument(
    '--distributed', action='store_true',
    help='join those that Cloud TPU, GKE, Slurm or MPI started',
  )  # fmt: skip
  g.add_argument('--coordinator', metavar='HOST:PORT', help='of process 0')
  g.add_argument('--process_id', type=int, help='which this is, from 0')
  g.add_argument('--process_count', type=int, help='how many there are')
  g.add_argument(
    '--cpu_devices', type=int, metavar='K',
    help='CPU devices of this process; default: its cores',
  )  # fmt: skip
  for name, default, text in (
    ('heartbeat', HEARTBEAT_S, 'after which a silent process counts as dead'),
    ('patience', PATIENCE_S, 'to wait for a process that lives'),
  ):
    g.add_argument(
      f'--{name}', type=int, default=default, metavar='SECONDS',
      help=f'{text} ({default})',
    )  # fmt: skip


def _overrides(rest: Sequence[str], parser: argparse.ArgumentParser) -> list:
  """What is left of the command line as config overrides."""
  out, rest = [], list(rest)
  while rest:
    item = rest.pop(0)
    if not item.startswith('--config.'):
      name = item.split('=')[0]
      if name in _TOGETHER:
        raise UserError(f'one process does `{parser.prog}`: leave out {name}')
      raise unknown('option', name, parser._option_string_actions)
    item = item.removeprefix('--config.')
    if '=' not in item:
      if not rest:
        raise UserError(f'--config.{item} needs a value')
      item = f'{item}={rest.pop(0)}'
    out.append(item)
  return out


_COMMANDS = {
  'list': commands.list_everything,
  'reproduce': commands.reproduce,
  'train': commands.train,
  'plan': commands.plan,
  'analyze': commands.analyze,
  'report': commands.report,
  'check': commands.check,
  **commands_grow.COMMANDS,
}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  parser, parsers = _parser()
  args, rest = parser.parse_known_args(argv)
  if args.command is None:
    parser.print_help()
    return 0
  try:
    args.overrides = _overrides(rest, parsers[args.command])
    if getattr(args, 'processes', 1) != 1:
      return commands.several(args, sys.argv[1:] if argv is None else argv)
    return _COMMANDS[args.command](args)
  except UserError as e:
    print(f'jaxsynth: {e}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print('jaxsynth: interrupted', file=sys.stderr)
    return EXIT_INTERRUPTED
  except Exception as e:
    from jaxsynth import launch, peers

    if isinstance(e, peers.HungError):
      print(f'jaxsynth: {e}', file=sys.stderr)
      return peers.HUNG
    if isinstance(e, launch.Stopped):
      print(f'jaxsynth: {launch.stopped_text(e)}', file=sys.stderr)
      return EXIT_RESTART
    trouble = disk_trouble(e)
    if trouble is None:
      raise
    print(f'jaxsynth: {launch.disk_text(trouble)}', file=sys.stderr)
    return launch.EXIT_FAILED


def entry() -> int:
  """`main`, for a process of its own: it leaves its team when it ends."""
  crashed, code = True, None
  try:
    code = main()
    crashed = False
    return code
  except Exception:
    traceback.print_exc()
    return 1
  finally:
    if 'jaxsynth.peers' in sys.modules:
      from jaxsynth import peers

      peers.leave(crashed, code)


if __name__ == '__main__':
  sys.exit(entry())
