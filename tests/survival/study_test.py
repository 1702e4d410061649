"""Crashes in `reproduce`, and in a stage that starts from a parent.

A study of two stages, of which the second starts where the first stood; the
same command goes on to the same verdict and the same trajectories.
"""

import json
import math

import pytest

SAVE = 'jaxsynth.trajectory.store:save'
NETCDF = 'xarray:Dataset.to_netcdf'
FIGURE = 'jaxsynth.plots.style:save'
VERDICT = 'jaxsynth.studies.verdict:write'


@pytest.fixture(scope='module')
def study(commands, tmp_path_factory, disk):
  """Starts the study in a workdir; and what it leaves if nothing happens."""

  def start(workdir, *faults):
    name = 'survival.two_stages'
    argv = ['reproduce', name, '--preset=quick', f'--workdir={workdir}']
    return commands.start([*argv, '--quiet'], faults)

  workdir = tmp_path_factory.mktemp('study') / 'run'
  done = start(workdir)
  assert done.wait() == 0, done.stderr
  return start, left(disk, workdir)


def left(disk, workdir):
  """The verdict but for its date and duration, results, and both stages."""
  verdict = json.loads((workdir / 'verdict.json').read_text())
  for name in ('date', 'wall_time_s'):
    assert verdict.pop(name)
  return verdict, [
    disk.contents(workdir / 'stages' / stage) for stage in ('train', 'second')
  ]


def kill(at, count=1, when='before', delay=0.0):
  return {'at': at, 'count': count, 'do': 'kill', 'when': when, 'delay': delay}


POINTS = {
  'first stage': kill(SAVE, 4, 'during', 0.01),
  'between the stages': kill('jaxsynth.launch:train', 2),
  'child at its start': kill('jaxsynth.train.loop:initial', 2, 'after'),
  'child in a save': kill(SAVE, 14, 'during', 0.01),
  'measure': kill(NETCDF, 1, 'after'),
  'second measure': kill(NETCDF, 2, 'during', 0.001),
  'figure': kill(FIGURE, 1, 'after'),
  'verdict': kill(VERDICT),
}


@pytest.mark.slow
@pytest.mark.parametrize(
  'where',
  POINTS,
)
def test_killed_study(study, disk, tmp_path, where):
  start, (verdict, stages) = study
  killed = start(tmp_path / 'run', POINTS[where])
  assert killed.wait() == -9, killed.stderr
  again = start(tmp_path / 'run')
  assert again.wait() == 0, again.stderr
  found, trained = left(disk, tmp_path / 'run')
  assert found == verdict
  assert [disk.differing(a, b) for a, b in zip(trained, stages)] == [[], []]
  assert disk.leftovers(tmp_path / 'run') == []
  assert math.isfinite(found['claims'][0]['measured']['median'])


@pytest.mark.slow
def test_a_signal_while_measuring_leaves_at_once(study, disk, tmp_path):
  start, (verdict, _) = study
  stopped = start(tmp_path / 'run', {'at': NETCDF, 'count': 1, 'do': 'term'})
  assert stopped.wait() == 75, stopped.stderr
  assert len(stopped.said) == 1
  assert not (tmp_path / 'run' / 'verdict.json').exists()
  assert start(tmp_path / 'run').wait() == 0
  assert left(disk, tmp_path / 'run')[0] == verdict


@pytest.mark.slow
def test_a_disk_that_fills_while_measuring(study, disk, tmp_path):
  start, (verdict, _) = study
  full = start(tmp_path / 'run', {'at': NETCDF, 'count': 2, 'do': 'full'})
  assert full.wait() == 1, full.stderr
  assert full.said[0].startswith('jaxsynth: No space left on device; ')
  assert 'Traceback' not in full.stderr
  assert start(tmp_path / 'run').wait() == 0
  assert left(disk, tmp_path / 'run')[0] == verdict
