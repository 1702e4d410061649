"""How a sweep is cut into shards: a note in its stage, and what is missing.

`shards.json` says how many shards there are and names every part of every one
by its folder, its runs and its last step. So whoever reads the sweep back, or
checks it, is told of a shard that was never begun, by name.
"""

from pathlib import Path
from typing import Any

from jaxsynth.trajectory import manifest, saves
from jaxsynth.trajectory.trajectory import Trajectory

_NOTE = 'shards.json'


def path_of(stage: Path) -> Path:
  return stage / _NOTE


def read(stage: Path) -> dict[str, Any] | None:
  """The note of a stage; None where its sweep is not cut."""
  path = path_of(stage)
  return manifest.load_json(path) if path.exists() else None


def reached(folder: Path) -> int:
  """The last step a trajectory has on disk, 0 before its first segment."""
  found = saves.committed(folder / 'segments')
  return Trajectory(folder).segments[-1][1]['stop'] if found else 0


def missing(folder: Path) -> dict[Path, str]:
  """The parts at or below a folder that are not finished, and a line on each.

  Args:
    folder: a workdir, a stage, or anything in one.

  Returns:
    Folder -> which shard it is of how many, how far it is, what finishes it.
  """
  folder = folder.absolute()
  above = [p for p in (folder, *folder.parents) if path_of(p).exists()]
  out = {}
  for stage in above[:1] or sorted(folder.glob('stages/*')):
    note = read(stage)
    for part in note['parts'] if note else ():
      path = stage / part['folder']
      if path.is_relative_to(folder) and reached(path) < part['steps']:
        out[path] = _line(note['shards'], part, reached(path), path)
  return out


def _line(count: int, part: dict[str, Any], step: int, path: Path) -> str:
  far = f'is at step {step} of {part["steps"]}' if step else 'is not there'
  return (
    f'shard {part["shard"]} of {count}, {part["runs"]} runs, {far} ({path}): '
    f'--shards={count} --shard={part["shard"]} trains it'
  )
