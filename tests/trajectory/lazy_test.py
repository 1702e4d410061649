"""Reading a part of a trajectory gives that part, and reads no more."""

import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth.trajectory import manifest, mapping, store
from jaxsynth.trajectory.trajectory import Trajectory
from jaxsynth.trajectory.writer import Writer

IO = Path('/proc/self/io')
RUNS, SNAPSHOTS, SEGMENTS, WIDTH = 4, 40, 3, 2000
RNG = np.random.default_rng(0)


def some(dtype, *shape):
  return RNG.integers(0, 2, shape).astype(store.jax.numpy.dtype(dtype))


ARRAYS = {
  'float32': RNG.standard_normal((3, 8, 4, 5)).astype(np.float32),
  'zeros': np.zeros((3, 8, 4), np.float32),
  'minus_zeros': np.full((3, 8, 300), -0.0, np.float32),
  'bool': some('bool', 3, 8, 2),
  'bfloat16': some('bfloat16', 3, 8, 7),
  'int64': np.arange(24).reshape(3, 8),
}


def place(n):
  one = st.integers(0, n - 1)
  return (
    one
    | st.tuples(one, one).map(lambda p: slice(min(p), max(p)))
    | st.lists(one, max_size=5).map(lambda p: np.asarray(p, int))
  )


@pytest.fixture(scope='module')
def twice(tmp_path_factory):
  """Each array with itself behind it, and numpy's version of that."""
  folder = tmp_path_factory.mktemp('lazy') / 'save'
  store.save(folder, ARRAYS)
  context = store.context()

  def part(name, a):
    return store.array(
      store.bases(folder), name, a.shape, a.dtype.name, context
    )

  return {
    name: (
      store.concat([part(name, a), part(name, a)], 1),
      np.concatenate([a, a], 1),
    )
    for name, a in ARRAYS.items()
  }


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(ARRAYS)), place(3), place(16), place(2))
def test_any_part_is_numpys(twice, name, run, row, last):
  lazy, full = twice[name]
  where = [run, row, *[slice(0, n) for n in full.shape[2:]]]
  if full.ndim > 2:
    where[-1] = last
  expected = full
  for axis in reversed(range(full.ndim)):
    expected = expected[(slice(None),) * axis + (where[axis],)]
  got = lazy.read(where)
  assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
  assert got.tobytes() == expected.tobytes()


@pytest.fixture(scope='module')
def traj(tmp_path_factory):
  """Three segments of forty snapshots, 4 MB in all."""
  folder = tmp_path_factory.mktemp('lazy') / 'traj'
  rows = [
    {'run_id': str(i), 'seeds': {'eval': i}, 'hparams': {}} for i in range(RUNS)
  ]
  data = RNG.standard_normal((RUNS, SEGMENTS * SNAPSHOTS, WIDTH))
  data = data.astype(np.float32)
  with Writer(folder, {'runs': rows}) as out:
    for i in range(SEGMENTS):
      steps = range(i * SNAPSHOTS, (i + 1) * SNAPSHOTS)
      kept = data[:, steps.start : steps.stop]
      arrays = {'snapshots.a': kept, 'snapshots.b': kept[:, :, :100] + 1}
      out.segment(steps.start, steps.stop, list(steps), [], arrays)
  return folder, data


def bytes_read(fn) -> int:
  count = lambda: int(IO.read_text().split()[1])
  before = count()
  fn()
  return count() - before


CHUNK = SNAPSHOTS * WIDTH * 4


@pytest.mark.skipif(not IO.exists(), reason='only Linux counts bytes read')
@pytest.mark.parametrize(
  ('read', 'wanted'),
  [
    (lambda t: t.leaf('a')[2], SEGMENTS * CHUNK),
    (lambda t: t.params(50, 1), (WIDTH + 100) * 4),
    (lambda t: t.params(50), RUNS * (WIDTH + 100) * 4),
    (lambda t: t.leaf('b')[:, :, 7], RUNS * SEGMENTS * SNAPSHOTS * 400),
    (lambda t: t.leaf('a')[1, [3, 4, 90]], 3 * WIDTH * 4),
  ],
)
def test_reads_only_its_bytes(traj, read, wanted):
  """Besides them, the indexes of the segments: some kilobytes each."""
  folder, _ = traj
  opened = Trajectory(folder)
  got = bytes_read(lambda: read(opened))
  assert (
    wanted
    <= got
    < wanted + 60_000
    < opened.leaf('a').dtype.itemsize * (RUNS * SEGMENTS * SNAPSHOTS * WIDTH)
  )


