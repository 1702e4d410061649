"""The axis `run` of labelled results as the axes that were swept.

`traj.metrics` and what `traj.map` returns have one axis `run`. A plot or a
mean wants the axes of the sweep: `unfold` makes `run` into one axis for every
traced hyperparameter, named by the last part of its path, and `seed`. Where
the runs are no full product (seeds were added to some values) there is NaN.
"""

from typing import TYPE_CHECKING, TypeVar

from jaxsynth.errors import UserError

if TYPE_CHECKING:
  import xarray as xr

  from jaxsynth.trajectory.trajectory import Trajectory

Data = TypeVar('Data', 'xr.DataArray', 'xr.Dataset')


def unfold(traj: 'Trajectory', data: Data) -> Data:
  """Results [run, ...] as [*swept axes, seed, ...].

  Args:
    traj: whose runs these are.
    data: a Dataset or DataArray with the dimension `run`.

  Raises:
    UserError: it has no such dimension, or other runs.
  """
  import pandas as pd  # slow, see `mapping`
  import xarray as xr

  runs = [traj.index['runs'][i] for i in traj.run_index]
  if data.sizes.get('run') != len(runs):
    raise UserError(
      f'unfolding {len(runs)} runs needs a dimension run of that size, got '
      f'{dict(data.sizes)}'
    )
  stream = _stream(traj)
  axes = {
    name: [run['hparams'][path] for run in runs]
    for path, name in _names(list(runs[0]['hparams'])).items()
  }
  axes['seed'] = [run['seeds'][stream] for run in runs]
  data = data.drop_vars([c for c in data.coords if 'run' in data[c].dims])
  if len(axes) == 1:
    return data.assign_coords(run=axes['seed']).rename(run='seed')
  index = pd.MultiIndex.from_arrays([*axes.values()], names=[*axes])
  coords = xr.Coordinates.from_pandas_multiindex(index, 'run')
  return data.assign_coords(coords).unstack('run').transpose(*axes, ...)


def _names(paths: list[str]) -> dict[str, str]:
  """A short name for each path: its last part, where that is its own."""
  last = [path.rpartition('.')[2] for path in paths]
  return {
    path: path.replace('.', '_') if last.count(name) > 1 else name
    for path, name in zip(paths, last)
  }


def _stream(traj: 'Trajectory') -> str:
  """A stream of seeds that was not held fixed, if there is one."""
  sweep = (traj.index.get('config') or {}).get('sweep', {})
  streams = list(traj.index['runs'][0]['seeds'])
  free = [s for s in streams if s not in sweep.get('fixed', {})]
  return (free or streams)[0]
