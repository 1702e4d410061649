"""Knowledge graph: walks over entities that lie on rings, some facts held out.

Does a network that reads walks over a graph find the rings behind it, so that
it can tell facts that it was never told? And what becomes of the rings when
one fact is edited?

Source: Nishi, Ramesh, Okawa, Khona, Tanaka and Lubana (2024),
"Representation Shattering in Transformers: A Synthetic Study with Knowledge
Editing", arXiv 2410.17194. Known from digests: which share of the facts is
held out and how a walk draws its relations are guesses.

Process, on N entities, O orders and steps up to K:

  ring o         a random order of all entities, o = 0..O-1
  relation       (o, clockwise or not, k), k = 1..K: R = 2 K O of them
  fact (x, r)    its answer is the entity k steps from x on ring o
  sequence       an entity, one or two relations (even odds), the entity they
                 lead to, one or two relations, ...: T + 1 tokens from a
                 uniform entity; relations are uniform among those told
  held out       logical: facts (x, r) whose reverse (y, r^-1) is told;
                 compositional: compositions (x, r_1, r_2)
  model          reads all tokens but the last, predicts all but the first;
                 only entities count: relations are drawn, not known

The two relations of a composition belong to one order, or with `cross` to any
two. A fact that is held out is never told by itself; it may be a part of a
composition.

Evaluation sets: `training`, sequences; and questions, which weigh one answer
at the end of a prefix: `direct` and `composed`, of what is told; `logical`
and `compositional`, of what is held out.

Glossary: entity, token 0..N-1; relation, token N + r; prefix, a walk along
what is told that leads up to the entity of a question.
"""

import dataclasses
import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.errors import UserError
from jaxsynth.tasks.lib import rings as lib
from jaxsynth.types import Array, Batch, Key, Spec


class Graph(NamedTuple):
  """The facts, and which of them are told.

  Attributes:
    rings: entities in each order, int32 [O, N].
    answers: of the facts, int32 [N, R].
    told: facts that are not held out, bool [N, R].
    told_twice: compositions there are that are not held out, bool [N, R, R].
    walk: where a walk may go.
    back: where it may have come from.
  """

  rings: Array
  answers: Array
  told: Array
  told_twice: Array
  walk: lib.Steps
  back: lib.Steps


