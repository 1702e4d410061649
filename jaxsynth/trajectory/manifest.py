"""What a save must contain, written after it: sizes, digests, labels.

`NAME.json` beside the folder `NAME` states which steps and runs the save
holds, the size and CRC-32 of every file in it, a CRC-32 of every (array, run,
row) as it was in memory, which saves came before it, and its own BLAKE2b
digest. A save without a manifest was never committed. All of it is plain JSON,
and signed: a file must be, byte for byte, what `signed` writes for what it
says.

Files get a CRC because they are hundreds of megabytes: it is cheaper than a
BLAKE2b, and finds every flipped bit and all but one in 2^32 of other damages.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from zlib_ng import zlib_ng

from jaxsynth.errors import StorageError, UserError
from jaxsynth.trajectory.bucket import BucketPath

# 2: the index is signed, and saves name the saves before them.
FORMAT = 2
_BLOCK = 1 << 20


class DamagedError(UserError):
  """What is on disk is not what was written; the message names the file."""


def digest(data: bytes) -> str:
  """BLAKE2b of bytes, 128 bits, in hex."""
  return hashlib.blake2b(data, digest_size=16).hexdigest()


def file_digest(path: Path, like: str = '') -> str:
  """CRC-32 of a file in hex, read block by block.

  Args:
    path: the file.
    like: what is stated of it; 32 digits, as were written before, mean the
      BLAKE2b digest of `digest`.
  """
  strong = hashlib.blake2b(digest_size=16) if len(like) == 32 else None
  crc, block = 0, memoryview(bytearray(_BLOCK))
  with path.open('rb', buffering=0) as f:
    while count := f.readinto(block):
      if strong:
        strong.update(block[:count])
      else:
        crc = zlib_ng.crc32(block[:count], crc)
  return strong.hexdigest() if strong else f'{crc:08x}'


def canonical(value: Any) -> bytes:
  """JSON that is equal for equal values: sorted keys, no spaces."""
  return json.dumps(value, sort_keys=True, separators=(',', ':')).encode()


def _render(value: Any, compact: bool) -> str:
  # Python's own encoder indents, a much faster one in C does not.
  text = (
    canonical(value).decode()
    if compact
    else json.dumps(value, indent=1, sort_keys=True)
  )
  return text + '\n'


def write_json(
  path: Path, value: Any, compact: bool = False, new: bool = False
) -> None:
  """Writes JSON so that a reader sees the old file or the new, never half.

  Args:
    path: the file.
    value: what it says.
    compact: on one line, for what is long and read often.
    new: in a bucket, replace no file that says something else.

  Raises:
    StorageError: there is one.
  """
  if isinstance(path, BucketPath):  # one object is put whole or not at all
    data = _render(value, compact).encode()
    if not new:
      path.write_bytes(data)
    elif not path.create(data) and path.read_bytes() != data:
      raise StorageError(f'{path}: was written by another process meanwhile')
    return
  part = path.with_name(path.name + '.part')
  with open(part, 'w') as f:
    f.write(_render(value, compact))
    f.flush()
    os.fsync(f.fileno())
  os.replace(part, path)


def load_json(path: Path) -> Any:
  """Reads JSON; a file that is not JSON is reported by name."""
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as e:
    raise DamagedError(f'{path}: not readable as JSON ({e})') from None


def signed(body: Mapping[str, Any]) -> dict[str, Any]:
  """The body with its own digest, to be written by `write_json`."""
  return {**body, 'digest': digest(canonical(body))}


def load_signed(path: Path) -> dict[str, Any]:
  """Reads what `write_json(path, signed(body))` wrote; returns the body.

  Raises:
    DamagedError: it is missing, unreadable or differs in any byte.
  """
  try:
    text = path.read_bytes().decode()
    body = json.loads(text)
    stated = body.pop('digest')
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
    raise DamagedError(f'{path}: not readable ({e!r})') from None
  # On one line it is what was signed and the digest: no need to write it anew.
  line = text.replace(f'"digest":"{stated}",', '', 1)
  if line.endswith('\n') and stated == digest(line[:-1].encode()):
    return body
  if stated != digest(canonical(body)):
    raise DamagedError(f'{path}: its own digest does not match')
  whole = {**body, 'digest': stated}
  if not any(text == _render(whole, compact) for compact in (True, False)):
    raise DamagedError(f'{path}: not as it was written')
  return body


def _table() -> np.ndarray:
  """CRC-32 of every byte, uint32 [256]: the polynomial of zlib."""
  table = np.arange(256, dtype=np.uint32)
  for _ in range(8):
    table = np.where(
      table & 1, (table >> 1) ^ np.uint32(0xEDB88320), table >> 1
    )
  return table


_CRC = _table()
# Rows up to this many bytes go through numpy together, longer ones to zlib.
_SHORT = 32


def rows_crc(array: np.ndarray) -> np.ndarray:
  """CRC-32 of each [run, row] of an array [R, K, ...] (or [R] alone).

  Returns:
    uint32 [R, K]; [R, 1] for an array without a second axis.
  """
  if hasattr(array, 'crc'):  # written by others, see `trajectory.parts`
    return array.crc
  if array.ndim == 1:
    array = array[:, None]
  runs, rows = array.shape[:2]
  if not array.size:
    return np.zeros((runs, rows), '<u4')
  array = np.ascontiguousarray(array).reshape(runs * rows, -1)
  if array.shape[1] * array.itemsize > _SHORT:
    crc = [zlib_ng.crc32(row) for row in array.view(np.uint8)]
    return np.asarray(crc, '<u4').reshape(runs, rows)
  crc = np.full(runs * rows, 0xFFFFFFFF, np.uint32)
  for column in array.view(np.uint8).reshape(runs * rows, -1).T:
    crc = _CRC[(crc ^ column) & 0xFF] ^ (crc >> 8)
  return (crc ^ np.uint32(0xFFFFFFFF)).astype('<u4').reshape(runs, rows)


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
  """[size, digest] of every file in a folder, by its path there."""
  return {
    name: [path.stat().st_size, file_digest(path)]
    for name, path in _files(folder).items()
  }


def path_of(folder: Path) -> Path:
  return folder.with_name(folder.name + '.json')


def account(
  folder: Path,
  arrays: Mapping[str, np.ndarray],
  known: dict[str, list] | None = None,
) -> dict[str, dict[str, Any]]:
  """What a manifest says of files in a folder and of the arrays in them.

  Args:
    folder: the save.
    arrays: what is in it.
    known: `stated_files` of it, if they were looked at before.
  """
  with ThreadPoolExecutor(1) as pool:  # its CRC leaves the lock to others
    known = known or getattr(arrays, 'files', None)
    files = pool.submit(lambda: known or stated_files(folder))
    crc32 = checksums(arrays)
  return {
    'files': files.result(),
    'arrays': {
      name: {'shape': list(a.shape), 'dtype': a.dtype.name}
      for name, a in arrays.items()
    },
    'crc32': crc32,
  }


def commit(
  folder: Path,
  arrays: Mapping[str, np.ndarray],
  labels: dict[str, Any],
  known: dict[str, list] | None = None,
) -> dict[str, Any]:
  """Writes the manifest of a finished save and returns it.

  Args:
    folder: the save.
    arrays: what was handed to it, name -> [R, ...]; written in parts, they
      know their checksums and files (`trajectory.parts.Whole`).
    labels: what the save holds: steps, run ids, ...
    known: see `account`.
  """
  body = {
    **labels,
    'format': FORMAT,
    **account(folder, arrays, known),
  }
  write_json(path_of(folder), signed(body), compact=True, new=True)
  return body


def checksums(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
  """The packed `rows_crc` of named arrays."""
  return {name: pack(rows_crc(a)) for name, a in arrays.items()}


def content(body: Mapping[str, Any]) -> str:
  """A digest of what a save holds and says, whatever files it lies in."""
  return digest(canonical({k: v for k, v in body.items() if k != 'files'}))


def state_digest(body: Mapping[str, Any]) -> str:
  """A digest of the values of a full state, from its manifest."""
  return digest(canonical(body['crc32']))


def step_of_row(body: Mapping[str, Any], name: str, row: int) -> int:
  """The step that a row of an array of a save belongs to."""
  kind = name.partition('.')[0]
  if kind == 'scalars' and 'start' in body:
    return body['start'] + 1 + row
  labels = {'snapshots': 'snapshot_steps', 'evals': 'eval_steps'}
  steps = body.get(labels.get(kind), [])
  return steps[row] if row < len(steps) else body.get('step', row)


def read(folder: Path) -> dict[str, Any]:
  """The manifest of a save.

  Raises:
    DamagedError: it is missing, unreadable or fails its own digest.
  """
  return load_signed(path_of(folder))


def read_all(folders: list[Path]) -> list[dict[str, Any] | DamagedError]:
  """The manifests of saves, or what is wrong with them, read side by side."""

  def one(folder: Path) -> dict[str, Any] | DamagedError:
    try:
      return read(folder)
    except DamagedError as e:
      return e

  with ThreadPoolExecutor(16) as pool:
    return list(pool.map(one, folders))


def differing_files(folder: Path, body: dict, contents: bool = True) -> list:
  """(path, what is wrong) of every file that is not as the manifest says.

  Args:
    folder: the save.
    body: its manifest.
    contents: compare digests too, not only names and sizes.
  """
  found, stated, out = _files(folder), body['files'], []
  for name in sorted(set(found) | set(stated)):
    where = folder / name
    if name not in found:
      out.append((where, 'missing'))
    elif name not in stated:
      out.append((where, 'not in the manifest'))
    else:
      size, expected = stated[name]
      actual = found[name].stat().st_size
      if actual != size:
        out.append((where, f'{actual} bytes, the manifest says {size}'))
      elif contents and file_digest(found[name], expected) != expected:
        out.append((where, 'content does not match its digest'))
  return out


def faults(
  folder: Path, contents: bool = True, body: dict | None = None
) -> list[str]:
  """Every difference between a save's files and its manifest, named.

  Args:
    folder: the save.
    contents: see `differing_files`.
    body: its manifest, if it was read before.
  """
  try:
    body = read(folder) if body is None else body
  except DamagedError as e:
    return [str(e)]
  if not folder.is_dir():
    return [f'{folder}: missing, its manifest is there']
  found = differing_files(folder, body, contents)
  return [f'{path}: {what}' for path, what in found]
