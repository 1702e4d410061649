"""Graph navigation: is there a path from one node to another, and which?

A network that has seen paths between some pairs of nodes is asked about other
pairs. Does it help to write the path down before answering?

Source: Khona, Okawa, Hula, Ramesh, Nishi, Dick, Lubana and Tanaka (2024),
"Towards an understanding of stepwise inference in transformers: a synthetic
graph navigation model", arXiv 2402.07757. No official code was found; graphs,
sizes and labels follow published accounts of the paper, the order of tokens,
the trace of a pair without a path and the optimiser are ours.

Process, on an acyclic graph of N nodes (jaxsynth.tasks.lib.graphs):

  pair       nodes s, g with rank(s) < rank(g): layers of a hierarchical
             graph, places in the order of a Bernoulli one; its span is
             rank(g) - rank(s)
  training   pairs of at most `max_span`, each with probability `train_share`;
             all other pairs are unseen. A document is about a pair with a
             path or, as often, about one without, uniformly
  trace      of a pair with a path, a path uniform among all there are; of
             one without, a walk from s to uniform neighbours, until there is
             none or g's rank is reached
  document   goal: g start: s  s v_1 .. v_m  p1|p0 end      step by step
             goal: g start: s  p1|p0 end                   direct

p1 says that there is a path: that the trace ends at g. Traces have at most M
nodes; in a Bernoulli graph, pairs with a longer path are left out, and longer
walks cut off. Every token up to `end` counts in training; evaluation sets
weigh what follows the prompt only.

  seen       pairs in training, half of them with a path
  unseen     all other pairs, of any span, half of them with a path

Glossary: node, token 0..N-1; then goal:, start:, p1, p0, end and padding;
prompt, the first four tokens; span, see above.
"""

import dataclasses
import zlib

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError, unknown
from jaxsynth.tasks.lib import graphs, navigation
from jaxsynth.tasks.lib.navigation import PROMPT, World
from jaxsynth.tasks.lib.sets import of_each
from jaxsynth.types import Array, Batch, Key, Spec

GRAPHS = ('hierarchical', 'bernoulli')
SPLITS = ('seen', 'unseen')


