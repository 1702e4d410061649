"""Arrays on disk: the only file that imports Orbax and TensorStore.

A *save* is one Orbax folder of flat named arrays whose first axis is the run,
each one chunk of bytes as they are in memory, so one run's one array is one
range of bytes and one read. Beside it stands a manifest
(`jaxsynth.trajectory.manifest`): Orbax itself loads a flipped bit without a
word, so a save counts as committed only when its manifest does. See
docs/trajectory.md for the format.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import jax
import numpy as np
import tensorstore as ts
from absl import logging

from jaxsynth.errors import StorageError
from jaxsynth.trajectory import paths
from jaxsynth.trajectory.bucket import BucketPath
from jaxsynth.trajectory.lazy import Lazy, Part, Where, positions

# A save that fails raises; what threads of Orbax say of it on top, in pages,
# says nothing more.
logging.get_absl_logger().addFilter(
  lambda record: '_SignalingThread.run() raised' not in record.getMessage()
)

# Where Orbax puts arrays below the folder it is given.
_ARRAYS = 'state'
# Folders of a save that several processes wrote, in the order of its runs.
PART = 'part-'
# How often a request to a bucket is repeated: for about two minutes.
_PATIENT = {
  's3_request_retries': {'max_retries': 7},
  'gcs_request_retries': {'max_retries': 7},
}
# How TensorStore begins what is about a storage, not about what it holds.
_TROUBLE = (
  *('ABORTED', 'DEADLINE_EXCEEDED', 'PERMISSION_DENIED'),
  *('RESOURCE_EXHAUSTED', 'UNAUTHENTICATED', 'UNAVAILABLE'),
)
# Most ranges of a chunk that are read apart instead of the whole chunk.
_STRETCHES = 8


def _as_they_are(codecs: list[dict], chunk: list[int]) -> bool:
  """Whether a chunk begins with the bytes of its array in memory."""
  if len(codecs) != 1:
    return False
  (codec,) = codecs
  made = codec.get('configuration', {})
  if codec['name'] == 'bytes':
    return made.get('endian', 'little') == 'little'
  return (  # Orbax writes each chunk as a shard of one
    codec['name'] == 'sharding_indexed'
    and made['chunk_shape'] == chunk
    and made.get('index_location', 'end') == 'end'
    and made['codecs'][0]['name'] == 'bytes'
    and _as_they_are(made['codecs'], chunk)
  )


def save(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes named arrays [R, ...] as one Orbax folder, atomically.

  Args:
    folder: absolute path that does not exist yet.
    arrays: name -> host array; every leading axis is the run.
  """
  # A second that the start of a training can spare: the first save waits for
  # it beside the first steps.
  from orbax.checkpoint import v1 as ocp

  context = ocp.Context()
  context.array.saving.use_compression = False
  context.memory.deepcopy_host_arrays = False
  with context:
    ocp.save_async(str(folder), dict(arrays)).result()


