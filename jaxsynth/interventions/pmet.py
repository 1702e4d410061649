"""PMET: what attention and MLP should say is found together, one is written.

A value v* that the MLP alone must bring about also holds what attention could
do better. Here the outputs of attention and of the MLP, at the same position,
are optimised together (`target`); only the part of the MLP is then written,
with MEMIT's normal equations, and what is still lacking is divided by the
square root of the number of memories that remain: the first ones get more.

Source: Li, Li, Song, Yang, Ma and Yu (2023), "PMET: Precise Model Editing in
a Transformer", arXiv 2308.08742, sections 3.2 and 3.3.
"""

import math
from collections.abc import Callable, Sequence

from jaxsynth.interventions import edits, memit
from jaxsynth.interventions.edits import Descent, Fact, Memory
from jaxsynth.types import Array, PyTree


def target(
  apply: Callable,
  params: PyTree,
  memory: Memory,
  attention: str,
  fact: Fact,
  descent: Descent,
) -> Array:
  """The part of the MLP in what attention and MLP should say, v* - v_0 [D].

  Args:
    apply: of the model.
    params: of the model.
    memory: the layer that is edited last.
    attention: site of what attention writes into the same stream, [B, T, D].
    fact: one fact.
    descent: how.
  """
  both = (memory.value, attention)
  return edits.target(apply, params, both, fact, descent)[0]


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
    changes: from `target` for each, [E, D].
    weight: of what other keys have, as in `memit`.
  """

  def one(i: int, keys: Array, residuals: Array) -> Array:
    return memit.update(moments[i], keys, residuals, weight)

  return edits.spread(
    apply, params, memories, facts, changes, one, share=math.sqrt
  )