@dataclasses.dataclass(frozen=True)
class GraphNavigation:
  """Documents about pairs of nodes; see the module's docstring.

  Attributes:
    graph: 'hierarchical' or 'bernoulli'.
    num_nodes: N. Published: 200.
    num_layers: layers of a hierarchical graph. Published: 10.
    max_nodes: M of a Bernoulli graph; a hierarchical one has `num_layers`.
    stepwise: whether the trace is written, or only the answer.
    eval_size: documents in each evaluation set.
  """

  graph: str = 'hierarchical'
  num_nodes: int = 72
  num_layers: int = 6
  max_nodes: int = 16
  stepwise: bool = True
  eval_size: int = 64

  def __post_init__(self):
    if self.graph not in GRAPHS:
      raise unknown('graph', self.graph, GRAPHS)
    least = {'num_nodes': 2, 'num_layers': 2, 'max_nodes': 2, 'eval_size': 1}
    for name, bound in least.items():
      if getattr(self, name) < bound:
        raise UserError(f'{name} must be at least {bound}')
    if self.graph == 'hierarchical' and self.num_nodes % self.num_layers:
      raise UserError(
        f'num_layers {self.num_layers} must divide num_nodes {self.num_nodes}'
      )

  @property
  def longest(self) -> int:
    """Nodes M of a trace at most."""
    layered = self.graph == 'hierarchical'
    return self.num_layers if layered else self.max_nodes

  @property
  def document_length(self) -> int:
    """Tokens of the longest document."""
    return PROMPT + self.stepwise * self.longest + 2

  @property
  def goal_token(self) -> int:
    """Token `goal:`, the first after the nodes; the next are start:, p1, p0,
    end and padding."""
    return self.num_nodes

  @property
  def path_token(self) -> int:
    """Token p1; the next is p0."""
    return self.num_nodes + 2

  @property
  def end_token(self) -> int:
    """The token after which there is only padding, which is the next."""
    return self.num_nodes + 4

  @property
  def spec(self) -> Spec:
    """int32 tokens in and out: a document without its last, its first."""
    tokens = jax.ShapeDtypeStruct((self.document_length - 1,), jnp.int32)
    size = self.num_nodes + 6
    return Spec(tokens, tokens, size, size)

  def check(self, max_span=None, **shares):
    """Raises UserError unless p, train_share in (0, 1) and max_span >= 1."""
    for name, value in shares.items():
      if not 0 < value < 1:
        raise UserError(f'{name} must lie in (0, 1), got {value}')
    if max_span is not None and max_span < 1:
      raise UserError(f'max_span must be at least 1, got {max_span}')

  def init(
    self,
    key: Key,
    p: Array | float = 0.25,
    train_share: Array | float = 0.5,
    max_span: Array | int | None = None,
  ) -> World:
    """The graph and its pairs; all arguments but the key may be traced.

    Args:
      key: of graph and pairs.
      p: probability of each edge that may be. Published: .05.
      train_share: share of the pairs in training. Published: .2.
      max_span: the longest span in training; None for any.
    """
    at = lambda name: _named(key, name)
    if self.graph == 'hierarchical':
      width = self.num_nodes // self.num_layers
      graph = graphs.hierarchical(at('graph'), self.num_layers, width, p)
    else:
      graph = graphs.bernoulli(at('graph'), self.num_nodes, p)
    edges, rank = graph
    paths = graphs.count_paths(edges)
    span = rank - rank[:, None]
    # A path of M edges or more: M edges, then any number.
    many = jnp.linalg.matrix_power(edges, self.longest) @ paths > 0
    uniform = jax.random.uniform(at('pairs'), paths.shape)
    near = span <= (self.num_nodes if max_span is None else max_span)
    unseen = ~(near & (uniform < train_share))
    kind = jnp.where((span > 0) & ~many, 2 * unseen + (paths > 0), 4)
    kind = kind.astype(jnp.int32)
    order = jnp.argsort(kind.ravel()).astype(jnp.int32)
    return World(
      edges, rank, paths, kind, order, jnp.bincount(kind.ravel(), length=5)[:4]
    )

  def sample(
    self, task_params: World, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Training documents, by one law at every step.

    Info holds `source`, `goal` and `path`, whether there is one, [B].
    """
    del step
    source, goal = self.pairs(task_params, _named(key, 'pair'), batch_size)
    return self._batch(task_params, key, source, goal)

  def evals(self, task_params: World, key: Key) -> dict[str, Batch]:
    """The sets `seen` and `unseen`; what follows the prompt counts."""

    def one(at: Key, first: Array) -> Batch:
      pairs = self._pairs(task_params, at, self.eval_size, first)
      batch = self._batch(task_params, at, *pairs)
      answer = jnp.arange(batch.targets.shape[1]) >= PROMPT - 1
      return batch._replace(weights=batch.weights * answer)

    sets = {n: (_named(key, n), 2 * i) for i, n in enumerate(SPLITS)}
    return of_each(one, sets)

  def pairs(
    self,
    world: World,
    key: Key,
    size: int,
    split: str = 'seen',
    path: bool | None = None,
  ) -> tuple[Array, Array]:
    """Pairs of a split, uniform among those with and those without a path.

    Args:
      world: from `init`.
      key: of the pairs.
      size: how many, B.
      split: 'seen' for those in training, or 'unseen'.
      path: only those with or without a path; None for half of each. Where
        there are none of a kind, the other takes its place.

    Returns:
      Source and goal, int32 [B].
    """
    return self._pairs(world, key, size, 2 * SPLITS.index(split), path)

  def _pairs(self, world: World, key: Key, size: int, first, path=None):
    """`pairs` of the kind `first`, without a path, and of `first` + 1."""
    coin, place = jax.random.split(key)
    label = jax.random.bernoulli(coin, shape=(size,))
    label = label if path is None else jnp.full(size, path)
    count = jax.lax.dynamic_slice(world.count, (first,), (2,))
    label = jnp.where(count[label.astype(int)] > 0, label, ~label)
    kind = first + label.astype(int)
    begin = jnp.cumsum(world.count) - world.count
    at = jax.random.randint(place, (size,), 0, world.count[kind], jnp.int32)
    code = world.pairs[begin[kind] + at]
    return code // self.num_nodes, code % self.num_nodes

  def traces(
    self, world: World, key: Key, source: Array, goal: Array
  ) -> graphs.Paths:
    """A trace of each pair: a uniform path, or a walk where there is none.

    Args:
      world: from `init`.
      key: of the traces.
      source: int32 [B].
      goal: int32 [B].
    """
    choose = lambda node: navigation.onward(world, node, source, goal)
    return graphs.walk(choose, key, source, goal, self.longest)[0]

  def documents(
    self, world: World, source: Array, goal: Array, trace: Array
  ) -> Array:
    """Whole documents.

    Args:
      world: from `init`.
      source: int32 [B].
      goal: int32 [B].
      trace: nodes, -1 after the end, int32 [B, M]; not read if direct.

    Returns:
      int32 tokens [B, document_length].
    """
    first = lambda token: jnp.full_like(source, token)
    prompt = [first(self.goal_token), goal, first(self.goal_token + 1), source]
    nodes = trace[:, : trace.shape[1] * self.stepwise]
    nodes = jnp.pad(nodes, ((0, 0), (0, 2)), constant_values=-1)
    label = self.path_token + (world.paths[source, goal] == 0)
    place = jnp.arange(nodes.shape[1]) - (nodes >= 0).sum(1, keepdims=True)
    rest = jnp.where(place == 1, self.end_token, self.end_token + 1)
    rest = jnp.where(place == 0, label[:, None], rest)
    answer = jnp.where(nodes >= 0, nodes, rest)
    return jnp.concatenate([jnp.stack(prompt, 1), answer], 1).astype(jnp.int32)

  def _batch(self, world: World, key: Key, source: Array, goal: Array) -> Batch:
    trace = self.traces(world, _named(key, 'trace'), source, goal).nodes
    tokens = self.documents(world, source, goal, trace)
    targets = tokens[:, 1:]
    weights = (targets <= self.end_token).astype(jnp.float32)
    path = world.paths[source, goal] > 0
    info = {'source': source, 'goal': goal, 'path': path}
    return Batch(tokens[:, :-1], targets, weights, info)

  def reference(self, task_params: World, batch: Batch) -> dict[str, Array]:
    """The optimum on the training mixture, which knows the graph.

    Args:
      task_params: from `init`.
      batch: only its inputs [B, T] are read.

    Returns:
      bayes: probabilities [B, T, output_size]: goal and source by their share
      in training (uniform where the goal is not in it), the next node as
      traces are drawn, everything else certain.
    """
    law = navigation.optimum(
      task_params, batch.inputs, self.path_token, self.longest, self.stepwise
    )
    return {'bayes': law}


def _named(key: Key, name: str) -> Key:
  """The key of one named draw: adding a draw changes no other."""
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


TASK = GraphNavigation
