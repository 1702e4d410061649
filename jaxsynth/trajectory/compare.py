"""What differs between two trainings, or between a save and its repetition."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxsynth.errors import UserError
from jaxsynth.trajectory import manifest

# Parts of an index a user may decide to continue under another of.
ALLOWABLE = ('layout', 'source_digest')


def differences(old: Any, new: Any, at: str = '') -> list[str]:
  """Where two JSON values differ, one 'path: old -> new' each."""
  if isinstance(old, Mapping) and isinstance(new, Mapping):
    out = []
    for key in sorted(set(old) | set(new), key=str):
      here = f'{at}.{key}' if at else str(key)
      out += differences(old.get(key), new.get(key), here)
    return out
  return [] if old == new else [f'{at}: {old!r} -> {new!r}']


def allowed_differences(
  folder: Path, old: dict, new: dict, allow: tuple[str, ...]
) -> list[str]:
  """The differences between two indexes, all of them allowed.

  Raises:
    UserError: there are others.
  """
  found = differences(old, new)
  part = lambda difference: difference.split(':')[0].split('.')[0]
  allowed = [d for d in found if part(d) in allow]
  differing = [d for d in found if d not in allowed]
  if differing:
    shown = '; '.join(differing[:3])
    more = f' (+{len(differing) - 3} more)' if len(differing) > 3 else ''
    parts = sorted({part(d) for d in differing})
    way = 'choose another workdir'
    if set(parts) <= set(ALLOWABLE):
      flags = ' '.join(f'--allow {name}' for name in parts)
      way += f', or continue all the same with {flags}'
    raise UserError(
      f'{folder} holds another training, nothing was changed: '
      f'{shown}{more}; {way}'
    )
  return allowed


def differing_rows(old: dict, arrays: Mapping[str, np.ndarray]) -> list[str]:
  """Where arrays differ from a manifest's checksums, by array, run and step."""
  runs, out = old['run_ids'], []
  if missing := set(old['crc32']) ^ set(arrays):
    out.append(f'arrays {sorted(missing)[:3]} are in one of them only')
  for name in sorted(set(old['crc32']) & set(arrays)):
    was = manifest.unpack(old['crc32'][name], len(runs))
    now = manifest.rows_crc(arrays[name])
    if was.shape != now.shape:
      out.append(f'{name} has another shape')
      continue
    for run in np.flatnonzero((was != now).any(1)):
      row = int(np.flatnonzero(was[run] != now[run])[0])
      at = manifest.step_of_row(old, name, row)
      out.append(f'{name} of run {runs[run]} from step {at} on')
  return out
