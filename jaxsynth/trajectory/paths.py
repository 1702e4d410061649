"""Where a trajectory may lie: in a local folder, or in a bucket.

Everything else takes a path from `of` and uses what `pathlib.Path` and
`bucket.BucketPath` have in common; what they do differently is here.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from jaxsynth.errors import StorageError, UserError, unknown
from jaxsynth.trajectory import bucket, object_store
from jaxsynth.trajectory.bucket import BucketPath

AnyPath = Path | BucketPath

# 'gs://bucket/x', also after `Path` made 'gs:/bucket/x' of it.
_REMOTE = re.compile(r'([A-Za-z][A-Za-z0-9+.-]+):/+')
_SCRATCH = 'jaxsynth-save-'


def of(path: AnyPath | str) -> AnyPath:
  """The path of a local folder, or of a folder in a bucket that answers.

  Raises:
    UserError: it names another storage, or a bucket that cannot be used.
  """
  if isinstance(path, BucketPath):
    return path
  named = checked(path)
  return bucket.opened(*named) if named else Path(path)


def checked(path: str | Path) -> tuple[str, str] | None:
  """(scheme, bucket and key) of what lies in a bucket, which is not asked.

  Raises:
    UserError: it names another storage, or no bucket.
  """
  found = _REMOTE.match(str(path))
  if not found:
    return None
  scheme, key = found[1], str(path)[found.end() :].strip('/')
  if scheme not in object_store.SCHEMES:
    known = [f'{s}://' for s in object_store.SCHEMES]
    raise unknown('storage', f'{scheme}://', known)
  if not key:
    raise UserError(f'{scheme}:// needs a bucket: {scheme}://BUCKET/FOLDER')
  return scheme, key


def local(path: AnyPath | str, what: str) -> Path:
  """The path, if it is one of a file system.

  Args:
    path: any.
    what: that is only written there, as a sentence begins with it.

  Raises:
    UserError: it names another storage.
  """
  if found := _REMOTE.match(str(path)):
    named = f'{found[1]}://{str(path)[found.end() :]}'
    raise UserError(f'{named}: {what} only in a local folder')
  return Path(path)


def relative(path: AnyPath, folder: AnyPath) -> str:
  """How a folder calls another path: to be read by `at`."""
  if isinstance(path, Path) and isinstance(folder, Path):
    return os.path.relpath(path, folder)
  near = isinstance(path, BucketPath) and isinstance(folder, BucketPath)
  buckets = [str(p).split('/')[:3] for p in (path, folder)]
  if near and buckets[0] == buckets[1]:
    return os.path.relpath(f'/{path.key}', f'/{folder.key}')
  return str(path.absolute())


def at(folder: AnyPath, name: str) -> AnyPath:
  """The path that a folder calls so."""
  if _REMOTE.match(name):
    return of(name)
  if isinstance(folder, BucketPath):
    return Path(name) if os.path.isabs(name) else folder / name
  # Symlinks as they were written.
  return Path(os.path.normpath(os.path.join(folder.absolute(), name)))


def listed(path: AnyPath) -> AnyPath:
  """The folder, where that is slow with its names and sizes as of now."""
  return path.listed() if isinstance(path, BucketPath) else path


def there(path: AnyPath) -> bool:
  """Whether there is anything of that name, if only a broken link."""
  if isinstance(path, BucketPath):
    return path.exists()
  return os.path.lexists(path)


def remove(folder: AnyPath, ignore_errors: bool = False) -> None:
  """Deletes a folder with all that is in it."""
  if isinstance(folder, Path):
    shutil.rmtree(folder, ignore_errors=ignore_errors)
    return
  try:
    folder.rmtree()
  except StorageError:
    if not ignore_errors:
      raise


def copy(folder: AnyPath, target: AnyPath) -> None:
  """Copies a folder, between storages file by file."""
  if isinstance(folder, BucketPath):
    if isinstance(target, BucketPath) and folder.scheme == target.scheme:
      folder.copy(target)
      return
    for path in folder.rglob('*'):
      if path.is_file():
        into = target / path.relative_to(folder)
        into.parent.mkdir(parents=True, exist_ok=True)
        into.write_bytes(path.read_bytes())
  elif isinstance(target, BucketPath):
    target.upload(folder)
  else:
    shutil.copytree(folder, target)


def written(
  folder: AnyPath,
  write: Callable[[Path], None],
  state: Callable[[Path], dict],
) -> dict | None:
  """Has a folder written; one of a bucket on this machine's disk first.

  Args:
    folder: where it should lie.
    write: writes a local folder.
    state: tells of its files.

  Returns:
    What `state` says of the files before they left; None if they did not.
  """
  if isinstance(folder, Path):
    write(folder)
    return None
  with tempfile.TemporaryDirectory(prefix=f'{_SCRATCH}{os.getpid()}-') as made:
    here = Path(made) / folder.name
    write(here)
    stated = state(here)
    folder.upload(here)
  return stated


def sweep_scratch() -> None:
  """Removes what killed processes left on this machine's disk.

  Only what is an hour old: containers may share the disk, and not see each
  other's processes.
  """
  for path in Path(tempfile.gettempdir()).glob(f'{_SCRATCH}*'):
    number = path.name.removeprefix(_SCRATCH).partition('-')[0]
    try:
      old = time.time() - path.stat().st_mtime > 3600
      os.kill(int(number), 0)
    except ProcessLookupError:
      if old:
        shutil.rmtree(path, ignore_errors=True)
    except (ValueError, OSError):  # not ours
      continue
