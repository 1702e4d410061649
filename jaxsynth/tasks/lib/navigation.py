"""Pairs of nodes of a graph, how a trace of each goes on, and the optimum.

A trace from s to g goes on from a node x to a neighbour j

  with a path from s to g    with probability C[j, g] / C[x, g], C the number
                             of paths: uniform among all paths
  without                    uniformly, until rank(x) >= rank(g)

and ends where no neighbour is left, or at g; see
`jaxsynth.tasks.graph_navigation`.

Shapes: N nodes, B pairs, T tokens of a document.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsynth.types import Array

# Tokens of a prompt: goal: g start: s.
PROMPT = 4


class World(NamedTuple):
  """A graph and which of its pairs are in training.

  Attributes:
    edges: A, float32 zeros and ones [N, N].
    rank: of each node, int32 [N].
    paths: number of paths from each node to each, float32 [N, N].
    kind: of each pair (s, g), int32 [N, N]: 2 for unseen, plus 1 with a path;
      4 for what is no pair.
    pairs: N s + g of all pairs, sorted by kind, int32 [N^2].
    count: pairs of kinds 0..3, int32 [4].
  """

  edges: Array
  rank: Array
  paths: Array
  kind: Array
  pairs: Array
  count: Array


def onward(world: World, node: Array, source: Array, goal: Array) -> Array:
  """Weights of the next node of traces; all zero where one ends.

  Args:
    world: the graph.
    node: where each trace is, int32 [B, ...].
    source: where it began, int32 [B].
    goal: where it is to go, int32 [B].

  Returns:
    Float32 [B, ..., N].
  """
  wide = lambda x, axes: x.reshape(len(goal), *[1] * axes, *x.shape[1:])
  axes = node.ndim - 1
  there = wide(world.paths[source, goal] > 0, axes)
  under = world.rank[node] < wide(world.rank[goal], axes)
  weights = jnp.where(
    there[..., None], wide(world.paths.T[goal], axes), under[..., None]
  )
  return world.edges[node] * weights


def optimum(
  world: World, tokens: Array, path_token: int, longest: int, stepwise: bool
) -> Array:
  """The law of the next token on the training mixture, given the graph.

  Args:
    world: the graph.
    tokens: of documents, int32 [B, T].
    path_token: p1; the next are p0, end and padding, the last.
    longest: nodes of a trace at most.
    stepwise: whether traces are written.

  Returns:
    Probabilities [B, T, path_token + 4]: goal and source by their share in
    training (uniform where the goal is not in it), the next node as traces
    are drawn, everything else certain.
  """
  w, n = world, len(world.edges)
  size, end_token = path_token + 4, path_token + 2
  goal, source = tokens[:, 1], tokens[:, 3]
  one = lambda token: jax.nn.one_hot(token, size)
  wide = lambda x: jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, size - n)])

  there = w.count[:2] > 0
  each = there / jnp.maximum(w.count[:2], 1) / there.sum()
  share_NN = jnp.append(each, jnp.zeros(3))[w.kind]
  of_goal = share_NN.T[goal]
  total = of_goal.sum(1, keepdims=True)
  of_goal = jnp.where(
    total > 0, of_goal / jnp.where(total > 0, total, 1), 1 / n
  )
  first = jnp.broadcast_to(wide(share_NN.sum(0)), (len(goal), size))
  start = jnp.broadcast_to(one(n + 1), first.shape)
  head = jnp.stack([first, start, wide(of_goal)], 1)

  label = path_token + (w.paths[source, goal] == 0)
  last = tokens[:, PROMPT - 1 :]
  weights = onward(w, jnp.minimum(last, n - 1), source, goal)
  total = weights.sum(-1, keepdims=True)
  at = jnp.arange(last.shape[1])
  over = (total[..., 0] == 0) | (last == goal[:, None]) | (at == longest)
  following = wide(weights / jnp.where(total > 0, total, 1))
  following = jnp.where(over[..., None], one(label)[:, None], following)
  after = jnp.where(last < end_token, end_token, end_token + 1)
  answer = jnp.where((last < n)[..., None], following, one(after))
  answer = answer.at[:, 0].set(one(source if stepwise else label))
  return jnp.concatenate([head, answer], 1)