def test_other_steps_may_be_damaged(traj, tmp_path):
  """Poisons every snapshot but one: that one reads, its neighbour does not."""
  folder, data = traj
  moved = tmp_path / 'traj'
  store_files = [p for p in folder.rglob('*') if p.is_file()]
  for path in store_files:
    target = moved / path.relative_to(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = path.read_bytes()
    for run in range(RUNS):
      for row in range(SEGMENTS * SNAPSHOTS):
        if (run, row) != (3, 57):
          raw = data[run, row].tobytes()
          at = content.find(raw)
          if at >= 0:
            content = (
              content[:at] + b'\x7f' * len(raw) + content[at + len(raw) :]
            )
    target.write_bytes(content)
  opened = Trajectory(moved)
  assert opened.params(57, 3)['a'].tobytes() == data[3, 57].tobytes()
  with pytest.raises(manifest.DamagedError, match='at step 58 is not what'):
    opened.params(58, 3)


def test_views_read_no_manifest_again(traj, monkeypatch):
  opened = Trajectory(traj[0])
  monkeypatch.setattr(manifest, 'read', None)
  monkeypatch.setattr(manifest, 'load_json', None)
  view = opened.sel(run=[1], steps=(5, 3))
  np.testing.assert_array_equal(view.leaf('a')[0], traj[1][1, [5, 3]])
  assert view.runs.run_id.tolist() == ['1']
  assert len(opened.runs) == RUNS


def test_opening_hundreds_of_segments_is_quick(tmp_path):
  """500 segments whose manifests hold 25 000 checksums each."""
  rows = [{'run_id': 'a', 'seeds': {}, 'hparams': {}}]
  Writer(tmp_path / 't', {'runs': rows}).close()
  crc = {f'snapshots.{i}': 'A' * 1300 for i in range(100)}
  shapes = {n: {'shape': [1, 2, 3], 'dtype': 'float32'} for n in crc}
  for i in range(500):
    folder = tmp_path / 't' / 'segments' / f'{i:010d}'
    folder.mkdir()
    body = {
      'start': i, 'stop': i + 1, 'snapshot_steps': [i], 'eval_steps': [],
      'run_ids': ['a'], 'arrays': shapes, 'crc32': crc, 'files': {},
    }  # fmt: skip
    signed = {**body, 'digest': manifest.digest(manifest.canonical(body))}
    text = manifest.json.dumps(signed, indent=1, sort_keys=True) + '\n'
    manifest.path_of(folder).write_text(text)
  began = time.process_time()
  opened = Trajectory(tmp_path / 't')
  assert opened.steps.tolist() == list(range(500))
  assert len(opened.leaves) == 100
  assert time.process_time() - began < 4


@pytest.mark.skipif(not IO.exists(), reason='only Linux counts bytes read')
def test_map_holds_windows_and_reads_once(traj, monkeypatch):
  folder, data = traj
  monkeypatch.setattr(mapping, 'WINDOW_BYTES', 200_000)
  got = {}

  def peak(view):
    fn = lambda params, ctx: {'sum': params['a'].sum()}
    tracemalloc.start()
    got['sum'] = view.map(fn, quiet=True)['sum']
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most

  few = peak(Trajectory(folder).sel(steps=range(8)))  # mostly the compiler
  read = bytes_read(lambda: got.update(peak=peak(Trajectory(folder))))
  np.testing.assert_allclose(got['sum'], data.sum(-1), rtol=2e-4, atol=1e-3)
  assert read < 1.5 * data.nbytes
  assert got['peak'] - few < 0.4 * data.nbytes
