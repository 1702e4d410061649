"""The axis `run` as swept axes: every number where its run says it belongs."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from jaxsynth.errors import UserError
from jaxsynth.trajectory.unfold import unfold


def table(runs, fixed=()):
  """As much of a trajectory as `unfold` looks at."""
  config = {'sweep': {'fixed': dict.fromkeys(fixed, 9)}}
  listed = [
    {'hparams': h, 'seeds': {'data': 9 if fixed else s, 'init': s}}
    for h, s in runs
  ]
  index = {'runs': listed, 'config': config}
  return SimpleNamespace(index=index, run_index=np.arange(len(runs)))


@given(st.permutations(range(12)), st.integers(0, 11))
def test_every_number_goes_to_its_place(order, missing):
  """In any order of runs, with one of them not there."""
  cells = [(a, b, s) for a in (1, 5) for b in (0.1, 0.2) for s in (3, 4, 8)]
  cells = [cells[i] for i in order if i != missing]
  traj = table([({'x.a': a, 'y.b': b}, s) for a, b, s in cells])
  data = xr.DataArray(
    [[100 * a + b + 10 * s, -s] for a, b, s in cells], dims=('run', 'k')
  )
  got = unfold(traj, data)
  assert got.dims == ('a', 'b', 'seed', 'k')
  assert got.shape == (2, 2, 3, 2)
  assert int(np.isnan(got.isel(k=0)).sum()) == 1
  for a, b, s in cells:
    assert got.sel(a=a, b=b, seed=s, k=0) == 100 * a + b + 10 * s


def test_names_of_axes():
  """Short where that is clear, whole where two would be called the same."""
  hparams = {'task.rate': 1, 'optimizer.rate': 2, 'task.size': 3}
  got = unfold(table([(hparams, 0)]), xr.DataArray([1.0], dims='run'))
  assert got.dims == ('task_rate', 'optimizer_rate', 'size', 'seed')


def test_only_seeds():
  traj = table([({}, 5), ({}, 7)])
  got = unfold(traj, xr.DataArray([1.0, 2.0], dims='run'))
  assert got.seed.values.tolist() == [5, 7]
  assert got.values.tolist() == [1.0, 2.0]


def test_a_fixed_stream_is_not_the_seed():
  traj = table([({}, 5), ({}, 7)], fixed=('data',))
  got = unfold(traj, xr.DataArray([1.0, 2.0], dims='run'))
  assert got.seed.values.tolist() == [5, 7]


def test_other_runs_are_refused(tiny):
  _, traj = tiny
  with pytest.raises(UserError, match='unfolding 2 runs'):
    traj.sel(num_chains=2).unfold(traj.metrics)


def test_metrics_and_maps_of_a_trajectory(tiny):
  """Including a view, and the table of runs that `map` puts into its result."""
  _, traj = tiny
  metrics = traj.unfold(traj.metrics)
  assert metrics['loss'].dims == ('num_chains', 'seed', 'step')
  some = traj.sel(num_chains=4, steps=[0, 12])
  norm = some.map(
    lambda params, ctx: {'n': ctx.hparams['task.num_chains']}, quiet=True
  )
  unfolded = some.unfold(norm)
  assert unfolded['n'].dims == ('num_chains', 'seed', 'step')
  assert (unfolded['n'] == 4).all()
  row = traj.runs.index[(traj.runs['task.num_chains'] == 4)][1]
  np.testing.assert_array_equal(
    metrics['loss'].sel(num_chains=4, seed=traj.runs['seed.init'][row]),
    traj.metrics['loss'][row],
  )
