"""What the study `knowledge_editing` asks, and which facts it edits.

Questions are asked after several random prefixes each; what the network says
is the mean of its probabilities over them. The shape of its representations is
read from what the last block writes at the relation of `x r`, for all x.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsynth.tasks.lib import rings
from jaxsynth.types import Array, Batch, Key, PyTree

CLASSES = ('direct', 'logical', 'compositional')
# Sequences in one forward pass: enough to be fast, few enough to be small.
ROWS = 512


class Asked(NamedTuple):
  """Questions, each after P prefixes.

  Attributes:
    batch: [Q P, ...].
    entity: int32 [Q].
    relation: the first one, int32 [Q].
    answer: int32 [Q].
    alone: whether it is a fact, not a composition, bool [Q].
  """

  batch: Batch
  entity: Array
  relation: Array
  answer: Array
  alone: Array


def asked(task, graph, key: Key, entity, relations, prefixes: int) -> Asked:
  """Questions about entities [Q] and relations [Q, 1 or 2]."""
  many = lambda x: jnp.repeat(x, prefixes, 0)
  batch = task.questions(graph, key, many(entity), many(relations))
  answer = batch.targets.max(1).reshape(-1, prefixes)[:, 0]
  alone = jnp.full(entity.shape, relations.shape[1] == 1)
  return Asked(batch, entity, relations[:, 0], answer, alone)


def said(task, apply, params: PyTree, batch: Batch, prefixes: int) -> Array:
  """Probabilities of the entities as answers, means over prefixes, [Q, N]."""
  count = len(batch.inputs)
  parts = -(-count // ROWS)
  fill = -count % parts

  def cut(x: Array) -> Array:
    x = jnp.pad(x, ((0, fill), *[(0, 0)] * (x.ndim - 1)))
    return x.reshape(parts, -1, *x.shape[1:])

  def part(rows: tuple[Array, Array]) -> Array:
    inputs, position = rows
    logits = apply(params, inputs).prediction
    own = logits[jnp.arange(len(inputs)), position]
    return jax.nn.softmax(own)[:, : task.num_entities]

  p = jax.lax.map(part, (cut(batch.inputs), cut(batch.info['position'])))
  p = p.reshape(-1, task.num_entities)[:count]
  return p.reshape(-1, prefixes, task.num_entities).mean(1)


def examination(task, graph, key: Key, count: int, prefixes: int) -> Asked:
  """`count` questions of each class and order, [O, C, count] in one row."""
  order = jnp.arange(task.num_relations) // (2 * task.num_steps)
  own = (order == jnp.arange(task.num_orders)[:, None])[:, None]  # [O, 1, R]
  untold = task.pairs & ~graph.told_twice
  drawn = jax.random.split(key, 4)

  def of(keys: Key, which: Array, walked: Key) -> Asked:
    """Questions drawn from each of `which` [G, ...], count of each."""
    some = lambda k, w: rings.some(k, w, count)
    places = jax.vmap(some)(jax.random.split(keys, len(which)), which)
    entity, *relations = [x.ravel() for x in places]
    made = jnp.stack(relations, 1)
    return asked(task, graph, walked, entity, made, prefixes)

  told = jnp.stack([graph.told & own, ~graph.told & own], 1)
  alone = of(drawn[0], told.reshape(-1, *graph.told.shape), drawn[1])
  two = of(drawn[2], untold & own[..., None], drawn[3])

  def joined(a: Array, b: Array) -> Array:
    each = [x.reshape(task.num_orders, -1, *x.shape[1:]) for x in (a, b)]
    whole = jnp.concatenate(each, 1)
    return whole.reshape(-1, *whole.shape[2:])

  bare = lambda x: x._replace(
    batch=x.batch._replace(info={'position': x.batch.info['position']})
  )
  return jax.tree.map(joined, bare(alone), bare(two))


def facts_alone(task, apply, params: PyTree) -> dict[str, Array]:
  """Activations of all facts `x r` without prefixes, [R N, 2, width]."""
  N, R = task.num_entities, task.num_relations
  r, x = jnp.indices((R, N)).reshape(2, -1)
  return apply(params, jnp.stack([x, N + r], 1)).acts


def manifolds(task, apply, params: PyTree) -> Array:
  """What the last block writes at r of `x r`, [R, N, D]."""
  acts = facts_alone(task, apply, params)
  last = [name for name in acts if name.endswith('.resid_post')][-1]
  return acts[last][:, 1].reshape(task.num_relations, task.num_entities, -1)


def candidates(task, graph, key: Key, right: Array, count: int, n_wrong: int):
  """Facts of the first order to edit: right ones, and wrong ones.

  Args:
    task: a KnowledgeGraph.
    graph: its constants.
    key: of the choice.
    right: whether the network knows each fact, bool [N, R].
    count: facts to be given other answers.
    n_wrong: facts to be corrected, at most.

  Returns:
    Entity and relation of the first [count], told ones and where there are
    enough those the network knows, of the second [n_wrong], and how many of
    these it really has wrong.
  """
  own = jnp.arange(task.num_relations) < 2 * task.num_steps
  uniform = jax.random.uniform(key, right.shape)

  def first(score, n):
    place = jnp.argsort(jnp.where(own, score, jnp.inf).ravel())[:n]
    return jnp.unravel_index(place, right.shape)

  known = first(uniform + ~right + 2 * ~graph.told, count)
  wrong = first(uniform + right, n_wrong)
  return known, wrong, (~right & own).sum()


def new_answers(task, graph, entity, relation, distance, side) -> Array:
  """The entities `distance` steps from right answers, on either side."""
  ring = graph.rings[0]
  place = jnp.argsort(ring)[graph.answers[entity, relation]]
  moved = place + jnp.where(side, distance, -distance)
  return ring[moved % task.num_entities]


def gap(task, graph, a: Array, b: Array) -> Array:
  """Steps between entities on the first ring, the shorter way round."""
  place = jnp.argsort(graph.rings[0])
  ahead = (place[a] - place[b]) % task.num_entities
  return jnp.minimum(ahead, task.num_entities - ahead)


class Edits(NamedTuple):
  """Edits to be carried out: E of them.

  Attributes:
    entity: int32 [E].
    relation: int32 [E].
    answer: the new one, int32 [E].
    key: of prefixes, [E].
  """

  entity: Array
  relation: Array
  answer: Array
  key: Key


def chosen_edits(task, graph, key: Key, right: Array, options: dict):
  """The same facts moved by 1..K steps, and wrong facts corrected.

  Returns:
    Edits [1 + K, n] in one row, corrections first, and how many corrections
    there are.
  """
  n, K = options['edits'], task.num_steps
  a, b, c = jax.random.split(key, 3)
  known, wrong, count = candidates(task, graph, a, right, n, n)
  side = jax.random.bernoulli(b, 0.5, (n,))
  answers = [graph.answers[wrong]] + [
    new_answers(task, graph, *known, d, side) for d in range(1, K + 1)
  ]
  join = lambda i: jnp.concatenate([wrong[i]] + [known[i]] * K)
  keys = jax.random.split(c, n * (K + 1))
  return Edits(join(0), join(1), jnp.concatenate(answers), keys), count
