"""What one save holds, read back and compared with all its manifest says."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsynth.errors import StorageError
from jaxsynth.trajectory import bucket_lock, manifest, saves, store


class Fault(NamedTuple):
  """One thing that is not as it was written.

  Attributes:
    file: the file or folder.
    what: what is wrong with it.
    leaf: the array, '' if it is not one.
    run: the identity of the run, '' if it is not one.
    step: the first step it concerns, or None.
  """

  file: str
  what: str
  leaf: str = ''
  run: str = ''
  step: int | None = None

  def __str__(self) -> str:
    run = f' of run {self.run}' if self.run else ''
    at = '' if self.step is None else f' at step {self.step}'
    where = f'{self.leaf}{run}{at} '.lstrip()
    return f'{self.file}: {where if where.strip() else ""}{self.what}'


class Save(NamedTuple):
  """A save whose manifest could be read.

  Attributes:
    path: its folder.
    body: its manifest.
    arrays: what could be read, name -> [R, ...].
  """

  path: Path
  body: dict
  arrays: dict[str, np.ndarray]


def read(path: Path, later: bool) -> tuple[Save | None, list[Fault], list[str]]:
  """Reads a save and compares it with its manifest.

  Args:
    path: its folder.
    later: whether something was committed after it, so that it must have
      been, too.

  Returns:
    The save, faults and warnings.
  """
  label = manifest.path_of(path)
  if not label.exists() and not later:
    return None, [], [f'{path}: never committed; the next start removes it']
  try:
    body = manifest.read(path)
    runs = len(body['run_ids'])
  except (manifest.DamagedError, KeyError, TypeError) as e:
    return None, [Fault(str(label), str(e).removeprefix(f'{label}: '))], []
  if not path.is_dir():
    return None, [Fault(str(path), 'missing, its manifest is there')], []
  faults = [
    Fault(str(p), what) for p, what in manifest.differing_files(path, body)
  ]
  arrays: dict[str, np.ndarray] = {}
  for name, stated in body['arrays'].items():
    try:
      arrays[name] = _array(path, name, stated)
    except Exception as e:  # whatever a damaged file makes TensorStore raise
      if store.is_trouble(e):
        raise StorageError(f'{path}: {e}') from None
      if not faults or not isinstance(e, ValueError):
        first = (str(e).splitlines() or [''])[0]
        faults.append(Fault(str(path), f'cannot be read: {first}', name))
  for name, array in arrays.items():
    faults += _values(path, body, name, array, runs)
  return Save(path, body, arrays), faults + _labels(path, body), []


def _array(path: Path, name: str, stated: dict) -> np.ndarray:
  """An array, if it lies there in the shape and dtype that were stated."""
  lazy = store.open_array(path, name)
  shape, dtype = list(lazy.shape), lazy.dtype.numpy_dtype.name
  if (shape, dtype) != (stated['shape'], stated['dtype']):
    raise TypeError(f'it is {dtype} {shape}, the manifest says {stated}')
  return np.asarray(lazy.read().result())


def _values(
  path: Path, body: dict, name: str, array: np.ndarray, runs: int
) -> list[Fault]:
  """Where an array differs from its checksums, one fault a run."""
  expected = manifest.unpack(body['crc32'][name], runs)
  found = manifest.rows_crc(array)
  if expected.shape != found.shape:
    return [Fault(str(path), 'has another shape than its checksums', name)]
  out = []
  for run in np.flatnonzero((expected != found).any(1)):
    rows = np.flatnonzero(expected[run] != found[run])
    steps = [manifest.step_of_row(body, name, int(r)) for r in rows]
    more = f', nor at steps {steps[1:4]}' if len(steps) > 1 else ''
    more += f' (+{len(steps) - 4} more)' if len(steps) > 4 else ''
    run_id = body['run_ids'][run]
    what = f'is not what was written{more}'
    out.append(Fault(str(path), what, name, run_id, steps[0]))
  return out


def _labels(path: Path, body: dict) -> list[Fault]:
  """Labels that contradict the folder's name or the shapes of the arrays."""
  fault = lambda what, leaf='': Fault(str(path), what, leaf)
  segment = 'start' in body
  begins = body['start'] if segment else body['step']
  out = []
  if begins != int(path.name):
    out.append(fault(f'labelled as of step {begins}'))
  rows = None
  for name, stated in body['arrays'].items():
    if segment:
      rows = {
        'snapshots': len(body['snapshot_steps']),
        'scalars': body['stop'] - body['start'],
        'evals': len(body['eval_steps']),
      }[name.partition('.')[0]]
    shape = stated['shape']
    if shape[0] != len(body['run_ids']):
      out.append(fault(f'holds {shape[0]} runs', name))
    elif segment and shape[1] != rows:
      out.append(fault(f'holds {shape[1]} rows for {rows} steps', name))
  if segment:
    # The first segment may hold what is of the step where it begins.
    later = body['start'] and body.get('previous', '') is not None
    first = body['start'] + bool(later)
    for kind in ('snapshot_steps', 'eval_steps'):
      wrong = [s for s in body[kind] if not first <= s <= body['stop']]
      if wrong:
        out.append(fault(f'{kind} {wrong[:3]} lie outside its steps'))
  return out


def same_bits(one: np.ndarray, two: np.ndarray) -> np.ndarray:
  """Which runs agree in every bit, [R]; NaNs are equal whatever their bits."""
  if (one.shape, one.dtype) != (two.shape, two.dtype):
    return np.zeros(len(one), bool)
  bits = lambda x: np.ascontiguousarray(x).view(np.uint8).reshape(
    *x.shape, x.itemsize
  )  # fmt: skip
  same = (bits(one) == bits(two)).all(-1) | ((one != one) & (two != two))
  return same.reshape(len(one), -1).all(1)


def strays(folder: Path) -> tuple[list[Fault], list[str]]:
  """Files that are no part of a trajectory: faults among the saves."""
  known = {'index.json', 'indexes', 'damaged', *saves.KINDS}
  known |= {'shards', 'proof.json'}  # each shard is a trajectory of its own
  faults, warnings = [], []
  for path in sorted(folder.iterdir()):
    if path.name not in known and not bucket_lock.belongs(path.name):
      warnings.append(f'{path}: not a part of a trajectory')
  if (folder / 'damaged').is_dir():
    count = len(list((folder / 'damaged').iterdir()))
    warnings.append(f'{folder / "damaged"}: holds {count} pieces set aside')
  for kind in saves.KINDS:
    if isinstance(folder, Path) and not (folder / kind).is_dir():
      faults.append(Fault(str(folder / kind), 'missing'))
      continue
    for path in sorted((folder / kind).iterdir()):
      name = path.name.removesuffix('.json')
      if name.isdigit() and len(name) == 10:
        continue
      begun = path.is_dir() and name.partition('.')[0].isdigit()  # in parts
      if begun or path.name.endswith('.part') or 'tmp' in path.name:
        warnings.append(f'{path}: left half-written; the next start removes it')
      else:
        faults.append(Fault(str(path), 'not a part of a trajectory'))
  return faults, warnings
