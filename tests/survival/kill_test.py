"""A training killed with SIGKILL, wherever it was, goes on as if it had not.

Everything the continued training leaves equals, bit for bit, what one that
nobody touched left.
"""

import random
import signal
import time

import pytest

SAVE = 'jaxsynth.trajectory.store:save'
COMMIT = 'jaxsynth.trajectory.manifest:commit'
JSON = 'jaxsynth.trajectory.manifest:write_json'
DROP = 'shutil:rmtree'
KILLED = -9

# The saves are, in order: branch point 0, segment 0, checkpoint 6, segment 6,
# checkpoint 12, segment 12, checkpoint 18, segment 18, branch point 20,
# segment 20, branch point 24.
POINTS = {
  'compiling': ('call', 1, 'during', 0.02),
  'training': ('call', 6, 'during', 0.001),
  'index not written': (JSON, 1, 'before', 0),
  'index copied, not written': (JSON, 2, 'before', 0),
  'first save': (SAVE, 1, 'during', 0.01),
  'mid-segment': (SAVE, 4, 'during', 0.01),
  'segment saved, no manifest': (SAVE, 2, 'after', 0),
  'segment committed, no checkpoint': (COMMIT, 4, 'after', 0),
  'mid-checkpoint': (SAVE, 3, 'during', 0.01),
  'old checkpoint half deleted': (DROP, 1, 'before', 0),
  'last save without manifest': (COMMIT, 11, 'before', 0),
}
DEFAULT = ('training', 'segment saved, no manifest')


def fault(at, count, when, delay):
  return {'at': at, 'count': count, 'do': 'kill', 'when': when, 'delay': delay}


@pytest.mark.parametrize(
  'where',
  [
    w if w in DEFAULT else pytest.param(w, marks=pytest.mark.slow)
    for w in POINTS
  ],
)
def test_killed_at(commands, assert_survived, tmp_path, where):
  killed = commands.train(tmp_path, fault(*POINTS[where]))
  assert killed.wait() == KILLED, killed.stderr
  assert_survived(tmp_path)


@pytest.mark.slow
def test_killed_in_an_evaluation(commands, assert_survived, tmp_path):
  call = fault('call', 3, 'during', 0.02)
  killed = commands.train(tmp_path, call, program='slow_evaluate')
  assert killed.wait() == KILLED
  assert_survived(tmp_path, 'slow_evaluate')


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(10))
def test_killed_at_a_random_moment(commands, assert_survived, tmp_path, seed):
  """Anywhere between the start of the command and the end of its training."""
  moment = random.Random(seed).random() * 1.6
  killed = commands.train(tmp_path, program='slow_evaluate')
  time.sleep(moment)
  commands.signal(killed, signal.SIGKILL)
  print(f'killed {moment:.3f} s after the start')
  assert killed.wait() in (KILLED, 0)
  assert_survived(tmp_path, 'slow_evaluate')


@pytest.mark.slow
def test_killed_again_and_again(commands, assert_survived, tmp_path):
  """Each attempt dies in its second save, until none is left to make."""
  for _ in range(20):
    attempt = commands.train(tmp_path, fault(SAVE, 2, 'during', 0.002))
    if attempt.wait() == 0:
      break
    assert attempt.wait() == KILLED
  assert_survived(tmp_path)


@pytest.mark.slow
def test_what_killed_saves_leave_is_cleared(
  commands, assert_survived, disk, tmp_path
):
  """Temporary folders, half manifests, and saves that have none."""
  saved = fault(SAVE, 4, 'after', 0)  # a whole segment without its manifest
  assert commands.train(tmp_path, saved).wait() == KILLED
  folder = disk.trajectory(tmp_path)
  assert (folder / 'segments' / '0000000006').is_dir()
  for name in (
    'segments/0000000012.orbax-checkpoint-tmp/state/d/x',
    'segments/0000000012.json.part',
    'checkpoints/0000000012/state/d/x',
    'branches/0000000020.orbax-checkpoint-tmp/x',
    'branches/0000000020.part',
    'index.json.part',
    'indexes/0123.json.part',
  ):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text('{"half":')
  assert len(disk.leftovers(folder)) > 5
  assert_survived(tmp_path)
