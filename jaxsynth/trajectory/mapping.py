"""Mapping a function over the snapshots of a trajectory.

Snapshots are read in windows of bounded size, one window ahead of the devices,
which work on small groups of snapshots of one run each: one snapshot after the
other on a CPU, vmapped on an accelerator. Results are small and stay in memory.
"""

import functools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxsynth import linalg, progress, rng
from jaxsynth.errors import UserError, unknown
from jaxsynth.trajectory.leaf import read_all
from jaxsynth.types import Array, Key, PyTree, Run

if TYPE_CHECKING:
  import xarray as xr

  from jaxsynth.trajectory.trajectory import Trajectory

OVER = ('snapshot', 'run', 'pair')
# Most snapshots of a run that a device is given at once.
GROUP = 8
# Snapshots held in memory by one window, in bytes; there are two windows.
WINDOW_BYTES = 64 << 20


class Group(NamedTuple):
  """What a device is given at once: items of one run.

  Attributes:
    run: its position.
    items: snapshot rows: numbers, or arrays where an item is several.
    count: how many of them count; the rest fill the group.
  """

  run: int
  items: list
  count: int


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


def of_run(traj: 'Trajectory', run: int, step: int) -> Context:
  """The context that `fn` is given with one snapshot, as concrete arrays."""
  spec = _host_run(traj.index['runs'][traj.run_index[run]])
  constants = jax.jit(traj.constants or (lambda r: {}))(spec)
  return context(traj.apply, spec, constants, np.int32(step))


def _groups(traj: 'Trajectory', over: str) -> list[Group]:
  """All calls of the function, in groups of one size."""
  count = len(traj.rows)
  items = {
    'snapshot': list(range(count)),
    'pair': [np.asarray([k, k + 1]) for k in range(count - 1)],
    'run': [np.arange(count)] if count else [],
  }[over]
  if not items:
    raise UserError(
      f'nothing to map over {over!r}: {len(traj.rows)} snapshots are selected'
    )
  size = math.ceil(len(items) / math.ceil(len(items) / GROUP))
  out = []
  for r in range(len(traj.run_index)):
    for i in range(0, len(items), size):
      some = items[i : i + size]
      full = some + some[-1:] * (size - len(some))
      out.append(Group(r, full, len(some)))
  return out


def _windows(chunks: list[list[Group]], row_bytes: int) -> list[list]:
  """Consecutive chunks together, as many as WINDOW_BYTES hold."""
  out: list[list] = []
  held = 0
  for chunk in chunks:
    size = row_bytes * sum(len(_rows(g)) for g in chunk)
    if not out or held + size > WINDOW_BYTES:
      out.append([])
      held = 0
    out[-1].append(chunk)
    held += size
  return out


def _rows(group: Group) -> np.ndarray:
  """The snapshot rows a group needs, in order."""
  return np.unique(np.concatenate([np.atleast_1d(i) for i in group.items]))


def run(
  traj: 'Trajectory',
  fn: Callable,
  over: str,
  dims: dict[str, tuple[str, ...]],
  coords: dict[str, Any],
  title: str | None,
  quiet: bool,
  partial: bool,
) -> 'xr.Dataset':
  """See `Trajectory.map`."""
  if over not in OVER:
    raise unknown('over', over, OVER)
  title = title or getattr(fn, '__name__', 'map')
  devices = np.asarray(jax.local_devices())
  cpu = devices[0].platform == 'cpu'
  mesh = Mesh(devices, ('item',))
  sharding = NamedSharding(mesh, P('item'))
  constants_of = traj.compiled_constants or jax.jit(
    traj.constants or (lambda r: {})
  )
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

  def group(params, spec, constants, steps):
    params, spec, constants, steps = jax.tree.map(
      lambda x: x[0], (params, spec, constants, steps)
    )
    each = lambda item: jax.tree.map(
      jnp.asarray, one(item[0], spec, constants, item[1])
    )
    many = jax.lax.map if cpu else lambda f, xs: jax.vmap(f)(xs)
    return jax.tree.map(lambda x: x[None], many(each, (params, steps)))

  call = jax.jit(
    jax.shard_map(
      group,
      mesh=mesh,
      in_specs=P('item'),
      out_specs=P('item'),
      check_vma=False,
    )
  )
  leaves = {name: traj.leaf(name) for name in traj.leaves}
  row_bytes = sum(
    math.prod(x.shape[2:]) * x.dtype.itemsize for x in leaves.values()
  )
  specs = [_host_run(traj.index['runs'][i]) for i in traj.run_index]
  groups = _groups(traj, over)
  fill = -len(groups) % len(devices)
  padded = groups + [groups[-1]._replace(count=0)] * fill
  chunks = [
    padded[i : i + len(devices)] for i in range(0, len(padded), len(devices))
  ]
  windows = _windows(chunks, row_bytes)

  def read(window: list[list[Group]]) -> dict[int, tuple]:
    """What a window needs: run -> (rows, leaves [rows, ...])."""
    rows: dict[int, np.ndarray] = {}
    for g in (g for chunk in window for g in chunk):
      rows[g.run] = np.union1d(rows.get(g.run, _rows(g)), _rows(g))
    return {r: (k, read_all(leaves, (r, k))) for r, k in rows.items()}

  def params(held: dict[int, tuple], chunk: list[Group]) -> PyTree:
    """The snapshots of a chunk, [devices, items, ...]."""
    where = [np.searchsorted(held[g.run][0], np.stack(g.items)) for g in chunk]
    taken = lambda name: np.stack(
      [held[g.run][1][name][i] for g, i in zip(chunk, where)]
    )
    return traj.whole({name: taken(name) for name in leaves}, partial)

  @functools.lru_cache(len(devices))
  def constants(r: int) -> PyTree:
    return jax.tree.map(np.asarray, constants_of(specs[r]))

  @functools.lru_cache(1)
  def of_runs(runs: tuple[int, ...]) -> tuple[PyTree, PyTree]:
    both = _stack([(specs[r], constants(r)) for r in runs])
    return jax.device_put(both, sharding)

  def results() -> Iterator[dict]:
    """What the calls return, each fetched while the next one runs."""
    last = None
    with ThreadPoolExecutor(1) as pool:
      ahead = pool.submit(read, windows[0])
      for i, window in enumerate(windows):
        held = ahead.result()
        if i + 1 < len(windows):
          ahead = pool.submit(read, windows[i + 1])
        for chunk in window:
          steps = np.stack([traj.steps[np.stack(g.items)] for g in chunk])
          args = (params(held, chunk), steps.astype(np.int32))
          now, step = jax.device_put(args, sharding)
          args = (now, *of_runs(tuple(g.run for g in chunk)), step)
          if last is None:
            linalg.warn_of_waiting(call.trace(*args).jaxpr.jaxpr, len(devices))
          result = call(*args)
          if last is not None:
            yield jax.tree.map(np.asarray, last)
          last = result
    yield jax.tree.map(np.asarray, last)

  got = list(progress.track(results(), title, len(chunks), quiet))
  counts = [g.count for g in padded]

  def joined(*parts: np.ndarray) -> np.ndarray:
    rows = [row for part in parts for row in part]
    return np.concatenate([row[:n] for row, n in zip(rows, counts)])

  return label(traj, jax.tree.map(joined, *got), over, dims, coords)


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
) -> 'xr.Dataset':
  """Arrays [items, ...] as a Dataset with named dimensions."""
  import xarray as xr  # half a second that the start of a training can spare

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
