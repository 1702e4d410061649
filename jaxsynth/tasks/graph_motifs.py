"""Chains of motifs: a path through small graphs in the order of exemplars.

A context shows how to go from one small graph to the next, pair by pair; the
network is to go from the first to the last through those between. Does it
compose exemplars it has never seen in this order, and longer chains?

Source: Khona, Okawa, Hula, Ramesh, Nishi, Dick, Lubana and Tanaka (2024),
"Towards an understanding of stepwise inference in transformers: a synthetic
graph navigation model", arXiv 2402.07757, the version with motifs. No official
code was found: sizes, tokens and which chains are held out are ours.

Process, on n motifs, acyclic graphs of m nodes each (Bernoulli, or
hierarchical with `num_layers`):

  chain      an ordered list of K + 2 different motifs, the K inner ones
             intermediate; K uniform in 1..K_max. In training is each order of
             each list with probability `train_share`, by a coin of its own
  segment    a walk in a motif from a uniform source, a node without an edge
             to it, to uniform neighbours until there is none: a sink
  ghost      edges from every sink of a motif to every source of another
  exemplar   a segment in one motif, then one in the next of the chain
  document   exemplar ; .. exemplar ; goal: g start: s  s .. g end
             K + 1 exemplars in the order of the chain, then a path of K + 2
             segments; it starts at s and ends at g

Every token up to `end` counts in training; evaluation sets weigh the path
only. They are `seen` and `unseen` chains, with K as in training.

Glossary: node a m + i of motif a, token 0..n m - 1; then goal:, start:, the
separator, end and padding.
"""

import dataclasses
import zlib

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError
from jaxsynth.tasks.lib import motifs as lib
from jaxsynth.tasks.lib.motifs import Motifs
from jaxsynth.tasks.lib.sets import of_each
from jaxsynth.types import Array, Batch, Key, Spec

# Chains drawn for each that is kept. With the shares `check` admits, none of
# them is of the right split less often than once in half a million.
TRIES = {'seen': 32, 'unseen': 128}
SPLITS = tuple(TRIES)


