"""Growing a trajectory from the command line, with a real model."""

import os
import re
import shutil

import pytest
import xarray as xr

from jaxsynth import cli, launch, stage
from jaxsynth.grow import source
from jaxsynth.trajectory import index

TRAIN = (
  'train',
  '--config=markov_mixture:smoke',
  '--config.train.steps=6',
  '--config.train.call_steps=3',
  '--config.train.snapshots=every:2',
  '--config.train.evals=every:2',
  '--config.train.branches=(2,)',
  '--config.sweep.seeds=2',
  '--config.task.aligned_reps=0',
  '--quiet',
)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('grow') / 'run'
  assert cli.main([*TRAIN, f'--workdir={workdir}']) == 0
  return workdir


def test_zoom_then_check_and_analyze(trained, capsys):
  command = ['zoom', str(trained), '--run=1', '--steps=3:5', '--quiet']
  assert cli.main(command) == 0
  captured = capsys.readouterr()
  assert '1 of 1 shared snapshots match' in captured.out
  assert 'from the full state at step 2 to step 5' in captured.err
  assert cli.main(command) == 0  # finished: only proved again
  (zoom,) = (trained / 'zooms').iterdir()
  traj = stage.open_trajectory(zoom)
  assert traj.steps.tolist() == [3, 4, 5]
  whole = stage.open_trajectory(traj.origin.folder)
  assert traj.runs.run_id[0] == whole.runs.run_id[1]
  capsys.readouterr()
  assert cli.main(['check', str(trained)]) == 0
  assert capsys.readouterr().out.count('0 faults') == 2
  assert source.one_in(trained) == traj.origin.folder


@pytest.mark.slow
def test_zoom_exits_1_where_it_was_not_the_same_training(
  trained, tmp_path, capsys
):
  """A source whose snapshots were trained by something else."""
  copy = tmp_path / 'copy'
  shutil.copytree(trained / 'stages', copy / 'stages')
  folder = source.one_in(copy)
  body = index.read(folder)
  for run in body['runs']:
    run['seeds']['data'] += 1
  index.write(folder, body)
  command = ['zoom', str(copy), '--run=0', '--steps=3:5', '--quiet']
  assert cli.main(command) == launch.EXIT_FAILED
  out = capsys.readouterr().out
  assert '0 of 1 shared snapshots match' in out
  assert 'differs at step 4' in out


@pytest.mark.slow
def test_extend_and_add_seeds_and_export(trained, tmp_path, capsys):
  work = tmp_path / 'work'
  shutil.copytree(trained / 'stages', work / 'stages')
  quiet = ['--quiet']
  assert cli.main(['extend', str(work), '--steps=8', *quiet]) == 0
  assert 'up to step 8' in capsys.readouterr().out
  assert cli.main(['add-seeds', str(work), '--seeds=2:4', *quiet]) == 0
  runs = len(stage.open_trajectory(trained / 'stages' / 'train').runs)
  assert f'{2 * runs} runs, 5 snapshots' in capsys.readouterr().out
  out = tmp_path / 'out.zarr'
  command = ['export', str(work), '--to=zarr', f'--output={out}', *quiet]
  assert cli.main([*command, f'--runs=0,{2 * runs - 1}', '--steps=0,8']) == 0
  data = xr.open_zarr(out)
  assert data.step.values.tolist() == [0, 8]
  assert data.seed_init.values.tolist() == [0, 3]
  assert cli.main(command) == 2  # nothing is overwritten
  assert 'choose another --output' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('command', 'expected'),
  [
    ('zoom W --run=9 --steps=3:5', r"no run '9': name one of 0..\d"),
    ('zoom W --run=0 --steps=3:99', 'the training has steps 0..6'),
    ('zoom W --run=0 --steps=9:3', 'FIRST:LAST'),
    ('zoom W --run=0 --steps=3:5 --config.a=1', 'takes no --config'),
    ('zoom W/nowhere --run=0 --steps=3:5', 'no folder'),
    ('zoom W --run=0 --steps=3:5 --processes=2', 'leave out --processes'),
    ('extend W --steps=9 --fork=W/f --coordinator=a:1', 'one process forks'),
    ('extend W --steps=9 --process_id=1', 'go together'),
    ('export W --to=zarr --output=W/o --distributed', 'one process does'),
    ('extend W --steps=6', 'the new length'),
    ('extend W --steps=8 --snapshots=evry:2', 'plan'),
    ('add-seeds W --seeds=1:3', r'already \(seeds 1\)'),
    ('add-seeds W', '--seeds=8:16'),
    ('add-seeds W --config.optimizer.b1=0.5', 'another training'),
    ('export W --to=zarr --output=W/o --steps=1', 'no snapshot at step 1'),
    ('export W --to=zar --output=W/o', "did you mean 'zarr'"),
  ],
)
def test_mistakes_are_one_line_and_change_nothing(
  trained, capsys, command, expected
):
  before = sorted(p for p in trained.rglob('*'))
  argv = command.replace('W', str(trained)).split()
  assert cli.main(argv) == 2
  err = capsys.readouterr().err
  assert re.search(expected, err), err
  assert err.count('\n') == 1
  assert sorted(p for p in trained.rglob('*')) == before


def test_a_workdir_of_several_must_be_named(trained, tmp_path, capsys):
  for name in ('a', 'b'):
    shutil.copytree(trained / 'stages' / 'train', tmp_path / 'stages' / name)
  command = ['zoom', str(tmp_path), '--run=0', '--steps=3:5']
  assert cli.main(command) == 2
  err = capsys.readouterr().err
  assert os.path.join('stages', 'a') in err
  assert os.path.join('stages', 'b') in err
