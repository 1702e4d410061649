"""The mesh axis `data`: several devices share each run, its batch and state.

The loop is one program a *group* of K = `layout.data` devices. Manual along
`run`, where nothing is exchanged, it is left to the compiler along `data`, by
marks that say how an array lies on the group (Xu et al. 2021, "GSPMD", arXiv
2105.04663):

  split    a batch, in K pieces along its examples: each device draws, pushes
           forward and pushes back its own, and sums over examples, gradients
           among them, are added up on the way
  spread   a state, a gradient, a snapshot: each leaf in K pieces along its
           largest axis that K divides; one without, or one of fewer than SMALL
           numbers, is whole everywhere
  whole    on each device: parameters, while a step or evaluation uses them

State and optimizer thus live, move and are saved in pieces, and each device
updates its own (Rajbhandari et al. 2020, "ZeRO", arXiv 1910.02054). The program
is that of one device, with its weights, noise and parts of a batch; random bits
are counters (threefry) and do not depend on who draws them.

Without such an axis, as by hand in a notebook, a mark is nothing at all.
"""

import math
from collections.abc import Callable, Sequence

import jax
from jax.sharding import PartitionSpec as P

from jaxsynth.errors import UserError
from jaxsynth.types import PyTree

AXIS = 'data'
# Numbers in a leaf (64 KiB) below which a piece of it saves less than it costs:
# a message between the devices at every step.
SMALL = 1 << 14


def largest(shape: Sequence[int], devices: int, lead: int = 0) -> int | None:
  """The axis along which `spread` cuts an array; None if it stays whole.

  Args:
    shape: of the array.
    devices: K.
    lead: how many axes (runs, snapshots) are none of the leaf's own.
  """
  if math.prod(shape[lead:]) < SMALL:
    return None
  fits = [i for i in range(lead, len(shape)) if shape[i] % devices == 0]
  return max(fits, key=lambda i: (shape[i], -i), default=None)


def spec(shape: Sequence[int], devices: int, lead: int = 0) -> tuple:
  """Where `spread` puts AXIS among the axes of an array."""
  axis = None if devices == 1 else largest(shape, devices, lead)
  return () if axis is None else (*[None] * axis, AXIS)


def bytes_each(tree: PyTree, devices: int) -> int:
  """Bytes that one of K devices holds of a tree that is spread."""
  size = lambda x: math.prod(x.shape) * x.dtype.itemsize
  share = lambda x: devices if spec(x.shape, devices) else 1
  return sum(size(x) // share(x) for x in jax.tree.leaves(tree))


def _marked(tree: PyTree, where: Callable[[jax.Array, int], P]) -> PyTree:
  """A tree with its leaves constrained, if there is such an axis."""
  mesh = jax.sharding.get_abstract_mesh()
  if AXIS not in mesh.auto_axes:
    return tree
  devices = mesh.shape[AXIS]
  mark = lambda x: jax.lax.with_sharding_constraint(x, where(x, devices))
  return jax.tree.map(mark, tree)


def split(tree: PyTree, axis: int = 0) -> PyTree:
  """Marks arrays as lying in pieces along the devices that share a run.

  Args:
    tree: of arrays; those with fewer entries along `axis` than there are
      devices stay whole.
    axis: along which their examples stand.
  """

  def where(x: jax.Array, devices: int) -> P:
    few = x.ndim <= axis or x.shape[axis] < devices
    return P() if few else P(*[None] * axis, AXIS)

  return _marked(tree, where)


def spread(tree: PyTree, lead: int = 0) -> PyTree:
  """Marks leaves as lying in pieces along their largest axis; see `largest`."""
  return _marked(tree, lambda x, devices: P(*spec(x.shape, devices, lead)))


def summed(grads: PyTree) -> PyTree:
  """Marks gradients, sums over examples, as added up and then spread.

  Spread at once, the compiler would rather exchange activations than sums.
  """
  return spread(whole(grads))


def whole(tree: PyTree) -> PyTree:
  """Marks arrays as whole on each device of a group."""
  return _marked(tree, lambda x, devices: P())


def check_batch(data: int, batch_size: int, parts: int) -> None:
  """Refuses devices that cannot split each part of a batch evenly.

  Args:
    data: devices that share a run.
    batch_size: examples.
    parts: microbatches, which divide them; 0 for any number that does.

  Raises:
    UserError: they do not divide a part.
  """
  part = batch_size // (parts or 1)
  if part % data:
    cut = f' / layout.microbatches={parts}' if parts > 1 else ''
    raise UserError(
      f'layout.data={data} does not divide train.batch_size={batch_size}{cut}: '
      f'the nearest that does is {nearest(data, divisors(part))}'
    )


def nearest(wanted: int, valid: list[int]) -> int:
  """The number in `valid` closest to the one wanted; of two the smaller."""
  return min(valid, key=lambda n: (abs(n - wanted), n))


def divisors(number: int) -> list[int]:
  return [n for n in range(1, number + 1) if number % n == 0]