def save_part(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes the runs of one of several processes: an OCDBT database.

  Orbax has every process of a team write one folder in lockstep, with
  collectives over the devices; parts need neither.

  Args:
    folder: absolute path of the part: PART and the first of its runs, in the
      folder of the save.
    arrays: name -> host array; every leading axis is the run.
  """
  context = ts.Context({'cache_pool': {'total_bytes_limit': 100_000_000}})
  transaction = ts.Transaction()

  def create(name: str, array: np.ndarray):
    spec = _spec(folder, name)
    # Large nodes and small inline values: few files, one read to open.
    spec['kvstore'] |= {
      'assume_config': True,
      'config': {
        'max_inline_value_bytes': 1024,
        'max_decoded_node_bytes': 100_000_000,
        'manifest_kind': 'single',
      },
    }
    spec['metadata'] = {
      'shape': array.shape,
      'data_type': array.dtype.name,
      'chunk_grid': {
        'name': 'regular',
        'configuration': {'chunk_shape': (1, *array.shape[1:])},
      },
      'codecs': [{'name': 'bytes', 'configuration': {'endian': 'little'}}],
    }
    return ts.open(spec, create=True, context=context, transaction=transaction)

  opened = {name: create(name, array) for name, array in arrays.items()}
  writes = [
    opened[name]
    .result()
    .write(array, can_reference_source_data_indefinitely=True)
    for name, array in arrays.items()
  ]
  for write in writes:  # only then does the transaction know all of it
    write.copy.result()
  transaction.commit_sync()


def is_trouble(error: Exception) -> bool:
  """Whether a failed read says nothing of the data: its storage is away."""
  return str(error).startswith(_TROUBLE)


def context() -> ts.Context:
  """Shared by the arrays of one trajectory: threads, and 64 MiB of cache."""
  return ts.Context(
    {
      'cache_pool': {'total_bytes_limit': 1 << 26},
      'file_io_concurrency': {'limit': 32},
    }
  )


def bases(folder: Path) -> list[Path]:
  """Where the arrays of a save lie: one folder, or one a part."""
  parts = paths.listed(folder.resolve()).glob(f'{PART}*[0-9]')
  return sorted(parts, key=_first_run) or [folder.resolve() / _ARRAYS]


def _first_run(base: Path) -> int:
  return int(base.name.removeprefix(PART)) if PART in base.name else 0


def _kvstore(base: Path) -> dict:
  """What TensorStore calls such a folder."""
  if isinstance(base, BucketPath):
    return {'driver': 'ocdbt', 'base': {**base.kvstore(), 'context': _PATIENT}}
  return {'driver': 'ocdbt', 'base': f'file://{base}/'}


def _spec(base: Path, name: str) -> dict:
  return {'driver': 'zarr3', 'kvstore': {**_kvstore(base), 'path': f'{name}/'}}


def _opening(base: Path, name: str, context: ts.Context | None) -> ts.Future:
  return ts.open(_spec(base, name), read=True, open=True, context=context)


def _whole(parts: list[ts.Future]) -> ts.TensorStore:
  opened = [part.result() for part in parts]
  return opened[0] if len(opened) == 1 else ts.concat(opened, axis=0)


def open_array(folder: Path, name: str) -> ts.TensorStore:
  """A lazy array of a save: slices are read when asked for."""
  return _whole([_opening(base, name, None) for base in bases(folder)])


class Array:
  """One array [R, K, ...] of a save or part, opened when first read.

  Chunks hold whole runs, uncompressed, so the bytes of one run, or of some of
  its rows, are a range of bytes: few are read without the others.

  Args:
    base: the folder of the save or of the part, see `bases`.
    name: of the array.
    shape: as the manifest says; in a part, with its runs only.
    dtype: likewise, by name.
    context: see `context`.
  """

  def __init__(
    self,
    base: Path,
    name: str,
    shape: Sequence[int],
    dtype: str,
    context: ts.Context,
  ):
    self._base, self._name, self._context = base, name, context
    self.shape, self.dtype = tuple(shape), jax.numpy.dtype(dtype)

  @cached_property
  def _zarr(self) -> ts.Future:
    return _opening(self._base, self._name, self._context)

  @cached_property
  def _keys(self) -> ts.KvStore:
    spec = _kvstore(self._base)
    return ts.KvStore.open(spec, context=self._context).result()

  @cached_property
  def _metadata(self) -> ts.Future:
    return self._keys.read(f'{self._name}/zarr.json')

  @cached_property
  def _runs_a_chunk(self) -> int:
    """How many runs a chunk holds one after the other; 0: otherwise."""
    found = json.loads(self._metadata.result().value)
    chunk = found['chunk_grid']['configuration']['chunk_shape']
    plain = (
      found['shape'] == list(self.shape)
      and chunk[1:] == list(self.shape[1:])
      and _as_they_are(found['codecs'], chunk)
      and not np.any(found['fill_value'])
    )
    return chunk[0] if plain else 0

  def _stretches(self, where: Where) -> list[np.ndarray]:
    """The rows asked for as stretches of neighbours, if little is asked for.

    Little: at most half of the rows, or of the runs.
    """
    if len(self.shape) < 2 or not math.prod(self.shape):
      return []
    runs, rows = (
      np.unique(positions(index, size))
      for index, size in zip(where, self.shape[:2])
    )
    if not len(runs) or not len(rows):
      return []
    few = 2 * len(rows) <= self.shape[1] or 2 * len(runs) <= self.shape[0]
    apart = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return apart if few and len(apart) <= _STRETCHES else []

  def prepare(self, where: Where) -> None:
    """Begins to open what reading `where` needs."""
    _ = self._metadata if self._stretches(where) else self._zarr

  def start(self, where: Where) -> Callable[[], np.ndarray]:
    """Begins to read `where`, see `jaxsynth.trajectory.lazy`."""
    stretches = self._stretches(where)
    if stretches and self._runs_a_chunk:
      return self._start_rows(where, stretches)
    future = self._zarr.result().oindex[tuple(where)].read()
    return lambda: np.asarray(future.result())

  def _start_rows(
    self, where: Where, stretches: list[np.ndarray]
  ) -> Callable[[], np.ndarray]:
    runs = positions(where[0], self.shape[0])
    rest = self.shape[2:]
    row_bytes = math.prod(rest) * self.dtype.itemsize
    chunk = '/0' * (len(self.shape) - 1)

    def read(run: int, rows: np.ndarray) -> ts.Future:
      number, before = divmod(int(run), self._runs_a_chunk)
      first = before * self.shape[1]
      span = (first + int(rows[0]), first + int(rows[-1]) + 1)
      return self._keys.read(
        f'{self._name}/c/{number}{chunk}',
        byte_range=slice(*(row_bytes * row for row in span)),
      )

    futures = [[read(run, rows) for rows in stretches] for run in runs]
    rows = np.concatenate(stretches)

    def finish() -> np.ndarray:
      out = np.zeros((len(runs), len(rows), *rest), self.dtype)
      for row, parts in zip(out.reshape(len(runs), -1).view(np.uint8), futures):
        got = [f.result() for f in parts]
        if got[0].state == 'value':  # chunks of nothing but zeros are not kept
          row[:] = np.frombuffer(b''.join(g.value for g in got), np.uint8)
      number = isinstance(where[0], int)
      some = np.searchsorted(rows, np.arange(self.shape[1])[where[1]])
      index = [0 if number else slice(None), some, *where[2:]]
      for axis in reversed(range(len(index))):
        out = out[(slice(None),) * axis + (index[axis],)]
      return out

    return finish


def array(
  bases: Sequence[Path],
  name: str,
  shape: Sequence[int],
  dtype: str,
  context: ts.Context,
) -> Part:
  """One array of a save, whoever wrote it.

  Args:
    bases: see `bases`.
    name: of the array.
    shape: of the whole, as the manifest says.
    dtype: likewise, by name.
    context: see `context`.
  """
  ends = [*map(_first_run, bases[1:]), shape[0]]
  parts = [
    Array(base, name, (end - _first_run(base), *shape[1:]), dtype, context)
    for base, end in zip(bases, ends)
  ]
  return parts[0] if len(parts) == 1 else Lazy(parts, 0)


def concat(parts: Sequence[Part], axis: int) -> Lazy:
  """Several lazy arrays as one along `axis`."""
  return Lazy(parts, axis)


def load(folder: Path, names: list[str], rows=slice(None)) -> dict:
  """Reads named arrays, in parallel.

  Args:
    folder: a save.
    names: which arrays.
    rows: index along the run axis.

  Returns:
    name -> numpy array.

  Raises:
    StorageError: the storage does not answer.
  """
  shared, where = context(), bases(folder)
  opening = {n: [_opening(base, n, shared) for base in where] for n in names}
  try:
    futures = {n: _whole(o)[rows].read() for n, o in opening.items()}
    return {n: np.asarray(f.result()) for n, f in futures.items()}
  except ValueError as e:
    if is_trouble(e):
      raise StorageError(f'{folder}: {e}') from None
    raise
