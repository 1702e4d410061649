"""The one exception a user's mistake raises, and how it names a way out.

`UserError` means: the input was wrong, nothing was written, and the message
is one line that says what to type instead. The command line prints the line
and exits with 2. A disk that takes no more, or a storage that does not answer,
is nobody's mistake: `disk_trouble` knows it, and the command line exits with
1. Anything else is a defect of ours and keeps its traceback.
"""

import difflib
import errno
import os
from collections.abc import Iterable


class UserError(Exception):
  """A mistake in a config, a flag, a name or a path."""


class StorageError(Exception):
  """A remote storage that refuses, or does not answer; the message says so."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
  """The error for a name that is not among `known`, nearest one included.

  Args:
    kind: what the name names, as the user would say it ('task', 'preset').
    name: what was given.
    known: the valid names.

  Returns:
    The exception, to be raised by the caller.
  """
  known = sorted(map(str, known))
  near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
  if near:
    return UserError(f'unknown {kind} {name!r}: did you mean {near[0]!r}?')
  listed = ', '.join(known) if known else 'none'
  return UserError(f'unknown {kind} {name!r}: choose from {listed}')


_DISK = ('ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EFBIG', 'ESTALE')


def disk_trouble(error: BaseException) -> str | None:
  """Whether an error says that a disk is full, read-only or failing.

  Args:
    error: of Python, or of a library that only quotes the system's words.

  Returns:
    Those words, and the file where it is known; None for any other error.
  """
  if isinstance(error, StorageError):
    return str(error)
  known = {getattr(errno, name) for name in _DISK if hasattr(errno, name)}
  number = getattr(error, 'errno', None)
  if number in known:
    named = getattr(error, 'filename', None)
    return f'{named}: {os.strerror(number)}' if named else os.strerror(number)
  if isinstance(error, OSError | ValueError | RuntimeError):
    for words in map(os.strerror, known):
      if words in str(error):
        return words
  return None
