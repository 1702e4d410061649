"""What is true at each word of a string of a formal language, inside jit.

The ground truth that latents of an autoencoder are compared with. With d_t the
change that word t makes to the level l_t = l_0 + d_1 + ... + d_t,

  dyck      depth: brackets open after the word, d = 1 or -1, l_0 = 0
            open, close: the side of the bracket
            inside{i}: the innermost open bracket is of kind i
  expr      operands: how many are still to come, d = arity - 1, l_0 = 1
            digit, unary, binary, ternary: the kind of the word
  english   noun, verb, adjective, pronoun, adverb, conjunction

Kinds of words are the names of terminals of `grammars` without their numbers.
The innermost open bracket after word t is the last opening one, s <= t, after
which the depth was what it is after t.

Source: Menon, Shrivastava, Krueger and Lubana (2024), arXiv 2410.11767, for
the features.
"""

import jax.numpy as jnp
import numpy as np

from jaxsynth.tasks.lib.grammar import Grammar
from jaxsynth.types import Array

_DIGIT = 'digit'
# What each kind of word does to the level, the level's name and its start.
_LEVELS = {
  'dyck': ('depth', 0, {'open': 1, 'close': -1}),
  'expr': ('operands', 1, {_DIGIT: -1, 'unary': 0, 'binary': 1, 'ternary': 2}),
}
LANGUAGES = (*_LEVELS, 'english')


def kinds(grammar: Grammar) -> list[str]:
  """The kind of each terminal [V]."""
  return [name.rstrip('0123456789') or _DIGIT for name in grammar.terminals]


def names(language: str, grammar: Grammar) -> tuple[str, ...]:
  """Names of the features of a language, F of them."""
  level = _LEVELS[language][:1] if language in _LEVELS else ()
  words = tuple(dict.fromkeys(kinds(grammar)))
  return (*level, *words, *_insides(language, grammar))


def _insides(language: str, grammar: Grammar) -> list[str]:
  count = len(grammar.terminals) // 2 if language == 'dyck' else 0
  return [f'inside{i}' for i in range(count)]


def features(
  language: str, grammar: Grammar, tokens: Array, length: Array
) -> Array:
  """The features after each word.

  Args:
    language: one of `LANGUAGES`.
    grammar: of that language.
    tokens: int32 [B, T]; what is no terminal has no kind and changes nothing.
    length: words of each string [B]; beyond them features are zero.

  Returns:
    float32 [B, T, F], in the order of `names`.
  """
  words, of = len(grammar.terminals), kinds(grammar)
  inside = (jnp.arange(tokens.shape[1]) < length[:, None]) & (tokens < words)
  at = jnp.where(inside, tokens, words)
  distinct = list(dict.fromkeys(of))
  is_kind = np.array([[k == d for d in distinct] for k in of])
  table = np.concatenate([is_kind, np.zeros((1, len(distinct)), bool)])
  parts = [jnp.asarray(table)[at]]
  if language in _LEVELS:
    _, start, changes = _LEVELS[language]
    change = jnp.asarray([*(changes[k] for k in of), 0])[at]
    level = jnp.where(inside, start + change.cumsum(-1), 0)
    parts = [level[..., None], *parts]
    if language == 'dyck':
      parts.append(_innermost(words // 2, at, level) & inside[..., None])
  return jnp.concatenate([p.astype(jnp.float32) for p in parts], -1)


def _innermost(count: int, tokens: Array, depth: Array) -> Array:
  """Whether the innermost open bracket is of each kind, [B, T, count].

  Opening brackets are tokens 0..count-1.
  """
  step = jnp.arange(tokens.shape[1])
  opens = (tokens < count)[:, None, :] & (step <= step[:, None])
  opens &= (depth[:, None, :] == depth[..., None]) & (depth > 0)[..., None]
  last = jnp.where(opens, step, -1).max(-1)  # [B, T]
  kind = jnp.take_along_axis(tokens, jnp.maximum(last, 0), 1)
  kind = jnp.where(last >= 0, kind, count)
  return kind[..., None] == jnp.arange(count)
