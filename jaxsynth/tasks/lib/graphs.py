"""Random acyclic graphs, their paths counted, and paths drawn uniformly.

An acyclic graph on N nodes has an adjacency matrix A, A[i, j] = 1 for an edge
i -> j, and A^N = 0, so the paths from i to j, of any number of edges, number

  C[i, j] = (I + A + A^2 + ...)[i, j] = ((I - A)^-1)[i, j],

the empty path among them for i = j. The series is a product of few factors,
(I + A)(I + A^2)(I + A^4)..., and its terms weighted by the number of edges sum
to C A C. A path from s to g is drawn uniformly by going from i to a neighbour
j with probability A[i, j] C[j, g] / C[i, g]: each path has the product of
these, 1 / C[s, g].

  bernoulli      nodes in a random order, an edge from an earlier to a later
                 one with probability p
  hierarchical   L layers of equal width, an edge from a node to one of the
                 next layer with probability p

Nodes are numbered at random, so a number says nothing of the order. All is
float32: counts are exact below 2^24 and have seven digits beyond.

Shapes: N nodes, B paths, M nodes of the longest path.

Source: the two graphs are those of Khona, Okawa, Hula, Ramesh, Nishi, Dick,
Lubana and Tanaka (2024), "Towards an understanding of stepwise inference in
transformers", arXiv 2402.07757; the sampler follows from counting.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError
from jaxsynth.types import Array, Key


class Graph(NamedTuple):
  """An acyclic graph.

  Attributes:
    edges: A, float32 zeros and ones [N, N].
    rank: place of each node in an order that all edges follow, int32 [N]; the
      layer of each node in a hierarchical graph.
  """

  edges: Array
  rank: Array


class Paths(NamedTuple):
  """Nodes in the order they are visited.

  Attributes:
    nodes: int32 [B, M]; -1 after the end, and all through a path there is not.
    length: nodes of each path, int32 [B]; 0 where there is none.
  """

  nodes: Array
  length: Array


def bernoulli(key: Key, num_nodes: int, p: Array | float) -> Graph:
  """An edge between each two of `num_nodes` nodes with probability p."""
  numbers, edges = jax.random.split(key)
  rank_N = jnp.arange(num_nodes)
  later = rank_N[:, None] < rank_N
  return _numbered(numbers, rank_N, later, edges, p)


def hierarchical(
  key: Key, num_layers: int, width: int, p: Array | float
) -> Graph:
  """An edge between nodes of neighbouring layers with probability p.

  Raises:
    UserError: fewer than two layers.
  """
  if num_layers < 2:
    raise UserError(f'num_layers must be at least 2, got {num_layers}')
  numbers, edges = jax.random.split(key)
  layer_N = jnp.arange(num_layers * width) // width
  below = layer_N[:, None] + 1 == layer_N
  return _numbered(numbers, layer_N, below, edges, p)


def _numbered(
  numbers: Key, rank: Array, allowed: Array, edges: Key, p: Array | float
) -> Graph:
  """Draws each allowed edge, then numbers the nodes at random."""
  drawn = allowed & (jax.random.uniform(edges, allowed.shape) < p)
  order = jax.random.permutation(numbers, rank.shape[0])
  edges_NN = drawn[order][:, order].astype(jnp.float32)
  return Graph(edges_NN, rank[order].astype(jnp.int32))


def count_paths(edges: Array) -> Array:
  """C: paths from each node to each, the empty ones included.

  Args:
    edges: A [N, N] of an acyclic graph.

  Returns:
    Float32 [N, N].
  """
  one = jnp.eye(edges.shape[0], dtype=edges.dtype)
  total, power, reach = one + edges, edges, 2
  while reach < edges.shape[0]:  # total has the paths of fewer than reach edges
    power = _product(power, power)
    total = _product(total, one + power)
    reach *= 2
  return total


def mean_path_length(edges: Array, paths: Array | None = None) -> Array:
  """Mean number of edges of all paths from each node to each.

  Args:
    edges: A [N, N].
    paths: C from `count_paths`, [N, N]; None to count here.

  Returns:
    Float32 [N, N]; NaN where there is no path.
  """
  paths = count_paths(edges) if paths is None else paths
  return _product(_product(paths, edges), paths) / jnp.where(
    paths > 0, paths, jnp.nan
  )


def distances(edges: Array) -> Array:
  """Fewest edges from each node to each, [N, N]; NaN where there is no path.

  Args:
    edges: A [N, N].
  """
  n = len(edges)
  step = jnp.where(edges > 0, 1.0, jnp.inf)

  def closer(_, d):
    onward = jax.lax.map(lambda row: (row[:, None] + d).min(0), step)
    return jnp.minimum(d, onward)

  first = jnp.where(jnp.eye(n, dtype=bool), 0.0, jnp.inf)
  far = jax.lax.fori_loop(0, n, closer, first)
  return jnp.where(jnp.isfinite(far), far, jnp.nan)


def sample_paths(
  edges: Array,
  paths: Array,
  key: Key,
  source: Array,
  goal: Array,
  max_nodes: int,
) -> Paths:
  """A path between each pair of nodes, uniform among all there are.

  Args:
    edges: A [N, N].
    paths: C from `count_paths` [N, N].
    key: of the paths.
    source: where each begins, int32 [B].
    goal: where each ends, int32 [B].
    max_nodes: M, at least the nodes of the longest path there is; one that
      would be longer counts as none.
  """
  onward_BN = paths.T[goal]  # [B, N], paths from each node to the goal

  def choose(node_B):
    return edges[node_B] * onward_BN

  walks, ended = walk(choose, key, source, goal, max_nodes)
  there = onward_BN[jnp.arange(len(source)), source] > 0
  return _where(walks, ended & there)


def sample_walks(
  edges: Array, key: Key, source: Array, max_nodes: int
) -> Paths:
  """Walks to a uniform neighbour at each step, until there is none.

  Args:
    edges: A [N, N].
    key: of the walks.
    source: where each begins, int32 [B].
    max_nodes: M, at least the nodes of the longest path there is; a longer
      walk counts as none.
  """
  nowhere = jnp.full(source.shape, -1)
  return _where(
    *walk(lambda node: edges[node], key, source, nowhere, max_nodes)
  )


def walk(
  choose: Callable[[Array], Array],
  key: Key,
  source: Array,
  goal: Array,
  max_nodes: int,
) -> tuple[Paths, Array]:
  """Walks by given weights, each to its goal or to where they are all zero.

  Args:
    choose: nodes int32 [B] -> weights of the next one [B, N].
    key: of the walks.
    source: where each begins, int32 [B].
    goal: where each stops, int32 [B]; -1 for nowhere.
    max_nodes: M; a walk that would go on is cut off there.

  Returns:
    The walks, and whether each came to an end by itself, bool [B].
  """

  def step(node_B, uniform_B):
    next_B, total_B = pick(choose(node_B), uniform_B)
    over = (node_B < 0) | (node_B == goal) | (total_B <= 0)
    next_B = jnp.where(over, -1, next_B)
    return next_B, next_B

  uniform = jax.random.uniform(key, (max_nodes, source.shape[0]))
  beyond, rest = jax.lax.scan(step, source, uniform)  # [M, B]
  nodes = jnp.concatenate([source[None], rest[:-1]]).T.astype(jnp.int32)
  return Paths(nodes, (nodes >= 0).sum(-1, dtype=jnp.int32)), beyond < 0


def pick(weights: Array, uniform: Array) -> tuple[Array, Array]:
  """Draws indices by weights: the first j with w_0 + .. + w_j > u sum(w).

  First a block of about sqrt(N) indices, then one inside it, for on a CPU
  XLA's running sum over N numbers is N^2 additions.

  Args:
    weights: [..., N], none negative.
    uniform: u in [0, 1), [...].

  Returns:
    Index, int32 [...], never one of weight 0 but where all are; and the sum of
    the weights [...].
  """
  size = weights.shape[-1]
  width = next(w for w in range(math.isqrt(size), 0, -1) if size % w == 0)
  if 4 * width**2 < size:  # as many nodes as a prime, say
    width = math.isqrt(size) + 1
  count = -(-size // width)
  fill = [(0, 0)] * uniform.ndim + [(0, count * width - size)]
  blocks = jnp.pad(weights, fill).reshape(*uniform.shape, count, width)
  sums = blocks.sum(-1)
  total = sums.sum(-1)
  target = uniform * total
  block = _first_beyond(sums, target)[..., None]
  before = jnp.where(jnp.arange(count) < block, sums, 0).sum(-1)
  inside = jnp.take_along_axis(blocks, block[..., None], -2)[..., 0, :]
  index = _first_beyond(inside, target - before)
  return block[..., 0] * width + index, total


def _first_beyond(weights: Array, target: Array) -> Array:
  """The first index whose running sum exceeds the target, int32 [...]."""
  at = jnp.arange(weights.shape[-1], dtype=jnp.int32)
  each = [weights[..., j] for j in range(weights.shape[-1])]
  running = jnp.stack(list(itertools.accumulate(each)), -1)
  index = (target[..., None] >= running).sum(-1, dtype=jnp.int32)
  # The last with a weight bounds it, whatever the rounding.
  return jnp.minimum(index, jnp.where(weights > 0, at, 0).max(-1))


def _where(walks: Paths, there: Array) -> Paths:
  """Leaves out the paths that are not there, bool [B]."""
  return Paths(
    jnp.where(there[:, None], walks.nodes, -1),
    jnp.where(there, walks.length, 0),
  )


def _product(a: Array, b: Array) -> Array:
  """A matrix product in float32 on every backend."""
  return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
