"""Mapping a function over the snapshots of a trajectory.

Snapshots are read in chunks of bounded size, one chunk ahead of the devices,
and the function runs once per snapshot: one per device at a time on a CPU,
vmapped in small batches on an accelerator. Results are small and stay in
memory.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxsynth import progress, rng
from jaxsynth.errors import UserError, unknown
from jaxsynth.types import Array, Key, PyTree, Run

if TYPE_CHECKING:
  from jaxsynth.trajectory.trajectory import Trajectory

OVER = ('snapshot', 'run', 'pair')
# Snapshots of a run that one accelerator handles at once.
VMAP_ITEMS = 8


class Context(NamedTuple):
  """What an analysis knows of the run whose snapshot it is given.

  Attributes:
    apply: the model's apply.
    constants: the run's constants, e.g. {'task_params', 'evals'}.
    hparams: traced hyperparameters of the run, by config path.
    evals: constants['evals'] where there are any, else {}.
    step: the snapshot's step, or [K] over 'run'.
    key: a random key of this run and step, from the stream 'eval'.
  """

  apply: Callable
  constants: PyTree
  hparams: dict[str, Array]
  evals: dict
  step: Array
  key: Key


def context(
  apply: Callable, run: Run, constants: PyTree, step: Array
) -> Context:
  """The context of one run at one step, also for use by hand."""
  evals = constants.get('evals', {}) if isinstance(constants, dict) else {}
  first = step if np.ndim(step) == 0 else step[0]
  key = jax.random.fold_in(rng.stream(run.seeds, 'eval'), 1)
  return Context(apply, constants, run.hparams, evals, step, rng.at(key, first))


def _host_run(row: dict) -> Run:
  seeds = {k: np.uint32(v) for k, v in row['seeds'].items()}
  hparams = {
    k: np.int32(v) if isinstance(v, int) else np.float32(v)
    for k, v in row['hparams'].items()
  }
  return Run(seeds, hparams)


def _items(traj: 'Trajectory', over: str) -> list[tuple[int, Any]]:
  """(run position, snapshot rows) of every call of the function."""
  count = len(traj.rows)
  runs = range(len(traj.run_index))
  if over == 'run':
    return [(r, np.arange(count)) for r in runs]
  if over == 'pair':
    return [(r, np.asarray([k, k + 1])) for r in runs for k in range(count - 1)]
  return [(r, k) for r in runs for k in range(count)]


def run(
  traj: 'Trajectory',
  fn: Callable,
  over: str,
  dims: dict[str, tuple[str, ...]],
  coords: dict[str, Any],
  title: str | None,
  quiet: bool,
  partial: bool,
) -> xr.Dataset:
  """See `Trajectory.map`."""
  if over not in OVER:
    raise unknown('over', over, OVER)
  title = title or getattr(fn, '__name__', 'map')
  devices = np.asarray(jax.local_devices())
  cpu = devices[0].platform == 'cpu'
  per_device = 1 if cpu or over == 'run' else VMAP_ITEMS
  mesh = Mesh(devices, ('item',))
  sharding = NamedSharding(mesh, P('item'))
  size = per_device * len(devices)
  constants_of = jax.jit(traj.constants or (lambda r: {}))
  taken = {'run', 'step', *_table(traj), *coords}

  def checked(out: dict) -> dict:
    for name in taken & set(out):
      raise UserError(f'{title} returns {name!r}, a coordinate: rename it')
    return out

  def one(params: PyTree, spec: Run, constants: PyTree, step: Array) -> dict:
    ctx = context(traj.apply, spec, constants, step)
    if over == 'pair':
      before = jax.tree.map(lambda x: x[0], params)
      after = jax.tree.map(lambda x: x[1], params)
      return checked(fn(before, after, ctx._replace(step=step[1])))
    return checked(fn(params, ctx))

  def batch(*args):
    if per_device > 1:
      return jax.vmap(one)(*args)
    squeezed = jax.tree.map(lambda x: x[0], args)
    return jax.tree.map(lambda x: jax.numpy.asarray(x)[None], one(*squeezed))

  call = jax.jit(
    jax.shard_map(
      batch,
      mesh=mesh,
      in_specs=P('item'),
      out_specs=P('item'),
      check_vma=False,
    )
  )
  leaves = {name: traj.leaf(name) for name in traj.leaves}
  specs = [_host_run(traj.index['runs'][i]) for i in traj.run_index]
  cache: dict[int, PyTree] = {}

  def constants(r: int) -> PyTree:
    if r not in cache:
      while len(cache) >= max(len(devices), 1):  # runs come in order
        cache.pop(next(iter(cache)))
      cache[r] = jax.tree.map(np.asarray, constants_of(specs[r]))
    return cache[r]

  def read(chunk: list[tuple[int, Any]]) -> PyTree:
    trees = []
    for r, rows in chunk:
      got = {n: leaf[r, rows] for n, leaf in leaves.items()}
      trees.append(traj.whole(got, partial))
    return _stack(trees)

  items = _items(traj, over)
  if not items:
    raise UserError(
      f'nothing to map over {over!r}: {len(traj.rows)} snapshots are selected'
    )
  chunks = [
    items[i : i + size] + items[-1:] * max(0, i + size - len(items))
    for i in range(0, len(items), size)
  ]

  def results() -> Iterator[dict]:
    with ThreadPoolExecutor(1) as pool:
      ahead = pool.submit(read, chunks[0])
      for i, chunk in enumerate(chunks):
        params = ahead.result()
        if i + 1 < len(chunks):
          ahead = pool.submit(read, chunks[i + 1])
        args = (
          params,
          _stack([specs[r] for r, _ in chunk]),
          _stack([constants(r) for r, _ in chunk]),
          np.stack([traj.steps[rows] for _, rows in chunk]).astype(np.int32),
        )
        yield call(*jax.device_put(args, sharding))

  got = [
    jax.tree.map(np.asarray, r)
    for r in progress.track(results(), title, len(chunks), quiet)
  ]
  flat = jax.tree.map(lambda *x: np.concatenate(x)[: len(items)], *got)
  return label(traj, flat, over, dims, coords)


def _stack(trees: list[PyTree]) -> PyTree:
  return jax.tree.map(lambda *x: np.stack(x), *trees)


def _table(traj: 'Trajectory') -> dict[str, tuple[str, np.ndarray]]:
  """The table of runs as coordinates of the axis `run`."""
  return {
    c.replace('.', '_'): ('run', traj.runs[c].to_numpy()) for c in traj.runs
  }


def label(
  traj: 'Trajectory',
  flat: dict[str, np.ndarray],
  over: str,
  dims: dict[str, tuple[str, ...]],
  coords: dict[str, Any],
) -> xr.Dataset:
  """Arrays [items, ...] as a Dataset with named dimensions."""
  runs = len(traj.run_index)
  lead = ('run',) if over == 'run' else ('run', 'step')
  steps = {'run': None, 'pair': traj.steps[1:], 'snapshot': traj.steps}[over]
  variables = {}
  for name, data in flat.items():
    shape = (runs,) if over == 'run' else (runs, len(steps))
    rest = data.shape[1:]
    names = dims.get(name, tuple(f'{name}_{i}' for i in range(len(rest))))
    assert math.prod(shape) == len(data)
    variables[name] = ((*lead, *names), data.reshape(*shape, *rest))
  axes = {'run': np.arange(runs)} | ({} if over == 'run' else {'step': steps})
  return xr.Dataset(variables, {**axes, **_table(traj), **coords})
