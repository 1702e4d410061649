"""Small acyclic graphs joined into one, and walks through them.

n motifs of m nodes: node a m + i is the i-th of motif a. Inside a motif edges
are drawn as those of one graph; a *source* has no edge to it, a *sink* none
from it. Ghost edges lead from every sink of a motif to every source of
another. A segment is a walk from a uniform source to uniform neighbours until
it is at a sink. See `jaxsynth.tasks.graph_motifs`.

Shapes: N = n m nodes, B rows, S segments, M nodes of a segment.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsynth.tasks.lib import graphs
from jaxsynth.types import Array, Key


class Motifs(NamedTuple):
  """The graphs, and whose coin decides which chains are in training.

  Attributes:
    edges: inside motifs, float32 [N, N].
    ghosts: between motifs, float32 [N, N].
    source: whether no edge inside its motif leads to a node, bool [N].
    coins: data of the key of the coins, uint32.
    share: of the chains that are in training.
  """

  edges: Array
  ghosts: Array
  source: Array
  coins: Array
  share: Array


def draw(
  key: Key, coins: Key, n: int, m: int, layers: int, p: Array, share: Array
) -> Motifs:
  """Motifs, independent of each other.

  Args:
    key: of their edges.
    coins: key of the coins.
    n: motifs.
    m: nodes of each.
    layers: of a hierarchical motif; 0 for Bernoulli ones.
    p: probability of each edge that may be inside a motif.
    share: of the chains that are in training.
  """

  def one(key):
    if not layers:
      return graphs.bernoulli(key, m, p).edges
    return graphs.hierarchical(key, layers, m // layers, p).edges

  blocks = jax.vmap(one)(jax.random.split(key, n))
  motif = jnp.arange(n * m) // m
  apart = motif[:, None] != motif
  edges = jnp.where(apart, 0, jnp.tile(blocks.reshape(n * m, m), (1, n)))
  source, sink = edges.sum(0) == 0, edges.sum(1) == 0
  ghosts = (sink[:, None] & source & apart).astype(jnp.float32)
  share = jnp.asarray(share, jnp.float32)
  return Motifs(edges, ghosts, source, jax.random.key_data(coins), share)


def permutations(key: Key, shape: tuple[int, ...]) -> Array:
  """Uniform permutations of 0..n-1, each the ranks of n random numbers.

  Nothing is sorted: for a few motifs it is less work to compare them all, and
  much less to compile.

  Args:
    key: of the numbers.
    shape: (..., n).

  Returns:
    int32 [..., n].
  """
  x = jax.random.uniform(key, shape)
  other, own = x[..., None, :], x[..., :, None]
  index = jnp.arange(shape[-1])
  first = (other < own) | ((other == own) & (index < index[:, None]))
  return first.sum(-1, dtype=jnp.int32)


def in_training(motifs: Motifs, chain: Array, n: int) -> Array:
  """Whether chains are in training: a coin of each.

  Args:
    motifs: from `draw`.
    chain: motifs in order, -1 beyond the end, int32 [..., C].
    n: motifs there are.

  Returns:
    bool [...].
  """
  place = (n + 1) ** jnp.arange(chain.shape[-1])
  code = ((chain + 1) * place).sum(-1).astype(jnp.uint32)
  key = jax.random.wrap_key_data(motifs.coins)
  toss = lambda c: jax.random.uniform(jax.random.fold_in(key, c))
  fell = jax.vmap(toss)(code.ravel()).reshape(code.shape)
  return fell < motifs.share


def segments(
  motifs: Motifs, key: Key, motif: Array, m: int, longest: int
) -> Array:
  """A walk through each motif, from a source to a sink.

  Args:
    motifs: from `draw`.
    key: of the walks.
    motif: int32 [B, S]; negative for none.
    m: nodes of a motif.
    longest: nodes M of a segment at most.

  Returns:
    Nodes int32 [B, S, M]; -1 after the end, and where there is no motif.
  """
  flat = motif.ravel()
  own = jnp.maximum(flat, 0)
  source_nm = motifs.source.reshape(-1, m)
  inside = motifs.edges.reshape(-1, m, len(source_nm), m)
  each = jnp.arange(len(source_nm))
  edges_nmm = inside[each, :, each]
  first, steps = jax.random.split(key)
  uniform = jax.random.uniform(first, flat.shape)
  begin, _ = graphs.pick(source_nm[own].astype(jnp.float32), uniform)
  walks, ended = graphs.walk(
    lambda node: edges_nmm[own, node],
    steps,
    begin,
    jnp.full_like(begin, -1),
    longest,
  )
  there = (walks.nodes >= 0) & (ended & (flat >= 0))[:, None]
  nodes = jnp.where(there, m * own[:, None] + walks.nodes, -1)
  return nodes.reshape(*motif.shape, -1)
