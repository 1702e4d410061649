"""Reading the path that a network wrote: which nodes, and is it one.

Tokens 0..N-1 are nodes; the first token that is none ends a path. A path is
valid when every step of it is an edge of the graph.

Shapes: B rows, T tokens of a row, M tokens that are looked at.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxsynth.types import Array


class Trace(NamedTuple):
  """What was written.

  Attributes:
    nodes: int32 [B, M]; -1 after the end.
    length: nodes of each path, int32 [B].
    edges: how many of its steps are edges, int32 [B].
    after: the token that ended it, int32 [B]; -1 if nothing did.
  """

  nodes: Array
  length: Array
  edges: Array
  after: Array

  @property
  def valid(self) -> Array:
    """Whether there is a path and all its steps are edges, bool [B]."""
    return (self.length > 0) & (self.edges == self.length - 1)

  @property
  def last(self) -> Array:
    """The last node of each path, int32 [B]; -1 where there is none."""
    at = jnp.maximum(self.length - 1, 0)
    return jnp.take_along_axis(self.nodes, at[:, None], 1)[:, 0]


def read(tokens: Array, begin: Array | int, edges: Array) -> Trace:
  """The path that begins at a position of each row.

  Args:
    tokens: int32 [B, T].
    begin: where it begins, [B] or one position for all.
    edges: A of the graph [N, N].
  """
  rows, size = tokens.shape
  begin = jnp.broadcast_to(begin, (rows,))[:, None]
  at = begin + jnp.arange(size)
  inside = at < size
  body = jnp.take_along_axis(tokens, jnp.minimum(at, size - 1), 1)
  is_node = inside & (body < edges.shape[0])
  on = jnp.cumprod(is_node, 1, dtype=jnp.int32)
  nodes = jnp.where(on > 0, body, -1)
  steps = edges[nodes[:, :-1], nodes[:, 1:]] * on[:, 1:]
  length = on.sum(1)
  end = jnp.minimum(length, size - 1)[:, None]
  after = jnp.where(
    jnp.take_along_axis(inside, end, 1) & (length < size)[:, None],
    jnp.take_along_axis(body, end, 1),
    -1,
  )
  return Trace(nodes, length, steps.sum(1).astype(jnp.int32), after[:, 0])
