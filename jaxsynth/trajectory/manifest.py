"""What a save must contain, written after it: sizes, digests, labels.

`NAME.json` beside the folder `NAME` states which steps and runs the save
holds, the size and BLAKE2b digest of every file in it, a CRC-32 of every
(array, run, row), and its own digest. A save without a manifest was never
committed. All of it is plain JSON.
"""

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1


class DamagedError(Exception):
  """A save does not hold what its manifest says; the message names it."""


def digest(data: bytes) -> str:
  """BLAKE2b of bytes, 128 bits, in hex."""
  return hashlib.blake2b(data, digest_size=16).hexdigest()


def canonical(value: Any) -> bytes:
  """JSON that is equal for equal values: sorted keys, no spaces."""
  return json.dumps(value, sort_keys=True, separators=(',', ':')).encode()


def write_json(path: Path, value: Any) -> None:
  """Writes JSON so that a reader sees the old file or the new, never half."""
  part = path.with_name(path.name + '.part')
  with open(part, 'w') as f:
    json.dump(value, f, indent=1, sort_keys=True)
    f.write('\n')
    f.flush()
    os.fsync(f.fileno())
  os.replace(part, path)


def load_json(path: Path) -> Any:
  """Reads JSON; a file that is not JSON is reported by name."""
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as e:
    raise DamagedError(f'{path}: not readable as JSON ({e})') from None


def rows_crc(array: np.ndarray) -> np.ndarray:
  """CRC-32 of each [run, row] of an array [R, K, ...] (or [R] alone).

  Returns:
    uint32 [R, K]; [R, 1] for an array without a second axis.
  """
  if hasattr(array, 'crc'):  # written by others, see `trajectory.parts`
    return array.crc
  if array.ndim == 1:
    array = array[:, None]
  array = np.ascontiguousarray(array)
  out = np.empty(array.shape[:2], '<u4')
  for run in range(array.shape[0]):
    for row in range(array.shape[1]):
      out[run, row] = zlib.crc32(array[run, row].tobytes())
  return out


def pack(crc: np.ndarray) -> str:
  return base64.b64encode(crc.astype('<u4').tobytes()).decode()


def unpack(text: str, runs: int) -> np.ndarray:
  flat = np.frombuffer(base64.b64decode(text), '<u4')
  return flat.reshape(runs, -1)


def _files(folder: Path) -> dict[str, Path]:
  return {
    p.relative_to(folder).as_posix(): p
    for p in sorted(folder.rglob('*'))
    if p.is_file()
  }


def stated_files(folder: Path) -> dict[str, list]:
  """Size and digest of every file in a folder, by its path there."""
  return {
    name: [path.stat().st_size, digest(path.read_bytes())]
    for name, path in _files(folder).items()
  }


def path_of(folder: Path) -> Path:
  return folder.with_name(folder.name + '.json')


def described(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """What a manifest says of named arrays."""
  return {
    'arrays': {
      name: {'shape': list(a.shape), 'dtype': a.dtype.name}
      for name, a in arrays.items()
    },
    'crc32': {name: pack(rows_crc(a)) for name, a in arrays.items()},
  }


def commit(
  folder: Path, arrays: Mapping[str, np.ndarray], labels: dict[str, Any]
) -> None:
  """Writes the manifest of a finished save.

  Args:
    folder: the save.
    arrays: what was handed to it, name -> [R, ...]; written in parts, they
      know their checksums and files (`trajectory.parts.Whole`).
    labels: what the save holds: steps, run ids, ...
  """
  body = {
    **labels,
    'format': FORMAT,
    'files': getattr(arrays, 'files', None) or stated_files(folder),
    **described(arrays),
  }
  write_json(path_of(folder), {**body, 'digest': digest(canonical(body))})


def read(folder: Path) -> dict[str, Any]:
  """The manifest of a save.

  Raises:
    DamagedError: it is missing, unreadable or fails its own digest.
  """
  path = path_of(folder)
  try:
    body = json.loads(path.read_text())
    stated = body.pop('digest')
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
    raise DamagedError(f'{path}: not a readable manifest ({e})') from None
  if stated != digest(canonical(body)):
    raise DamagedError(f'{path}: its own digest does not match')
  return body


def faults(folder: Path) -> list[str]:
  """Every difference between a save's files and its manifest, named."""
  try:
    body = read(folder)
  except DamagedError as e:
    return [str(e)]
  found, stated, out = _files(folder), body['files'], []
  for name in sorted(set(found) | set(stated)):
    where = f'{folder}/{name}'
    if name not in found:
      out.append(f'{where}: missing')
    elif name not in stated:
      out.append(f'{where}: not in the manifest')
    else:
      size, expected = stated[name]
      data = found[name].read_bytes()
      if len(data) != size:
        out.append(f'{where}: {len(data)} bytes, the manifest says {size}')
      elif digest(data) != expected:
        out.append(f'{where}: content does not match its digest')
  return out
