"""Decompositions of many matrices without devices waiting for each other.

On CPUs XLA hands the pieces of a large batch of decompositions to its threads,
of which it has one a core, and the device that asked waits on one of them. Two
devices that do so at once may hold all threads and wait for ever. One matrix
at a time asks for no pieces, so what is here, mapped over a batch, takes one
after the other on CPUs; elsewhere a batch stays a batch. More threads than
cores (NPROC) would help too, and make small models slow: docs/performance.md.
"""

import math
import os
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jax.extend import core

from jaxsynth import progress
from jaxsynth.types import Array

# Primitives that XLA takes from LAPACK on a CPU, a batch in pieces.
_DECOMPOSITIONS = frozenset(
  {'cholesky', 'eig', 'eigh', 'geqrf', 'lu', 'qr', 'schur', 'svd'}
)
# Batches up to this size were never seen to be cut.
_SMALL = 64


def _one_by_one(fn: Callable) -> Callable:
  """`fn` of one matrix, which `vmap` on a CPU does not turn into a batch."""
  alone = jax.custom_batching.custom_vmap(fn)

  @alone.def_vmap
  def many(size, batched, *args):
    args = [
      x if mapped else jnp.broadcast_to(x, (size, *x.shape))
      for x, mapped in zip(args, batched)
    ]
    if jax.default_backend() == 'cpu':
      out = jax.lax.map(lambda args: alone(*args), args)
    else:
      out = jax.vmap(fn)(*args)
    return out, jax.tree.map(lambda _: True, out)

  return alone


@_one_by_one
def svd(matrix: Array) -> tuple[Array, Array, Array]:
  """The thin singular value decomposition; not differentiable.

  Args:
    matrix: [m, n].

  Returns:
    u [m, k], s [k] descending, vt [k, n] with k = min(m, n).
  """
  return tuple(jnp.linalg.svd(matrix, full_matrices=False))


@_one_by_one
def singular_values(matrix: Array) -> Array:
  """The singular values, descending; not differentiable.

  Args:
    matrix: [m, n].

  Returns:
    s [min(m, n)].
  """
  return jnp.linalg.svd(matrix, compute_uv=False)


@_one_by_one
def solve(matrix: Array, right: Array) -> Array:
  """The solution x of matrix x = right; not differentiable.

  Args:
    matrix: [n, n].
    right: [n, m].

  Returns:
    x [n, m].
  """
  return jnp.linalg.solve(matrix, right)


def batches(jaxpr: core.Jaxpr) -> Iterator[tuple[str, tuple]]:
  """The decompositions of large batches in a program.

  Args:
    jaxpr: the traced program.

  Yields:
    (primitive, shape of its operand).
  """
  for eqn in jaxpr.eqns:
    if eqn.primitive.name in _DECOMPOSITIONS:
      shape = eqn.invars[0].aval.shape
      if math.prod(shape[:-2]) > _SMALL:
        yield eqn.primitive.name, shape
    for inner in core.jaxprs_in_params(eqn.params):
      yield from batches(getattr(inner, 'jaxpr', inner))


def warn_of_waiting(jaxpr: core.Jaxpr, devices: int) -> None:
  """Says so if a program's devices may wait for each other for ever.

  Args:
    jaxpr: the traced program.
    devices: that run it at the same time.
  """
  given = os.environ.get('NPROC', '')
  ample = given.isdecimal() and int(given) >= 2 * devices
  if devices < 2 or ample or jax.default_backend() != 'cpu':
    return
  for name, shape in batches(jaxpr):
    progress.note(
      f'{name} of {" x ".join(map(str, shape))} on {devices} CPU devices at '
      'once may wait for ever: map svd, singular_values or solve of '
      'jaxsynth.linalg, which says why, or jax.lax.map over it, or set '
      f'NPROC={2 * devices} in the environment'
    )
    return
