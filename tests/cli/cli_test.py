"""The command line as a user meets it: what works, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxsynth import cli, launch
from jaxsynth.errors import UserError

# The smallest training there is, as config overrides.
TINY = (
  '--config.train.steps=4',
  '--config.train.call_steps=2',
  '--config.sweep.seeds=1',
  '--config.task.aligned_reps=0',
  '--quiet',
)


def train(workdir, *more):
  return cli.main(
    [
      'train',
      '--config=markov_mixture:smoke',
      f'--workdir={workdir}',
      *TINY,
      *more,
    ]
  )


def test_help_teaches_by_example(capsys):
  for name in cli._COMMANDS:
    with pytest.raises(SystemExit) as stop:
      cli.main([name, '--help'])
    assert stop.value.code == 0
    assert f'jaxsynth {name}' in capsys.readouterr().out.split('examples:')[1]


def test_list_json(capsys):
  assert cli.main(['list', '--json']) == 0
  found = json.loads(capsys.readouterr().out)
  assert 'markov_mixture' in found['studies']
  assert 'markov_mixture' in found['tasks']
  assert 'transformer' in found['models']
  assert 'attention.model_scores' in found['analyses']


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('cli') / 'run'
  assert train(workdir, '--tensorboard') == 0
  return workdir


def test_tensorboard_shows_losses_of_every_run(trained):
  (events,) = (trained / 'tensorboard' / 'train').glob('events.*')
  data = events.read_bytes()
  for tag in (
    b'train/loss/median',
    b'train/loss/run_1',
    b'eval/fresh/loss/max',
  ):
    assert tag in data


def test_train_check_and_continue(trained, capsys):
  assert cli.main(['check', str(trained)]) == 0
  out = capsys.readouterr().out
  assert '2 runs' in out
  assert '0 faults' in out
  before = {p: p.stat().st_mtime_ns for p in trained.rglob('*/state/d/*')}
  assert train(trained) == 0  # nothing left to do, nothing rewritten
  assert before == {p: p.stat().st_mtime_ns for p in before}


def test_check_names_a_flipped_bit(trained, tmp_path, capsys):
  import shutil

  copy = tmp_path / 'copy'
  shutil.copytree(trained, copy)
  victim = max(
    (p for p in copy.rglob('segments/*/state/**/d/*')),
    key=lambda p: p.stat().st_size,
  )
  data = bytearray(victim.read_bytes())
  data[len(data) // 2] ^= 1
  victim.write_bytes(bytes(data))
  assert cli.main(['check', str(copy)]) == 1
  assert victim.name in capsys.readouterr().out


def test_analyze_writes_netcdf(trained, tmp_path, capsys):
  import xarray as xr

  out = tmp_path / 'scores.nc'
  command = ['analyze', str(trained), '--analysis=attention.model_scores']
  command += ['--with', 'split=fresh', f'--output={out}']
  assert cli.main(command) == 0
  data = xr.load_dataset(out)
  assert data['previous_token'].dims[:2] == ('run', 'step')
  assert np.isfinite(data['entropy']).all()
  assert cli.main(command) == 2  # nothing is overwritten
  assert 'choose another' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('argv', 'expected'),
  [
    (['reproduce', 'markov_mixtur'], "did you mean 'markov_mixture'"),
    (['reproduce', 'markov_mixture', '--preset=quik'], "'quick'"),
    (['train', '--config=markov_mixtur'], "did you mean 'markov_mixture'"),
    (['train', '--config=nowhere/config.py'], 'no file nowhere/config.py'),
    (['train', '--config.optimizer.peak_l=1'], "'optimizer.peak_lr'"),
    (['train', '--config.optimiser.peak_lr=1'], "'optimizer'"),
    (['train', '--config.task.name=markov'], "'markov_mixture'"),
    (['train', '--config.model.name=transfomer'], "'transformer'"),
    (['train', '--config.model.num_heads=5'], 'num_heads'),
    (['train', '--config.task.seq_len=500'], 'max_len'),
    (['train', '--config.train.steps=many'], 'must be int'),
    (['train', '--config.train.snapshots=(0,99999)'], '99999'),
    (['train', '--config.train.snapshots=evry:3'], "'every:N'"),
    (['train', '--seeds=some'], '--seeds is a count'),
    (['train', '--sedes=3'], "'--seeds'"),
    (
      ['train', '--config.sweep.traced.model.d_model=(8,16)'],
      'sweep.static',
    ),
    (
      ['train', '--config.sweep.traced.task.num_chains=(2,99)'],
      'num_chains',
    ),
    (['check', 'nowhere'], 'nowhere'),
    (['report', 'nowhere'], 'nowhere'),
  ],
)
def test_mistakes_are_one_line_within_seconds(
  argv, expected, capsys, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  if argv[0] == 'train':
    if not any(a.startswith('--config=') for a in argv):
      argv = [*argv, '--config=markov_mixture:smoke']
    argv = [*argv, '--workdir=run']
  began = time.monotonic()
  assert cli.main(argv) == 2
  assert time.monotonic() - began < 5
  err = capsys.readouterr().err
  assert expected in err
  assert len(err.strip().split('\n')) == 1
  assert not (tmp_path / 'run').exists()


def test_unknown_analysis(trained, capsys):
  assert cli.main(['analyze', str(trained), '--analysis=attention.scors']) == 2
  assert 'attention.model_scores' in capsys.readouterr().err


def test_another_config_in_the_workdir_is_refused(trained, capsys):
  index = next(trained.rglob('index.json')).read_bytes()
  assert train(trained, '--config.optimizer.peak_lr=0.5') == 2
  err = capsys.readouterr().err
  assert 'config.optimizer.peak_lr: 0.001 -> 0.5' in err
  assert next(trained.rglob('index.json')).read_bytes() == index


def test_workdir_that_is_a_file_is_refused(tmp_path, capsys):
  (tmp_path / 'file').write_text('mine')
  assert train(tmp_path / 'file' / 'run') == 2
  assert 'cannot write' in capsys.readouterr().err
  assert (tmp_path / 'file').read_text() == 'mine'


def test_static_axes_are_groups_announced(tmp_path, capsys):
  assert (
    train(tmp_path / 'w', '--config.sweep.static.model.d_model=(8,16)') == 0
  )
  assert '4 runs in 2 groups' in capsys.readouterr().err
  folders = {p.parent.name for p in (tmp_path / 'w').rglob('index.json')}
  assert folders == {'d_model=8', 'd_model=16'}


def test_seed_overrides():
  assert launch.seed_overrides('8') == ['sweep.seeds=8']
  assert launch.seed_overrides('0,5') == ['sweep.seeds=(0, 5)']
  assert launch.seed_overrides('10:12') == [
    'sweep.seeds=2',
    'sweep.first_seed=10',
  ]
  with pytest.raises(UserError, match='--seeds'):
    launch.seed_overrides('a:b')


def test_plan_before_anything_starts(capsys, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  command = ['plan', '--config=markov_mixture:smoke', '--json']
  assert cli.main([*command, '--seeds=3']) == 0
  plan = json.loads(capsys.readouterr().out)
  assert plan['compiles'] == 1
  group = plan['groups']['']
  assert group['runs'] == 6  # 3 seeds x 2 sizes
  assert group['disk_bytes'] == group['parameters'] * 4 * 6 * group['snapshots']
  assert list(tmp_path.iterdir()) == []


def test_sigterm_saves_and_asks_to_be_restarted(tmp_path):
  """SIGTERM leaves a checkpoint, exit code 75, and how to continue."""
  workdir = tmp_path / 'run'
  command = [sys.executable, '-m', 'jaxsynth.cli', 'train', *TINY[1:]]
  command += ['--config=markov_mixture:smoke', f'--workdir={workdir}']
  process = subprocess.Popen(
    [*command, '--config.train.steps=100000'],
    stderr=subprocess.PIPE,
    text=True,
  )
  committed = workdir / 'stages' / 'train' / 'segments'
  for _ in range(600):
    if list(committed.glob('*.json')) or process.poll() is not None:
      break
    time.sleep(0.1)
  process.send_signal(signal.SIGTERM)
  _, err = process.communicate(timeout=60)
  assert process.returncode == 75, err
  assert 'run the same command again' in err
  assert cli.main(['check', str(workdir)]) == 0
  checkpoints = (committed.parent / 'checkpoints').glob('*.json')
  assert max(int(p.stem) for p in checkpoints) > 0


def test_absl_entry_is_the_same_training(trained, tmp_path):
  """The absl entry point leaves the same bytes as `jaxsynth train`."""
  command = [sys.executable, '-m', 'jaxsynth.experiments.train']
  command += ['--config=markov_mixture:smoke', f'--workdir={tmp_path / "run"}']
  command += [item for item in TINY if item != '--quiet']
  done = subprocess.run(
    command, cwd=tmp_path, env=os.environ, capture_output=True, text=True,
    check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  crc = []
  for workdir in (trained, tmp_path / 'run'):
    manifest = next(workdir.rglob('segments/*.json'))
    crc.append(json.loads(manifest.read_text())['crc32'])
  assert crc[0] == crc[1]
  wrong = subprocess.run(
    [*command, '--config.train.stps=3'],
    cwd=tmp_path, capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert wrong.returncode == 2
  assert "did you mean 'train.steps'" in wrong.stderr
