"""Grammars in Chomsky normal form, with unit rules summed up.

Parsers and laws of lengths want rules of two kinds, A -> B C and A -> a. Any
grammar without empty right-hand sides becomes one:

  a long rule    A -> B C D with p becomes A -> B [C D] with p and
                 [C D] -> C D with 1; rules that end alike share the suffix
  a terminal     within a rule of two or more becomes a symbol of its own
  a unit rule    A -> B goes into a matrix U; any number of them is
                 I + U + U^2 + ... = (I - U)^-1 for sums of probabilities,
                 and the best path through U for the best tree

so a symbol over a span has the value  closure @ (sum over rules and splits).
Sums over the trees of a string, and its best tree, are unchanged.

Source: Chomsky (1959), "On certain formal properties of grammars"; unit rules
by the inverse after Stolcke (1995), arXiv cmp-lg/9411029.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from jaxsynth.tasks.lib.grammar import Grammar


class Normal(NamedTuple):
  """A grammar in normal form, as numpy arrays.

  N nonterminals, those of the grammar first and so the start at 0; V
  terminals; R rules of two symbols.

  Attributes:
    left, first, second: rule r is left -> first second, [R].
    probs: of these rules [R].
    lexical: probability of A -> a before unit rules [N, V].
    total: sum over chains of unit rules, (I - U)^-1, [N, N].
    best: most probable chain of unit rules, none included, [N, N].
  """

  left: np.ndarray
  first: np.ndarray
  second: np.ndarray
  probs: np.ndarray
  lexical: np.ndarray
  total: np.ndarray
  best: np.ndarray


@cache
def normal(grammar: Grammar) -> Normal:
  """The normal form of a grammar."""
  words = len(grammar.terminals)
  numbers = {(words + n,): n for n in range(len(grammar.nonterminals))}
  pairs: list[tuple[int, int, int, float]] = []
  lexical: list[tuple[int, int, float]] = []
  units: list[tuple[int, int, float]] = []

  def symbol(right: tuple[int, ...]) -> int:
    """The nonterminal that becomes these symbols, made if it is new."""
    if right not in numbers:
      number = numbers[right] = len(numbers)
      if len(right) == 1:
        lexical.append((number, right[0], 1.0))
      else:
        pairs.append((number, symbol(right[:1]), symbol(right[1:]), 1.0))
    return numbers[right]

  for left, right, p in zip(grammar.left, grammar.right, grammar.probs):
    if len(right) > 1:
      pairs.append((left, symbol(right[:1]), symbol(right[1:]), p))
    elif right[0] < words:
      lexical.append((left, right[0], p))
    else:
      units.append((left, right[0] - words, p))
  size = len(numbers)
  unit = np.zeros((size, size))
  best = np.eye(size)
  for a, b, p in units:
    unit[a, b] += p
    best[a, b] = max(best[a, b], p)
  for middle in range(size):
    best = np.maximum(best, best[:, middle, None] * best[middle])
  table = np.zeros((size, words))
  for a, word, p in lexical:
    table[a, word] += p
  left, first, second, probs = zip(*pairs) if pairs else ((),) * 4
  as_int = lambda x: np.array(x, int)
  return Normal(
    as_int(left), as_int(first), as_int(second), np.array(probs, float), table,
    np.linalg.inv(np.eye(size) - unit), best,
  )  # fmt: skip
