"""The summary says what is there, and reads no array for it."""

import pytest

from jaxsynth.trajectory import shards, store, summary
from jaxsynth.trajectory.trajectory import Trajectory


def test_what_is_there(tiny):
  """All numbers are those of the config in conftest."""
  _, traj = tiny
  lines = repr(traj).split('\n')
  assert lines[0] == f'Trajectory {traj.folder}'
  assert lines[1] == '  4 runs: task.num_chains 2, 4 x 2 seeds'
  assert lines[2] == f'  6 snapshots of {len(traj.leaves)} arrays: ' + (
    'steps 0 to 12'
  )
  assert lines[3] == '  every step: accuracy, grad_norm, loss'
  assert lines[4] == '  3 evaluations of fresh, in_distribution: accuracy, loss'


def test_a_view_says_what_it_shows(tiny):
  _, traj = tiny
  said = repr(traj.sel(num_chains=4, steps=[5])).split('\n')
  assert said[1] == '  2 runs: task.num_chains 4 x 2 seeds'
  assert said[2].endswith('arrays: step 5')


def test_no_array_is_read(tiny, monkeypatch):
  """It needs the manifests, not the data they speak of."""
  _, traj = tiny
  bare = Trajectory(traj.folder)
  with monkeypatch.context() as patch:
    patch.setattr(store, 'array', None)
    assert repr(bare) == repr(traj)
    with pytest.raises(TypeError):
      _ = bare.metrics


def test_shards_are_counted(lab, tmp_path):
  parts = [
    lab.go(tmp_path / str(i), lab.specs([i], (0.1, 0.2))) for i in range(2)
  ]
  said = repr(shards.join(parts)).split('\n')
  assert said[0].endswith('in 2 shards')
  assert said[1] == '  4 runs: optimizer.peak_lr 0.1, 0.2 x 2 seeds'


def test_long_axes_are_cut():
  runs = [{'hparams': {'a': i}, 'seeds': {'init': 0}} for i in range(100)]
  assert summary._axes(runs) == 'a 0, 1, 2, 3, ..., 99 x 1 seed'
