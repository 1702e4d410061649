"""A workdir met again under another config, source or layout.

Refused with the difference and the flag that goes on, before anything is
changed; or forked into a folder of its own.
"""

import pytest

from jaxsynth.trajectory import check, manifest
from jaxsynth.trajectory.trajectory import Trajectory

SAVE = 'jaxsynth.trajectory.store:save'
PEAK_LR = '--config.optimizer.peak_lr=0.5'
STEPS = ['--config.train.steps=30', '--config.train.branches=(0,18,20)']
STEPS += ['--config.train.evals=(0,8,24,30)']


@pytest.fixture(scope='module')
def stopped(commands, tmp_path_factory):
  """A workdir whose training was killed after the checkpoint at step 18."""
  workdir = tmp_path_factory.mktemp('change') / 'run'
  kill = {'at': SAVE, 'count': 8, 'do': 'kill', 'when': 'after'}
  assert commands.train(workdir, kill).wait() == -9
  return workdir


def listing(folder):
  return {
    p: (p.stat().st_mtime_ns, p.read_bytes())
    for p in folder.rglob('*')
    if p.is_file() and p.name != 'lock'
  }


def refused(commands, workdir, more, program='toy'):
  """The one line a changed command gets; nothing on disk has changed."""
  before = listing(workdir)
  command = commands.train(workdir, more=more, program=program)
  assert command.wait() == 2, command.stderr
  assert listing(workdir) == before
  (line,) = command.said
  return line


def test_another_config(commands, stopped):
  line = refused(commands, stopped, [PEAK_LR])
  assert 'config.optimizer.peak_lr: 0.001 -> 0.5' in line
  assert line.endswith(
    'choose another workdir, or let `jaxsynth train` go on in a copy with '
    '--fork=NEWDIR'
  )


@pytest.mark.slow
def test_another_source_or_layout(commands, stopped, disk, tmp_path):
  """As a newer library or another machine would find it."""
  import shutil

  workdir = tmp_path / 'run'
  shutil.copytree(stopped, workdir)
  path = disk.trajectory(workdir) / 'index.json'
  index = manifest.load_json(path)
  now = index['source_digest']
  index['source_digest'], index['layout']['device_count'] = 'older', 7
  manifest.write_json(path, index)
  line = refused(commands, workdir, [])
  assert f"source_digest: 'older' -> '{now}'" in line
  assert 'layout.device_count: 7 -> 2' in line
  flags = ['--allow', 'layout', '--allow', 'source_digest']
  assert line.endswith(f'continue all the same with {" ".join(flags)}')
  done = commands.train(workdir, more=flags)
  assert done.wait() == 0, done.stderr
  noted = manifest.load_json(path)['resumed_under']
  assert len(noted[0]) == 2


@pytest.fixture(scope='module')
def forked(commands, stopped, tmp_path_factory):
  """A fork that trains for longer, and was itself killed once."""
  new = tmp_path_factory.mktemp('fork') / 'new'
  before = listing(stopped)
  more = [f'--fork={new}', *STEPS]
  kill = {'at': SAVE, 'count': 2, 'do': 'kill', 'when': 'during', 'delay': 0.01}
  assert commands.train(stopped, kill, more=more).wait() == -9
  done = commands.train(stopped, more=more)
  assert done.wait() == 0, done.stderr
  assert str(new) in done.out.read_text()
  assert listing(stopped) == before, 'the original is only read'
  return new / 'stages' / 'train'


def test_a_fork_equals_the_training_under_the_new_config(
  commands, forked, disk, tmp_path
):
  """Where a change of the config changes no step, nor does the fork."""
  done = commands.train(tmp_path, more=STEPS)
  assert done.wait() == 0, done.stderr
  fresh = disk.contents(disk.trajectory(tmp_path))
  found = disk.contents(forked)
  wrong = disk.differing(fresh, found)
  # Evaluations up to the fork are those of the original's plan.
  assert {n for n in wrong if not n.startswith('0000000018')} <= {
    'metric.probe', 'metric.at', 'eval_steps',
  }  # fmt: skip
  assert check.check(forked).faults == []


def test_what_a_fork_records(forked, stopped, disk):
  traj = Trajectory(forked)
  note = traj.index['forked_from']
  origin = disk.trajectory(stopped)
  assert (forked / note['trajectory']).resolve() == origin.resolve()
  assert note['step'] == 18
  assert note['config_hash'] == manifest.load_json(origin / 'index.json')[
    'config_hash'
  ]  # fmt: skip
  assert 'steps: 24 -> 30' in note['differences']
  assert traj.index['steps'] == 30
  assert traj.steps[-1] == 30


@pytest.mark.slow
def test_a_killed_copy_is_made_anew(commands, stopped, tmp_path):
  """The fork appears whole, or not at all."""
  kill = {'at': 'shutil:copytree', 'count': 3, 'do': 'kill'}
  more = [f'--fork={tmp_path / "new"}', *STEPS]
  assert commands.train(stopped, kill, more=more).wait() == -9
  assert not (tmp_path / 'new' / 'stages' / 'train').exists()
  done = commands.train(stopped, more=more)
  assert done.wait() == 0, done.stderr


@pytest.mark.parametrize(
  ('more', 'words'),
  [
    (['--config.train.call_steps=5'], 'add 18 to train.branches'),
    pytest.param(
      ['--config.sweep.seeds=2'], 'a fork keeps its runs',
      marks=pytest.mark.slow,
    ),
    pytest.param(
      ['--config.train.steps=12', '--config.train.branches=()',
       '--config.train.evals=()'],
      'has reached step 18', marks=pytest.mark.slow,
    ),
  ],
)  # fmt: skip
def test_what_cannot_be_forked(commands, stopped, tmp_path, more, words):
  line = refused(commands, stopped, [f'--fork={tmp_path / "new"}', *more])
  assert words in line
  assert not (tmp_path / 'new' / 'stages').exists()


@pytest.mark.slow
def test_nothing_to_fork(commands, tmp_path):
  nowhere = commands.train(
    tmp_path / 'nowhere', more=[f'--fork={tmp_path / "new"}']
  )
  assert nowhere.wait() == 2
  assert 'holds no trajectory to fork' in nowhere.said[0]
