"""Folders of an object store (gs://, s3://), used as `pathlib` folders are.

An object store has objects and no folders: `a/b` is a folder while an object
`a/b/...` is there. It has no rename either; here that is a copy within the
store, and then a deletion, so nothing that is committed may depend on it. One
object is put, or replaced, whole or not at all, and what was put is seen by
every later read and listing: both stores promise it, and commits rest on it.

fsspec speaks to the stores (s3fs, gcsfs: `pip install 'jaxsynth[remote]'`);
arrays are read by TensorStore's own drivers, see `BucketPath.kvstore`. Why not
a path class of a library: a listing costs as much as a look at one object, and
a trajectory has thousands, so `listed` answers for all below a folder from one
listing; and fsspec's own cache of listings would show a folder as it was.
"""

import bisect
import contextlib
import datetime
import fnmatch
import functools
import io
import os
import posixpath
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath, PurePosixPath
from types import SimpleNamespace
from typing import Any

from jaxsynth.trajectory import object_store

# What they are told when an object is read; s3fs else asks for its size first.
_READING = {'s3': {'max_concurrency': 1}, 'gs': {}}
# Bytes that one request of a file read from its beginning asks for.
_BLOCK = 8 << 20


class _Seen:
  """A listing of all objects below a folder: sizes by key."""

  def __init__(self, root: str, sizes: dict[str, int]):
    self.root, self.sizes, self._keys = root, sizes, sorted(sizes)

  def covers(self, key: str) -> bool:
    return key == self.root or key.startswith(self.root + '/')

  def below(self, key: str) -> list[str]:
    first = bisect.bisect_left(self._keys, key + '/')
    return self._keys[first : bisect.bisect_left(self._keys, key + '0')]


class _Reader(io.RawIOBase):
  """An object read block by block, each block a request of its own."""

  def __init__(self, path: 'BucketPath', size: int):
    self._path, self._size, self._at = path, size, 0

  def readable(self) -> bool:
    return True

  def readinto(self, buffer) -> int:
    stop = min(self._at + len(buffer), self._size)
    if stop == self._at:
      return 0
    data = self._path.read_bytes(self._at, stop)
    buffer[: len(data)] = data
    self._at += len(data)
    return len(data)


