"""The launcher of local processes, with processes that cost nothing."""

import signal
import subprocess
import sys
import time

import pytest

from jaxsynth import peers, spawn
from jaxsynth.errors import UserError

PATIENCE = 30


def run(*programs, timeout=PATIENCE):
  """`spawn.run` of Python programs, in a process of its own."""
  code = (
    'import sys; from jaxsynth import spawn\n'
    'spawn.GRACE_S = 0.5\n'
    'programs = sys.argv[1:]\n'
    'command = lambda i, at: [sys.executable, "-c", programs[i]]\n'
    'sys.exit(spawn.run(command, len(programs)))'
  )
  return subprocess.Popen(
    [sys.executable, '-c', code, *programs],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


ENDLESS = 'import time\nwhile True: time.sleep(1)'
SAY = 'import sys; print("out"); print("err", file=sys.stderr); '


@pytest.mark.parametrize(
  ('programs', 'code'),
  [
    ((SAY + 'sys.exit(0)', SAY + 'sys.exit(0)'), 0),
    ((SAY + 'sys.exit(75)', SAY + 'sys.exit(75)'), 75),
    ((SAY + 'sys.exit(2)', SAY + 'sys.exit(2)'), 2),
    ((SAY + 'sys.exit(1)', SAY + 'sys.exit(0)'), 1),
  ],
)
def test_only_process_0_speaks(programs, code):
  process = run(*programs)
  out, err = process.communicate(timeout=PATIENCE)
  assert (process.returncode, out, err) == (code, 'out\n', 'err\n')


@pytest.mark.parametrize(
  ('last', 'code', 'says'),
  [
    ('import os; os.kill(os.getpid(), 9)', 75, 'run the same command again'),
    ('import sys; sys.exit(1)', 1, 'did not end within'),
    ('import os; os._exit(70)', 1, 'process 1 ended with 70'),
    ('import os; os.abort()', 1, 'process 1 ended with -6'),
    (SAY + 'sys.exit(70)', 1, '[1] err'),
    ('pass', 1, 'did not end within'),
  ],
)
def test_the_rest_is_ended(last, code, says):
  """An endless process 0 is killed: at once, or when its grace is over."""
  began = time.monotonic()
  process = run(ENDLESS, last)
  _, err = process.communicate(timeout=PATIENCE)
  assert time.monotonic() - began < 10
  assert process.returncode == code
  assert says in err


def test_signals_reach_every_process(tmp_path):
  noted = (
    'import signal, sys, time\n'
    f'path = {str(tmp_path)!r} + "/%d"\n'
    'def note(*a): open(path, "w").close(); sys.exit(75)\n'
    'signal.signal(signal.SIGTERM, note)\n'
    'open(path + ".ready", "w").close()\n'
    'while True: time.sleep(0.05)'
  )
  process = run(*(noted % (i,) for i in range(3)))
  deadline = time.monotonic() + PATIENCE
  while len(list(tmp_path.iterdir())) < 3:
    assert time.monotonic() < deadline
    time.sleep(0.05)
  process.send_signal(signal.SIGINT)
  process.communicate(timeout=PATIENCE)
  assert process.returncode == 75
  assert {p.name for p in tmp_path.iterdir()} >= {'0', '1', '2'}


@pytest.mark.parametrize(
  ('codes', 'expected'),
  [
    ((0, 0), 0),
    ((75, 75), 75),
    ((0, 2), 2),
    ((-6, -9), 75),
    ((-15, 70), 75),
    ((76, -6), 75),
    ((-6, 0), 1),
    ((70,), 1),
    ((1, 0), 1),
  ],
)
def test_merged(codes, expected):
  assert spawn.merged(codes) == expected


@pytest.mark.parametrize(
  ('options', 'says'),
  [
    ({'coordinator': 'a:1'}, 'go together'),
    ({'process_id': 0, 'process_count': 2}, 'go together'),
    (
      {'coordinator': 'a:1', 'process_id': 2, 'process_count': 2},
      'from 0 to 1, got 2',
    ),
    ({'coordinator': 'a', 'process_id': 0, 'process_count': 2}, 'HOST:PORT'),
    ({'patience': 0}, '--patience is a number of seconds, got 0'),
    ({'heartbeat': -1}, '--heartbeat is a number of seconds, got -1'),
    (
      {
        'coordinator': 'a:1', 'process_id': 0, 'process_count': 2,
        'detect': True,
      },
      'leave out',
    ),
  ],
)  # fmt: skip
def test_refused(options, says):
  with pytest.raises(UserError, match=says):
    peers.Cluster(**options)
