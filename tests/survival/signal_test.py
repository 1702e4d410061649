"""SIGTERM and Ctrl-C: what is saved, how soon the process is gone, its words.

What is interrupted would take minutes, so what ends sooner left at once.
"""

import signal
import time

import pytest

SAVE = 'jaxsynth.trajectory.store:save'
SAVED = 'everything is saved: run the same command again to continue'


def started(path, pattern, seconds=300):
  """Waits until something below `path` matches `pattern`."""
  for _ in range(int(seconds / 0.01)):
    if list(path.glob(pattern)):
      return
    time.sleep(0.01)
  raise AssertionError(f'{pattern} never came')


def assert_leaves_at_once(command, code):
  began = time.monotonic()
  assert command.wait() == code, command.stderr
  assert time.monotonic() - began < 30


@pytest.mark.parametrize(
  'what', ['term', pytest.param('int', marks=pytest.mark.slow)]
)
def test_a_signal_between_calls_saves_and_exits_75(
  commands, assert_survived, disk, tmp_path, what
):
  """It comes as the third call begins, of steps 7 to 9."""
  fault = {'at': 'call', 'count': 5, 'do': what}
  stopped = commands.train(tmp_path, fault)
  assert stopped.wait() == 75, stopped.stderr
  assert stopped.said[0].endswith('Ctrl-C again leaves at once')
  step = int(stopped.said[1].split()[4].strip(','))
  assert stopped.said[1] == f'jaxsynth: stopped after step {step}, {SAVED}'
  assert step in (6, 9, 12), 'the call that had ended, was under way, or next'
  assert disk.leftovers(tmp_path) == []
  assert_survived(tmp_path)


@pytest.mark.slow
def test_stopped_at_every_start(commands, assert_survived, tmp_path):
  """A training that may make two calls a start gets to its end."""
  codes = []
  while len(codes) < 20 and 0 not in codes:
    attempt = commands.train(tmp_path, {'at': 'call', 'count': 3, 'do': 'term'})
    codes.append(attempt.wait())
    assert 'Traceback' not in attempt.stderr
  assert codes == [75] * (len(codes) - 1) + [0]
  assert len(codes) > 3
  assert_survived(tmp_path)


@pytest.mark.slow
def test_a_signal_before_the_first_call_leaves_at_once(commands, tmp_path):
  """As in the compiler, where Python takes no notice of signals."""
  long = {'at': 'jaxsynth.train.engine:build', 'do': 'compiled_for_long'}
  command = commands.train(tmp_path, long)
  started(tmp_path, 'stages/train/index.json')
  time.sleep(0.5)
  commands.signal(command, signal.SIGTERM)
  assert_leaves_at_once(command, 75)
  assert command.said == [
    'jaxsynth: stopped; what is finished is saved: run the same command again '
    'to continue'
  ]


def assert_second_ctrl_c_leaves(commands, workdir, fault):
  command = commands.train(workdir, fault)
  started(workdir, 'stages/train/segments/0000000000.json')
  time.sleep(0.5)  # what is long is under way
  commands.signal(command, signal.SIGINT)
  while not command.said:
    time.sleep(0.01)
  commands.signal(command, signal.SIGINT)
  assert_leaves_at_once(command, 130)
  noted, left = command.said
  assert noted.endswith('Ctrl-C again leaves at once')
  assert left.endswith('without saving: run the same command again to continue')


@pytest.mark.slow
@pytest.mark.parametrize(
  'fault',
  [
    {'at': 'call', 'count': 7, 'do': 'compiled_for_long'},
    {'at': SAVE, 'count': 4, 'do': 'sleep'},
  ],
  ids=['call', 'save'],
)
def test_a_second_ctrl_c_leaves_at_once(
  commands, assert_survived, tmp_path, fault
):
  """In the midst of a long call, or of a save that hangs."""
  assert_second_ctrl_c_leaves(commands, tmp_path, fault)
  assert_survived(tmp_path)
