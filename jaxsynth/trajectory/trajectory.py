"""A trajectory read back: every snapshot and metric of every run, lazily.

  traj = stage.open_trajectory('runs/mine')
  traj                               a summary of all that follows
  traj.runs                          table of runs: hyperparameters and seeds
  traj.steps                         steps of the snapshots
  traj.params(step=1000, run=0)      one full parameter tree
  traj.leaf('blocks_0.attn.q.kernel')[0]      one run's one matrix, all steps
  traj.metrics['loss']               xarray, dimensions (run, step)
  traj.sel(num_chains=16)            the same, for some of the runs
  traj.map(fn)                       fn(params, ctx) over every snapshot
  traj.context(run=0, step=1000)     the ctx of one, to try fn by hand
  traj.unfold(traj.metrics)          its axis run as the swept axes and seed

Opening reads an index and the manifests; arrays are read slice by slice, and
what is read is compared with the checksums it was written with.
"""

import copy
import dataclasses
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsynth.errors import UserError, unknown
from jaxsynth.leaves import unflatten
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import mapping, paths, saves, store, summary
from jaxsynth.trajectory import unfold as unfolding
from jaxsynth.trajectory.lazy import Lazy
from jaxsynth.trajectory.leaf import Leaf, read_all
from jaxsynth.types import PyTree, Run

