"""A training that was stopped or killed, and went on, equals one that was not.

Bit for bit, whatever was on disk when it ended.
"""

import random
import signal
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

from jaxsynth.train import loop
from jaxsynth.trajectory import manifest, writer

SIZES = {'call_steps': 2, 'branches': (9,)}


@pytest.fixture(scope='module', params=['map', 'vmap'])
def whole(request, lab, tmp_path_factory):
  """Layout, runs and contents of a training that nothing interrupted."""
  on = lab.layout(request.param, 2)
  runs, folder = lab.specs(3), tmp_path_factory.mktemp('resume') / 'whole'
  sizes = lab.schedule(**SIZES)
  traj = lab.go(folder, runs, on=on, sizes=sizes, checkpoint_calls=2)
  return on, runs, lab.contents(traj)


def again(lab, folder, on, runs, **options):
  """Starts, or goes on, with the schedule of `whole`."""
  options = {'checkpoint_calls': 2, **options}
  return lab.go(folder, runs, on=on, sizes=lab.schedule(**SIZES), **options)


def assert_same(lab, traj, expected):
  got = lab.contents(traj)
  assert list(got) == list(expected)
  assert [lab.differing(got[r], expected[r]) for r in got] == [[]] * len(got)
  for part in ('segments', 'checkpoints', 'branches'):
    for save in writer.committed(traj.folder / part):
      assert manifest.faults(save) == []


# What is on disk does not know the layout: these tests need only one.
in_map = pytest.mark.parametrize('whole', ['map'], indirect=True)


class CrashError(Exception):
  """What the tests throw into a training."""


@pytest.mark.parametrize('after', [0, 1, 4, 7])
def test_stopped_and_resumed(lab, whole, tmp_path, after):
  on, runs, expected = whole
  seen = []
  with pytest.raises(loop.Stopped) as stopped:
    again(
      lab, tmp_path / 'a', on, runs, observe=seen.append,
      stopping=lambda: len(seen) >= after,
    )  # fmt: skip
  assert seen[-1].step == stopped.value.step < 20
  later = []
  traj = again(lab, tmp_path / 'a', on, runs, observe=later.append)
  assert later[0].first == stopped.value.step, 'nothing is done twice'
  assert later[0].step == stopped.value.step + len(later[0].scalars['loss'][0])
  assert_same(lab, traj, expected)


def test_stopped_at_every_call(lab, whole, tmp_path):
  on, runs, expected = whole
  for _ in range(30):
    try:
      traj = again(lab, tmp_path / 'a', on, runs, stopping=lambda: True)
      break
    except loop.Stopped:
      pass
  assert_same(lab, traj, expected)


def crash_at(monkeypatch, name, count, before=True):
  """Makes a Writer method raise at its call number `count`."""
  original, calls = getattr(writer.Writer, name), []

  def crashing(self, *args):
    calls.append(args)
    if len(calls) == count and before:
      raise CrashError
    out = original(self, *args)
    if len(calls) == count:
      raise CrashError
    return out

  monkeypatch.setattr(writer.Writer, name, crashing)


@pytest.mark.parametrize(
  ('name', 'count', 'before'),
  [
    ('_segment', 1, True),
    ('_segment', 2, True),
    ('_checkpoint', 1, True),  # the segment stands, its checkpoint does not
    ('_checkpoint', 3, True),
    ('_checkpoint', 2, False),
  ],
)
def test_crash_while_saving(
  lab, whole, tmp_path, monkeypatch, name, count, before
):
  on, runs, expected = whole
  with monkeypatch.context() as patch:
    crash_at(patch, name, count, before)
    with pytest.raises(CrashError):
      again(lab, tmp_path / 'a', on, runs)
  segments = writer.committed(tmp_path / 'a' / 'segments')
  before = {p: manifest.path_of(p).read_bytes() for p in segments}
  traj = again(lab, tmp_path / 'a', on, runs)
  assert_same(lab, traj, expected)
  for path, text in before.items():
    assert manifest.path_of(path).read_bytes() == text, 'never written over'


@in_map
def test_stopped_while_recomputing_a_committed_segment(
  lab, whole, tmp_path, monkeypatch
):
  on, runs, expected = whole
  with monkeypatch.context() as patch:
    crash_at(patch, '_checkpoint', 1)
    with pytest.raises(CrashError):
      again(lab, tmp_path / 'a', on, runs)
  with pytest.raises(loop.Stopped) as stopped:
    again(lab, tmp_path / 'a', on, runs, stopping=lambda: True)
  assert stopped.value.step == 0
  assert_same(lab, again(lab, tmp_path / 'a', on, runs), expected)


@in_map
def test_crash_in_an_observer(lab, whole, tmp_path):
  on, runs, expected = whole

  def observe(event):
    if event.step >= 8:
      raise CrashError

  with pytest.raises(CrashError):
    again(lab, tmp_path / 'a', on, runs, observe=observe)
  assert_same(lab, again(lab, tmp_path / 'a', on, runs), expected)


