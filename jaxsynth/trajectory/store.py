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
from absl import logging
from orbax.checkpoint import v1 as ocp

from jaxsynth.types import PyTree

# A save that fails raises; what threads of Orbax say of it on top, in pages,
# says nothing more.
logging.get_absl_logger().addFilter(
  lambda record: '_SignalingThread.run() raised' not in record.getMessage()
)

# Where Orbax puts arrays below the folder it is given.
_ARRAYS = 'state'


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


def open_array(folder: Path, name: str) -> ts.TensorStore:
  """A lazy array of a save: slices are read when asked for."""
  return ts.open(
    {
      'driver': 'zarr3',
      'kvstore': {
        'driver': 'ocdbt',
        'base': f'file://{folder.resolve()}/{_ARRAYS}/',
        'path': f'{name}/',
      },
    },
    read=True,
  ).result()


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
