"""Strings of a probabilistic grammar, drawn many at a time inside jit.

The leftmost derivation, by a machine with a stack. The right-hand sides lie
one after the other in one array, and `at` points into it:

  a terminal     is written out; `at` moves on, or back to where the stack
                 says if its rule ends here
  a nonterminal  has a rule drawn for it; `at` moves to that rule's right-hand
                 side, and the stack keeps where to go on after it, unless
                 there is nothing after it

so a step reads and writes a few numbers, whatever the grammar, and right
recursion needs no stack. Machines take their steps together; each draws
eight strings, one after the other, so that none waits long for the longest
string. A string that would be longer than allowed is begun anew: what is
returned has the law of the grammar given that its length is at most `max_len`,
exactly.

No right-hand side is empty, so every entry of the stack stands for at least
one terminal to come. Hence a string is too long as soon as what is written,
what is stacked and the symbol at hand are more than max_len, and the stack
never holds more.

Shapes: B strings, M machines, T terminals at most, N nonterminals, P rules, W
symbols on all right-hand sides together.

Source: the machine is the textbook pushdown automaton of a grammar; rejection
of long strings is that of the released code of the systems in `grammars`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.tasks.lib.grammar import Grammar
from jaxsynth.types import Array, Key

_CHUNK = 32  # steps whose random numbers are drawn together
_EACH = 8  # strings of a machine


class Tables(NamedTuple):
  """A grammar as the machine reads it.

  Attributes:
    symbols: right-hand sides one after the other, int32 [W]; a terminal is
      its number, nonterminal n is -1 - n.
    last: whether the right-hand side ends here, bool [W].
    begin: where the right-hand side of each rule begins, int32 [P].
    first: the first rule of each nonterminal, int32 [N].
    cdf: cumulative probabilities of the rules of each nonterminal without the
      last one, filled up with infinity [N, most rules - 1].
  """

  symbols: Array
  last: Array
  begin: Array
  first: Array
  cdf: Array


class Strings(NamedTuple):
  """What was drawn.

  Attributes:
    tokens: terminals, int32 [B, T]; 0 beyond the length.
    length: terminals of each string, int32 [B].
  """

  tokens: Array
  length: Array


def tables(grammar: Grammar, probs: Array | None = None) -> Tables:
  """The tables of a grammar.

  Args:
    grammar: static.
    probs: probabilities of its rules [P] in place of its own, traced or not;
      those of one nonterminal sum to one.
  """
  words, count = len(grammar.terminals), len(grammar.nonterminals)
  sizes = np.array([len(right) for right in grammar.right])
  symbols = np.concatenate(grammar.right)
  symbols = np.where(symbols < words, symbols, words - symbols - 1)
  first = np.searchsorted(grammar.left, np.arange(count))
  rules = np.bincount(grammar.left, minlength=count)
  probs = jnp.asarray(grammar.probs if probs is None else probs)
  inner = np.arange(max(rules.max() - 1, 1))
  live = inner < rules[:, None] - 1  # [N, most rules - 1]
  row = np.where(live, first[:, None] + inner, 0)
  cdf = jnp.where(live, jnp.where(live, probs[row], 0).cumsum(-1), jnp.inf)
  as_int = lambda x: jnp.asarray(x, jnp.int32)
  return Tables(
    symbols=as_int(symbols),
    last=jnp.zeros(len(symbols), bool).at[sizes.cumsum() - 1].set(True),
    begin=as_int(sizes.cumsum() - sizes),
    first=as_int(first),
    cdf=cdf.astype(jnp.float32),
  )


class _Machines(NamedTuple):
  """M machines: where each stands, its stack, and what it has written.

  A machine at -1 is about to rewrite the start, with nothing after it.
  """

  at: Array  # [M]
  stack: Array  # [M, T]
  height: Array  # [M]
  written: Array  # terminals of the string at hand [M]
  number: Array  # which of its strings it is [M]
  tokens: Array  # [M, B / M, T]
  lengths: Array  # [M, B / M]


def _rule(grammar: Tables, nonterminal: Array, uniform: Array) -> Array:
  """The rule of `nonterminal` [M] at `uniform` [M]."""
  above = uniform[:, None] >= grammar.cdf[nonterminal]
  return grammar.first[nonterminal] + above.sum(-1, dtype=jnp.int32)


def _step(grammar: Tables, uniform: Array, now: _Machines) -> _Machines:
  """One symbol of every machine."""
  each, max_len = now.tokens.shape[1:]
  row = jnp.arange(now.at.shape[0])
  fresh, live = now.at < 0, now.number < each
  symbol = jnp.where(fresh, -1, grammar.symbols[now.at])  # [M]
  last = fresh | grammar.last[now.at]
  word = symbol >= 0
  back = now.stack[row, jnp.maximum(now.height - 1, 0)]
  too_long = now.written + now.height + 1 > max_len
  ends = word & last & (now.height == 0) & ~too_long

  # Columns beyond the last are dropped: there is nothing to write.
  column = jnp.where(live & word, now.written, max_len)
  tokens = now.tokens.at[row, now.number, column].set(symbol, mode='drop')
  column = jnp.where(live & ~word & ~last, now.height, max_len)
  stack = now.stack.at[row, column].set(now.at + 1, mode='drop')
  column = jnp.where(live & ends, now.number, each)
  lengths = now.lengths.at[row, column].set(now.written + 1, mode='drop')

  rule = _rule(grammar, jnp.maximum(-1 - symbol, 0), uniform)
  onward = jnp.where(last, back, now.at + 1)
  at = jnp.where(word, onward, grammar.begin[rule])
  height = now.height + (~word & ~last) - (word & last)
  anew = too_long | ends
  return _Machines(
    at=jnp.where(anew, -1, at),
    stack=stack,
    height=jnp.where(anew, 0, height),
    written=jnp.where(anew, 0, now.written + word),
    number=now.number + (live & ends),
    tokens=tokens,
    lengths=lengths,
  )


def sample(grammar: Tables, key: Key, num: int, max_len: int) -> Strings:
  """Strings of at most max_len terminals.

  Args:
    grammar: from `tables`.
    key: of all strings.
    num: B.
    max_len: T; `grammar.check_length` says whether there is such a string,
      without which this does not return.
  """
  each = min(_EACH, num)
  machines = -(-num // each)
  zero = jnp.zeros(machines, jnp.int32)
  table = lambda *shape: jnp.zeros((machines, *shape), jnp.int32)
  begun = _Machines(
    at=zero - 1,
    stack=table(max_len),
    height=zero,
    written=zero,
    number=zero,
    tokens=table(each, max_len),
    lengths=table(each),
  )

  def chunk(carry):
    number, now = carry
    fold = jax.random.fold_in(key, number)
    uniform = jax.random.uniform(fold, (_CHUNK, machines))
    go = lambda now, u: (_step(grammar, u, now), None)
    return number + 1, jax.lax.scan(go, now, uniform)[0]

  _, drawn = jax.lax.while_loop(
    lambda carry: (carry[1].number < each).any(), chunk, (0, begun)
  )
  length = drawn.lengths.reshape(-1)[:num]
  tokens = drawn.tokens.reshape(-1, max_len)[:num]
  written = jnp.arange(max_len) < length[:, None]
  return Strings(jnp.where(written, tokens, 0), length)
