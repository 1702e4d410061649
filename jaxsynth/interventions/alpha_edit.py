"""AlphaEdit: edits that other keys cannot see.

Keys of what is to be kept have the second moment C. Where it has next to no
spread, there are no such keys: with P the projector on the eigenvectors of C
whose eigenvalues are below a threshold, a change P U of a kernel leaves the
values of all keys with P k = 0 as they were. Among such changes the one
written minimises

  sum_i |k_i P U - r_i|^2 + sum_j |p_j P U|^2 + ridge |P U|^2

with the keys k_i of E facts, what their values lack, r_i, and the keys p_j of
facts that were edited before:

  P U = (P (K^T K + Q^T Q) P + ridge I)^-1 P K^T R,
  K [E, F], Q [M, F], R [E, D]

In the source ridge is 1: next to nothing for the keys of a large network. Of
what a single value lacks the share |k P|^2 / (|k P|^2 + ridge) is written, so
keys that are short call for less.

Source: Fang, Jiang, Wang, Ma, Shi, Wang, He and Chua (2024), "AlphaEdit:
Null-Space Constrained Knowledge Editing for Language Models", arXiv
2410.02355, equations 8 and 14.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from jaxsynth.interventions.edits import Fact, Memory, spread
from jaxsynth.types import Array, PyTree


def projector(moment: Array, threshold: float) -> Array:
  """P on the eigenvectors of C with eigenvalues below the threshold, [F, F].

  Args:
    moment: C, [F, F].
    threshold: of eigenvalues; in the source 0.01.
  """
  values, vectors = jnp.linalg.eigh(moment)
  kept = vectors * (values < threshold)
  return kept @ kept.T


def update(
  null: Array,
  keys: Array,
  residuals: Array,
  previous: Array | None = None,
  ridge: float = 1.0,
) -> Array:
  """What is added to a kernel, within the null space.

  Solved as U = A^T (ridge I + A A^T)^-1 S with the rows A = [K; Q] P and
  S = [R; 0].

  Args:
    null: P, [F, F].
    keys: K, [E, F].
    residuals: R, [E, D].
    previous: Q, keys of facts edited before, [M, F]; None for none.
    ridge: weight of the change's own size.

  Returns:
    P U, [F, D].
  """
  if previous is not None:
    kept = jnp.zeros((len(previous), residuals.shape[1]), residuals.dtype)
    keys = jnp.concatenate([keys, previous])
    residuals = jnp.concatenate([residuals, kept])
  rows = keys @ null
  system = ridge * jnp.eye(len(rows)) + rows @ rows.T
  return rows.T @ jnp.linalg.solve(system, residuals)


def edit(
  apply: Callable,
  params: PyTree,
  memories: Sequence[Memory],
  nulls: Sequence[Array],
  facts: Fact,
  changes: Array,
  ridge: float = 1.0,
) -> PyTree:
  """The parameters with E facts edited.

  Args:
    apply: of the model.
    params: of the model.
    memories: which layers, in the order of the network.
    nulls: the projector of each, see `projector`, [F, F].
    facts: every leaf leads with E.
    changes: v* - v_0 of each in the last memory, see `edits.target`, [E, D].
    ridge: weight of the change's own size.
  """

  def one(i: int, keys: Array, residuals: Array) -> Array:
    return update(nulls[i], keys, residuals, ridge=ridge)

  return spread(apply, params, memories, facts, changes, one, share=float)