@dataclasses.dataclass(frozen=True)
class KnowledgeGraph:
  """Walks over a graph of rings; see the module's docstring.

  Attributes:
    num_entities: N. Published: 2048.
    num_orders: O. Published: 3.
    num_steps: K. Published: 4.
    length: tokens T that the model reads. Published: 16.
    cross: whether a composition may be of relations of two orders.
    logical: share of the facts that is held out, at most a half.
    compositional: share of the compositions that is held out.
    eval_size: sequences, and questions of each kind, for evaluation.
  """

  num_entities: int = 32
  num_orders: int = 3
  num_steps: int = 4
  length: int = 16
  cross: bool = False
  logical: float = 0.1
  compositional: float = 0.1
  eval_size: int = 64

  def __post_init__(self):
    least = {'num_orders': 1, 'num_steps': 1, 'length': 3, 'eval_size': 1}
    least['num_entities'] = 2 * self.num_steps + 1
    for name, bound in least.items():
      if getattr(self, name) < bound:
        raise UserError(
          f'{name} must be at least {bound}, got {getattr(self, name)}'
        )
    N, R = self.num_entities, self.num_relations
    for name, whole, most in (
      ('logical', N * R, 0.5),
      ('compositional', N * self._num_pairs, 1.0),
    ):
      share = getattr(self, name)
      if not 0 <= share <= most or not 0 < round(share * whole) < whole:
        raise UserError(
          f'{name} must hold out some of {whole} and at most {most:g} of '
          f'them, got {share}'
        )

  @property
  def num_relations(self) -> int:
    """R = 2 K O."""
    return 2 * self.num_steps * self.num_orders

  @property
  def spec(self) -> Spec:
    """int32 tokens [T] in and out, entities and then relations."""
    tokens = jax.ShapeDtypeStruct((self.length,), jnp.int32)
    size = self.num_entities + self.num_relations
    return Spec(tokens, tokens, size, size)

  def init(self, key: Key) -> Graph:
    """The rings, and what is held out of them."""
    N, R, K = self.num_entities, self.num_relations, self.num_steps
    uniform = jax.random.uniform(_named(key, 'rings'), (self.num_orders, N))
    rings = jnp.argsort(uniform).astype(jnp.int32)
    answers = lib.facts(rings, K)
    told = ~lib.without_reverse(
      _named(key, 'logical'), answers, K, round(self.logical * N * R)
    )
    whole = N * self._num_pairs
    held = lib.some_of(
      _named(key, 'compositional'), whole, round(self.compositional * whole)
    )
    pairs = np.argwhere(np.broadcast_to(self.pairs, (N, R, R)))
    told_twice = jnp.zeros((N, R, R), bool).at[tuple(pairs.T)].set(~held)
    undone = lib.inverse(R, K)
    return Graph(
      rings,
      answers,
      told,
      told_twice,
      lib.steps(answers, told, told_twice),
      lib.backwards(answers, told, told_twice, undone),
    )

  def sample(
    self, task_params: Graph, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Training sequences, by one law at every step."""
    del step
    N = self.num_entities
    start = jax.random.randint(_named(key, 'start'), (batch_size,), 0, N)
    tokens = lib.walk(
      task_params.walk, _named(key, 'walk'), start, self.length + 1
    )
    targets = tokens[:, 1:]
    weights = (targets < N).astype(jnp.float32)
    return Batch(tokens[:, :-1], targets, weights, {})

  def evals(self, task_params: Graph, key: Key) -> dict[str, Batch]:
    """The sets listed in the module's docstring.

    Info of questions holds the `entity` [B], the `relations` [B, 1 or 2] and
    the `position` [B] of the last of them.
    """
    graph, at = task_params, lambda name: _named(key, name)
    twice = graph.told_twice
    asked = {
      'direct': graph.told,
      'logical': ~graph.told,
      'composed': twice,
      'compositional': self.pairs & ~twice,
    }
    sets = {'training': self.sample(graph, at('training'), 0, self.eval_size)}
    for name, which in asked.items():
      chosen = lib.some(at(name), which, self.eval_size)
      relations = jnp.stack(chosen[1:], 1)
      sets[name] = self.questions(
        graph, at(f'prefix of {name}'), chosen[0], relations
      )
    return sets

  def questions(
    self, graph: Graph, key: Key, entity: Array, relations: Array
  ) -> Batch:
    """Asks for answers, each after a random prefix of a random length.

    Args:
      graph: from `init`.
      key: of the prefixes.
      entity: what is asked about, int32 [B].
      relations: one or two, int32 [B, 1] or [B, 2].

    Returns:
      A batch whose only weight is on the answer; info as in `evals`.
    """
    count, T, N = relations.shape[1], self.length, self.num_entities
    longest = T - count
    back = lib.walk(graph.back, _named(key, 'walk'), entity, longest)
    most = jax.random.randint(
      _named(key, 'length'), (len(entity), 1), 0, longest
    )
    # A prefix begins with an entity, as sequences do.
    place = jnp.arange(longest)
    begins = (back < N) & (place <= most)
    first = jnp.where(begins, place, 0).max(1)
    t = jnp.arange(T)
    inputs = jnp.take_along_axis(
      back, jnp.clip(first[:, None] - t, 0, longest - 1), 1
    )
    answer = entity
    for i, r in enumerate(relations.T):
      inputs = jnp.where(t == first[:, None] + 1 + i, N + r[:, None], inputs)
      answer = graph.answers[answer, r]
    position = first + count
    asked = t == position[:, None]
    info = {'entity': entity, 'relations': relations, 'position': position}
    targets = jnp.where(asked, answer[:, None], 0)
    return Batch(inputs, targets, asked.astype(jnp.float32), info)

  def reference(self, task_params: Graph, batch: Batch) -> dict[str, Array]:
    """What is known after each token.

    Args:
      task_params: from `init`.
      batch: only its inputs [B, T] are read.

    Returns:
      Probabilities [B, T, output_size]. bayes: the law of training, in which
      what is held out never comes; rings: an answer after every relation, the
      right one; lookup: likewise, but any entity where it was not told. Of
      relations all three know the law.
    """
    graph, N, R = task_params, self.num_entities, self.num_relations
    inputs = batch.inputs
    earlier = lambda n: jnp.pad(inputs, ((0, 0), (n, 0)))[:, : inputs.shape[1]]
    entity = inputs < N
    second = ~entity & (earlier(1) >= N)
    x = jnp.where(entity, inputs, jnp.where(second, earlier(2), earlier(1)))
    x = jnp.clip(x, 0, N - 1)
    r = jnp.where(second, earlier(1), inputs) - N
    r, s = jnp.clip(r, 0, R - 1), jnp.clip(inputs - N, 0, R - 1)
    first_answer = graph.answers[x, r]
    answer = jnp.where(second, graph.answers[first_answer, s], first_answer)
    told = jnp.where(second, graph.told_twice[x, r, s], graph.told[x, r])

    odds = lib.odds(graph.walk)
    single = odds[:, None] * graph.told
    single /= jnp.maximum(graph.walk.num_single, 1)[:, None]
    double = (1 - odds)[:, None, None] * graph.told_twice
    double /= jnp.maximum(graph.walk.num_double, 1)[:, None, None]
    begun = single + double.sum(2)  # [N, R], probability of the first relation
    share = lambda p: p / jnp.maximum(begun, 1e-30)[:, :, None]
    on = share(double)[x, r]
    stop = jnp.where(second, 1.0, 1 - on.sum(-1))

    right = jax.nn.one_hot(answer, N)
    lookup = jnp.where(told[..., None], right, 1 / N)
    relation = jnp.where(entity[..., None], begun[x], 0.0)
    join = lambda entities, relations: jnp.concatenate(
      [jnp.where(entity[..., None], 0.0, entities), relations], -1
    )
    more = jnp.where((entity | second)[..., None], relation, on)
    return {
      'bayes': join(stop[..., None] * right, more),
      'rings': join(right, relation),
      'lookup': join(lookup, relation),
    }

  @property
  def pairs(self) -> np.ndarray:
    """Which relations may be composed, bool [R, R]."""
    order = np.arange(self.num_relations) // (2 * self.num_steps)
    return (order[:, None] == order) | self.cross

  @property
  def _num_pairs(self) -> int:
    R = self.num_relations
    return R * (R if self.cross else 2 * self.num_steps)


def _named(key: Key, name: str) -> Key:
  """The key of one named draw: adding a draw changes no other."""
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


TASK = KnowledgeGraph
