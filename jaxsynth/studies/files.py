"""Writing a file whole or not at all: beside it first, then renamed over it."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields a path to write to, which becomes `path` if nothing is raised.

  The folder is made if it is missing; a failed write leaves what was at
  `path` as it was, and nothing beside it.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  beside = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  try:
    yield beside
    os.replace(beside, path)
  finally:
    beside.unlink(missing_ok=True)


def sweep(workdir: pathlib.Path) -> None:
  """Removes what killed processes left beside the files of a workdir."""
  for pattern in ('.*.tmp', 'results/.*.tmp', 'figures/.*.tmp'):
    for path in workdir.glob(pattern):
      path.unlink()
