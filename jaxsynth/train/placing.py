"""Rows of runs on their way to the devices and back, process by process.

A device array [R, ...] lies on the devices of all processes; each process puts
and fetches the rows of its own devices only, and nothing is gathered. Where
devices share runs (`train.data_axis`) each has a piece of their rows, or a copy
of them, of which one is fetched.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsynth.train import data_axis
from jaxsynth.types import PyTree

Placed = Callable[[tuple[int, ...]], NamedSharding]


def states_on(mesh: Mesh) -> Placed:
  """Where arrays [R, ...] of states lie: rows along `run`, and then spread."""
  devices = mesh.shape.get(data_axis.AXIS, 1)

  def placed(shape: tuple[int, ...]) -> NamedSharding:
    cut = data_axis.spec(shape, devices, lead=1)[1:]
    return NamedSharding(mesh, PartitionSpec('run', *cut))

  return placed


def put(tree: PyTree, rows: int, placed: Placed) -> PyTree:
  """A host tree, the rows of this process, as a device tree.

  Args:
    tree: [R, ...] of this process.
    rows: of the whole array, over all processes.
    placed: where an array of a shape lies.
  """

  def one(x: np.ndarray) -> jax.Array:
    shape = (rows, *x.shape[1:])
    where = placed(shape)
    if jax.process_count() == 1:
      return jax.device_put(x, where)
    x = np.asarray(x)
    own = where.addressable_devices_indices_map(shape).values()
    first = min(index[0].start or 0 for index in own)

    def part(index: tuple[slice, ...]) -> np.ndarray:
      start, stop, _ = index[0].indices(rows)
      return x[start - first : stop - first, *index[1:]]

    return jax.make_array_from_callback(shape, where, part)

  return jax.tree.map(one, tree)


def pieces(x: jax.Array) -> list[np.ndarray]:
  """What this process holds of a device array, on the host, each row once.

  On a CPU these are views of what is on the devices, where rows are not in
  pieces.
  """
  found: dict[int, dict[tuple[int, ...], jax.Array]] = {}
  for shard in x.addressable_shards:
    starts = tuple(index.start or 0 for index in shard.index)
    found.setdefault(starts[0], {})[starts] = shard.data
  return [_joined(found[row]) for row in sorted(found)]


def _joined(parts: dict[tuple[int, ...], jax.Array]) -> np.ndarray:
  """The pieces of some rows, by where they start, as one array."""
  starts = sorted(parts)
  arrays = [np.asarray(parts[start]) for start in starts]
  if len(arrays) == 1:
    return arrays[0]
  axis = next(i for i, at in enumerate(zip(*starts)) if len({*at}) > 1)
  return np.concatenate(arrays, axis)


def local(x: jax.Array) -> np.ndarray:
  """The rows of a device array that this process holds, on the host."""
  if x.is_fully_addressable:
    return np.asarray(x)
  return np.concatenate(pieces(x))
