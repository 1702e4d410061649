"""Several processes train one sweep: the same bits as one."""

import copy

import numpy as np
import pytest

from jaxsynth import stage
from jaxsynth.trajectory import manifest, writer
from tests.distributed.teams import assert_same, team, train


def test_two_processes_equal_one(lab, config, alone, tmp_path):
  codes, said = team(tmp_path, config)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'first', alone)
  for part in ('segments', 'checkpoints', 'branches'):
    saves = writer.committed(tmp_path / 'first' / part)
    names = {p.name for p in (tmp_path / 'first' / part).iterdir()}
    assert names == {p.name for p in (alone.folder / part).iterdir()}
    for save in saves:
      inside = sorted(p.name for p in save.iterdir())
      assert inside == ['part-00000', 'part-00002']
  index = manifest.load_json(tmp_path / 'first' / 'index.json')
  assert index['spread'] == {
    'block': 2, 'device_count': 2, 'process_count': 2,
  }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(('count', 'devices'), [(1, 1), (2, 2), (3, 1), (4, 1)])
def test_any_number_of_processes_and_devices(
  lab, config, alone, tmp_path, count, devices
):
  """Four processes for three runs: the last one has only dummies."""
  codes, said = team(tmp_path, config, count, devices)
  assert codes == [0] * count, said
  assert_same(lab, tmp_path / 'first', alone)


@pytest.mark.slow
def test_vmap(lab, config, tmp_path):
  """Equal rows a device: equal bits; else close after the first steps."""
  config = {**config, 'layout': {'mode': 'vmap', 'block': 4}}
  one = train(lab, config, tmp_path / 'one')
  codes, said = team(tmp_path, config)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'first', one)
  wider = {**config, 'layout': {'mode': 'vmap', 'block': 8}}
  codes, said = team(tmp_path / 'wider', wider)
  assert codes == [0, 0], said
  two = stage.open_trajectory(tmp_path / 'wider' / 'first')
  got, expected = (t.metrics['loss'].to_numpy()[:, :10] for t in (two, one))
  np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('shared', [False, True])
def test_a_stage_from_a_parent(lab, config, tmp_path, shared):
  config = copy.deepcopy(config)
  if shared:
    config['sweep']['fixed'] = {'task': 1}
  first = train(lab, config, tmp_path / 'a')
  again = lab.toy._replace(init=lambda run: run.parent)
  parent = stage.Parent(first, 6)
  one = train(lab, config, tmp_path / 'b', program=again, parent=parent)
  codes, said = team(tmp_path / 'team', config, second=True)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'team' / 'first', first)
  assert_same(lab, tmp_path / 'team' / 'second', one)
