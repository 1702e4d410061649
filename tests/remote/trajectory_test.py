"""A trajectory in a bucket: the same bits as in a folder, found as damaged."""

import os
import re
import shutil

import numpy as np
import pytest

from jaxsynth.errors import StorageError, UserError
from jaxsynth.trajectory import (
  bucket,
  check,
  manifest,
  object_store,
  paths,
  saves,
  writer,
)
from jaxsynth.trajectory import store as stores
from jaxsynth.trajectory.trajectory import Trajectory

STEPS = {'snapshots': (0, 1, 2, 7, 10, 11, 20), 'evals': (0, 5, 10, 20)}
ABOUT = {
  'format': manifest.FORMAT,
  'steps': 20,
  'config': {'train': {**STEPS, 'branches': (0, 12)}},
}


def go(lab, folder, **options):
  options = {'checkpoint_calls': 1, 'about': ABOUT, **options}
  sizes = lab.schedule(branches=(0, 12))
  return lab.go(folder, lab.specs(3), sizes=sizes, **options)


@pytest.fixture(scope='module')
def whole(lab, tmp_path_factory):
  """Trained in a local folder."""
  return go(lab, tmp_path_factory.mktemp('whole') / 'traj')


@pytest.fixture
def copy(whole, remote):
  """A copy of it in a bucket."""
  paths.copy(whole.folder, paths.of(remote[1]))
  return remote


def local_copy(whole, folder):
  shutil.copytree(whole.folder, folder)
  return folder


def same(lab, one, two):
  one, two = lab.contents(one), lab.contents(two)
  assert one.keys() == two.keys()
  assert [lab.differing(one[run], two[run]) for run in one] == [[], [], []]


def test_the_same_bits_and_the_same_head(lab, whole, remote):
  store, url = remote
  with store.watched() as requests:
    traj = go(lab, url)
  same(lab, traj, whole)
  found, expected = check.check(paths.of(url)), check.check(whole.folder)
  assert (found.faults, found.warnings) == ([], [])
  assert found.head == expected.head
  assert found.counts == expected.counts
  assert saves.committed(paths.of(url) / 'checkpoints')[0].name == '0000000006'
  assert not [k for k in store.keys(url) if 'tmp' in k or '.part' in k]
  puts = [
    r.path.partition(f'{url.rpartition("/")[2]}/')[2]
    for r in requests
    if r.method == 'PUT'
  ]
  commits = [p for p in puts if p.startswith('segments') and p[-5:] == '.json']
  assert len(commits) == 4, 'segments 0..6, 6..12, 12..18, 18..20'
  for commit in commits:  # last, once, and whole before what follows
    last = puts.index(commit)
    own = [i for i, p in enumerate(puts) if p.startswith(commit[:-5] + '/')]
    assert own
    assert max(own) < last
    assert puts.count(commit) == 1
  assert puts.index('index.json') < puts.index(commits[0])


@pytest.mark.slow
def test_training_again_changes_nothing(lab, copy):
  store, url = copy
  before = {k: store.read(f'{url}/{k}') for k in store.keys(url)}
  go(lab, url)
  after = {k: store.read(f'{url}/{k}') for k in store.keys(url)}
  kept = {k for k in {*before, *after} if not k.startswith('lock')}
  assert {k: before[k] for k in kept} == {k: after[k] for k in kept}


DAMAGES = {
  'a flipped bit in arrays': (r'.*/d/.*', 'flip'),
  'a lost manifest': (r'segments/0000000006.json', 'lose'),
  'a truncated file': (r'.*/d/.*', 'cut'),
  'a flipped bit in a manifest': (r'branches/[^/]*.json', 'flip'),
  'a flipped bit in the index': (r'index.json', 'flip'),
  'a lost file': (r'.*/d/.*', 'lose'),
  'a foreign file': (r'segments/0000000012/.*', 'add'),
}
DEFAULT = ('a flipped bit in arrays',)


def harm(place, file, how, rng):
  data = (place / file).read_bytes()
  if how == 'lose':
    (place / file).unlink()
  elif how == 'add':
    (place / file).with_name('stray').write_bytes(b'x')
  elif how == 'cut':
    (place / file).write_bytes(data[:-1])
  else:
    at = int(rng.integers(len(data)))
    flipped = data[at] ^ 1 << int(rng.integers(8))
    (place / file).write_bytes(data[:at] + bytes([flipped]) + data[at + 1 :])