@functools.total_ordering
class BucketPath:
  """A folder or file of a bucket: the part of `pathlib.Path` used here.

  Args:
    fs: of fsspec.
    scheme: 's3' or 'gs'.
    key: the bucket and the path in it.
    seen: a listing that answers in the place of the store, see `listed`.
  """

  def __init__(self, fs, scheme: str, key: str, seen: _Seen | None = None):
    self.fs, self.scheme = fs, scheme
    self.key = posixpath.normpath(key)
    self._seen = seen if seen and seen.covers(self.key) else None

  def _at(self, key: str) -> 'BucketPath':
    return BucketPath(self.fs, self.scheme, key, self._seen)

  def _ask(self, request: Callable, *args, **kwargs) -> Any:
    return object_store.ask(str(self), request, *args, **kwargs)

  def __str__(self) -> str:
    return f'{self.scheme}://{self.key}'

  def __repr__(self) -> str:
    return f'BucketPath({str(self)!r})'

  def __hash__(self) -> int:
    return hash(str(self))

  def __eq__(self, other) -> bool:
    return isinstance(other, BucketPath) and str(self) == str(other)

  def __lt__(self, other: 'BucketPath') -> bool:
    return self.key.split('/') < other.key.split('/')

  def __truediv__(self, other: str | PurePath) -> 'BucketPath':
    return self._at(f'{self.key}/{PurePosixPath(other)}')

  name = property(lambda self: posixpath.basename(self.key))
  parent = property(lambda self: self._at(posixpath.dirname(self.key)))

  @property
  def parents(self) -> list['BucketPath']:
    above = PurePosixPath(self.key).parents
    return [self._at(str(p)) for p in above if p.name]

  def with_name(self, name: str) -> 'BucketPath':
    return self.parent / name

  def relative_to(self, other: 'BucketPath') -> PurePosixPath:
    return PurePosixPath(self.key).relative_to(other.key)

  def absolute(self) -> 'BucketPath':
    return self

  def resolve(self) -> 'BucketPath':
    return self

  def listed(self) -> 'BucketPath':
    """This folder as it is now: it and all below answer from one listing.

    What it says of names and sizes is not asked again; contents are.
    """
    if self._seen:
      return self
    found = self._ask(self.fs.find, self.key, detail=True)
    sizes = {
      name: info['size']
      for name, info in found.items()
      if not name.endswith('/')  # what some tools put in place of a folder
    }
    seen = _Seen(self.key, sizes)
    return BucketPath(self.fs, self.scheme, self.key, seen)

  def exists(self) -> bool:
    if self._seen:
      return self.is_file() or self.is_dir()
    return self._ask(self.fs.exists, self.key)

  def is_file(self) -> bool:
    if self._seen:
      return self.key in self._seen.sizes
    return self._ask(self.fs.isfile, self.key)

  def is_dir(self) -> bool:
    if self._seen:
      return bool(self._seen.below(self.key))
    return self._ask(self.fs.isdir, self.key)

  def stat(self) -> SimpleNamespace:
    """With `st_size` alone."""
    if self._seen and self.key in self._seen.sizes:
      return SimpleNamespace(st_size=self._seen.sizes[self.key])
    return SimpleNamespace(st_size=self._ask(self.fs.info, self.key)['size'])

  def modified(self) -> datetime.datetime:
    """When it was put, by the store's clock."""
    return self._ask(self.fs.modified, self.key)

  def iterdir(self) -> Iterator['BucketPath']:
    """What lies in this folder; nothing if there is none."""
    if self._seen:
      skip = len(self.key) + 1
      found = [key[skip:] for key in self._seen.below(self.key)]
    else:
      try:
        keys = self._ask(self.fs.ls, self.key, detail=False)
      except FileNotFoundError:
        keys = []
      keys = [key.rstrip('/') for key in keys]
      found = [posixpath.basename(key) for key in keys if key != self.key]
    for name in dict.fromkeys(name.split('/')[0] for name in found):
      yield self / name

  def glob(self, pattern: str) -> Iterator['BucketPath']:
    """What lies in this folder under such a name."""
    return (p for p in self.iterdir() if fnmatch.fnmatchcase(p.name, pattern))

  def rglob(self, pattern: str) -> Iterator['BucketPath']:
    """What lies anywhere below under such a name, as one listing shows it."""
    here = self.listed()
    found = set()
    for key in here._seen.below(self.key):
      inside = PurePosixPath(key).relative_to(self.key)
      found |= {inside, *inside.parents} - {PurePosixPath('.')}
    return (
      here / p for p in sorted(found) if fnmatch.fnmatchcase(p.name, pattern)
    )

  def read_bytes(self, start: int | None = None, stop: int | None = None):
    told = _READING[self.scheme]
    return self._ask(self.fs.cat_file, self.key, start=start, end=stop, **told)

  def read_text(self, encoding: str = 'utf-8') -> str:
    return self.read_bytes().decode(encoding)

  def open(self, mode: str = 'rb', buffering: int = -1) -> io.BufferedReader:
    """For reading from the beginning to the end."""
    if mode != 'rb':
      raise ValueError(f'an object is written whole, not opened as {mode!r}')
    size = self._ask(self.fs.info, self.key)['size']
    return io.BufferedReader(_Reader(self, size), _BLOCK)

  def write_bytes(self, data: bytes) -> None:
    """Puts or replaces the object."""
    self._ask(self.fs.pipe_file, self.key, data)

  def create(self, data: bytes) -> bool:
    """Puts the object if there is none; whether there was none."""
    try:
      self._ask(self.fs.pipe_file, self.key, data, mode='create')
    except FileExistsError:
      return False
    return True

  def mkdir(self, parents: bool = True, exist_ok: bool = True) -> None:
    """Nothing: a folder is there while something is in it."""

  def unlink(self) -> None:
    """Deletes the object, if there is one."""
    self._delete(self.key)

  def _objects(self) -> list[str]:
    """The object of this name and all below it, as they are now."""
    now = BucketPath(self.fs, self.scheme, self.key).listed()
    return [*({self.key} & now._seen.sizes.keys()), *now._seen.below(self.key)]

  def rmtree(self) -> None:
    with ThreadPoolExecutor(16) as pool:
      list(pool.map(self._delete, self._objects()))

  def _delete(self, key: str) -> None:
    with contextlib.suppress(FileNotFoundError):
      self._ask(self.fs.rm_file, key)

  def copy(self, target: 'BucketPath') -> None:
    """Copies a file or a folder within the store."""
    keys = self._objects()
    into = [target.key + key.removeprefix(self.key) for key in keys]
    self._ask(self.fs.copy, keys, into)

  def rename(self, target: 'BucketPath') -> 'BucketPath':
    """Copies, and deletes when all is copied: no single moment of change."""
    self.copy(target)
    self.rmtree()
    return target

  replace = rename

  def upload(self, folder: Path) -> None:
    """Puts the files of a local folder below this one."""
    files = [p for p in sorted(folder.rglob('*')) if p.is_file()]
    keys = [f'{self.key}/{p.relative_to(folder).as_posix()}' for p in files]
    self._ask(self.fs.put, [str(p) for p in files], keys)

  def kvstore(self) -> dict[str, Any]:
    """What TensorStore calls this folder."""
    bucket, _, path = self.key.partition('/')
    spec = {'bucket': bucket, 'path': f'{path}/' if path else ''}
    if self.scheme == 'gs':
      return {'driver': 'gcs', **spec}
    # The endpoint and region that s3fs found, unless they are Amazon's own.
    found = self.fs.s3.meta
    if 'amazonaws.com' not in found.endpoint_url:
      spec |= {
        'endpoint': found.endpoint_url,
        'aws_region': found.region_name or 'us-east-1',
      }
    if 'AWS_ACCESS_KEY_ID' in os.environ:  # else it looks for files, aloud
      spec['aws_credentials'] = {'type': 'environment'}
    return {'driver': 's3', **spec}


def opened(scheme: str, key: str) -> BucketPath:
  """A folder of a bucket that has answered.

  Args:
    scheme: 's3' or 'gs'.
    key: the bucket and the path in it.

  Raises:
    UserError: see `object_store.reached`.
  """
  return BucketPath(object_store.reached(scheme, key), scheme, key)
