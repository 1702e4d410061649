"""Talking to object stores: which there are, and requests that are repeated.

fsspec speaks to them: s3fs for s3://, gcsfs for gs://, which come with
`pip install 'jaxsynth[remote]'` and are imported when a bucket is first named.
A bucket has to answer soon the first time; later a request is repeated for a
minute, besides the attempts of the library.
"""

import errno
import importlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from jaxsynth.errors import StorageError, UserError

# Schemes, the classes that speak them, and what those are told. (What gcsfs
# gives by default asks each bucket for its kind, by a protocol of its own.)
SCHEMES = {
  's3': ('s3fs.core', 'S3FileSystem', {'use_listings_cache': False}),
  'gs': (
    *('gcsfs.core', 'GCSFileSystem'),
    {'use_listings_cache': False, 'consistency': 'md5'},
  ),
}
# Seconds between attempts at a request, after those of the library.
WAITS = (1, 2, 4, 8, 16, 32)
# Seconds that a bucket may take to answer for the first time.
PATIENCE = 15.0
# Errors that no second attempt changes, whichever library raises them.
_FINAL = (
  *('NoCredentialsError', 'PartialCredentialsError', 'ProfileNotFound'),
  *('DefaultCredentialsError', 'RefreshError', 'UnauthorizedSSOTokenError'),
)


def _is_final(error: Exception) -> bool:
  refused = isinstance(error, PermissionError | TypeError | ValueError)
  refused |= str(error).startswith('Forbidden')  # how gcsfs says it
  return refused or type(error).__name__ in _FINAL


def _words(error: BaseException) -> str:
  first = (str(error).splitlines() or [''])[0]
  return first or type(error).__name__


def ask(where: str, request: Callable, *args, **kwargs) -> Any:
  """The answer to a request, which is repeated for a minute if it fails.

  Raises:
    FileNotFoundError: there is no such object.
    FileExistsError: there is one, and there should be none.
    StorageError: the store refuses, or does not answer.
  """
  for wait in (*WAITS, None):
    try:
      return request(*args, **kwargs)
    except FileNotFoundError:  # of each library in words of its own
      words = os.strerror(errno.ENOENT)
      raise FileNotFoundError(errno.ENOENT, words, where) from None
    except FileExistsError:
      raise
    except Exception as e:
      if wait is None or _is_final(e):
        raise StorageError(f'{where}: {_words(e)}') from e
      time.sleep(wait)


# File systems by scheme, bucket and process: a fork shares no connection.
_REACHED: dict[tuple[str, str, int], Any] = {}


def reached(scheme: str, key: str) -> Any:
  """The file system of a bucket that has answered, of fsspec.

  Args:
    scheme: one of SCHEMES.
    key: the bucket and the path in it.

  Raises:
    UserError: an extra is missing, there is no such bucket, no right to it,
      or no answer.
  """
  bucket = key.partition('/')[0]
  known = scheme, bucket, os.getpid()
  if known not in _REACHED:
    _REACHED[known] = _reach(scheme, bucket, key)
  return _REACHED[known]


def _reach(scheme: str, bucket: str, key: str) -> Any:
  """The file system of a bucket, once it has answered."""
  library, name, options = SCHEMES[scheme]
  try:
    made = getattr(importlib.import_module(library), name)
  except ImportError as e:
    raise UserError(
      f"{scheme}:// needs an extra: pip install 'jaxsynth[remote]' ({e})"
    ) from None
  answer: list[Any] = []

  def look() -> None:
    try:
      fs = made(**options)
      try:
        fs.ls(key, detail=False)
      except FileNotFoundError:  # nothing there yet, or no such bucket
        fs.ls(bucket, detail=False)
      answer.append(fs)
    except Exception as e:
      answer.append(e)

  asking = threading.Thread(target=look, daemon=True)
  asking.start()
  asking.join(PATIENCE)
  late = TimeoutError(
    f'no answer in {PATIENCE:.0f} s: are network and credentials there?'
  )
  found = answer[0] if answer else late
  if not isinstance(found, Exception):
    return found
  if isinstance(found, FileNotFoundError):
    raise UserError(f'{scheme}://{bucket}: there is no such bucket') from None
  raise UserError(
    f'{scheme}://{bucket} cannot be used: {_words(found)}'
  ) from None
