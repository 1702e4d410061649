"""The one writer of a folder: what it refuses, and that refusing is free."""

import json
import threading
import time

import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import manifest, queue, writer

INDEX = {
  'runs': [{'run_id': 'a'}, {'run_id': 'b'}],
  'config': {'train': {'steps': 5, 'snapshots': ['log:3']}},
  'layout': {'mode': 'map'},
}


def arrays(steps=5):
  snapshots = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
  return {'snapshots.w': snapshots, 'scalars.loss': np.ones((2, steps))}


def write(folder, some, snapshot_steps=(0, 5)):
  with writer.Writer(folder, INDEX) as out:
    out.segment(0, 5, list(snapshot_steps), [], some)


def listing(folder):
  return {
    p.relative_to(folder): (p.stat().st_mtime_ns, p.read_bytes())
    for p in folder.rglob('*')
    if p.is_file() and p.name != 'lock'
  }


def test_differences_are_named_by_path():
  new = {'a': {'b': [1, 2], 'c': 3}, 'd': 4}
  old = {'a': {'b': [1, 3], 'c': 3}, 'e': 5}
  assert writer.differences(old, new) == [
    'a.b: [1, 3] -> [1, 2]',
    'd: None -> 4',
    'e: 5 -> None',
  ]
  assert writer.differences(old, old) == []


def test_another_config_is_refused_and_nothing_changed(tmp_path):
  write(tmp_path / 'w', arrays())
  (tmp_path / 'w' / 'segments' / 'half').mkdir()
  before = listing(tmp_path / 'w')
  other = json.loads(json.dumps(INDEX))
  other['config']['train']['steps'] = 6
  with pytest.raises(UserError) as e:
    writer.Writer(tmp_path / 'w', other)
  assert 'config.train.steps: 5 -> 6' in str(e.value)
  assert '\n' not in str(e.value)
  assert listing(tmp_path / 'w') == before
  assert (tmp_path / 'w' / 'segments' / 'half').exists()
  write(tmp_path / 'w', arrays())  # the lock is free again


def test_an_allowed_difference_leaves_a_note(tmp_path):
  write(tmp_path / 'w', arrays())
  other = {**INDEX, 'layout': {'mode': 'vmap'}}
  with pytest.raises(UserError, match=r"layout.mode: 'map' -> 'vmap'"):
    writer.Writer(tmp_path / 'w', other)
  for _ in range(2):
    writer.Writer(tmp_path / 'w', other, allow=('layout',)).close()
  on_disk = indexes.read(tmp_path / 'w')
  note = ["layout.mode: 'map' -> 'vmap'"]
  assert on_disk == {**INDEX, 'resumed_under': [note]}
  write(tmp_path / 'w', arrays())  # the old layout goes on being accepted
  with pytest.raises(UserError, match=r'layout\.mode'):
    writer.Writer(tmp_path / 'w', other)


def test_a_second_writer_is_refused(tmp_path):
  with writer.Writer(tmp_path / 'w', INDEX):
    before = listing(tmp_path / 'w')
    with pytest.raises(UserError, match=r'is being written by process \d+'):
      writer.Writer(tmp_path / 'w', INDEX)
    assert listing(tmp_path / 'w') == before
  writer.Writer(tmp_path / 'w', INDEX).close()


@pytest.mark.parametrize('below', ['', 'deeper/still'])
def test_a_folder_that_cannot_be_made(tmp_path, below):
  (tmp_path / 'file').write_text('x')
  with pytest.raises(UserError, match='cannot write to'):
    writer.Writer(tmp_path / 'file' / below, INDEX)
  assert (tmp_path / 'file').read_text() == 'x'


def test_a_relative_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  write('w', arrays())
  assert manifest.faults(tmp_path / 'w' / 'segments' / '0000000000') == []


@pytest.mark.parametrize('kind', ['value', 'steps', 'missing', 'extra'])
def test_a_segment_is_never_written_over(tmp_path, kind):
  write(tmp_path / 'w', arrays())
  before = listing(tmp_path / 'w')
  write(tmp_path / 'w', arrays())  # the same again: fine, and nothing happens
  assert listing(tmp_path / 'w') == before
  other, steps = arrays(), (0, 5)
  if kind == 'value':
    other['snapshots.w'][1, 1, 2] = np.nextafter(np.float32(11), np.float32(12))
  elif kind == 'steps':
    steps = (0, 4)
  elif kind == 'missing':
    del other['scalars.loss']
  else:
    other['evals.x'] = np.ones((2, 1))
  with pytest.raises(writer.NonDeterminismError, match='0000000000'):
    write(tmp_path / 'w', other, steps)
  assert listing(tmp_path / 'w') == before


def test_full_states_come_back_by_run(tmp_path):
  state = {'w': np.arange(6.0).reshape(2, 3), 'n': np.asarray([4, 5])}
  with writer.Writer(tmp_path / 'w', INDEX) as out:
    assert out.latest(state) is None
    out.segment(0, 3, [0, 3], [], arrays(steps=3))
    out.checkpoint(3, state, keep=True)
    out.segment(3, 5, [4, 5], [], arrays(steps=2))
    out.checkpoint(5, {**state, 'n': state['n'] + 1}, keep=False)
    out.wait()
    step, got = out.latest(state)
    assert not out.finished(5)
    assert out.finished(3)
  assert step == 5
  np.testing.assert_array_equal(got['w'], state['w'])
  assert got['n'].tolist() == [5, 6]
  folder = tmp_path / 'w' / 'branches' / '0000000003'
  assert writer.load_state(folder, state, 1)['w'].tolist() == [3.0, 4.0, 5.0]


