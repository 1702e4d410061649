"""Stopped by some processes, continued by others: the same bits."""

import pytest

from jaxsynth.errors import UserError
from jaxsynth.train import loop
from jaxsynth.trajectory import writer
from tests.distributed.teams import assert_same, team, train


@pytest.mark.slow
@pytest.mark.parametrize('count', [1, 2, 3])
def test_stopped_by_one_and_resumed_by_another_number(
  lab, config, alone, tmp_path, count
):
  codes, said = team(tmp_path, config, stop=[1, 2])
  assert codes == [75, 75], said
  assert len({s.splitlines()[-1] for s in said}) == 1, said
  reached = len(writer.committed(tmp_path / 'first' / 'segments'))
  assert 0 < reached < len(writer.committed(alone.folder / 'segments'))
  codes, said = team(tmp_path, config, count)
  assert codes == [0] * count, said
  assert_same(lab, tmp_path / 'first', alone)


@pytest.mark.slow
def test_begun_by_one_and_finished_by_two(lab, config, alone, tmp_path):
  seen = []
  with pytest.raises(loop.Stopped):
    train(
      lab,
      config,
      tmp_path / 'first',
      observers=[seen.append],
      stopping=lambda: len(seen) >= 2,
    )
  codes, said = team(tmp_path, config)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'first', alone)


@pytest.mark.slow
def test_another_number_of_rows_a_device_is_refused(lab, config, tmp_path):
  """The same block over four devices, then over two."""
  vmap = {**config, 'layout': {'mode': 'vmap', 'block': 4}}
  codes, said = team(tmp_path, vmap, devices=2, stop=[0, 1])
  assert codes == [75, 75], said
  with pytest.raises(UserError, match=r'runs_per_device: 1 -> 2.*--allow lay'):
    train(lab, vmap, tmp_path / 'first')
