"""The one exception a user's mistake raises, and how it names a way out.

`UserError` means: the input was wrong, nothing was written, and the message
is one line that says what to type instead. The command line prints the line
and exits with 2; anything else is a defect of ours and keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
  """A mistake in a config, a flag, a name or a path."""


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