@dataclasses.dataclass(frozen=True)
class GraphMotifs:
  """Chains of motifs; see the module's docstring.

  Attributes:
    num_motifs: n.
    motif_nodes: m.
    num_layers: layers of a hierarchical motif; 0 for Bernoulli ones.
    max_k: K_max, intermediate motifs in training. Published: 4.
    room: K of the longest documents there is room for. Published: 6.
    eval_size: documents in each evaluation set.
  """

  num_motifs: int = 6
  motif_nodes: int = 6
  num_layers: int = 3
  max_k: int = 2
  room: int = 4
  eval_size: int = 64

  def __post_init__(self):
    for name in ('num_motifs', 'motif_nodes', 'max_k', 'eval_size'):
      if getattr(self, name) < 1:
        raise UserError(f'{name} must be at least 1')
    if not self.max_k <= self.room <= self.num_motifs - 2:
      raise UserError(
        f'a chain with K intermediate motifs has K + 2 different ones: max_k '
        f'{self.max_k} <= room {self.room} <= num_motifs - 2 = '
        f'{self.num_motifs - 2} must hold'
      )
    layers = self.num_layers
    if layers and (layers < 2 or self.motif_nodes % layers):
      raise UserError(
        f'num_layers must be 0, or at least 2 and divide motif_nodes '
        f'{self.motif_nodes}, got {layers}'
      )

  @property
  def num_nodes(self) -> int:
    """Nodes N = n m; the tokens after them are goal:, start:, the separator,
    end and padding."""
    return self.num_motifs * self.motif_nodes

  @property
  def separator(self) -> int:
    """The token between exemplars; the next is end, then padding."""
    return self.num_nodes + 2

  @property
  def end_token(self) -> int:
    """The token after which there is only padding."""
    return self.num_nodes + 3

  @property
  def longest(self) -> int:
    """Nodes M of a segment at most."""
    return self.num_layers or self.motif_nodes

  @property
  def document_length(self) -> int:
    """Tokens of the longest document."""
    exemplars = (self.room + 1) * (2 * self.longest + 1)
    return exemplars + 4 + (self.room + 2) * self.longest + 1

  @property
  def spec(self) -> Spec:
    """int32 tokens in and out: a document without its last, its first."""
    tokens = jax.ShapeDtypeStruct((self.document_length - 1,), jnp.int32)
    size = self.num_nodes + 5
    return Spec(tokens, tokens, size, size)

  def check(self, **shares):
    """Raises UserError unless 0 < p < 1 and 0.5 <= train_share <= 0.9."""
    if not 0 < shares.get('p', 0.5) < 1:
      raise UserError(f'p must lie in (0, 1), got {shares["p"]}')
    if not 0.5 <= shares.get('train_share', 0.5) <= 0.9:
      raise UserError(
        f'train_share must lie in [0.5, 0.9], got {shares["train_share"]}'
      )

  def init(
    self, key: Key, p: Array | float = 0.6, train_share: Array | float = 0.75
  ) -> Motifs:
    """The motifs; both numbers may be traced.

    Args:
      key: of motifs and chains in training.
      p: probability of each edge that may be inside a motif.
      train_share: share of the chains in training.
    """
    keys = _named(key, 'motifs'), _named(key, 'chains')
    sizes = self.num_motifs, self.motif_nodes, self.num_layers
    return lib.draw(*keys, *sizes, p, train_share)

  def sample(
    self, task_params: Motifs, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Training documents, by one law at every step.

    Info holds `chain` [B, room + 2], -1 beyond its K + 2 motifs.
    """
    del step
    k = self._some_k(key, batch_size)
    chain = self.chains(task_params, _named(key, 'chain'), k)
    return self._batch(task_params, key, chain)

  def evals(self, task_params: Motifs, key: Key) -> dict[str, Batch]:
    """The sets `seen` and `unseen`; the path alone counts."""

    def drawn(at: Key, name: str) -> tuple[Key, Array]:
      k = self._some_k(at, self.eval_size)
      return at, self.chains(task_params, _named(at, 'chain'), k, name)

    def one(at: Key, chain: Array) -> Batch:
      batch = self._batch(task_params, at, chain)
      start = (batch.inputs == self.num_nodes + 1).argmax(1)
      asked = jnp.arange(batch.inputs.shape[1]) > start[:, None]
      return batch._replace(weights=batch.weights * asked)

    return of_each(one, {n: drawn(_named(key, n), n) for n in SPLITS})

  def _some_k(self, key: Key, size: int) -> Array:
    at = _named(key, 'k')
    return jax.random.randint(at, (size,), 1, self.max_k + 1, jnp.int32)

  def in_training(self, motifs: Motifs, chain: Array) -> Array:
    """Whether chains [..., room + 2] are in training: a coin of each, bool."""
    return lib.in_training(motifs, chain, self.num_motifs)

  def chains(
    self, motifs: Motifs, key: Key, k: Array, split: str = 'seen'
  ) -> Array:
    """Uniform chains of a split.

    Args:
      motifs: from `init`.
      key: of the chains.
      k: intermediate motifs of each, int32 [B].
      split: 'seen' for those in training, or 'unseen'.

    Returns:
      int32 [B, room + 2], -1 beyond the k + 2 motifs of each.
    """
    shape = (TRIES[split], len(k), self.num_motifs)
    order = lib.permutations(key, shape)[..., : self.room + 2]
    used = jnp.arange(self.room + 2) < k[:, None] + 2
    drawn = jnp.where(used, order, -1).astype(jnp.int32)
    fits = self.in_training(motifs, drawn) == (split == 'seen')
    return jnp.take_along_axis(drawn, fits.argmax(0)[None, :, None], 0)[0]

  def segments(self, motifs: Motifs, key: Key, motif: Array) -> Array:
    """A walk through each motif, from a source to a sink.

    Args:
      motifs: from `init`.
      key: of the walks.
      motif: int32 [B, S]; negative for none.

    Returns:
      Nodes int32 [B, S, M]; -1 after the end, and where there is no motif.
    """
    return lib.segments(motifs, key, motif, self.motif_nodes, self.longest)

  def exemplars(self, motifs: Motifs, key: Key, chain: Array) -> Array:
    """The context of a chain: tokens, -1 where there are none.

    Args:
      motifs: from `init`.
      key: of the walks.
      chain: int32 [B, K + 2], -1 beyond its end.

    Returns:
      int32 [B, (K + 1)(2 M + 1)].
    """
    pair = jnp.stack([chain[:, :-1], chain[:, 1:]], -1)
    there = pair[..., 1:] >= 0
    pair = jnp.where(there, pair, -1)
    rows, count = pair.shape[:2]
    walked = self.segments(motifs, key, pair.reshape(rows, -1))
    walked = walked.reshape(rows, count, -1)
    ends = jnp.where(there, self.separator, -1)
    return jnp.concatenate([walked, ends], -1).reshape(rows, -1)

  def documents(self, context: Array, path: Array) -> Array:
    """Whole documents: what there is of each part, one after the other.

    Args:
      context: tokens of exemplars, -1 where there are none, int32 [B, *].
      path: nodes, -1 where there are none, int32 [B, *].

    Returns:
      int32 [B, document_length]; padded, or cut off if it is longer.
    """
    ends = jnp.where(path >= 0, jnp.arange(path.shape[1]), -1).max(1)
    goal = jnp.take_along_axis(path, ends[:, None], 1)
    first = lambda token: jnp.full_like(goal, token)
    start = path[:, :1]
    ask = [first(self.num_nodes), goal, first(self.num_nodes + 1), start]
    whole = jnp.concatenate([context, *ask, path, first(self.end_token)], 1)
    there = whole >= 0
    # Not cumsum, which takes T^2 additions on a CPU.
    after = jax.lax.associative_scan(jnp.add, there.astype(jnp.int32), axis=1)
    place = jnp.where(there, after - 1, self.document_length)
    tokens = jnp.full((len(whole), self.document_length), self.end_token + 1)
    row = jnp.arange(len(whole))[:, None]
    tokens = tokens.at[row, place].set(whole, mode='drop')
    return tokens.astype(jnp.int32)

  def _batch(self, motifs: Motifs, key: Key, chain: Array) -> Batch:
    context = self.exemplars(motifs, _named(key, 'context'), chain)
    path = self.segments(motifs, _named(key, 'path'), chain)
    tokens = self.documents(context, path.reshape(len(chain), -1))
    targets = tokens[:, 1:]
    weights = (targets <= self.end_token).astype(jnp.float32)
    return Batch(tokens[:, :-1], targets, weights, {'chain': chain})

  def reference(self, task_params: Motifs, batch: Batch) -> dict[str, Array]:
    """One who follows the exemplars and knows edges, but not the goal.

    Args:
      task_params: from `init`.
      batch: only its inputs [B, T] are read.

    Returns:
      edges: probabilities [B, T, output_size]: a uniform neighbour of a node
      inside its motif; after a sink, a uniform source of any other motif, and
      as likely a token that is no node; uniform after all other tokens.
    """
    size, n = self.spec.output_size, self.num_nodes
    inside = task_params.edges
    beyond = jnp.concatenate([task_params.ghosts, jnp.ones((n, 5))], 1)
    sink = inside.sum(1, keepdims=True) == 0
    rows = jnp.where(sink, beyond, jnp.pad(inside, ((0, 0), (0, 5))))
    rows = jnp.concatenate([rows, jnp.ones((5, size))])
    return {'edges': (rows / rows.sum(1, keepdims=True))[batch.inputs]}


def _named(key: Key, name: str) -> Key:
  """The key of one named draw: adding a draw changes no other."""
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


TASK = GraphMotifs
