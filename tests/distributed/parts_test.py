"""Rows of a sweep in the hands of several processes, and their parts on disk.

Without processes: what each of them would do is done here, one after another.
"""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jaxsynth.train.layout import Layout
from jaxsynth.trajectory import manifest, parts, store


@pytest.fixture
def as_process(monkeypatch):
  def be(index, count=1):
    monkeypatch.setattr(jax, 'process_index', lambda: index)
    monkeypatch.setattr(parts.peers, 'index', lambda: index)
    monkeypatch.setattr(parts.peers, 'wait', lambda name: None)

  return be


@pytest.mark.parametrize('runs', [1, 2, 3, 5, 6, 7, 16])
@pytest.mark.parametrize(
  ('processes', 'devices', 'rows'), [(1, 2, 1), (2, 1, 1), (3, 2, 1), (2, 2, 3)]
)
def test_every_run_is_held_once(as_process, runs, processes, devices, rows):
  all_devices = tuple(
    SimpleNamespace(process_index=p)
    for p in range(processes)
    for _ in range(devices)
  )
  layout = Layout('vmap', rows * len(all_devices), 1, all_devices)
  held, blocks = [], set()
  for p in range(processes):
    as_process(p)
    slots = layout.slots(runs)
    blocks.add((len(slots), *map(len, slots)))
    own = [i for block in slots for i in block if i < runs]
    assert own == list(layout.held(runs))
    assert layout.states(runs), 'something to fill the block with'
    assert set(layout.states(runs)) >= {
      min(i, runs - 1) for b in slots for i in b
    }
    held += own
  assert held == list(range(runs))
  ((count, *sizes),) = blocks
  assert count == -(-runs // layout.block)
  assert set(sizes) == {devices * rows}


@pytest.mark.parametrize('runs', [1, 3, 4, 6])
def test_of_processes_that_share_a_run_the_first_holds_it(as_process, runs):
  """Four processes of one device, two to a run: all start it, two write."""
  devices = tuple(SimpleNamespace(process_index=p) for p in range(4))
  layout = Layout('map', 2, 1, devices, data=2)
  held, states = [], []
  for p in range(4):
    as_process(p)
    held.append(list(layout.held(runs)))
    states.append(list(layout.states(runs)))
    assert [len(slots) for slots in layout.slots(runs)] == [1] * -(-runs // 2)
  assert held[1] == held[3] == []
  assert held[0] + held[2] == list(range(runs))
  assert states[0] == states[1] == held[0]
  assert states[2] == states[3]
  assert states[2] == (held[2] or [runs - 1])


ARRAYS = {
  'snapshots.w': np.arange(5 * 3 * 2, dtype=np.float32).reshape(5, 3, 2),
  'snapshots.flag': np.arange(15).reshape(5, 3) % 2 == 0,
  'scalars.loss': np.arange(20, dtype=np.float64).reshape(5, 4),
  'state.count': np.arange(5, dtype=np.int32),
  'state.key': np.arange(5, dtype=np.uint32),
}


def test_parts_read_as_one(as_process, tmp_path):
  """Runs 0-1, none, and 2-4: one array, one set of checksums, all files."""
  folder, attempt = tmp_path / '0000000000', 'abc'
  for p, runs in enumerate((range(2), range(2, 2), range(2, 5))):
    as_process(p)
    own = {n: a[runs.start : runs.stop] for n, a in ARRAYS.items()}
    part = parts._Parts(attempt, runs)
    part.write(folder, own)
  as_process(0)
  whole = part.whole(folder)
  part.staging(folder).rename(folder)
  manifest.commit(folder, whole, {'run_ids': list('abcde')})
  assert manifest.faults(folder) == []
  body = manifest.read(folder)
  one = tmp_path / 'one'
  store.save(one, ARRAYS)
  manifest.commit(one, ARRAYS, {'run_ids': list('abcde')})
  expected = manifest.read(one)
  assert body['arrays'] == expected['arrays']
  assert body['crc32'] == expected['crc32']
  got = store.load(folder, list(ARRAYS))
  for name, array in ARRAYS.items():
    assert got[name].dtype == array.dtype
    np.testing.assert_array_equal(got[name], array)
  some = store.load(folder, ['snapshots.w'], [4, 0, 1])['snapshots.w']
  np.testing.assert_array_equal(some, ARRAYS['snapshots.w'][[4, 0, 1]])
  bases, context = store.bases(folder), store.context()
  for name in ('snapshots.w', 'snapshots.flag', 'scalars.loss'):
    array = ARRAYS[name]
    lazy = store.array(bases, name, array.shape, array.dtype.name, context)
    for rows in (slice(1, 2), slice(None)):
      where = [np.array([4, 0, 1]), rows, *[slice(None)] * (array.ndim - 2)]
      lazy.prepare(where)
      got = lazy.start(where)()
      np.testing.assert_array_equal(got, array[[4, 0, 1]][:, rows])


def test_some_rows_of_a_part_are_a_range_of_its_bytes(as_process, tmp_path):
  as_process(0)
  part, name = parts._Parts('abc', range(2, 5)), 'snapshots.w'
  array = ARRAYS[name][2:]
  part.write(tmp_path / '0', {name: array})
  (base,) = store.bases(part.staging(tmp_path / '0'))
  one = store.Array(base, name, array.shape, 'float32', store.context())
  where = [slice(None), slice(2, 3), slice(None)]
  np.testing.assert_array_equal(one.start(where)(), array[:, 2:3])
  assert '_zarr' not in vars(one), 'no whole chunk was opened'


def test_a_flipped_bit_in_a_part_is_found(as_process, tmp_path):
  folder = tmp_path / '0000000000'
  as_process(0)
  part = parts._Parts('abc', range(5))
  part.write(folder, ARRAYS)
  whole = part.whole(folder)
  part.staging(folder).rename(folder)
  manifest.commit(folder, whole, {'run_ids': list('abcde')})
  path = max(folder.rglob('d/*'), key=lambda p: p.stat().st_size)
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)
  assert any(str(path) in fault for fault in manifest.faults(folder))