def flip(folder):
  """Changes a bit of the largest file of a save."""
  path = max(folder.rglob('*'), key=lambda p: p.is_file() and p.stat().st_size)
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)
  return path


def test_a_damaged_state_is_not_resumed_from(tmp_path, capsys):
  """It is named and set aside; the one before it is taken."""
  state = {'w': np.arange(600.0).reshape(2, 300)}
  folder = tmp_path / 'w'
  with writer.Writer(folder, INDEX) as out:
    out.segment(0, 3, [0, 3], [], arrays(steps=3))
    out.checkpoint(3, state, keep=False)
    out.segment(3, 5, [4, 5], [], arrays(steps=2))
    out.checkpoint(5, {'w': state['w'] + 1}, keep=True)
  assert out.finished(5)
  for name, left in (
    ('branches/0000000005', 3),
    ('checkpoints/0000000003', None),
  ):
    path = flip(folder / name)
    damaged = path.read_bytes()
    with writer.Writer(folder, INDEX) as out:
      found = out.latest(state)
      assert not out.finished(5)
    assert (found and found[0]) == left
    assert path.name in capsys.readouterr().err
    aside = folder / 'damaged' / name.replace('/', '-')
    assert damaged in [p.read_bytes() for p in aside.rglob(path.name)]
    assert manifest.path_of(aside).exists()


def test_a_save_that_fails_leaves_nothing_half_written(tmp_path, monkeypatch):
  """The room it took on a full disk is free again; what stood stays."""

  def half(folder, arrays):
    folder.mkdir()
    (folder / 'some').write_bytes(b'bytes')
    folder.with_name(f'{folder.name}.tmp-1').mkdir()
    raise OSError(28, 'No space left on device')

  state = {'w': np.ones((2, 3))}
  with writer.Writer(tmp_path / 'w', INDEX) as out:
    out.checkpoint(0, state, keep=True)
  monkeypatch.setattr(writer.store, 'save', half)
  with (
    pytest.raises(OSError, match='No space'),
    writer.Writer(tmp_path / 'w', INDEX) as out,
  ):
    out.checkpoint(5, state, keep=True)
  names = sorted(p.name for p in (tmp_path / 'w' / 'branches').iterdir())
  assert names == ['0000000000', '0000000000.json']


def test_nothing_is_saved_after_a_save_that_failed(tmp_path, monkeypatch):
  """A checkpoint without the segment before it would claim a history."""
  save = writer.store.save

  def full(folder, some):
    if folder.parent.name == 'segments':
      time.sleep(0.2)
      raise OSError('No space left on device')
    save(folder, some)

  monkeypatch.setattr(writer.store, 'save', full)
  with writer.Writer(tmp_path / 'w', INDEX) as out:
    out.segment(0, 5, [0, 5], [], arrays())
    out.checkpoint(5, {'w': np.ones(2)}, keep=True)  # queued behind it
    with pytest.raises(OSError, match='No space left'):
      out.wait()
    with pytest.raises(OSError, match='No space left'):
      out.checkpoint(6, {'w': np.ones(2)}, keep=False)
  for kind in ('segments', 'checkpoints', 'branches'):
    assert list((tmp_path / 'w' / kind).iterdir()) == []


@pytest.mark.parametrize(
  'limit', [{'QUEUE_BYTES': 3 * 800}, {'QUEUE_SAVES': 3}]
)
def test_waiting_saves_hold_bounded_memory(tmp_path, monkeypatch, limit):
  """Saves queue up to the limit, and one more has to wait."""
  gate, begun = threading.Event(), []

  def slow(folder, some):
    begun.append(folder)
    assert gate.wait(20)

  monkeypatch.setattr(writer.store, 'save', slow)
  monkeypatch.setattr(writer.manifest, 'commit', lambda *a: {'crc32': {}})
  for name, value in limit.items():
    monkeypatch.setattr(queue, name, value)
  state = {'w': np.ones((2, 50))}  # 800 bytes
  with writer.Writer(tmp_path / 'w', INDEX) as out:
    for step in (1, 2, 3):
      out.checkpoint(step, state, keep=True)  # returns at once
    threading.Timer(0.3, gate.set).start()
    assert len(begun) <= 1
    out.checkpoint(4, state, keep=True)  # waits for the first
    assert gate.is_set()
    if 'QUEUE_BYTES' in limit:
      big = {'w': np.ones((2, 5000))}
      out.checkpoint(5, big, keep=True)  # larger than the limit: alone
      assert len(out._queue._pending) == 1


def test_another_source_names_the_flag_that_continues(lab, tmp_path):
  runs = lab.specs(1)
  with writer.Writer(tmp_path / 't', lab.index(runs, source_digest='a')):
    pass
  changed = lab.index(runs, source_digest='b')
  with pytest.raises(UserError, match='--allow source_digest'):
    writer.Writer(tmp_path / 't', changed)
  with pytest.raises(UserError, match=r'another workdir$'):
    writer.Writer(tmp_path / 't', lab.index(lab.specs(2), source_digest='a'))
  with writer.Writer(tmp_path / 't', changed, allow=('source_digest',)):
    pass