@in_map
def test_half_written_saves_are_swept(lab, whole, tmp_path):
  on, runs, expected = whole
  with pytest.raises(loop.Stopped):
    again(lab, tmp_path / 'a', on, runs, stopping=lambda: True)
  left = [
    'segments/0000000002/state/0',
    'segments/0000000002.orbax-checkpoint-tmp/x',
    'checkpoints/0000000004/x',
    'branches/0000000009/x',
    'segments/0000000000.json.part',
  ]
  for name in left:
    path = tmp_path / 'a' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('half')
  assert_same(lab, again(lab, tmp_path / 'a', on, runs), expected)
  for name in left:
    text = tmp_path / 'a' / name
    assert not text.exists() or text.read_bytes() != b'half'


@in_map
def test_a_segment_that_comes_out_otherwise_is_reported(
  lab, whole, tmp_path, monkeypatch
):
  """After a crash, the last run starts two parts in 10^7 beside itself."""
  on, runs, _ = whole
  with monkeypatch.context() as patch:
    crash_at(patch, '_checkpoint', 1)
    with pytest.raises(CrashError):
      again(lab, tmp_path / 'a', on, runs)
  segment = writer.committed(tmp_path / 'a' / 'segments')[0]
  files = lambda: {
    p: p.read_bytes() for p in segment.parent.rglob('*') if p.is_file()
  }
  before = files()

  def init(run):
    state = lab.toy.init(run)
    last = run.seeds['data'] == runs[-1].seeds['data']
    return {**state, 'x': state['x'] * jnp.where(last, 1 + 2e-7, 1)}

  other = lab.toy._replace(init=init)
  with pytest.raises(writer.NonDeterminismError, match='snapshots') as e:
    again(lab, tmp_path / 'a', on, runs, program=other)
  assert str(segment) in str(e.value)
  assert files() == before
  assert writer.committed(tmp_path / 'a' / 'checkpoints') == []


@in_map
def test_a_finished_training_is_left_alone(lab, whole, tmp_path):
  on, runs, expected = whole
  again(lab, tmp_path / 'a', on, runs)
  files = lambda: {
    p: p.stat().st_mtime_ns
    for p in (tmp_path / 'a').rglob('*')
    if p.is_file() and p.name != 'lock'
  }
  before, seen = files(), []
  traj = again(lab, tmp_path / 'a', on, runs, observe=seen.append)
  assert seen == []
  assert files() == before
  assert_same(lab, traj, expected)


@in_map
def test_at_most_two_checkpoints_are_kept(lab, whole, tmp_path):
  on, runs, _ = whole
  traj = again(lab, tmp_path / 'a', on, runs, checkpoint_calls=1)
  names = lambda part: [
    int(p.name) for p in writer.committed(traj.folder / part)
  ]
  assert names('checkpoints') == [17, 19]
  assert names('branches') == [9, 20]
  assert len(names('segments')) == 11


CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
import conftest
def told(event):
  print(event.step, flush=True)
  time.sleep(0.05)
conftest.go(
  conftest.Path(sys.argv[2]), conftest.specs(3), on=conftest.layout('map', 2),
  sizes=conftest.schedule(call_steps=2, branches=(9,)), checkpoint_calls=2,
  observe=told,
)
"""


@in_map
def test_a_killed_process(lab, whole, tmp_path):
  """SIGKILL at a random moment; the moment is printed when this fails."""
  on, runs, expected = whole
  tests = Path(__file__).parents[1]
  seen, wait = random.randrange(1, 9), random.random() * 0.05
  print(f'killed after {seen} calls and {wait} s')
  command = [sys.executable, '-c', CHILD, str(tests), str(tmp_path / 'a')]
  child = subprocess.Popen(command, stdout=subprocess.PIPE)
  for _ in range(seen):
    assert child.stdout.readline()
  try:
    child.wait(wait)
  except subprocess.TimeoutExpired:
    child.send_signal(signal.SIGKILL)
  child.stdout.close()
  assert child.wait(30) == -signal.SIGKILL
  assert_same(lab, again(lab, tmp_path / 'a', on, runs), expected)


def test_segments_end_by_bytes_between_checkpoints(lab, tmp_path, monkeypatch):
  """Killed after segments no checkpoint follows, it recomputes and compares."""
  monkeypatch.setattr(loop, 'SEGMENT_BYTES', 1)
  runs, sizes = lab.specs(3), lab.schedule(snapshots=(0, 2, 7, 11, 14, 20))
  whole = lab.go(tmp_path / 'whole', runs, sizes=sizes)
  assert len(whole.segments) == len(sizes.calls) == 4
  assert writer.committed(tmp_path / 'whole' / 'checkpoints') == []

  class KilledError(Exception):
    pass

  def kill(event):
    if event.step >= 12:
      raise KilledError

  with pytest.raises(KilledError):
    lab.go(tmp_path / 'killed', runs, sizes=sizes, observe=kill)
  segments = tmp_path / 'killed' / 'segments'
  before = {p: p.stat().st_mtime_ns for p in writer.committed(segments)}
  assert 0 < len(before) < 4
  resumed = lab.go(tmp_path / 'killed', runs, sizes=sizes)
  assert all(p.stat().st_mtime_ns == t for p, t in before.items())
  one, two = lab.contents(whole), lab.contents(resumed)
  assert [lab.differing(one[run], two[run]) for run in one] == [[], [], []]
