"""Facts about entities on rings, what is held out of them, and walks along.

Of O orders each puts N entities on a ring, at random. Relation (o, c, k) goes
k = 1..K steps round ring o, clockwise (c = 0) or counter-clockwise (c = 1):

  answers[x, r] = the entity k steps from x        r = 2 K o + K c + k - 1

so that every (x, r) has one answer and every relation an inverse. A walk
writes an entity x, one or two relations, the entity they lead to, and goes on
from there. Facts (x, r) and compositions (x, r_1, r_2) that are held out are
never walked along: a walk draws uniformly among the others.

A walk backwards along the same facts is a walk forwards on the inverse graph,
`backwards`, written from right to left.

Source: Nishi, Ramesh, Okawa, Khona, Tanaka and Lubana (2024),
"Representation Shattering in Transformers", arXiv 2410.17194.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.types import Array, Key


class Steps(NamedTuple):
  """Where a walk may go from each entity.

  Attributes:
    answers: where each relation leads, int32 [N, R].
    single: relations of the facts that may be walked along, first ones of
      each row, int32 [N, R].
    num_single: how many those are, int32 [N].
    double: pairs r_1 R + r_2 of relations, likewise, int32 [N, R R].
    num_double: how many those are, int32 [N].
  """

  answers: Array
  single: Array
  num_single: Array
  double: Array
  num_double: Array


def shifts(num_steps: int) -> np.ndarray:
  """Steps clockwise of the relations of one order: 1..K, -1..-K, [2K]."""
  ahead = np.arange(1, num_steps + 1)
  return np.concatenate([ahead, -ahead])


def inverse(num_relations: int, num_steps: int) -> np.ndarray:
  """The relation that undoes each, [R]."""
  blocks = np.arange(num_relations).reshape(-1, 2, num_steps)
  return blocks[:, ::-1].ravel()


def facts(rings: Array, num_steps: int) -> Array:
  """What every relation leads to.

  Args:
    rings: entities in each order, int32 [O, N].
    num_steps: K.

  Returns:
    int32 [N, R], R = 2 K O.
  """

  def of_order(ring: Array) -> Array:
    moved = jnp.stack([jnp.roll(ring, -s) for s in shifts(num_steps)], 1)
    return jnp.zeros_like(moved).at[ring].set(moved)

  return jnp.concatenate(list(jax.vmap(of_order)(rings)), 1)


def without_reverse(
  key: Key, answers: Array, num_steps: int, count: int
) -> Array:
  """Facts to hold out, never together with the fact that says the reverse.

  Args:
    key: of the choice.
    answers: from `facts`, [N, R].
    num_steps: K.
    count: how many, at most N R / 2.

  Returns:
    bool [N, R], `count` of them true: uniform among all such choices.
  """
  N, R = answers.shape
  undone = inverse(R, num_steps)
  ahead = np.flatnonzero(undone > np.arange(R))  # one of the two directions
  chosen, way = jax.random.split(key)
  pair = some_of(chosen, N * R // 2, count).reshape(N, R // 2)
  turned = jax.random.bernoulli(way, 0.5, pair.shape)
  held = jnp.zeros((N, R), bool).at[:, ahead].set(pair & ~turned)
  reverse = answers[:, ahead], undone[ahead]
  return held.at[reverse].set(pair & turned)


def some_of(key: Key, size: int, count: int) -> Array:
  """Chooses `count` of `size`, uniform: bool [size]."""
  order = jnp.argsort(jax.random.uniform(key, (size,)))
  return jnp.zeros(size, bool).at[order[:count]].set(True)


def _listed(known: Array) -> tuple[Array, Array]:
  """Columns that are true, in the first places of each row; how many."""
  place = jnp.where(known, jnp.cumsum(known, 1) - 1, known.shape[1])
  row, column = jnp.indices(known.shape)
  listed = jnp.zeros(known.shape, jnp.int32)
  listed = listed.at[row, place].set(column.astype(jnp.int32), mode='drop')
  return listed, known.sum(1, dtype=jnp.int32)


def steps(answers: Array, single: Array, double: Array) -> Steps:
  """The walks along some facts and compositions.

  Args:
    answers: from `facts`, [N, R].
    single: which facts, bool [N, R].
    double: which compositions, bool [N, R, R].
  """
  flat = double.reshape(len(double), -1)
  return Steps(answers, *_listed(single), *_listed(flat))


def backwards(
  answers: Array, single: Array, double: Array, undone: np.ndarray
) -> Steps:
  """The same walks read from right to left, relations by their own names.

  Args:
    answers: from `facts`, [N, R].
    single: which facts may be walked along, bool [N, R].
    double: which compositions, bool [N, R, R].
    undone: from `inverse`, [R].
  """
  before = answers[:, undone]  # where relation r comes from, [N, R]
  r = jnp.arange(len(undone))
  start = before[before]  # [N, R of the second, R of the first]
  return steps(
    before,
    single[before, r],
    double[start, r[None, None, :], r[None, :, None]],
  )


def odds(to: Steps) -> Array:
  """How likely a walk takes one relation from each entity, not two, [N].

  Even odds, but where all facts of an entity are held out, or all
  compositions: there it takes the others.
  """
  even = jnp.where(to.num_single == 0, 0.0, 0.5)
  return jnp.where(to.num_double == 0, 1.0, even)


def walk(to: Steps, key: Key, start: Array, length: int) -> Array:
  """Walks from given entities, one or two relations at a time.

  Args:
    to: where it may go.
    key: of the walks.
    start: the first entities, int32 [B].
    length: tokens T.

  Returns:
    int32 [B, T]: entities 0..N-1 and relations N..N+R-1.
  """
  N, R = to.answers.shape
  one, several, alone = to.num_single, to.num_double, odds(to)

  def ahead(x_B: Array, uniform_B2: Array) -> tuple[Array, Array]:
    """The next two or three tokens [B, 3], and which of them is the last."""
    single_B = uniform_B2[:, 0] < alone[x_B]
    count_B = jnp.where(single_B, one[x_B], several[x_B])
    place_B = jnp.minimum(
      (uniform_B2[:, 1] * count_B).astype(jnp.int32), count_B - 1
    )
    r_B = to.single[x_B, jnp.where(single_B, place_B, 0)]
    rr_B = to.double[x_B, jnp.where(single_B, 0, place_B)]
    first_B = jnp.where(single_B, r_B, rr_B // R)
    second_B = rr_B % R
    y_B = to.answers[x_B, first_B]
    z_B = to.answers[y_B, second_B]
    tokens_B3 = jnp.stack(
      [N + first_B, jnp.where(single_B, y_B, N + second_B), z_B], 1
    )
    return tokens_B3, jnp.where(single_B, 1, 2)

  def write(state, uniform_B2):
    token_B, coming_B3, left_B = state
    new_B3, new_left_B = ahead(jnp.minimum(token_B, N - 1), uniform_B2)
    fresh_B = left_B < 0
    coming_B3 = jnp.where(fresh_B[:, None], new_B3, coming_B3)
    left_B = jnp.where(fresh_B, new_left_B, left_B)
    later_B3 = jnp.roll(coming_B3, -1, 1)
    return (coming_B3[:, 0], later_B3, left_B - 1), token_B

  start = start.astype(jnp.int32)
  begun = jnp.zeros((len(start), 3), jnp.int32), jnp.full_like(start, -1)
  uniform = jax.random.uniform(key, (length, len(start), 2))
  _, tokens_TB = jax.lax.scan(write, (start, *begun), uniform)
  return tokens_TB.T


def some(key: Key, which: Array, size: int) -> list[Array]:
  """Places where an array of bools is true, uniform: indices [size] by axis."""
  reached = jnp.cumsum(which.ravel(), dtype=jnp.int32)
  number = jax.random.randint(key, (size,), 0, reached[-1], jnp.int32)
  flat = jnp.searchsorted(reached, number, side='right')
  return [i.astype(jnp.int32) for i in jnp.unravel_index(flat, which.shape)]
