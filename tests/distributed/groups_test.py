"""Processes whose devices share runs, within a process and across."""

import numpy as np
import pytest

from jaxsynth import stage
from jaxsynth.train import data_axis
from jaxsynth.trajectory import check, manifest
from tests.distributed.teams import assert_same, team, train


@pytest.fixture(scope='session')
def shared(config):
  """A transformer, each run on two devices."""
  train = {**config['train'], 'branches': (0, 6, 12)}
  return {**config, 'train': train, 'layout': {'data': 2}}


OWN = {'own': True, 'pieces': True}


@pytest.fixture(autouse=True)
def every_leaf(monkeypatch):
  """Leaves are small here, and lie in pieces all the same."""
  monkeypatch.setattr(data_axis, 'SMALL', 0)


@pytest.mark.slow
def test_a_run_on_devices_of_two_processes(lab, shared, tmp_path):
  """Batch and state are split between them; the first one writes, and what it
  wrote is put in pieces again."""
  one = train(lab, shared, tmp_path / 'one', program=None)
  codes, said = team(tmp_path / 'two', shared, **OWN)
  assert codes == [0, 0], said
  folder = tmp_path / 'two' / 'first'
  traj = stage.open_trajectory(folder)
  assert check.check(folder).faults == []
  index = manifest.load_json(folder / 'index.json')
  assert index['layout']['data_processes'] == 2
  got, expected = lab.contents(traj), lab.contents(one)
  assert list(got) == list(expected)
  for run, content in expected.items():
    for name, value in content.items():
      np.testing.assert_allclose(
        got[run][name], value, rtol=1e-3, atol=1e-5, err_msg=name
      )
  codes, said = team(tmp_path / 'again', shared, **OWN, stop=[1, 1])
  assert codes == [75, 75], said
  codes, said = team(tmp_path / 'again', shared, **OWN)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'again' / 'first', traj)


@pytest.mark.slow
def test_groups_within_processes(lab, shared, tmp_path):
  """Two processes of two devices, a group each, are one process of two, bit for
  bit; and after one of them died, one process continues."""
  one = train(lab, shared, tmp_path / 'one', program=None)
  options = {'devices': 2, **OWN}
  codes, said = team(tmp_path / 'two', shared, **options)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'two' / 'first', one)
  died = tmp_path / 'died'
  codes, said = team(died, shared, **options, die=[1, 1], heartbeat=10)
  assert 0 not in codes, said
  train(lab, shared, died / 'first', program=None)
  assert_same(lab, died / 'first', one)
