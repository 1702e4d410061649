"""What the tests of several processes share: they start some, and compare.

Each test starts processes of its own and waits for them no longer than
PATIENCE seconds. What one process makes of the same config, in this one, is
what they are compared with.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxsynth import build, spawn, stage
from jaxsynth.trajectory import check, writer

PATIENCE = 150
CHILD = Path(__file__).with_name('child.py')


def train(lab, config, folder, **options):
  """Trains the toy in this process."""
  options = {'program': lab.toy, **options}
  return stage.train(build.build(config), folder, quiet=True, **options)


def team(folder, config, count=2, devices=1, **options):
  """Runs `count` processes; returns their exit codes and what they said."""
  options |= {
    'count': count,
    'devices': devices,
    'config': config,
    'folder': str(folder),
    'coordinator': f'127.0.0.1:{spawn.free_port()}',
  }
  processes = [
    subprocess.Popen(
      [sys.executable, CHILD, json.dumps({**options, 'id': i})],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for i in range(count)
  ]
  deadline = time.monotonic() + PATIENCE
  try:
    said = [
      p.communicate(timeout=deadline - time.monotonic())[0] for p in processes
    ]
  finally:
    for p in processes:
      p.kill()
  return [p.returncode for p in processes], said


def assert_same(lab, folder, alone):
  """Every bit of every run, and files that are as they were written."""
  traj = stage.open_trajectory(folder)
  got, expected = lab.contents(traj), lab.contents(alone)
  assert list(got) == list(expected)
  assert [lab.differing(got[r], expected[r]) for r in got] == [[]] * len(got)
  assert check.check(folder).faults == []


LAUNCHER = """
import json, sys
from jaxsynth import spawn
options, child = json.loads(sys.argv[1]), sys.argv[2]
def command(i, at):
  own = options | dict(id=i, coordinator=at)
  return [sys.executable, child, json.dumps(own)]
sys.exit(spawn.run(command, options['count']))
"""


def launched(folder, config, **options):
  """A launcher of two processes that take their time."""
  options |= {
    'count': 2,
    'devices': 1,
    'config': config,
    'folder': str(folder),
  }
  return subprocess.Popen(
    [sys.executable, '-c', LAUNCHER, json.dumps(options), CHILD],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


needs_proc = pytest.mark.skipif(
  not Path('/proc/self/task').exists(), reason='finds children in /proc'
)


def children(process):
  """The processes the launcher started, in order."""
  path = Path(f'/proc/{process.pid}/task/{process.pid}/children')
  return [int(pid) for pid in path.read_text().split()]


def under_way(folder, process):
  """Waits for the first checkpoint."""
  deadline = time.monotonic() + PATIENCE
  while not writer.committed(folder / 'first' / 'checkpoints'):
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < deadline
    time.sleep(0.02)