@pytest.mark.parametrize(
  'what',
  [
    d if d in DEFAULT else pytest.param(d, marks=pytest.mark.slow)
    for d in DAMAGES
  ],
)
def test_what_is_done_to_a_bucket_is_found(whole, copy, tmp_path, what):
  """By the same words as in a folder to which the same is done."""
  store, url = copy
  folder = local_copy(whole, tmp_path / 'traj')
  pattern, how = DAMAGES[what]
  names = [k for k in store.keys(url) if re.fullmatch(pattern, k)]
  file = names[int(np.random.default_rng(3).integers(len(names)))]
  for place in (folder, paths.of(url)):
    harm(place, file, how, np.random.default_rng(4))
  local, found = check.check(folder), check.check(paths.of(url))
  said = [str(f).replace(str(folder), url) for f in local.faults]
  assert said
  assert [str(f) for f in found.faults] == said
  assert found.head == local.head


ROWS, RUNS, SIZE = 50, 4, 1 << 10


@pytest.fixture
def wide(lab, remote):
  """Two segments of 50 snapshots of a matrix, 800 kB each."""
  store, url = remote
  rng = np.random.default_rng(0)
  values = rng.standard_normal((RUNS, 2 * ROWS, SIZE)).astype(np.float32)
  about = lab.index(lab.specs(RUNS), format=manifest.FORMAT, steps=2 * ROWS)
  with writer.Writer(url, about) as out:
    for start in (0, ROWS):
      steps = list(range(start, start + ROWS))
      arrays = {'snapshots.w': values[:, steps], 'scalars.loss': ones(RUNS)}
      out.segment(start, start + ROWS, steps, [], arrays)
  return store, url, values


def ones(runs):
  return np.ones((runs, ROWS), np.float32)


def test_reading_compares(wide):
  """A flipped bit, and a lost segment, are noticed without `check`."""
  store, url, values = wide
  row = values[1, 7].tobytes()
  found = {
    k: store.read(f'{url}/{k}').find(row)
    for k in store.keys(url)
    if k.startswith('segments/0000000000/')
  }
  (file,) = [k for k, at in found.items() if at >= 0][:1]
  data = bytearray(store.read(f'{url}/{file}'))
  data[found[file]] ^= 1
  store.write(f'{url}/{file}', bytes(data))
  leaf = Trajectory(url).leaf('w')
  for index in ((1,), (1, 7), (slice(None), slice(5, 9))):
    with pytest.raises(
      manifest.DamagedError, match='at step 7 is not what was'
    ):
      leaf[index]
  np.testing.assert_array_equal(leaf[2], values[2])
  np.testing.assert_array_equal(leaf[1, 8], values[1, 8])
  store.delete(f'{url}/segments/0000000000.json')
  with pytest.raises(manifest.DamagedError, match='segments/0000000000'):
    Trajectory(url)
  rest = Trajectory(url, damaged='skip')
  assert rest.steps.tolist() == list(range(ROWS, 2 * ROWS))


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['checkpoints', 'branches'])
def test_a_damaged_state_is_set_aside(lab, whole, copy, kind):
  """And the training goes on from the one before, to the same bits."""
  store, url = copy
  newest = saves.committed(paths.of(url) / kind)[-1]
  files = [k for k in store.keys(str(newest)) if k.startswith('state/d/')]
  store.write(f'{newest}/{files[0]}', b'?' + store.read(f'{newest}/{files[0]}'))
  step = newest.name
  if kind == 'checkpoints':  # the newest state of all: it is resumed from
    last = saves.committed(paths.of(url) / 'branches')[-1]
    saves.set_aside(paths.of(url), last)
  traj = go(lab, url)
  same(lab, traj, whole)
  kept = {k.split('/')[1] for k in store.keys(url) if k.startswith('damaged/')}
  assert {f'{kind}-{step}', f'{kind}-{step}.json'} <= kept
  assert check.check(paths.of(url)).faults == []


def test_one_matrix_is_read_without_the_rest(wide):
  """One run's one array over all steps: its bytes and little else."""
  store, url, values = wide
  traj = Trajectory(url)
  with store.watched() as requests:
    matrix = traj.leaf('w')[3]
  np.testing.assert_array_equal(matrix, values[3])
  got = sum(r.sent for r in requests if r.method == 'GET')
  assert matrix.nbytes <= got < 1.2 * matrix.nbytes
  with store.watched() as requests:
    np.testing.assert_array_equal(traj.leaf('w')[2], values[2])
  assert len(requests) <= 4, 'two chunks; what was open stays so'
  with store.watched() as requests:
    np.testing.assert_array_equal(traj.leaf('w')[0, 60], values[0, 60])
  got = sum(r.sent for r in requests if r.method == 'GET')
  assert got < 4 * SIZE + 4000, 'a row is a range of bytes'