if TYPE_CHECKING:
  import pandas as pd
  import xarray as xr


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectory:
  """All snapshots and metrics of all runs of one group of a sweep.

  Attributes:
    folder: where it lies.
    apply: the model's apply, for `map`; None when opened without a config.
    constants: Run -> constants of a run, for `map`.
    compiled_constants: the same, by a program compiled already; None for none.
    run_index: which runs of the folder this view shows.
    rows: which snapshots of the folder it shows.
    damaged: 'raise' refuses a trajectory with a segment missing, truncated or
      without a readable manifest; 'skip' reads every file once and leaves out
      the segments that are not as they were written.

  Raises:
    UserError: there is no trajectory.
    DamagedError: it is damaged; the message names what, and the way.
  """

  folder: Path
  apply: Callable | None = None
  constants: Callable[[Run], PyTree] | None = None
  compiled_constants: Callable[[Run], PyTree] | None = None
  run_index: np.ndarray | None = None
  rows: np.ndarray | None = None
  damaged: str = 'raise'

  def __post_init__(self):
    object.__setattr__(self, 'folder', paths.of(self.folder))
    names = ('index.json', 'segments')
    if not any((self.folder / name).exists() for name in names):
      raise UserError(f'{self.folder} holds no trajectory (no index.json)')
    if not (saves.named(self.folder / 'segments') and self.segments):
      raise UserError(f'{self.folder} holds no finished segment yet')
    if self.run_index is None:
      everything = np.arange(len(self.index['runs']))
      object.__setattr__(self, 'run_index', everything)
    if self.rows is None:
      object.__setattr__(self, 'rows', np.arange(len(self._all_steps)))

  def __repr__(self) -> str:
    return summary.text(self)

  @cached_property
  def index(self) -> dict[str, Any]:
    """What the trajectory is: runs, plan, layout, config, digests."""
    return indexes.read(self.folder)

  @cached_property
  def segments(self) -> list[tuple[Path, dict]]:
    """The committed segments and their manifests, in order of steps."""
    return saves.readable(self.folder, self.damaged, self.start)

  @cached_property
  def _all_steps(self) -> np.ndarray:
    steps = [s for _, m in self.segments for s in m['snapshot_steps']]
    return np.asarray(steps, np.int64)

  @property
  def steps(self) -> np.ndarray:
    """Steps of the snapshots, [K]."""
    return self._all_steps[self.rows]

  @property
  def start(self) -> int:
    """Updates done before its first: 0 unless it is a zoom."""
    return self.index.get('start', 0)

  @property
  def shards(self) -> tuple['Trajectory', ...]:
    """The trajectories on disk whose runs these are."""
    return (self,)

  @property
  def origin(self) -> 'Trajectory | None':
    """What this zooms into or was forked from; see `index['origin']`."""
    record = self.index.get('origin')
    folder = record and paths.at(self.folder, record['trajectory']).resolve()
    return record and Trajectory(folder, self.apply, self.constants)

  @cached_property
  def runs(self) -> 'pd.DataFrame':
    """The table of runs: identity, hyperparameters, seeds, divergence.

    `diverged_at` is the first update whose loss was not finite, or NaN.
    """
    import pandas as pd  # slow, see `mapping`

    rows = []
    for run in self.index['runs']:
      seeds = {f'seed.{k}': v for k, v in run['seeds'].items()}
      rows.append({'run_id': run['run_id'], **run['hparams'], **seeds})
    table = pd.DataFrame(rows).iloc[self.run_index].reset_index(drop=True)
    if 'loss' in self.metrics:
      bad = ~np.isfinite(self.metrics['loss'].values)
      first = self.metrics.step.values[bad.argmax(1)]
      table['diverged_at'] = np.where(bad.any(1), first, np.nan)
    return table

  @cached_property
  def leaves(self) -> list[str]:
    """Names of the arrays a snapshot holds."""
    prefix = 'snapshots.'
    names = {n for _, m in self.segments for n in m['arrays']}
    return sorted(
      n.removeprefix(prefix)
      for n in names
      if n == 'snapshots' or n.startswith(prefix)
    )

  @cached_property
  def _context(self):
    return store.context()

  @cached_property
  def _bases(self) -> dict[Path, list[Path]]:
    return {path: store.bases(path) for path, _ in self.segments}

  @cached_property
  def _arrays(self) -> dict[str, Lazy]:
    """Arrays by name; each keeps open what was read of it."""
    return {}

  def _leaf(self, name: str, rows: np.ndarray | None = None) -> Leaf:
    parts = [(p, m) for p, m in self.segments if name in m['arrays']]
    if name not in self._arrays:
      stated = [m['arrays'][name] for _, m in parts]
      arrays = [
        store.array(
          self._bases[path], name, s['shape'], s['dtype'], self._context
        )
        for (path, _), s in zip(parts, stated)
      ]
      self._arrays[name] = store.concat(arrays, 1)
    return Leaf(name, self._arrays[name], parts, self.run_index, rows)

  def leaf(self, name: str) -> Leaf:
    """One array over all runs and snapshots, [R, K, ...], read lazily.

    Args:
      name: as in `leaves`.
    """
    if name not in self.leaves:
      raise unknown('leaf', name, self.leaves)
    full = name if name == 'snapshots' else f'snapshots.{name}'
    return self._leaf(full, self.rows)

  def row(self, step: int) -> int:
    """The position of a snapshot in `steps`."""
    found = np.flatnonzero(self.steps == step)
    if not len(self.steps):
      raise UserError(f'no snapshot at step {step}, nor at any other')
    if not len(found):
      near = self.steps[np.abs(self.steps - step).argmin()]
      raise UserError(
        f'no snapshot at step {step}; the nearest is at {near} '
        f'({len(self.steps)} from {self.steps[0]} to {self.steps[-1]})'
      )
    return int(found[0])

  def whole(self, arrays: dict[str, np.ndarray], partial: bool) -> PyTree:
    """Arrays by leaf as a tree of the model's dtypes.

    Raises:
      UserError: not all leaves of the model were kept, and `partial` is not
        set.
    """
    stated = self.index.get('leaves', {})
    missing = sorted(set(stated) - set(self.leaves))
    if missing and not partial:
      raise UserError(
        f'{self.folder} keeps {len(self.leaves)} of {len(stated)} leaves '
        f'(train.snapshot_leaves), not {missing[0]}: read them with '
        'leaf(NAME), or with partial=True'
      )
    cast = {n: a.astype(stated.get(n, a.dtype)) for n, a in arrays.items()}
    return unflatten(
      {('' if n == 'snapshots' else n): a for n, a in cast.items()}
    )

  def params(
    self, step: int, run: int | slice = slice(None), partial: bool = False
  ) -> PyTree:
    """The snapshot of one run (or of all, [R, ...]) at a step.

    Args:
      step: one of `steps`.
      run: positions of runs.
      partial: where a training kept some of the leaves only
        (`train.snapshot_leaves`), return those.

    Returns:
      The tree, in the model's dtypes whatever `train.snapshot_dtype` was.
    """
    row = self.row(step)
    lazy = {name: self.leaf(name) for name in self.leaves}
    return self.whole(read_all(lazy, (run, row)), partial)

  def context(self, run: int, step: int) -> mapping.Context:
    """What `map` gives an analysis with a snapshot, for use by hand.

    fn(traj.params(step, run), traj.context(run, step)) is what
    `traj.map(fn)` has there.

    Args:
      run: position of a run.
      step: one of `steps`.
    """
    self.row(step)
    return mapping.of_run(self, run, step)

  def branch(self, step: int) -> Path:
    """The folder of the full state kept at a step."""
    found = saves.committed(self.folder / 'branches')
    for path in found:
      if int(path.name) == step:
        return path
    kept = ', '.join(str(int(p.name)) for p in found) or 'none'
    raise UserError(
      f'no full state was kept at step {step} of {self.folder}; kept: {kept}'
    )

  @cached_property
  def metrics(self) -> 'xr.Dataset':
    """Scalars of every step, (run, step), and evaluations, (run, eval_step).

    The scalar at step s was computed in update s, on the batch and the
    parameters before it; step 1 is the first. Evaluations at eval_step s are
    of the parameters after s updates, as snapshots are.
    """
    import xarray as xr  # slow, see `mapping`

    variables = {}
    names = {n for _, m in self.segments for n in m['arrays']}
    for name in sorted(names):
      kind, _, rest = name.partition('.')
      if kind == 'snapshots':
        continue
      axis = 'step' if kind == 'scalars' else 'eval_step'
      data = self._leaf(name)[:]
      key = rest.replace('.', '/')
      extra = [f'{key}_{i}' for i in range(data.ndim - 2)]
      variables[key] = (('run', axis, *extra), data)
    coords = {'run': np.arange(len(self.run_index))}
    coords['step'] = np.concatenate(
      [np.arange(m['start'], m['stop']) + 1 for _, m in self.segments]
    )
    coords['eval_step'] = np.asarray(
      [s for _, m in self.segments for s in m['eval_steps']], np.int64
    )
    return xr.Dataset(variables, coords)

  def view(self, **changes) -> 'Trajectory':
    """The same trajectory with other attributes, sharing what was read."""
    view = copy.copy(self)
    for name, value in changes.items():
      object.__setattr__(view, name, value)
    for name in ('runs', 'metrics'):
      view.__dict__.pop(name, None)
    return view

  def sel(self, run=None, steps=None, **columns) -> 'Trajectory':
    """A view of some runs and snapshots.

    Args:
      run: positions of runs.
      steps: steps of snapshots.
      **columns: values of columns of `runs`, by full name or by its last
        part (`num_chains=16` finds 'task.num_chains').
    """
    keep = np.ones(len(self.run_index), bool)
    for name, value in columns.items():
      full = [c for c in self.runs if c == name or c.split('.')[-1] == name]
      if not full:
        short = {c.split('.')[-1] for c in self.runs}
        raise unknown('column of runs', name, short | {*self.runs})
      keep &= np.isin(self.runs[full[0]], np.atleast_1d(value))
    if run is not None:
      chosen = np.zeros_like(keep)
      chosen[run] = True
      keep &= chosen
    if not keep.any():
      raise UserError(f'no run has {columns or run}')
    rows = self.rows
    if steps is not None:
      rows = rows[[self.row(s) for s in np.atleast_1d(steps)]]
    return self.view(run_index=self.run_index[keep], rows=rows)

  def unfold(self, data: unfolding.Data) -> unfolding.Data:
    """Results of these runs by swept axes and seed, see the module `unfold`.

    Args:
      data: `metrics`, what `map` returned, or a variable of either.
    """
    return unfolding.unfold(self, data)

  def map(
    self,
    fn: Callable,
    over: str = 'snapshot',
    *,
    dims: dict[str, tuple[str, ...]] | None = None,
    coords: dict[str, Any] | None = None,
    title: str | None = None,
    quiet: bool = False,
    partial: bool = False,
  ) -> 'xr.Dataset':
    """Applies a pure function to every snapshot, run or pair of snapshots.

    Args:
      fn: jittable, returns {name: array}. Called as fn(params, ctx) over
        'snapshot'; with params of all snapshots [K, ...] over 'run'; as
        fn(before, after, ctx) over 'pair' of consecutive snapshots.
      over: 'snapshot', 'run' or 'pair'.
      dims: names of the axes of the returned arrays, by name.
      coords: coordinates of those axes.
      title: what the progress bar says.
      quiet: no progress bar.
      partial: give `fn` the leaves that were kept, if not all were.

    Returns:
      Dataset with dimensions run (and step), and the table of runs as
      coordinates of `run`.
    """
    return mapping.run(
      self, fn, over, dims or {}, coords or {}, title, quiet, partial
    )
