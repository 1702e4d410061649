"""Arrays on disk: the only file that imports Orbax and TensorStore.

A *save* is one Orbax folder of flat named arrays whose first axis is the run,
one uncompressed chunk per run, so one run's one array is one read. Beside it
stands a manifest (`jaxsynth.trajectory.manifest`): Orbax itself loads a
flipped bit without a word, so a save counts as committed only when its
manifest does. See docs/trajectory.md for the format.
"""

from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import tensorstore as ts
from orbax.checkpoint import v1 as ocp

from jaxsynth.types import PyTree

# Where Orbax puts arrays below the folder it is given.
_ARRAYS = 'state'
# Folders of a save that several processes wrote, in the order of its runs.
PART = 'part-'


def _name(path: tuple) -> str:
  parts = []
  for entry in path:
    for attribute in ('key', 'name', 'idx'):
      if hasattr(entry, attribute):
        parts.append(str(getattr(entry, attribute)))
        break
  for part in parts:
    if '.' in part or '/' in part or not part:
      raise ValueError(f'a leaf name may not hold "." or "/": {part!r}')
  return '.'.join(parts)


def flatten(tree: PyTree) -> dict[str, np.ndarray]:
  """A pytree as {'blocks_0.attn.q.kernel': leaf}, in tree order."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {_name(path): leaf for path, leaf in leaves}


def unflatten(leaves: Mapping[str, np.ndarray]) -> PyTree:
  """The nested dicts that `flatten` names; one unnamed leaf is itself."""
  if set(leaves) == {''}:
    return leaves['']
  tree: dict = {}
  for name, leaf in leaves.items():
    *parents, last = name.split('.')
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[last] = leaf
  return tree


def like(tree: PyTree, leaves: Mapping[str, np.ndarray]) -> PyTree:
  """The leaves in the structure of `tree` (which gave them their names)."""
  names = list(flatten(tree))
  return jax.tree.unflatten(
    jax.tree.structure(tree), [leaves[name] for name in names]
  )


def save(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes named arrays [R, ...] as one Orbax folder, atomically.

  Args:
    folder: absolute path that does not exist yet.
    arrays: name -> host array; every leading axis is the run.
  """
  context = ocp.Context()
  context.array.saving.use_compression = False
  context.array.saving.storage_options.shard_axes = (0,)
  context.memory.deepcopy_host_arrays = False
  with context:
    ocp.save_async(str(folder), dict(arrays)).result()


def _spec(base: Path, name: str) -> dict:
  return {
    'driver': 'zarr3',
    'kvstore': {
      'driver': 'ocdbt',
      'base': f'file://{base}/',
      'path': f'{name}/',
    },
  }


def save_part(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes the runs of one of several processes: an OCDBT database.

  Orbax has every process of a team write one folder in lockstep, with
  collectives over the devices; parts need neither.

  Args:
    folder: absolute path of the part, `PART...` in the folder of the save.
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


def open_array(folder: Path, name: str) -> ts.TensorStore:
  """A lazy array of a save: slices are read when asked for."""
  parts = sorted(folder.resolve().glob(f'{PART}*'))
  bases = parts or [folder.resolve() / _ARRAYS]
  opened = [ts.open(_spec(base, name), read=True) for base in bases]
  return concat([f.result() for f in opened], 0)


def concat(parts: list[ts.TensorStore], axis: int) -> ts.TensorStore:
  """Several lazy arrays as one along `axis`."""
  return parts[0] if len(parts) == 1 else ts.concat(parts, axis=axis)


def load(folder: Path, names: list[str], rows=slice(None)) -> dict:
  """Reads named arrays, in parallel.

  Args:
    folder: a save.
    names: which arrays.
    rows: index along the run axis.

  Returns:
    name -> numpy array.
  """
  futures = {n: open_array(folder, n)[rows].read() for n in names}
  return {n: np.asarray(f.result()) for n, f in futures.items()}
