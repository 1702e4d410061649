"""What keeping dense trajectories costs, and what reading them takes.

The same snapshots (a small transformer, 83 leaves, all runs of a sweep) are
written on tmpfs and on disk as

  ours         Writer: segments, manifests, checksums of rows and of files
  orbax        one Orbax folder per snapshot, waited for, uncompressed
  orbax_async  the same, begun in the background, the one before waited for
  tensorstore  one sharded zarr3 array per leaf, written a buffer at a time

and read back as one run's one matrix over all steps, a whole tree of one run
and of all runs at one step, and, for ours, through `traj.map`. Writing is back
to back, with nothing to hide behind, until all is on disk. *Cold* means that
the pages of every file were dropped (posix_fadvise DONTNEED after fsync), which
tmpfs cannot do.
"""

import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import tensorstore as ts
from orbax.checkpoint import v1 as ocp

from benchmarks import report
from jaxsynth.train import collect, layout, loop
from jaxsynth.trajectory.trajectory import Trajectory
from jaxsynth.trajectory.writer import Writer

# Width of the model by size: 4.5 and 67 MB a snapshot of 16 runs.
WIDTHS = {'small': 32, 'big': 128}
LEAF = 'blocks_2.attn.q.kernel'
CALL = 8  # snapshots fetched at once


def snapshot(runs: int, width: int, seed: int) -> dict[str, np.ndarray]:
  """A transformer of five layers, 83 leaves [R, ...] of float32."""
  shapes: dict[str, tuple[int, ...]] = {}
  for layer in range(5):
    at = f'blocks_{layer}'
    for name in ('q', 'k', 'v', 'o'):
      shapes[f'{at}.attn.{name}.kernel'] = (width, width)
      shapes[f'{at}.attn.{name}.bias'] = (width,)
    shapes |= {
      f'{at}.mlp.up.kernel': (width, 4 * width),
      f'{at}.mlp.up.bias': (4 * width,),
      f'{at}.mlp.down.kernel': (4 * width, width),
      f'{at}.mlp.down.bias': (width,),
    }
    for norm in ('norm_1', 'norm_2'):
      shapes |= {f'{at}.{norm}.{p}': (width,) for p in ('scale', 'bias')}
  shapes |= {n: (64, width) for n in ('embed', 'position', 'unembed')}
  rng = np.random.default_rng(seed)
  return {
    n: rng.standard_normal((runs, *s), np.float32) for n, s in shapes.items()
  }


def bytes_of(arrays: dict[str, np.ndarray]) -> int:
  return sum(a.nbytes for a in arrays.values())


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


def calls(count: int, size: int) -> Iterator[range]:
  return (range(i, min(i + size, count)) for i in range(0, count, size))


def write_ours(folder: Path, shots: list[dict], count: int) -> None:
  """The loop's own way from the pieces of calls to committed segments."""
  runs = len(next(iter(shots[0].values())))
  rows = [
    {'run_id': f'{i:016x}', 'seeds': {'eval': i}, 'hparams': {}}
    for i in range(runs)
  ]
  pieces = {
    n: np.stack([s[n] for s in shots], 1) for n in shots[0]
  }  # what a call leaves on the devices
  size = bytes_of(pieces)
  with Writer(folder, {'runs': rows}) as out:
    steps, parts, start = [], [], 0
    for call in calls(count, len(shots)):
      parts.append([call])
      steps += call
      if len(parts) * size < loop.SEGMENT_BYTES and call.stop < count:
        continue
      arrays = {
        f'snapshots.{n}': collect.joined(
          [[a[:, : len(c)]] for (c,) in parts], runs, out.memory.empty
        )
        for n, a in pieces.items()
      }
      out.segment(start, call.stop, steps, [], arrays)
      start, steps, parts = call.stop, [], []


def write_orbax(folder: Path, shots: list[dict], count: int, wait: bool):
  folder.mkdir()
  context = ocp.Context()
  context.array.saving.use_compression = False
  pending = None
  with context:
    for i in range(count):
      if pending is not None:
        pending.result()
      pending = ocp.save_async(
        str(folder / f'{i:06d}'), {'params': shots[i % len(shots)]}
      )
      if wait:
        pending.result()
    pending.result()


def _zarr(folder: Path, name: str, **options):
  spec = {
    'driver': 'zarr3',
    'kvstore': {'driver': 'file', 'path': f'{folder}/{name}/'},
  }
  return ts.open(spec, **options)


