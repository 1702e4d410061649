"""Probabilistic context-free grammars, checked and frozen.

A grammar rewrites symbols: a nonterminal becomes the right-hand side of one of
its rules, drawn with that rule's probability and independently of everything
else, until only terminals are left:

  P(tree) = prod_{rules used} p(rule),   P(string) = sum of P(tree)

`Grammar` is static structure: hashable, so that it can be a field of a task.
What runs inside jit is made from it:

  grammar_sample    strings, drawn many at a time
  grammar_parse     grammaticality, the best and the summed probability
  grammar_lengths   exact laws of lengths
  grammars          the grammars of the published systems

Context sensitivity comes in by attributes, numbers or words attached to a
symbol. An attribute with few values splits each symbol into one for each
(`attributed`), after which the grammar is again context-free. One with many
values (which of hundreds of entities is meant) is filled in along the string
that was sampled, as `concept_language` does.

Glossary: terminal, a symbol that stands in a string; nonterminal, one that is
rewritten; rule, left -> right_1 ... right_w; a rule is a unit rule if w = 1
and right_1 is a nonterminal.

Source: Booth and Thompson (1973), "Applying probability measures to abstract
languages", IEEE Trans. Comput. C-22(5), for the process; Knuth (1968),
"Semantics of context-free languages", for attributes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from jaxsynth.errors import UserError, unknown

Rules = Mapping[str, Sequence[tuple[float, str]]]


@dataclass(frozen=True)
class Grammar:
  """A grammar whose symbols are numbers; made by `build`.

  Terminals are 0..V-1, nonterminal n is V + n, and the start is nonterminal
  0. The rules of one nonterminal are neighbours, in the order of nonterminals.

  Attributes:
    terminals: their names, V of them.
    nonterminals: their names, N of them.
    left: the nonterminal, 0..N-1, that each of the P rules rewrites.
    right: the symbols that each rule puts in its place.
    probs: the probability of each rule among those of its nonterminal.
  """

  terminals: tuple[str, ...]
  nonterminals: tuple[str, ...]
  left: tuple[int, ...]
  right: tuple[tuple[int, ...], ...]
  probs: tuple[float, ...]

  def encode(self, words: str | Sequence[str]) -> list[int]:
    """Terminals by name, or split at spaces, as numbers.

    Raises:
      UserError: a word is not a terminal.
    """
    words = words.split() if isinstance(words, str) else words
    number = {name: i for i, name in enumerate(self.terminals)}
    for word in words:
      if word not in number:
        raise unknown('terminal', word, number)
    return [number[word] for word in words]

  def decode(self, tokens: Sequence[int]) -> list[str]:
    """The names of terminals."""
    return [self.terminals[t] for t in tokens]


def build(rules: Rules, terminals: Sequence[str] | None = None) -> Grammar:
  """The grammar of rules such as {'S': [(0.5, 'a S b'), (0.5, 'a b')]}.

  Args:
    rules: for each nonterminal, the first of which is the start, its
      alternatives: a probability and the symbols, separated by spaces. What
      stands on no left side is a terminal.
    terminals: their order, and so their numbers; None for that in which they
      first appear.

  Raises:
    UserError: there is no rule; a right side is empty; probabilities are not
      positive or do not sum to one (a rule of probability 0 is left out); a
      terminal is missing in `terminals`; or some nonterminal never ends.
  """
  if not rules:
    raise UserError('a grammar needs at least one rule')
  names = tuple(rules)
  for name, options in rules.items():
    weights = [p for p, _ in options]
    if min(weights, default=-1) < 0 or abs(sum(weights) - 1) > 1e-6:
      raise UserError(
        f'probabilities of {name!r} must be positive and sum to 1: {weights}'
      )
    if not all(right.split() for _, right in options):
      raise UserError(f'{name!r} has an empty right side')
  flat = [
    (left, tuple(right.split()), p)
    for left, name in enumerate(names)
    for p, right in rules[name]
    if p > 0
  ]
  found = dict.fromkeys(s for _, right, _ in flat for s in right)
  words = tuple(s for s in found if s not in rules)
  if terminals is not None:
    for word in words:
      if word not in terminals:
        raise unknown('terminal', word, terminals)
    words = tuple(terminals)
  number = {s: i for i, s in enumerate((*words, *names))}
  grammar = Grammar(
    terminals=words,
    nonterminals=names,
    left=tuple(left for left, _, _ in flat),
    right=tuple(tuple(number[s] for s in right) for _, right, _ in flat),
    probs=tuple(float(p) for _, _, p in flat),
  )
  endless = np.isinf(shortest(grammar))
  if endless.any():
    raise UserError(f'{names[int(endless.argmax())]!r} never ends in a string')
  return grammar


def shortest(grammar: Grammar) -> np.ndarray:
  """Terminals of the shortest string of each nonterminal [N]; inf for none."""
  words = len(grammar.terminals)
  least = np.full(len(grammar.nonterminals), np.inf)
  for _ in grammar.nonterminals:  # a shortest tree repeats none on a branch
    for left, right in zip(grammar.left, grammar.right):
      size = sum(1 if s < words else least[s - words] for s in right)
      least[left] = min(least[left], size)
  return least


def check_length(grammar: Grammar, max_len: int) -> None:
  """Raises UserError if the grammar has no string of at most max_len."""
  least = shortest(grammar)[0]
  if least > max_len:
    raise UserError(
      f'the shortest string has {least:.0f} terminals, more than {max_len}'
    )


def attributed(rules: Rules, values: Mapping[str, Sequence[str]]) -> Rules:
  """Rules in which symbols carry attributes, as plain rules.

  A symbol is written with the names of its attributes in braces, VP{n}. Where
  a rule's left side carries the attribute, its value is the same throughout
  the rule: it is inherited, so that a verb agrees with its subject. Where only
  the right side does, the value is drawn there, uniformly. S -> NP{n} VP{n}
  with n in (one, many) becomes two rules of half the probability; NP{n} ->
  noun{n} becomes NP.one -> noun.one and NP.many -> noun.many.

  Args:
    rules: as for `build`, with attributes in braces.
    values: the values of each attribute.

  Returns:
    Rules for `build`; the first nonterminal stays the first.

  Raises:
    UserError: an attribute in braces is not among `values`.
  """

  def used(text):
    found = [part.split('}')[0] for part in text.split('{')[1:]]
    for name in found:
      if name not in values:
        raise unknown('attribute', name, values)
    return list(dict.fromkeys(found))

  def choices(attributes):
    options = product(*(values[a] for a in attributes))
    return [dict(zip(attributes, option)) for option in options]

  def filled(text, chosen):
    for name, value in chosen.items():
      text = text.replace('{' + name + '}', f'.{value}')
    return text

  plain: dict[str, list[tuple[float, str]]] = {}
  for left, options in rules.items():
    for given in choices(used(left)):
      alternatives = plain.setdefault(filled(left, given), [])
      for p, right in options:
        drawn = choices([a for a in used(right) if a not in given])
        alternatives += [
          (p / len(drawn), filled(right, given | new)) for new in drawn
        ]
  return plain
