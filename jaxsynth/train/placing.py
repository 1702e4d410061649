"""Rows of runs on their way to the devices and back, process by process.

A device array [R, ...] lies on the devices of all processes; each process puts
and fetches the rows of its own devices only, and nothing is gathered. Where
devices share runs (`train.data_axis`) each has a copy of their rows, of which
one is fetched.
"""

import jax
import numpy as np
from jax.sharding import NamedSharding

from jaxsynth.types import PyTree


def put(tree: PyTree, sharding: NamedSharding) -> PyTree:
  """A host tree, the rows of this process, as a device tree."""
  if jax.process_count() == 1:
    return jax.device_put(tree, sharding)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)),
    tree,
  )


def pieces(x: jax.Array) -> list[jax.Array]:
  """What this process holds of a device array, in order, each row once."""
  shards = {s.index[0].start or 0: s.data for s in x.addressable_shards}
  return [shards[row] for row in sorted(shards)]


def local(x: jax.Array) -> np.ndarray:
  """The rows of a device array that this process holds, on the host."""
  if x.is_fully_addressable:
    return np.asarray(x)
  return np.concatenate([np.asarray(piece) for piece in pieces(x)])
