"""Folders of a bucket: as `pathlib` has them, and what is refused at once."""

import socket
import sys
import time
from pathlib import Path

import pytest
import s3fs

from jaxsynth.errors import StorageError, UserError
from jaxsynth.trajectory import bucket, object_store, paths

FILES = {'a.json': b'1', 'b/c': b'22', 'b/d/e.json': b'333', 'bb/f': b''}
MISSING = ('b/d', 'b/d/e.json', 'bb', 'b/', 'c', 'b/d/e')


@pytest.fixture(params=['local', 'bucket', 'listed'])
def tree(request, remote, tmp_path):
  """The same files in a local folder and in a bucket."""
  root = tmp_path if request.param == 'local' else paths.of(remote[1])
  for name, data in FILES.items():
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(data)
  return paths.listed(root) if request.param == 'listed' else root


def test_a_bucket_looks_as_a_folder_does(tree):
  inside = lambda found: sorted(str(p.relative_to(tree)) for p in found)
  assert inside(tree.iterdir()) == ['a.json', 'b', 'bb']
  assert inside((tree / 'b').iterdir()) == ['b/c', 'b/d'], 'not those of bb'
  assert inside(tree.glob('b*')) == ['b', 'bb']
  assert inside(tree.rglob('*.json')) == ['a.json', 'b/d/e.json']
  assert inside(tree.rglob('d')) == ['b/d'], 'folders, too'
  kinds = lambda n: [
    getattr(tree / n, f)() for f in ('exists', 'is_dir', 'is_file')
  ]
  assert kinds('b') == kinds('b/d') == [True, True, False]
  assert kinds('b/c') == [True, False, True]
  assert kinds('c') == kinds('b/d/e') == kinds('b/c/x') == [False] * 3
  assert (tree / 'b/d/e.json').stat().st_size == 3
  with (tree / 'b/d/e.json').open('rb', buffering=0) as f:
    block = memoryview(bytearray(10))
    assert f.readinto(block) == 3
    assert f.readinto(block) == 0
  above = tree / 'b' / 'd'
  assert [p.name for p in above.parents[:2]] == ['b', tree.name]
  assert above.with_name('x') == tree / 'b' / 'x'
  assert sorted([tree / 'b', tree / 'a.json', tree / 'b/c'])[1] == tree / 'b'
  with pytest.raises(OSError):
    (tree / 'none').read_bytes()


def test_what_changes_a_bucket(tree):
  (tree / 'b').rename(tree / 'c')
  live = paths.of(str(tree))
  names = lambda: sorted(
    str(p.relative_to(live)) for p in live.rglob('*') if p.is_file()
  )
  assert names() == ['a.json', 'bb/f', 'c/c', 'c/d/e.json']
  assert (live / 'c/d/e.json').read_bytes() == b'333'
  (live / 'a.json').replace(live / 'bb' / 'f')
  assert (live / 'bb/f').read_text() == '1'
  paths.copy(live / 'c', live / 'copy')
  paths.remove(live / 'c')
  (live / 'bb/f').unlink()
  assert names() == ['copy/c', 'copy/d/e.json']


def test_a_large_file_is_read_in_blocks(remote, monkeypatch):
  store, url = remote
  monkeypatch.setattr(bucket, '_BLOCK', 1000)
  data = bytes(range(256)) * 10
  path = paths.of(url) / 'x'
  path.write_bytes(data)
  with store.watched() as requests, path.open('rb') as f:
    assert b''.join(iter(lambda: f.read(700), b'')) == data
  sizes = [r.sent for r in requests if r.method == 'GET']
  assert sizes == [1000, 1000, 560]


def test_one_listing_answers_for_all_below(remote):
  store, url = remote
  root = paths.of(url)
  for i in range(20):
    (root / 'segments' / f'{i:010d}' / 'x').write_bytes(b'x')
  with store.watched() as requests:
    seen = paths.listed(root)
    found = [p for p in (seen / 'segments').iterdir() if p.is_dir()]
    assert all((p / 'x').stat().st_size == 1 for p in found)
    assert not (seen / 'segments' / 'y').exists()
  assert len(found) == 20
  assert len(requests) == 1


