"""The commands as several processes."""

import shutil
import subprocess
import sys

import pytest

from jaxsynth import cli, stage
from jaxsynth.trajectory import check, manifest
from tests.distributed.teams import PATIENCE, assert_same


def run(*command):
  """`jaxsynth ...`."""
  return subprocess.run(
    [sys.executable, '-m', 'jaxsynth.cli', *command],
    capture_output=True,
    text=True,
    timeout=3 * PATIENCE,
    check=False,
  )


def small(workdir, *more):
  """`jaxsynth train` of the smallest transformer there is."""
  return run(
    'train',
    *('--config=markov_mixture:smoke', '--config.train.steps=4'),
    *('--config.train.call_steps=2', '--config.task.aligned_reps=0'),
    *('--seeds=3', '--cpu_devices=1', f'--workdir={workdir}', '--quiet'),
    *more,
  )


@pytest.mark.slow
def test_the_command(lab, tmp_path):
  """A transformer; process 0 speaks for all, and a mistake is said once."""
  done = small(tmp_path / 'two', '--processes=2')
  assert done.returncode == 0, done.stderr
  assert done.stdout.count('6 runs') == 1
  assert small(tmp_path / 'one').returncode == 0
  alone = stage.open_trajectory(tmp_path / 'one' / 'stages' / 'train')
  assert_same(lab, tmp_path / 'two' / 'stages' / 'train', alone)
  refused = ('--processes=2', '--config.train.batch_size=2')
  done = small(tmp_path / 'two', *refused)
  assert done.returncode == 2, done.stderr
  assert done.stderr.count('holds another training') == 1
  assert done.stderr.count('\n') == 2, 'how many runs, and the mistake'


@pytest.mark.slow
def test_what_grows_a_trajectory(lab, tmp_path):
  """More steps, then more runs, by one process and by two: the same bits."""
  every = ('snapshots', 'evals')
  plans = [f'--config.train.{name}=every:2' for name in every]
  done = small(tmp_path / '1', *plans)
  assert done.returncode == 0, done.stderr
  shutil.copytree(tmp_path / '1', tmp_path / '2')
  for count in '12':
    options = [f'--processes={count}', '--cpu_devices=1', '--quiet']
    longer = run('extend', tmp_path / count, '--steps=8', *options)
    assert longer.returncode == 0, longer.stderr
    assert longer.stdout.count('up to step 8') == 1
    more = run('add-seeds', tmp_path / count, '--seeds=3:4', *options)
    assert more.returncode == 0, more.stderr
    assert more.stdout.count('8 runs, 5 snapshots') == 1
  one, two = (
    stage.open_trajectory(tmp_path / count / 'stages' / 'train')
    for count in '12'
  )
  assert one.runs.run_id.tolist() == two.runs.run_id.tolist()
  assert len(one.shards) == len(two.shards) == 2
  for of_one, of_two in zip(one.shards, two.shards):
    got, expected = lab.contents(of_two), lab.contents(of_one)
    assert [lab.differing(got[r], expected[r]) for r in expected] == [[]] * len(
      expected
    )
    assert check.check(of_two.folder).faults == []


@pytest.mark.slow
def test_reproduce(tmp_path):
  """Process 0 measures, all read the same file back and agree."""
  said = run(
    *('reproduce', 'markov_mixture', '--preset=smoke', '--processes=2'),
    *(f'--workdir={tmp_path}', '--quiet'),
  )
  assert said.returncode == 0, said.stderr
  assert (tmp_path / 'report.html').exists()
  verdict = manifest.load_json(tmp_path / 'verdict.json')
  assert verdict['layout']['process_count'] == 2
  assert cli.main(['check', str(tmp_path)]) == 0
