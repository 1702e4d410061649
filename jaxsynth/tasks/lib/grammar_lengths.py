"""Exact laws of the length of a string of a probabilistic grammar.

With M[A, B] the mean number of B on the right of A, and c[A] that of
terminals, mean lengths solve E = c + M E. They are finite if and only if the
spectral radius of M is below one: else a derivation need not even end.

The whole law, P_A(n), follows from the normal form by length, since both parts
of a rule A -> B C are shorter than the whole:

  P(n) = closure @ sum_{A -> B C} p sum_{k < n} P_B(k) P_C(n - k)

All in float64, outside jit: grammars are static.

Source: Booth and Thompson (1973), "Applying probability measures to abstract
languages", IEEE Trans. Comput. C-22(5).
"""

import numpy as np

from jaxsynth.errors import UserError
from jaxsynth.tasks.lib.grammar import Grammar
from jaxsynth.tasks.lib.grammar_normal import normal


def expected_words(grammar: Grammar) -> np.ndarray:
  """Mean number of each terminal in a string, [V].

  Raises:
    UserError: some are infinite.
  """
  words, size = len(grammar.terminals), len(grammar.nonterminals)
  children, terminals = np.zeros((size, size)), np.zeros((size, words))
  for left, right, p in zip(grammar.left, grammar.right, grammar.probs):
    for symbol in right:
      if symbol < words:
        terminals[left, symbol] += p
      else:
        children[left, symbol - words] += p
  radius = np.abs(np.linalg.eigvals(children)).max()
  if radius >= 1 - 1e-12:
    raise UserError(
      f'the mean length is infinite: {radius:.4g} symbols come of one'
    )
  return np.linalg.solve(np.eye(size) - children, terminals)[0]


def expected_length(grammar: Grammar) -> float:
  """Mean number of terminals of a string.

  Raises:
    UserError: it is infinite.
  """
  return float(expected_words(grammar).sum())


def length_law(grammar: Grammar, max_len: int) -> np.ndarray:
  """P(length = n) for n in 0..max_len, [max_len + 1].

  What is missing to one is the probability of a longer string, or of a
  derivation that never ends.
  """
  form = normal(grammar)
  law = np.zeros((max_len + 1, len(form.total)))  # [n, N]
  if max_len:
    law[1] = form.total @ form.lexical.sum(1)
  for n in range(2, max_len + 1):
    parts = law[1:n, form.first] * law[n - 1 : 0 : -1, form.second]  # [n-1, R]
    made = np.zeros(len(form.total))
    np.add.at(made, form.left, form.probs * parts.sum(0))
    law[n] = form.total @ made
  return law[:, 0]
