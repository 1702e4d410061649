"""Going on although something on disk is damaged: what is lost is made again.

Each time the outcome equals, bit for bit, a training nothing happened to, and
what was damaged is still there, set aside.
"""

import shutil

import numpy as np
import pytest

from jaxsynth.train import loop
from jaxsynth.trajectory import check, manifest, saves, writer

SIZES = {'call_steps': 2, 'branches': (0, 9)}


def go(lab, folder, **options):
  sizes = lab.schedule(**SIZES)
  options = {'checkpoint_calls': 2, **options}
  return lab.go(folder, lab.specs(3), sizes=sizes, **options)


@pytest.fixture(scope='module')
def whole(lab, tmp_path_factory):
  """Contents, and a copy stopped after step 13."""
  base = tmp_path_factory.mktemp('fallback')
  expected = lab.contents(go(lab, base / 'whole'))
  seen = []
  with pytest.raises(loop.Stopped):
    go(
      lab, base / 'stopped', observe=seen.append,
      stopping=lambda: len(seen) and seen[-1].step >= 13,
    )  # fmt: skip
  return base, expected


@pytest.fixture
def stopped(whole, tmp_path):
  shutil.copytree(whole[0] / 'stopped', tmp_path / 'a')
  return tmp_path / 'a'


@pytest.fixture
def finished(whole, tmp_path):
  shutil.copytree(whole[0] / 'whole', tmp_path / 'a')
  return tmp_path / 'a'


def full_states(folder):
  kinds = ('checkpoints', 'branches')
  found = [p for kind in kinds for p in saves.committed(folder / kind)]
  return sorted(found, key=lambda p: int(p.name))


def flip(save):
  files = [p for p in save.rglob('*') if p.is_file()]
  path = max(files, key=lambda p: p.stat().st_size)
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)
  return path


def assert_whole(lab, traj, expected):
  got = lab.contents(traj)
  assert [lab.differing(got[r], expected[r]) for r in got] == [[]] * len(got)
  assert check.check(traj.folder).faults == []


@pytest.mark.parametrize('count', [1, 2, 99])
def test_damaged_checkpoints(lab, whole, stopped, count, capsys):
  """The one before is taken; without any, training starts from step 0."""
  states = full_states(stopped)
  assert [int(p.name) for p in states] == [0, 8, 9, 13]
  left = states[: max(0, len(states) - count)]
  bad = [flip(p) for p in states[-count:]]
  segments = {
    p: manifest.path_of(p).read_bytes()
    for p in saves.committed(stopped / 'segments')
  }
  events = []
  traj = go(lab, stopped, observe=events.append)
  assert events[0].first == (int(left[-1].name) if left else 0)
  said = capsys.readouterr().err
  for path in bad:
    assert str(path) in said
    assert list((stopped / 'damaged').rglob(path.name))
  assert_whole(lab, traj, whole[1])
  for path, text in segments.items():
    assert manifest.path_of(path).read_bytes() == text, 'compared, not written'


def lose_folder(segment):
  shutil.rmtree(segment)


def lose_manifest(segment):
  manifest.path_of(segment).unlink()


def lose_both(segment):
  lose_folder(segment)
  lose_manifest(segment)


def break_manifest(segment):
  path = manifest.path_of(segment)
  path.write_bytes(path.read_bytes()[:-9])


def truncate(segment):
  path = flip(segment)
  path.write_bytes(path.read_bytes()[:-1])


HARMS = [lose_folder, lose_manifest, lose_both, break_manifest, truncate]


@pytest.mark.parametrize('harm', HARMS)
@pytest.mark.parametrize('position', [0, 1, -1])
def test_a_hole_in_a_finished_history_is_filled(
  lab, whole, finished, harm, position
):
  segments = saves.committed(finished / 'segments')
  assert [int(p.name) for p in segments] == [0, 4, 8, 9, 13, 17]
  harm(segments[position])
  kept = {
    p: manifest.path_of(p).read_bytes()
    for p in segments
    if p != segments[position]
  }
  traj = go(lab, finished)
  assert_whole(lab, traj, whole[1])
  for path, text in kept.items():
    assert manifest.path_of(path).read_bytes() == text


def test_several_segments_lost(lab, whole, finished):
  for segment in saves.committed(finished / 'segments')[1:4]:
    lose_both(segment)
  assert_whole(lab, go(lab, finished), whole[1])


def test_stopped_in_a_hole_and_resumed(lab, whole, finished):
  lose_both(saves.committed(finished / 'segments')[1])
  for _ in range(3):
    with pytest.raises(loop.Stopped):
      go(lab, finished, stopping=lambda: True)
  assert_whole(lab, go(lab, finished), whole[1])


def test_a_flipped_segment_that_is_recomputed_is_replaced(
  lab, whole, stopped, capsys
):
  """Its sizes are right; recomputing it shows that its bytes are not."""
  for state in full_states(stopped)[1:]:
    flip(state)
  path = flip(stopped / 'segments' / '0000000004')
  assert_whole(lab, go(lab, stopped), whole[1])
  assert 'segments/0000000004 was damaged' in capsys.readouterr().err
  assert list((stopped / 'damaged').rglob(path.name))


def test_a_manifest_without_its_folder_is_not_trusted(lab, stopped):
  folder = stopped / 'segments' / '0000000004'
  with writer.Writer(stopped, lab.index(lab.specs(3))) as out:
    assert out.committed_stop(4) == 8
    shutil.rmtree(folder)
    assert out.committed_stop(4) is None
    assert out.next_start(4) == 8
    assert out.next_start(9) is None


def test_a_recomputation_that_differs_is_named(lab, stopped, forge):
  """Leaf, run and step; what is on disk stays."""
  for state in full_states(stopped):
    flip(state)

  def change(name, array):
    if name == 'snapshots.x':
      array[1, 0] = np.nextafter(array[1, 0], np.float32(9))
    return array

  segment = stopped / 'segments' / '0000000009'
  assert manifest.read(segment)['snapshot_steps'] == [10, 11]
  forge.rewrite(segment, change)
  before = {
    p: p.read_bytes() for p in (stopped / 'segments').rglob('*') if p.is_file()
  }
  with pytest.raises(writer.NonDeterminismError) as e:
    go(lab, stopped)
  text = f'differs: snapshots.x of run {lab.specs(3)[1].id} from step 10 on;'
  assert f'{segment}: recomputed, it {text}' in str(e.value)
  assert {p: p.read_bytes() for p in before} == before
