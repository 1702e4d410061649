"""The index of a trajectory: what it is, signed, and kept twice.

`index.json` is written here and nowhere else, with its own digest. Every
version of it is also kept as `indexes/DIGEST.json`, and each save's manifest
names, as its `index`, the identity of the index it was written under. So a
damaged index is noticed, and can be rebuilt from the copy the manifests name.

Most of an index says what is trained, and is compared whenever a process
continues; the entries of HISTORY say what happened since and are carried along.
"""

from pathlib import Path
from typing import Any

from jaxsynth.trajectory import manifest, saves
from jaxsynth.trajectory.bucket_lock import take

_NAME, _COPIES = 'index.json', 'indexes'
# Notes of what was done later, not part of what is compared.
HISTORY = ('resumed_under', 'extensions')


def path_of(folder: Path) -> Path:
  return folder / _NAME


def split(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
  """(what is compared, the notes of HISTORY) of an index."""
  notes = {k: v for k, v in body.items() if k in HISTORY}
  return {k: v for k, v in body.items() if k not in HISTORY}, notes


def identity(body: dict[str, Any]) -> str:
  """A digest of what the index says, without the notes of HISTORY."""
  return manifest.digest(manifest.canonical(split(body)[0]))


def first_hash(body: dict[str, Any]) -> str | None:
  """The hash of the config as it was before any extension.

  Children, zooms and forks know a training by it.
  """
  extensions = body.get('extensions')
  return (extensions[0] if extensions else body).get('config_hash')


def write(folder: Path, body: dict[str, Any]) -> None:
  """Writes the index, its copy first."""
  text = manifest.signed(body)
  copies = folder / _COPIES
  copies.mkdir(exist_ok=True)
  manifest.write_json(copies / f'{text["digest"]}.json', text)
  manifest.write_json(path_of(folder), text)


def read(folder: Path) -> dict[str, Any]:
  """The index of a trajectory.

  Raises:
    DamagedError: it is missing or damaged; the message names the way back.
  """
  path = path_of(folder)
  try:
    return manifest.load_signed(path)
  except manifest.DamagedError as e:
    if old := _unsigned(path):
      return old
    raise manifest.DamagedError(
      f'{e}; `jaxsynth check {folder} --rebuild_index` restores it from its '
      'copy'
    ) from None


def _unsigned(path: Path) -> dict[str, Any] | None:
  """An index of format 1, which had no digest; None if it is none."""
  try:
    body = manifest.load_json(path)
  except manifest.DamagedError:
    return None
  old = isinstance(body, dict) and body.get('format') == 1
  return body if old and 'digest' not in body else None


def copies(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
  """The intact copies of all versions, and what is wrong with the others."""
  intact, faults = [], []
  for path in sorted((folder / _COPIES).glob('*')):
    try:
      body = manifest.load_signed(path)
    except manifest.DamagedError as e:
      faults.append(str(e))
      continue
    if path.name == f'{manifest.digest(manifest.canonical(body))}.json':
      intact.append(body)
    else:
      faults.append(f'{path}: holds the index of another name')
  return intact, faults


def named_by_saves(folder: Path) -> str | None:
  """The identity of the index the newest readable save was written under."""
  found = [path for kind in saves.KINDS for path in saves.named(folder / kind)]
  for path in sorted(found, key=lambda p: int(p.name), reverse=True):
    try:
      return manifest.read(path).get('index')
    except manifest.DamagedError:
      continue
  return None


def from_copy(folder: Path) -> dict[str, Any]:
  """The newest version of the index that the saves were written under.

  Raises:
    DamagedError: no intact copy is the one the saves name.
  """
  found, _ = copies(folder)
  name = named_by_saves(folder)
  if name is not None:
    found = [body for body in found if identity(body) == name]
  if not found or (name is None and len({identity(b) for b in found}) > 1):
    raise manifest.DamagedError(
      f'{folder}: no copy in {_COPIES}/ is the index that its saves name'
    )
  return max(found, key=lambda body: sum(map(len, split(body)[1].values())))


def rebuild(folder: Path) -> str:
  """Puts back a damaged or missing index; the damaged one is set aside.

  Returns:
    What was done, in one line.

  Raises:
    UserError: another process is writing the trajectory.
    DamagedError: there is no copy to rebuild it from.
  """
  with take(folder / 'lock'):
    try:
      read(folder)
      return f'{path_of(folder)} is intact, nothing to rebuild'
    except manifest.DamagedError:
      body = from_copy(folder)
    aside = saves.set_aside(folder, path_of(folder))
    write(folder, body)
  kept = f'; the damaged one is {aside}' if aside else ''
  return f'{path_of(folder)} rebuilt from its copy{kept}'
