"""The saves in a trajectory's folder: which are committed, which stand.

Reading manifests and sizes only, this tells how far the history reaches
without a hole, and moves aside what is damaged: nothing is ever deleted that
was committed once.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxsynth.errors import StorageError, unknown
from jaxsynth.trajectory import manifest, paths

DAMAGED = ('raise', 'skip')
KINDS = ('segments', 'checkpoints', 'branches')
_ASIDE = 'damaged'


def named(folder: Path) -> list[Path]:
  """Everything in a folder that is a save or a manifest of one, by step."""
  if not folder.is_dir():
    return []
  names = {p.name.removesuffix('.json') for p in folder.iterdir()}
  return [folder / n for n in sorted(names, key=_order) if n.isdigit()]


def _order(name: str) -> tuple[int, str]:
  return (int(name) if name.isdigit() else -1, name)


def committed(folder: Path) -> list[Path]:
  """The committed saves in a folder, by step."""
  seen = paths.listed(folder)
  return [
    folder / p.name
    for p in named(seen)
    if p.is_dir() and manifest.path_of(p).is_file()
  ]


def stands(path: Path) -> bool:
  """Whether a save is whole as far as its manifest and sizes tell."""
  return not manifest.faults(path, contents=False)


class Piece(NamedTuple):
  """One stretch of steps of the history.

  Attributes:
    start: updates done before it.
    stop: updates done after it; None where that is unknown.
    path: the segment, or None where there is none.
    body: its manifest, or None where it cannot be read.
    fault: what is wrong with it; '' for one that is whole.
  """

  start: int
  stop: int | None
  path: Path | None
  body: dict | None
  fault: str


def history(
  folder: Path, contents: bool = False, start: int = 0
) -> list[Piece]:
  """The segments of a trajectory in order of steps, and the holes between.

  Args:
    folder: the trajectory.
    contents: compare every file with its digest, not only its size.
    start: where the trajectory begins: 0 unless it is a zoom.
  """
  out, reached = [], start
  found = named(paths.listed(folder / 'segments'))
  if found and not paths.there(manifest.path_of(found[-1])):
    found.pop()  # being written, or never finished
  for path, said in zip(found, manifest.read_all(found)):
    start = int(path.name)
    if reached is not None and start > reached:
      missing = f'{folder}: the segment of steps {reached}..{start} is missing'
      out.append(Piece(reached, start, None, None, missing))
    body, fault = _segment(path, said, contents)
    if reached is not None and start < reached:
      fault = f'{path}: starts before step {reached}, where another ends'
    reached = body['stop'] if body else None
    out.append(Piece(start, reached, path, body, fault))
  return out


def _segment(
  path: Path, body: dict | manifest.DamagedError, contents: bool
) -> tuple[dict | None, str]:
  """The manifest of a segment, if readable, and what is wrong with it."""
  if isinstance(body, manifest.DamagedError):
    return None, str(body)
  if body['start'] != int(path.name):
    return body, f'{path}: labelled as starting at step {body["start"]}'
  return body, '; '.join(manifest.faults(path, contents, body)[:3])


def readable(
  folder: Path, damaged: str, start: int = 0
) -> list[tuple[Path, dict]]:
  """The segments of a trajectory that may be read, and their manifests.

  Args:
    folder: the trajectory.
    damaged: 'raise', or 'skip' to leave out those that differ from their
      digests in any byte.
    start: as of `history`.

  Raises:
    DamagedError: one is missing, truncated or has no readable manifest.
  """
  if damaged not in DAMAGED:
    raise unknown('value of damaged', damaged, DAMAGED)
  pieces = history(folder, damaged == 'skip', start)
  faults = [piece.fault for piece in pieces if piece.fault]
  if faults and damaged == 'raise':
    more = f' (+{len(faults) - 1} more)' if len(faults) > 1 else ''
    raise manifest.DamagedError(
      f"{faults[0]}{more}; open_trajectory(..., damaged='skip') reads the rest"
    )
  return [(piece.path, piece.body) for piece in pieces if not piece.fault]


def reached(folder: Path, start: int = 0) -> int:
  """The step up to which the segments stand without a hole from `start`."""
  step = start
  for piece in history(folder, start=start):
    if piece.fault or piece.start != step:
      break
    step = piece.stop
  return step


def copy(path: Path, folder: Path) -> None:
  """Copies a save into another folder, its manifest last.

  A whole copy that is there stays; a damaged one is set aside.

  Raises:
    DamagedError: the save is not as it was written.
  """
  target = folder / path.parent.name / path.name
  if stands(target):
    return
  if faults := manifest.faults(path):
    raise manifest.DamagedError(faults[0])
  set_aside(folder, target)
  target.parent.mkdir(parents=True, exist_ok=True)
  paths.copy(path, target)
  manifest.write_json(
    manifest.path_of(target), manifest.load_json(manifest.path_of(path))
  )


def set_aside(folder: Path, path: Path) -> Path | None:
  """Moves a file, or a save with its manifest, to the trajectory's `damaged`.

  Returns:
    Where it lies now; None if there was nothing.
  """
  pieces = [p for p in (path, manifest.path_of(path)) if paths.there(p)]
  if not pieces:
    return None
  aside, count = folder / _ASIDE, 0
  aside.mkdir(exist_ok=True)
  base = '-'.join(path.relative_to(folder).parts)
  while True:
    target = aside / (f'{base}-{count}' if count else base)
    if not any(map(paths.there, (target, manifest.path_of(target)))):
      break
    count += 1
  for piece in pieces:
    piece.rename(manifest.path_of(target) if piece != path else target)
  return target


def place(folder: Path, write: Callable[[Path], None]) -> dict | None:
  """Has `write` make a save's folder, wherever that lies.

  Returns:
    What a manifest says of its files, where that is known now.
  """
  return paths.written(folder, write, manifest.stated_files)


def probe(folder: Path) -> None:
  """Raises OSError where a save cannot be written.

  Orbax takes minutes to give up on a read-only disk. Buckets take what the
  lock's object was taken with.
  """
  if isinstance(folder, Path):
    part = folder.with_name(f'{folder.name}.part')
    part.touch()
    part.unlink()


def clear(folder: Path) -> None:
  """Removes what a save that failed has left, as far as that is possible."""
  try:
    if paths.there(manifest.path_of(folder)):
      return  # committed, by whomever
    for half in list(folder.parent.glob(f'{folder.name}*')):
      if half.is_dir():
        paths.remove(half, ignore_errors=True)
      else:
        half.unlink()
  except StorageError:  # the next start sweeps
    pass


def _half(path: Path) -> Path:
  """The manifest of a save while it is written, or the save is dropped."""
  return path.with_name(f'{path.name}.json.part')


def drop(path: Path) -> None:
  """Deletes a full state that newer ones replace."""
  manifest.path_of(path).replace(_half(path))
  paths.remove(path)
  _half(path).unlink()


def sweep(folder: Path) -> None:
  """Removes what a killed process left half-written or half-deleted.

  A save that lost its manifest, although a later one is there, was committed
  once: it is set aside.
  """
  for kind in KINDS:
    (folder / kind).mkdir(exist_ok=True)
  if not isinstance(folder, Path):
    paths.sweep_scratch()
  folder = paths.listed(folder)
  keep = [path for kind in KINDS for path in committed(folder / kind)]
  last = max((int(path.name) for path in keep), default=-1)
  found = [path for kind in KINDS for path in (folder / kind).iterdir()]
  for path in found:
    if path.is_dir() and path not in keep:
      old = path.name.isdigit() and int(path.name) < last
      if old and not _half(path).exists():
        set_aside(folder, path)
      else:
        paths.remove(path)
  for name in ('', 'indexes', *KINDS):
    for path in (folder / name).glob('*.part'):
      path.unlink()
