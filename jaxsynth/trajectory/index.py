"""The index of a trajectory: what it is, and the history of what it was.

`index.json` is written here and nowhere else. Most of it says what is trained
and is compared whenever a process continues; the entries of HISTORY say what
happened since and are carried along.
"""

from pathlib import Path
from typing import Any

from jaxsynth.trajectory import manifest

# Notes of what was done later, not part of what is compared.
HISTORY = ('resumed_under', 'extensions')


def path_of(folder: Path) -> Path:
  return Path(folder) / 'index.json'


def read(folder: Path) -> dict[str, Any]:
  """The index of a trajectory.

  Raises:
    DamagedError: it is missing or not readable.
  """
  return manifest.load_json(path_of(folder))


def write(folder: Path, body: dict[str, Any]) -> None:
  """Replaces the index: a reader sees the old one or the new, never half."""
  manifest.write_json(path_of(folder), body)


def split(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
  """(what is compared, the notes of HISTORY) of an index."""
  notes = {k: v for k, v in body.items() if k in HISTORY}
  return {k: v for k, v in body.items() if k not in HISTORY}, notes