def test_what_stands_for_a_folder_is_none(remote):
  """Some tools put an empty object `x/` where a folder should be seen."""
  store, url = remote
  store.write(f'{url}/x/', b'')
  store.write(f'{url}/x/y/', b'')
  store.write(f'{url}/x/[1]*', b'z')
  for root in (paths.of(url), paths.listed(paths.of(url))):
    assert [p.name for p in root.iterdir()] == ['x']
    assert 'x' not in [p.name for p in (root / 'x').iterdir()]
    assert (root / 'x/[1]*').is_file()
  paths.remove(paths.of(url) / 'x' / '[1]*')
  assert store.keys(url) == ['x/', 'x/y/']


def test_only_one_creates(remote):
  path = paths.of(remote[1]) / 'x'
  assert [path.create(b'one'), path.create(b'two')] == [True, False]
  assert path.read_bytes() == b'one'


@pytest.mark.parametrize('near', ['a/b', 'c', '.'])
def test_how_a_folder_calls_another(remote, tmp_path, near):
  one, two = paths.of(remote[1]), Path(tmp_path)
  for folder, path in [
    *((root / 'x/y', root / near) for root in (one, two)),
    *((one, two / near), (two, one / near)),
  ]:
    assert paths.at(folder, paths.relative(path, folder)) == path
  assert paths.relative(one / 'z', one / 'x') == '../z', 'moved together'


def refused(name):
  began = time.monotonic()
  with pytest.raises(UserError) as e:
    paths.of(name)
  assert time.monotonic() - began < 10
  assert '\n' not in str(e.value)
  return str(e.value)


def test_what_cannot_be_used_is_one_line(remote, monkeypatch):
  store, _ = remote
  assert "did you mean 's3://'" in refused('s4://bucket/run')
  assert "did you mean 'gs://'" in refused('gcs://bucket/run')
  assert 's3://BUCKET/FOLDER' in refused('s3://')
  for given in ('s3://nobody/run', Path('s3://nobody/run')):
    assert refused(given) == 's3://nobody: there is no such bucket'
  monkeypatch.setattr(object_store, '_REACHED', {})
  store.refuse = lambda environ: True
  assert 's3://bucket cannot be used' in refused(f'{store.url}/run')
  store.refuse = lambda environ: False
  monkeypatch.setitem(sys.modules, 's3fs.core', None)
  assert "pip install 'jaxsynth[remote]'" in refused(f'{store.url}/run')


def test_a_store_that_is_silent_is_one_line(remote, monkeypatch):
  """A port that takes connections and never answers."""
  monkeypatch.setattr(object_store, '_REACHED', {})
  monkeypatch.setattr(object_store, 'PATIENCE', 1.0)
  with socket.create_server(('127.0.0.1', 0)) as deaf:
    port = deaf.getsockname()[1]
    monkeypatch.setenv('AWS_ENDPOINT_URL', f'http://127.0.0.1:{port}')
    s3fs.S3FileSystem.clear_instance_cache()
    try:
      assert 'no answer in 1 s' in refused('s3://bucket/run')
    finally:
      s3fs.S3FileSystem.clear_instance_cache()


def test_a_request_is_repeated(remote, monkeypatch):
  """A store that fails now and then is not noticed; one that stays away is."""
  store, url = remote
  path = paths.of(url) / 'x'
  left = [4]

  def sometimes(environ):
    left[0] -= 1
    return left[0] >= 0

  monkeypatch.setattr(object_store, 'WAITS', (0.01,) * 5)
  store.refuse = sometimes
  path.write_bytes(b'here')
  assert left[0] < 0
  assert store.read(str(path)) == b'here'
  monkeypatch.setattr(object_store, 'WAITS', ())
  store.refuse = lambda environ: True
  with pytest.raises(StorageError, match=f'{path}: '):
    path.read_bytes()


def test_a_missing_object_is_no_trouble_of_the_store(remote):
  store, url = remote
  with store.watched() as requests, pytest.raises(FileNotFoundError):
    (paths.of(url) / 'none').read_bytes()
  assert len(requests) == 1, 'and is not asked for again'
