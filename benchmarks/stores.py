"""Ways to keep the same snapshots on disk, each as its users would have it.

  ours         Writer: segments, manifests, checksums of rows and of files
  orbax        one Orbax folder per snapshot, waited for, uncompressed
  orbax_async  the same, begun in the background, the one before waited for
  tensorstore  one sharded zarr3 array per leaf, written a buffer at a time
  file         nothing but the bytes of a segment, in one file, synced: the
               floor of them all

A snapshot is a small transformer, 83 leaves, of all runs of a sweep.
"""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import tensorstore as ts
from orbax.checkpoint import v1 as ocp

from jaxsynth.train import collect, loop
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


def write_file(folder: Path, shots: list[dict], count: int) -> None:
  """A file of each segment: [N, ...] of one leaf after the other."""
  folder.mkdir()
  one = shots[0]
  buffer = max(1, loop.SEGMENT_BYTES // bytes_of(one))
  for rows in calls(count, buffer):
    with open(folder / f'{rows.start:06d}', 'wb', buffering=0) as f:
      for name in one:
        f.write(np.stack([shots[i % len(shots)][name] for i in rows]))
      os.fsync(f.fileno())


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
