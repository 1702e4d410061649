"""What keeping dense trajectories costs, and what reading them takes.

The same snapshots are written on tmpfs and on disk in several ways
(benchmarks.stores) and read back as one run's one matrix over all steps, a
whole tree of one run and of all runs at one step, and, for ours, through
`traj.map`. Writing is back to back, with nothing to hide behind, until all is
on disk; the floor is one plain file a segment, written and synced. *Cold* means
that the pages of every file were dropped (posix_fadvise DONTNEED after fsync),
which tmpfs cannot do.
"""

import functools
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax

from benchmarks import report, stores
from jaxsynth.errors import UserError
from jaxsynth.train import layout
from jaxsynth.trajectory.trajectory import Trajectory

TRIES = 2  # the best counts


def on_disk(folder: Path) -> int:
  return sum(p.stat().st_size for p in folder.rglob('*') if p.is_file())


def drop(folder: Path) -> None:
  """Drops the pages of every file from the page cache."""
  for path in folder.rglob('*'):
    if path.is_file():
      fd = os.open(path, os.O_RDONLY)
      os.fsync(fd)
      os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
      os.close(fd)


def seconds(fn: Callable) -> float:
  began = time.perf_counter()
  fn()
  return time.perf_counter() - began


def norms(params, ctx):
  del ctx
  squares = jax.tree.map(lambda x: (x**2).sum(), params)
  return {'norm': sum(jax.tree.leaves(squares))}


def mapped(folder: Path, one: dict, count: int) -> dict[str, float]:
  """`traj.map` of a norm, its compile left out by a map of two snapshots."""
  traj = Trajectory(folder)
  runs = len(one[stores.LEAF])
  few = seconds(lambda: traj.sel(steps=traj.steps[:8]).map(norms, quiet=True))
  wall = seconds(lambda: traj.map(norms, quiet=True)) - few
  done = runs * (count - 8)
  return {
    'seconds': wall,
    'snapshots_per_second': done / wall,
    'mb_per_second': done * stores.bytes_of(one) / runs / wall / 1e6,
  }


def measure(place: Path, shots: list[dict], count: int, few: int) -> dict:
  """All layouts in one folder; per-snapshot folders `few` times only."""
  one, out = shots[0], {}
  size = stores.bytes_of(one)
  layouts = {
    'ours': (stores.write_ours, stores.read_ours, count),
    'orbax': (
      lambda f, s, n: stores.write_orbax(f, s, n, True),
      lambda f: stores.read_orbax(f, one),
      few,
    ),
    'orbax_async': (
      lambda f, s, n: stores.write_orbax(f, s, n, False),
      None,
      few,
    ),
    'tensorstore': (
      stores.write_tensorstore,
      lambda f: stores.read_tensorstore(f, one),
      count,
    ),
    'file': (stores.write_file, None, count),
  }
  root = Path(tempfile.mkdtemp(prefix='jaxsynth-bench-', dir=place))
  try:
    for name, (write, read, n) in layouts.items():
      report.say(f'{place}: {name}')
      write(root / 'warm', shots[:2], 2)
      shutil.rmtree(root / 'warm')
      folder = root / name
      wall = math.inf
      for _ in range(TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        wall = min(wall, seconds(functools.partial(write, folder, shots, n)))
      found = {
        'snapshots': n,
        'write_ms_per_snapshot': 1e3 * wall / n,
        'bytes_over_arrays': on_disk(folder) / (size * n),
      }
      for what, fn in (read(folder) if read else {}).items():
        drop(folder)
        scale = count / n if what == 'matrix' else 1
        found[f'{what}_cold_s'] = scale * seconds(fn)
        found[f'{what}_warm_s'] = scale * min(seconds(fn) for _ in range(3))
      if name == 'ours':
        found['map'] = mapped(folder, one, n)
      out[name] = found
      shutil.rmtree(folder)
  finally:
    shutil.rmtree(root)
  return out


def compare(args) -> dict:
  """Writes and reads everywhere; judges against the targets."""
  rng = range(stores.CALL)
  shots = [
    stores.snapshot(args.runs, stores.WIDTHS[args.config], i) for i in rng
  ]
  places = {'tmpfs': args.tmpfs, 'disk': args.disk}
  found = {
    kind: measure(Path(path), shots, args.snapshots, args.step_folders)
    for kind, path in places.items()
    if path
  }
  targets = []
  for kind, by in found.items():
    ours, step = by['ours'], by['orbax']
    targets.append(
      report.target(
        f'{kind}: bytes over those of the arrays',
        ours['bytes_over_arrays'],
        at_most=1.02,
      )
    )
    if args.config != 'small' or args.snapshots < 500:
      continue  # the others are for 500 snapshots of a sweep of 4 MB
    targets += [
      report.target(
        f'{kind}: times cheaper to write than a step folder each',
        step['write_ms_per_snapshot'] / ours['write_ms_per_snapshot'],
        at_least=10,
      ),
      report.target(
        f'{kind}: times faster than Orbax partial loads, one matrix, warm',
        step['matrix_warm_s'] / ours['matrix_warm_s'],
        at_least=100,
      ),
    ]
  floor = by['file']['write_ms_per_snapshot']  # where it was looked at last
  return report.record(
    'trajectory',
    args.config,
    report.device(),
    runs=args.runs,
    snapshots=args.snapshots,
    snapshot_mb=stores.bytes_of(shots[0]) / 1e6,
    step_folders_measured=args.step_folders,
    write_ms_per_snapshot=ours['write_ms_per_snapshot'],
    floor=floor,
    of_floor=ours['write_ms_per_snapshot'] / floor,
    places=found,
    targets=targets,
  )


def main() -> dict:
  p = report.parser(
    'benchmarks.trajectory',
    __doc__,
    [
      '',
      '--config=big --snapshots=40 --step-folders=8',
    ],
  )
  p.add_argument('--config', default='small', choices=stores.WIDTHS)
  p.add_argument('--snapshots', type=int, default=500)
  p.add_argument('--runs', type=int, default=16)
  p.add_argument(
    '--step-folders', type=int, default=25,
    help='folders of one snapshot that are measured, and scaled up',
  )  # fmt: skip
  p.add_argument('--tmpfs', default='/dev/shm', help="'' leaves it out")
  p.add_argument('--disk', default='.', help="'' leaves it out")
  args = p.parse_args()
  if not (args.tmpfs or args.disk):
    raise UserError('nowhere to write: both --tmpfs and --disk are empty')
  args.disk = args.disk and str(Path(args.disk).resolve())
  layout.configure()
  return compare(args)


if __name__ == '__main__':
  sys.exit(report.run(main))
