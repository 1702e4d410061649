"""Is it a sentence, and how probable: many strings at a time inside jit.

The algorithm of Cocke, Younger and Kasami: what can stand over a span of w
terminals follows from what can stand over its two parts, for all splits,

  chart[i, w] = closure @ sum_{A -> B C} p sum_k chart_B[i, k] chart_C[i+k, w-k]

over three readings of sum and product:

  grammatical    or, and: one bit a rule, so 32 rules in one machine word
  best           max, *: the most probable tree (Viterbi), in logarithms
  total          +, *: the probability of the string (inside), in logarithms

The chart keeps, for each rule, its left part by where a span begins and its
right part by where it ends; then a split is two contiguous reads of all
strings and places at once, and nothing is gathered. Strings go in blocks of
128, which stay in cache, and each block stops at its longest string.

Shapes: B strings, T places, w width of a span, R rules of the normal form, F
features of a span: machine words or rules.

Source: Younger (1967), "Recognition and parsing of context-free languages in
time n^3"; packing rules into words is derived here.
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.errors import unknown
from jaxsynth.tasks.lib.grammar import Grammar
from jaxsynth.tasks.lib.grammar_normal import normal
from jaxsynth.types import Array

KINDS = ('total', 'best')
_BITS = 32  # of a machine word
_BLOCK = 128  # strings at a time
_PIECE = 30  # widths with one number of places


class _Reading(NamedTuple):
  """One reading of sum and product.

  Attributes:
    leaf: for each terminal and for none, its span's left part, right part
      [V+1, F] and start [V+1].
    nothing: the sum of no splits.
    add: (sum, left, right) -> the sum with one more split; all [F, B, T].
    spread: sum [F, B, T] -> left part, right part [F, B, T], start [B, T].
  """

  leaf: tuple[np.ndarray, np.ndarray, np.ndarray]
  nothing: np.generic
  add: Callable
  spread: Callable


def _blocks(how: _Reading, tokens: Array, length: Array) -> Array:
  """The start over the whole of each string [B], block by block."""
  B, T = tokens.shape
  if B <= _BLOCK:
    return _chart(how, tokens, length)
  more = -B % _BLOCK
  tokens = jnp.pad(tokens, ((0, more), (0, 0))).reshape(-1, _BLOCK, T)
  length = jnp.pad(length, (0, more)).reshape(-1, _BLOCK)
  one = lambda block: _chart(how, *block)
  return jax.lax.map(one, (tokens, length)).reshape(-1)[:B]


def _chart(how: _Reading, tokens: Array, length: Array) -> Array:
  """The start over the whole of each string of a block [B]."""
  B, T = tokens.shape
  words = len(how.leaf[0]) - 1
  inside = jnp.arange(T) < length[:, None]
  token_BT = jnp.where(inside, tokens, words)
  left_1, right_1 = (
    jnp.moveaxis(jnp.asarray(table)[token_BT], -1, 0) for table in how.leaf[:2]
  )  # [F, B, T]
  answer = jnp.asarray(how.leaf[2])[token_BT[:, 0]]
  F = left_1.shape[0]
  # lefts[w, ..., i] begins at i; rights[w, ..., i] ends before i.
  lefts = jnp.full((T + 1, F, B, T), how.nothing)
  rights = jnp.full((T + 1, F, B, 2 * T), how.nothing)

  def put(lefts, rights, w, left, right):
    put_at = jax.lax.dynamic_update_slice
    return (
      put_at(lefts, left[None], (w, 0, 0, 0)),
      put_at(rights, right[None], (w, 0, 0, w)),
    )

  def wider(places, w, carry):
    lefts, rights, answer = carry

    def split(k, made):
      get, size = jax.lax.dynamic_slice, (1, F, B, places)
      left = get(lefts, (k, 0, 0, 0), size)[0]
      right = get(rights, (w - k, 0, 0, w), size)[0]
      return how.add(made, left, right)

    none = jnp.full((F, B, places), how.nothing)
    left, right, start = how.spread(jax.lax.fori_loop(1, w, split, none))
    answer = jnp.where(length == w, start[:, 0], answer)
    return *put(lefts, rights, w, left, right), answer

  carry = (*put(lefts, rights, 1, left_1, right_1), answer)
  # A span of w begins at one of T - w + 1 places; shapes are static, so that
  # number is lowered a few times only.
  pieces = max(T // _PIECE, 1)
  ends = np.linspace(2, T + 1, pieces + 1).astype(int).tolist()
  for begin, end in itertools.pairwise(ends):
    stop = jnp.clip(length.max() + 1, begin, end)
    grow = functools.partial(wider, T - begin + 1)
    carry = jax.lax.fori_loop(begin, stop, grow, carry)
  return carry[2]


def _bits(grammar: Grammar) -> _Reading:
  form = normal(grammar)
  closure, rules = form.total > 0, len(form.left)
  size = max(-(-rules // _BITS), 1)

  def pack(holds):
    """Of [..., R] bools, [..., F] machine words."""
    padded = np.zeros((*holds.shape[:-1], size * _BITS), np.uint64)
    padded[..., :rules] = holds
    padded = padded.reshape(*holds.shape[:-1], size, _BITS)
    return (padded << np.arange(_BITS, dtype=np.uint64)).sum(-1, np.uint64)

  word = lambda holds: pack(holds).astype(np.uint32)
  over = (closure @ (form.lexical > 0)).T  # [V, N]
  over = np.concatenate([over, np.zeros((1, len(closure)), bool)])
  # What follows once rule r holds over a span.
  made = closure[:, form.left].T  # [R, N]
  lefts, rights = word(made[:, form.first]), word(made[:, form.second])

  def spread(done_FBT):
    left = right = jnp.zeros_like(done_FBT)
    start = jnp.zeros(done_FBT.shape[1:], bool)
    for r in range(rules):
      holds = (done_FBT[r // _BITS] >> np.uint32(r % _BITS)) & np.uint32(1) > 0
      left |= jnp.where(holds, lefts[r, :, None, None], 0)
      right |= jnp.where(holds, rights[r, :, None, None], 0)
      if made[r, 0]:
        start = start | holds
    return left, right, start

  leaf = word(over[:, form.first]), word(over[:, form.second]), over[:, 0]
  return _Reading(leaf, np.uint32(0), lambda s, a, b: s | (a & b), spread)


def _logs(grammar: Grammar, closure: np.ndarray, plus, reduce) -> _Reading:
  form = normal(grammar)

  def log(p):
    return np.log(p, where=p > 0, out=np.full_like(p, -np.inf))

  made = log(closure[:, form.left] * form.probs)  # [N, R]
  if reduce is jnp.max:
    over = (closure[:, :, None] * form.lexical).max(1)
  else:
    over = closure @ form.lexical
  over = np.concatenate([log(over).T, np.full((1, len(closure)), -np.inf)])

  def spread(done_RBT):
    def rows(table):  # [G, R] -> [G, B, T]
      each = lambda row: reduce(row[:, None, None] + done_RBT, axis=0)
      return jax.lax.map(each, jnp.asarray(table, jnp.float32))

    return rows(made[form.first]), rows(made[form.second]), rows(made[:1])[0]

  leaf = over[:, form.first], over[:, form.second], over[:, 0]
  leaf = tuple(x.astype(np.float32) for x in leaf)
  return _Reading(
    leaf, np.float32(-np.inf), lambda s, a, b: plus(s, a + b), spread
  )


def grammatical(grammar: Grammar, tokens: Array, length: Array) -> Array:
  """Whether each string has a tree.

  Args:
    grammar: static.
    tokens: terminals, int32 [B, T].
    length: how many of each row count, int32 [B]; an empty string has none.

  Returns:
    bool [B].
  """
  holds = _blocks(_bits(grammar), tokens, length)
  return holds & (length > 0)


def log_prob(
  grammar: Grammar, tokens: Array, length: Array, kind: str = 'total'
) -> Array:
  """Logarithm of the probability of each string, or of its best tree.

  Args:
    grammar: static.
    tokens: terminals, int32 [B, T].
    length: how many of each row count, int32 [B].
    kind: 'total' for the string, 'best' for its most probable tree.

  Returns:
    Nats [B]; -inf where there is no tree.

  Raises:
    UserError: there is no such kind.
  """
  form = normal(grammar)
  if kind not in KINDS:
    raise unknown('kind', kind, KINDS)
  if kind == 'best':
    how = _logs(grammar, form.best, jnp.maximum, jnp.max)
  else:
    how = _logs(grammar, form.total, jnp.logaddexp, jax.nn.logsumexp)
  value = _blocks(how, tokens, length)
  return jnp.where(length > 0, value, -jnp.inf)
