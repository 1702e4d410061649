"""Saves come back bit for bit, and damage to one is reported by name."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.trajectory import manifest, store
from jaxsynth.trajectory.writer import load_state

DTYPES = (
  'float32',
  'float16',
  'bfloat16',
  'float64',
  'int8',
  'int32',
  'int64',
  'uint8',
  'uint32',
  'bool',
  'complex64',
)


def some(dtype, shape, seed=0):
  """Arbitrary bits of a dtype: NaNs, denormals and all."""
  dtype = jnp.dtype(dtype)
  raw = np.random.default_rng(seed).bytes(int(np.prod(shape)) * dtype.itemsize)
  flat = np.frombuffer(raw, np.uint8)
  return ((flat & 1) if dtype.kind == 'b' else flat).view(dtype).reshape(shape)


def same(a, b):
  return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  folder = tmp_path_factory.mktemp('store') / 'save'
  arrays = {f'x.{d}': some(d, (3, 2, 5)) for d in DTYPES}
  arrays |= {'vector': some('float32', (3,))}
  arrays |= {'long': np.arange(6e3).reshape(3, 2000)}  # compressible
  store.save(folder, arrays)
  manifest.commit(folder, arrays, {'step': 4, 'run_ids': ['a', 'b', 'c']})
  return folder, arrays


@pytest.fixture
def copy(saved, tmp_path):
  folder = tmp_path / 'save'
  shutil.copytree(saved[0], folder)
  shutil.copy(manifest.path_of(saved[0]), manifest.path_of(folder))
  return folder


def test_round_trip_is_bitwise(saved):
  folder, arrays = saved
  got = store.load(folder, list(arrays))
  assert [n for n in arrays if not same(got[n], arrays[n])] == []


def test_lazy_rows_and_concatenation(saved):
  folder, arrays = saved
  full = arrays['x.float32']
  lazy = store.open_array(folder, 'x.float32')
  assert same(lazy[1].read().result(), full[1])
  assert same(store.load(folder, ['x.int8'], [2, 0])['x.int8'],
              arrays['x.int8'][[2, 0]])  # fmt: skip
  array = store.array(
    store.bases(folder), 'x.float32', (3, 2, 5), 'float32', store.context()
  )
  both = store.concat([array, array], 1)
  twice = np.concatenate([full, full], 1)
  assert same(both.read([2, slice(1, 3), slice(None)]), twice[2, 1:3])


def test_one_run_is_one_contiguous_piece_of_a_file(saved):
  """One uncompressed chunk: the bytes of a run stand in a file as they are.

  Values below about a kilobyte are no chunks of their own: OCDBT keeps them in
  its index, which it compresses.
  """
  folder, arrays = saved
  chunk = store.open_array(folder, 'long').chunk_layout.read_chunk.shape
  assert chunk == arrays['long'].shape
  files = [p.read_bytes() for p in folder.rglob('*') if p.is_file()]
  for run in arrays['long']:
    assert any(run.tobytes() in data for data in files)


def test_crc_is_per_run_and_row():
  x = some('int32', (3, 4, 2))
  crc = manifest.rows_crc(x)
  assert crc.shape == (3, 4)
  changed = x.copy()
  changed[1, 2, 1] ^= 1
  assert np.argwhere(manifest.rows_crc(changed) != crc).tolist() == [[1, 2]]
  np.testing.assert_array_equal(manifest.unpack(manifest.pack(crc), 3), crc)
  assert manifest.rows_crc(x[:, 0, 0]).shape == (3, 1)


def test_intact_save_has_no_faults(copy):
  assert manifest.faults(copy) == []


def test_every_flipped_bit_is_found_and_named(copy):
  """A dozen single bits anywhere in the save, drawn by byte."""
  rng = np.random.default_rng(7)
  files = sorted(p for p in copy.rglob('*') if p.is_file() and p.stat().st_size)
  files.append(manifest.path_of(copy))
  sizes = np.asarray([p.stat().st_size for p in files])
  drawn = rng.choice(len(files), 12, p=sizes / sizes.sum())
  for path in [*(files[i] for i in drawn), files[-1]]:
    before = path.read_bytes()
    data = bytearray(before)
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    path.write_bytes(data)
    found = manifest.faults(copy)
    assert len(found) == 1
    assert found[0].startswith(str(path))
    with pytest.raises(manifest.DamagedError, match=path.name):
      load_state(copy, {'vector': 0})
    path.write_bytes(before)
  assert manifest.faults(copy) == []


def biggest(folder):
  files = (p for p in folder.rglob('*') if p.is_file())
  return max(files, key=lambda p: p.stat().st_size)


def test_truncated_missing_and_extra_files_are_named(copy):
  path = biggest(copy)
  data = path.read_bytes()
  path.write_bytes(data[:-1])
  assert manifest.faults(copy) == [
    f'{path}: {len(data) - 1} bytes, the manifest says {len(data)}'
  ]
  path.unlink()
  assert manifest.faults(copy) == [f'{path}: missing']
  path.write_bytes(data)
  (copy / 'stray').write_text('x')
  assert manifest.faults(copy) == [f'{copy}/stray: not in the manifest']


@pytest.mark.parametrize(
  'text', ['', '[]', 'null', '{"digest": 1}', '{"a": 1}']
)
def test_a_manifest_that_is_none(copy, text):
  path = manifest.path_of(copy)
  path.write_text(text)
  assert len(manifest.faults(copy)) == 1
  assert manifest.faults(copy)[0].startswith(str(path))


def test_an_edited_manifest_is_found(copy):
  path = manifest.path_of(copy)
  body = json.loads(path.read_text())
  path.write_text(json.dumps({**body, 'step': 5}))
  with pytest.raises(manifest.DamagedError, match='its own digest'):
    manifest.read(copy)


def test_a_missing_manifest_means_never_committed(copy):
  manifest.path_of(copy).unlink()
  with pytest.raises(manifest.DamagedError, match=r'save\.json'):
    load_state(copy, {'vector': 0})


def test_load_state_reads_rows_of_an_intact_save(copy, saved):
  got = load_state(copy, {'vector': 0, 'x': {'int8': 0}}, [2, 0])
  assert same(got['x']['int8'], saved[1]['x.int8'][[2, 0]])
