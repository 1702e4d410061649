"""The mesh axis `data`: several devices share each run and split its batch.

The loop is one program a *group* of K = `layout.data` devices. Manual along
`run`, where nothing is exchanged, it is left to the compiler along `data`:
what is marked here lies in K pieces along its examples, everything else, the
state too, is whole on each device of the group. The compiler makes each device
draw, push forward and push back its own piece and adds up sums over examples,
gradients among them, on the way (Xu et al. 2021, "GSPMD", arXiv 2105.04663).
The program is thus that of one device, with its weights, noise and parts of a
batch; random bits are counters (threefry) and do not depend on who draws them.

Without such an axis, as by hand in a notebook, a mark is nothing at all.
"""

import jax
from jax.sharding import PartitionSpec as P

from jaxsynth.errors import UserError
from jaxsynth.types import PyTree

AXIS = 'data'


def split(tree: PyTree, axis: int = 0) -> PyTree:
  """Marks arrays as lying in pieces along the devices that share a run.

  Args:
    tree: of arrays; those with fewer entries along `axis` than there are
      devices stay whole.
    axis: along which their examples stand.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if AXIS not in mesh.auto_axes:
    return tree
  spec, devices = P(*[None] * axis, AXIS), mesh.shape[AXIS]

  def mark(x: jax.Array) -> jax.Array:
    if x.ndim <= axis or x.shape[axis] < devices:
      return x
    return jax.lax.with_sharding_constraint(x, spec)

  return jax.tree.map(mark, tree)


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