def write_tensorstore(folder: Path, shots: list[dict], count: int) -> None:
  """[R, N, ...] by leaf; a shard is a buffer of all runs, a chunk one run."""
  one = shots[0]
  most = max(1, loop.SEGMENT_BYTES // bytes_of(one))
  buffer = math.ceil(count / math.ceil(count / most))  # the last one is full
  opened = {}
  for name, a in one.items():
    shape = (len(a), count, *a.shape[1:])
    opened[name] = _zarr(
      folder,
      name,
      create=True,
      dtype=ts.dtype(a.dtype),
      shape=shape,
      chunk_layout=ts.ChunkLayout(
        write_chunk_shape=(len(a), buffer, *a.shape[1:]),
        read_chunk_shape=(1, buffer, *a.shape[1:]),
      ),
    )
  opened = {n: o.result() for n, o in opened.items()}
  for rows in calls(count, buffer):
    held = {
      n: np.stack([shots[i % len(shots)][n] for i in rows], 1) for n in one
    }
    done = [
      opened[n][:, rows.start : rows.stop].write(a) for n, a in held.items()
    ]
    for f in done:
      f.result()


def read_ours(folder: Path) -> dict[str, Callable]:
  return {
    'open': lambda: Trajectory(folder),
    'matrix': lambda: Trajectory(folder).leaf(LEAF)[3],
    'tree': lambda: Trajectory(folder).params(CALL + 1, 3),
    'tree_all_runs': lambda: Trajectory(folder).params(CALL + 1),
  }


def read_orbax(folder: Path, one: dict) -> dict[str, Callable]:
  context = ocp.Context()
  context.pytree.loading.partial_load = True
  sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  a = one[LEAF]
  wanted = {
    'params': {LEAF: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding)}
  }
  folders = sorted(folder.iterdir())

  def matrix():
    with context:
      return np.stack(
        [np.asarray(ocp.load(str(f), wanted)['params'][LEAF]) for f in folders]
      )[:, 3]

  everything = lambda: ocp.load(str(folders[1]))
  return {'matrix': matrix, 'tree': everything, 'tree_all_runs': everything}


def read_tensorstore(folder: Path, one: dict) -> dict[str, Callable]:
  def tree(run):
    opened = {n: _zarr(folder, n, open=True, read=True) for n in one}
    reads = [o.result()[run, CALL + 1].read() for o in opened.values()]
    return [r.result() for r in reads]

  return {
    'matrix': lambda: (
      _zarr(folder, LEAF, open=True, read=True).result()[3].read().result()
    ),
    'tree': lambda: tree(3),
    'tree_all_runs': lambda: tree(slice(None)),
  }


def norms(params, ctx):
  del ctx
  squares = jax.tree.map(lambda x: (x**2).sum(), params)
  return {'norm': sum(jax.tree.leaves(squares))}


def mapped(folder: Path, one: dict, count: int) -> dict[str, float]:
  """`traj.map` of a norm, its compile left out by a map of two snapshots."""
  traj = Trajectory(folder)
  runs = len(one[LEAF])
  few = seconds(lambda: traj.sel(steps=traj.steps[:8]).map(norms, quiet=True))
  wall = seconds(lambda: traj.map(norms, quiet=True)) - few
  done = runs * (count - 8)
  return {
    'seconds': wall,
    'snapshots_per_second': done / wall,
    'mb_per_second': done * bytes_of(one) / runs / wall / 1e6,
  }


def measure(place: Path, shots: list[dict], count: int, few: int) -> dict:
  """All layouts in one folder; per-snapshot folders `few` times only."""
  one, out = shots[0], {}
  size = bytes_of(one)
  layouts = {
    'ours': (write_ours, read_ours, count),
    'orbax': (
      lambda f, s, n: write_orbax(f, s, n, True),
      lambda f: read_orbax(f, one),
      few,
    ),
    'orbax_async': (lambda f, s, n: write_orbax(f, s, n, False), None, few),
    'tensorstore': (
      write_tensorstore,
      lambda f: read_tensorstore(f, one),
      count,
    ),
  }
  root = Path(tempfile.mkdtemp(prefix='jaxsynth-bench-', dir=place))
  try:
    for name, (write, read, n) in layouts.items():
      report.say(f'{place}: {name}')
      write(root / 'warm', shots[:2], 2)
      shutil.rmtree(root / 'warm')
      folder = root / name
      wall = seconds(lambda: write(folder, shots, n))  # noqa: B023
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
  rng = range(CALL)
  shots = [snapshot(args.runs, WIDTHS[args.config], i) for i in rng]
  places = {'tmpfs': args.tmpfs, 'disk': args.disk}
  found = {
    kind: measure(Path(path), shots, args.snapshots, args.step_folders)
    for kind, path in places.items()
    if path
  }
  targets = []
  for kind, by in found.items():
    ours, step = by['ours'], by['orbax']
    ratio = lambda key: step[key] / ours[key]  # noqa: B023
    targets += [
      report.target(
        f'{kind}: times cheaper to write than a step folder each',
        ratio('write_ms_per_snapshot'),
        at_least=10,
      ),
      report.target(
        f'{kind}: times faster than Orbax partial loads, one matrix, warm',
        ratio('matrix_warm_s'),
        at_least=100,
      ),
      report.target(
        f'{kind}: bytes over those of the arrays',
        ours['bytes_over_arrays'],
        at_most=1.02,
      ),
    ]
  return report.record(
    'trajectory',
    args.config,
    report.device(),
    runs=args.runs,
    snapshots=args.snapshots,
    snapshot_mb=bytes_of(shots[0]) / 1e6,
    step_folders_measured=args.step_folders,
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
  p.add_argument('--config', default='small', choices=WIDTHS)
  p.add_argument('--snapshots', type=int, default=500)
  p.add_argument('--runs', type=int, default=16)
  p.add_argument(
    '--step-folders', type=int, default=25,
    help='folders of one snapshot that are measured, and scaled up',
  )  # fmt: skip
  p.add_argument('--tmpfs', default='/dev/shm', help="'' leaves it out")
  p.add_argument('--disk', default='.', help="'' leaves it out")
  args = p.parse_args()
  args.disk = args.disk and str(Path(args.disk).resolve())
  layout.configure()
  return compare(args)


if __name__ == '__main__':
  sys.exit(report.run(main))
