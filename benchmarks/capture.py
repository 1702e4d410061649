"""The share of a training's wall time that keeping its history takes.

  python -m benchmarks.capture --config=quick

trains through files, as `jaxsynth train` does, with many snapshots, and adds
up what the main thread waited for the writer and put segments together, and
all that the writing thread was busy, as if none of it had been hidden.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import report
from jaxsynth import build, launch, stage
from jaxsynth.errors import unknown
from jaxsynth.train import collect, layout
from jaxsynth.trajectory import writer
from jaxsynth.trajectory.queue import SaveQueue

# The study's own training, and one with 16 times the weights.
CONFIGS: dict[str, tuple[str, ...]] = {
  'quick': (),
  'wide': ('model.d_model=128', 'train.steps=200'),
}


class Clock:
  """Adds up seconds by name."""

  def __init__(self):
    self.seconds: dict[str, float] = {}

  def timed(self, name: str, fn: Callable, *args, **kwargs) -> Any:
    """Calls fn and adds the time it took, also where it fails."""
    began = time.perf_counter()
    try:
      return fn(*args, **kwargs)
    finally:
      taken = time.perf_counter() - began
      self.seconds[name] = self.seconds.get(name, 0.0) + taken


def measure(config: str, snapshots: int, disk: Path) -> dict:
  """Trains markov_mixture:quick in a folder on `disk`, which is removed."""
  overrides = [f'train.snapshots=log:{snapshots}', *CONFIGS[config]]
  (setup,) = build.groups(
    launch.load_config('markov_mixture:quick', overrides)
  ).values()
  clock, joined = Clock(), collect.joined

  class Timed(SaveQueue):
    """A queue of saves on the clock, both its threads."""

    def submit(self, *args, **kwargs):
      clock.timed('waited', super().submit, *args, **kwargs)

    def wait(self):
      clock.timed('waited', super().wait)

    def _unless_failed(self, *args):
      clock.timed('writing', super()._unless_failed, *args)

  with (
    tempfile.TemporaryDirectory(dir=disk) as folder,
    mock.patch.object(writer, 'SaveQueue', Timed),
    mock.patch.object(
      collect, 'joined', lambda *a: clock.timed('joining', joined, *a)
    ),
  ):
    path = Path(folder) / 'trajectory'
    clock.timed('wall', stage.train, setup, path, quiet=True)
    size = sum(p.stat().st_size for p in path.rglob('*') if p.is_file())
  wall = clock.seconds.pop('wall')
  share = sum(clock.seconds.values()) / wall
  return {
    'training': f'markov_mixture:quick {" ".join(overrides)}',
    'wall_seconds': wall,
    **{f'{name}_seconds': s for name, s in clock.seconds.items()},
    'megabytes': size / 1e6,
    'targets': [report.target('share of wall time', share, at_most=0.05)],
  }


def main() -> dict:
  p = report.parser(
    'benchmarks.capture', __doc__, ['', '--config=wide --snapshots=50']
  )
  p.add_argument('--config', default='quick', help=' or '.join(CONFIGS))
  p.add_argument('--snapshots', type=int, default=200, help='of every run')
  p.add_argument('--disk', default='.', type=Path, help='where to write')
  args: argparse.Namespace = p.parse_args()
  if args.config not in CONFIGS:
    raise unknown('config', args.config, CONFIGS)
  layout.configure()
  made = measure(args.config, args.snapshots, args.disk.resolve())
  return report.record('capture', args.config, report.device(), **made)


if __name__ == '__main__':
  sys.exit(report.run(main))
