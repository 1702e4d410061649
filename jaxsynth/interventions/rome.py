"""ROME: one fact into one memory, by the smallest change there is.

The kernel W of a memory (values k W + b) becomes the one nearest to it that
has the value v* for the key k*,

  min_U  tr(U^T C U)   such that  k* (W + U) + b = v*,   C = E[k k^T]:

the squared change of the values of all keys, in the mean, is smallest. Its
solution is of rank one,

  U = C^-1 k* r^T / (k*^T C^-1 k*),   r = v* - k* W - b

Source: Meng, Bau, Andonian and Belinkov (2022), "Locating and Editing Factual
Associations in GPT", arXiv 2202.05262, equation 2.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxsynth.interventions.edits import (
  Fact,
  Memory,
  floored,
  read,
  written,
)
from jaxsynth.types import Array, PyTree


def update(moment: Array, key: Array, residual: Array) -> Array:
  """What is added to a kernel so that a key has another value.

  Args:
    moment: C, [F, F].
    key: k*, [F].
    residual: r, what the value of the key lacks, [D].

  Returns:
    U, [F, D].
  """
  way = _way(moment, key)
  return jnp.outer(way, residual) / (way @ key)


def reach(moment: Array, key: Array, others: Array) -> Array:
  """How much of what is written for a key the values of others get.

  Args:
    moment: C, [F, F].
    key: k*, [F].
    others: other keys k, [..., F].

  Returns:
    k C^-1 k* / (k* C^-1 k*), [...]: 1 at k* itself.
  """
  way = _way(moment, key)
  return others @ way / (way @ key)


def _way(moment: Array, key: Array) -> Array:
  """C^-1 k*, [F]."""
  values, vectors = floored(moment)
  return vectors @ (vectors.T @ key / values)


def edit(
  apply: Callable,
  params: PyTree,
  memory: Memory,
  moment: Array,
  fact: Fact,
  change: Array,
) -> PyTree:
  """The parameters with one fact edited.

  Args:
    apply: of the model.
    params: of the model.
    memory: which layer.
    moment: C of its keys, [F, F].
    fact: one fact.
    change: v* - v_0, see `edits.target`, [D].
  """
  (key,) = read(apply, params, fact, [memory.key])
  return written(params, memory, update(moment, key, change))
