"""Trains a config from absl flags: for pods, clusters and Colab.

  python -m jaxsynth.experiments.train --config=markov_mixture:quick \\
    --config.optimizer.peak_lr=3e-4 --workdir=DIR

does what `jaxsynth train` does. It exits with 0 when done, 2 on a mistake in
config or flags and 1 on a full disk (restarting would not help), and 75 when
it was interrupted: restart the same command to continue.
"""

import sys
import traceback

from absl import app, flags, logging

from jaxsynth import launch, peers
from jaxsynth.errors import UserError, disk_trouble
from jaxsynth.spawn import HEARTBEAT_S, PATIENCE_S
from jaxsynth.stopping import EXIT_RESTART, Stopper
from jaxsynth.trajectory import paths

_CONFIG = flags.DEFINE_string(
  'config', None, 'NAME[:PRESET] or a file; override with --config.PATH=VALUE'
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the runs are kept.')
_SEEDS = flags.DEFINE_string(
  'seeds', None, 'A count (8), a list (0,5,9) or a range (0:8).'
)
_TENSORBOARD = flags.DEFINE_bool('tensorboard', False, 'Write live curves.')
_SHARDS = flags.DEFINE_integer(
  'shards', 1, 'Into how many jobs the sweep is cut.'
)
_SHARD = flags.DEFINE_integer('shard', 0, 'Which of them this is, from 0.')
_ALLOW = flags.DEFINE_multi_enum(
  'allow',
  [],
  ['layout', 'source_digest'],
  'Continue a training although this has changed since.',
)
_DISTRIBUTED = flags.DEFINE_bool(
  'distributed', False, 'Join those that Cloud TPU, GKE, Slurm or MPI started.'
)
_COORDINATOR = flags.DEFINE_string(
  'coordinator', None, 'HOST:PORT of process 0, for a start by hand.'
)
_PROCESS_ID = flags.DEFINE_integer(
  'process_id', None, 'Which process this is, from 0.'
)
_PROCESS_COUNT = flags.DEFINE_integer(
  'process_count', None, 'How many processes train together.'
)
_CPU_DEVICES = flags.DEFINE_integer(
  'cpu_devices', None, 'CPU devices of this process; default: its cores.'
)
_HEARTBEAT = flags.DEFINE_integer(
  'heartbeat',
  HEARTBEAT_S,
  'Seconds after which a silent process counts as dead.',
)
_PATIENCE = flags.DEFINE_integer(
  'patience', PATIENCE_S, 'Seconds to wait for a process that lives.'
)
_PREFIX = '--config.'


def parse(argv: list[str]) -> list[str]:
  """Splits config overrides off, and gives absl the rest."""
  overrides, rest = [], []
  for item in argv:
    if item.startswith(_PREFIX):
      if '=' not in item:
        raise flags.Error(f'{item} needs a value: {item}=VALUE')
      overrides.append(item.removeprefix(_PREFIX))
    else:
      rest.append(item)
  left = flags.FLAGS(rest)
  for flag in (_CONFIG, _WORKDIR):
    if not flag.value:
      raise flags.Error(f'--{flag.name} is required')
  if len(left) > 1:
    raise flags.Error(f'not a flag: {left[1]}')
  return overrides


def main(overrides: list[str]) -> int:
  """Trains, and leaves the other processes; returns the exit code."""
  try:
    code = _train(overrides)
  except Exception:
    traceback.print_exc()
    peers.leave(crashed=True)
    return launch.EXIT_FAILED
  peers.leave(crashed=False, code=code)
  return code


def _train(overrides: list[str]) -> int:
  try:
    config = launch.load_config(
      _CONFIG.value, [*launch.seed_overrides(_SEEDS.value), *overrides]
    )
    with Stopper() as stopping:
      launch.join(
        peers.Cluster(
          _DISTRIBUTED.value,
          _COORDINATOR.value,
          _PROCESS_ID.value,
          _PROCESS_COUNT.value,
          _HEARTBEAT.value,
          _PATIENCE.value,
        ),
        _CPU_DEVICES.value,
        stopping,
      )
      launch.train(
        config,
        paths.of(_WORKDIR.value),
        tensorboard_log=_TENSORBOARD.value and peers.index() == 0,
        stopping=stopping,
        allow=_ALLOW.value,
        say=logging.info,
        quiet=peers.index() > 0,
        shards=_SHARDS.value,
        shard=_SHARD.value,
      )
  except UserError as e:
    print(f'train: {e}', file=sys.stderr)
    return launch.EXIT_USER
  except peers.HungError as e:
    print(f'train: {e}', file=sys.stderr)
    return peers.HUNG
  except launch.Stopped as e:
    print(f'train: {launch.stopped_text(e)}', file=sys.stderr)
    return EXIT_RESTART
  except Exception as e:
    trouble = disk_trouble(e)
    if trouble is None:
      raise
    print(f'train: {launch.disk_text(trouble)}', file=sys.stderr)
    return launch.EXIT_FAILED
  return 0


def _flags(argv: list[str]) -> list[str]:
  try:
    return parse(argv)
  except flags.Error as e:
    print(f'train: {e}', file=sys.stderr)
    sys.exit(launch.EXIT_USER)


if __name__ == '__main__':
  app.run(main, flags_parser=_flags)