def test_opening_asks_little(lab, copy):
  """Some listings and one request a manifest, however many files there are."""
  store, url = copy
  with store.watched() as requests:
    Trajectory(url)
  assert len(store.keys(url)) > 80
  assert len(requests) <= 4 + 10  # segments, and looks at the folder


def test_a_store_that_goes_away_is_no_damage(copy, monkeypatch):
  store, url = copy
  folder = paths.of(url)
  monkeypatch.setattr(object_store, 'WAITS', ())
  store.refuse = lambda environ: environ['REQUEST_METHOD'] == 'GET'
  for use in (Trajectory, check.check, saves.reached):
    with pytest.raises(StorageError, match='s3://'):
      use(folder)
  store.refuse = lambda environ: False
  leaf = Trajectory(url).leaf('x')
  once = {'max_retries': 1, 'initial_delay': '1ms'}
  monkeypatch.setattr(stores, '_PATIENT', {'s3_request_retries': once})
  store.refuse = lambda environ: '/d/' in environ['PATH_INFO']
  for use in (
    lambda: leaf[0],
    lambda: check.check(folder),
    lambda: stores.load(saves.committed(folder / 'branches')[0], ['x']),
  ):
    with pytest.raises(StorageError, match='s3://'):
      use()


def test_a_writer_whose_lock_was_taken_commits_nothing(lab, remote):
  store, url = remote
  about = lab.index(lab.specs(2), format=manifest.FORMAT, steps=50)
  out = writer.Writer(url, about)
  other = paths.of(url) / 'lock.00000002'
  other.write_bytes((paths.of(url) / 'lock.00000001').read_bytes())
  (paths.of(url) / 'segments/0000000000/of_the_other').write_bytes(b'x')
  out.segment(0, 50, [], [], {'scalars.loss': ones(2)})
  with pytest.raises(UserError, match='was taken over by process'):
    out.wait()
  out.close()
  left = [k for k in store.keys(url) if not k.startswith(('lock', 'index'))]
  assert left == ['segments/0000000000/of_the_other'], 'what is not ours stays'


@pytest.mark.parametrize('when', ['uploaded', 'committed'])
def test_overtaken_in_the_midst_of_a_save(lab, remote, monkeypatch, when):
  """By one that saves the same: nothing of it is replaced or removed."""
  store, url = remote
  root = paths.of(url)
  about = lab.index(lab.specs(2), format=manifest.FORMAT, steps=50)
  out = writer.Writer(url, about)
  upload = bucket.BucketPath.upload

  def slow(path, folder):
    upload(path, folder)
    (path / 'of_the_other').write_bytes(b'x')
    if when == 'committed':  # in the moment after the last look
      (root / 'segments' / '0000000000.json').write_bytes(b'{}')
    else:
      (root / 'lock.00000002').write_bytes(b'{}')

  monkeypatch.setattr(bucket.BucketPath, 'upload', slow)
  out.segment(0, 50, [], [], {'scalars.loss': ones(2)})
  error = StorageError if when == 'committed' else UserError
  with pytest.raises(error, match='another process'):
    out.wait()
  out.close()
  left = store.keys(f'{url}/segments')
  assert '0000000000/of_the_other' in left
  assert ('0000000000.json' in left) == (when == 'committed')


def test_a_manifest_never_replaces_another(remote):
  path = paths.of(remote[1]) / '0000000000.json'
  manifest.write_json(path, {'a': 1}, new=True)
  manifest.write_json(path, {'a': 1}, new=True)  # an answer that was lost
  with pytest.raises(StorageError, match='by another process'):
    manifest.write_json(path, {'a': 2}, new=True)
  assert manifest.load_json(path) == {'a': 1}


@pytest.mark.slow
def test_nothing_stays_on_this_machine(lab, remote, tmp_path, monkeypatch):
  """Saves are written to its disk first; what a killed process left goes."""
  monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
  left = tmp_path / 'jaxsynth-save-999999999-x' / 'y'
  left.mkdir(parents=True)
  os.utime(left.parent, (0, 0))
  (tmp_path / 'jaxsynth-save-999999999-of_a_neighbour').mkdir()
  go(lab, remote[1])
  found = [p.name for p in tmp_path.iterdir()]
  assert found == ['jaxsynth-save-999999999-of_a_neighbour']
