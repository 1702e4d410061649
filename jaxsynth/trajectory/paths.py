"""Where a trajectory may lie: on a file system, for now."""

import re
from pathlib import Path

from jaxsynth.errors import UserError

# 'gs://bucket/x', also after `Path` made 'gs:/bucket/x' of it.
_REMOTE = re.compile(r'([A-Za-z][A-Za-z0-9+.-]+):/+')


def local(path: Path | str) -> Path:
  """The path, if it is one of a file system.

  Raises:
    UserError: it names another storage; as a folder called 'gs:' it would be
      made here.
  """
  if found := _REMOTE.match(str(path)):
    scheme, rest = found[1], str(path)[found.end() :]
    raise UserError(
      f'{scheme}://{rest}: trajectories lie on a file system; mount the '
      'storage, or choose a local folder and copy it'
    )
  return Path(path)
