"""MEMIT: many facts at once, spread over several memories.

In each memory the kernel W changes by the U that minimises

  sum_i |k_i U - r_i|^2 + weight tr(U^T C U),   C = E[k k^T]:

the values of E keys move by r_i, as far as all other keys allow. These are
the normal equations of ridge regression,

  U = (weight C + K^T K)^-1 K^T R,   K [E, F], R [E, D]

and r_i is what the stream below the last memory lacks, divided by the number
of memories that remain.

Source: Meng, Sen Sharma, Andonian, Belinkov and Bau (2023), "Mass-Editing
Memory in a Transformer", arXiv 2210.07229, equation 14 and algorithm 1.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from jaxsynth.interventions.edits import Fact, Memory, floored, spread
from jaxsynth.types import Array, PyTree


def update(
  moment: Array, keys: Array, residuals: Array, weight: float
) -> Array:
  """What is added to a kernel so that keys have nearly other values.

  Solved as U = C^-1 K^T (weight I + K C^-1 K^T)^-1 R, an E x E system.

  Args:
    moment: C, [F, F].
    keys: K, [E, F].
    residuals: R, [E, D].
    weight: of what other keys have.

  Returns:
    U, [F, D].
  """
  values, vectors = floored(moment)
  ways = (keys @ vectors / values) @ vectors.T  # [E, F]
  system = weight * jnp.eye(len(keys)) + ways @ keys.T
  return ways.T @ jnp.linalg.solve(system, residuals)


def edit(
  apply: Callable,
  params: PyTree,
  memories: Sequence[Memory],
  moments: Sequence[Array],
  facts: Fact,
  changes: Array,
  weight: float,
) -> PyTree:
  """The parameters with E facts edited.

  Args:
    apply: of the model.
    params: of the model.
    memories: which layers, in the order of the network.
    moments: C of the keys of each, [F, F].
    facts: every leaf leads with E.
    changes: v* - v_0 of each in the last memory, see `edits.target`, [E, D].
    weight: of what other keys have.
  """

  def one(i: int, keys: Array, residuals: Array) -> Array:
    return update(moments[i], keys, residuals, weight)

  return spread(apply, params, memories, facts, changes, one, share=float)
