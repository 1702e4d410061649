"""A workdir met again under another config, source or layout.

Refused with the difference and, where there is one, the flag that goes on,
before anything is changed.
"""

import shutil

import pytest

from jaxsynth.trajectory import check
from jaxsynth.trajectory import index as indexes

SAVE = 'jaxsynth.trajectory.store:save'
PEAK_LR = '--config.optimizer.peak_lr=0.5'


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


@pytest.mark.slow
def test_another_config(commands, stopped):
  line = refused(commands, stopped, [PEAK_LR])
  assert 'config.optimizer.peak_lr: 0.001 -> 0.5' in line
  assert line.endswith('choose another workdir')


@pytest.mark.slow
def test_another_source_or_layout(commands, stopped, disk, tmp_path):
  """As a newer library or another machine would find it."""
  workdir = tmp_path / 'run'
  shutil.copytree(stopped, workdir)
  folder = disk.trajectory(workdir)
  index = indexes.read(folder)
  now = index['source_digest']
  index['source_digest'], index['layout']['runs_per_device'] = 'older', 7
  indexes.write(folder, index)
  line = refused(commands, workdir, [])
  assert f"source_digest: 'older' -> '{now}'" in line
  assert 'layout.runs_per_device: 7 -> 1' in line
  flags = ['--allow', 'layout', '--allow', 'source_digest']
  assert line.endswith(f'continue all the same with {" ".join(flags)}')
  done = commands.train(workdir, more=flags)
  assert done.wait() == 0, done.stderr
  noted = indexes.read(folder)['resumed_under']
  assert len(noted[0]) == 2
  assert check.check(folder).faults == []
