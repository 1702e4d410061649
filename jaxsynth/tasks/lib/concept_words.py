"""The words of the language of entities, and the skeletons of its sentences.

Tokens are numbered: special ones, adverbs, adjectives, verbs by group, private
names, generic names by class, values by class and property. `lexicon` says of
each what it is; `concept_language` says what sentences they make, and names
the source.

Glossary: kind, part of speech of a token; group, the class of a name or value,
or the pair of classes that a verb relates; number, the place of a word among
those of its class and property.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from jaxsynth.errors import UserError
from jaxsynth.tasks.lib.grammar import Grammar, build
from jaxsynth.types import Array

SPECIAL = (
  '<pad>', '<eos>', '<null>', 'Task:', '\\n', 'Ops:', 'Out:', 'T0', 'T1', 'T2',
  'is', 'has', 'on', 'in', 'to', 'and', 'or',
)  # fmt: skip
PAD, EOS, NULL, TASK, LINE, OPS, OUT, T0 = range(8)
KINDS = (
  'special', 'is', 'on', 'and', 'adverb', 'adjective', 'verb', 'private',
  'generic', 'value',
)  # fmt: skip


class Lexicon(NamedTuple):
  """What each token is, numpy arrays [V]; -1 where it does not apply.

  Attributes:
    kind: index into KINDS.
    group: class 0..C-1 of names and values, group 0..C/2-1 of verbs.
    prop: the property of a value, within its class.
    number: of names, values, verbs, adverbs and adjectives.
  """

  kind: np.ndarray
  group: np.ndarray
  prop: np.ndarray
  number: np.ndarray


@dataclass(frozen=True)
class Language:
  """The sizes of a language.

  Attributes:
    classes: C, even; published 10.
    properties: descriptive properties of a class, those that become names
      included; published 46, and 10 to 46.
    values: V of a property; published 40.
    generic: G generic names of a class; published 80.
    private: R private names of a subject class; published 20, 0 for none.
    verbs: of each group; published 20.
    modifiers: adverbs, and as many adjectives; published 20, 0 for none.
    density: share of values (and of private names) that an entity can have;
      published 0.1.
  """

  classes: int
  properties: int
  values: int
  generic: int
  private: int
  verbs: int
  modifiers: int
  density: float

  def __post_init__(self):
    if self.classes < 2 or self.classes % 2:
      raise UserError(f'classes must be even, got {self.classes}')
    least = {'properties': self.least_properties, 'values': 2, 'generic': 1}
    least |= {'verbs': 1, 'private': 0, 'modifiers': 0}
    for name, bound in least.items():
      if getattr(self, name) < bound:
        raise UserError(f'{name} must be at least {bound}')
    if not (0 < self.density < 1 and self.in_use >= 1):
      raise UserError(
        f'density must leave 1..{self.values - 1} of {self.values} values in '
        f'use, got {self.density}'
      )
    if self.private and not self.private_in_use:
      raise UserError(f'density {self.density} leaves no private name in use')

  @property
  def half(self) -> int:
    """Classes of subjects, as many as of objects."""
    return self.classes // 2

  @property
  def least_properties(self) -> int:
    """So that one is left when some have become names."""
    return 3 if self.private else 2

  @property
  def in_use(self) -> int:
    """Values that an entity can have of each property."""
    return int(self.density * self.values)

  @property
  def private_in_use(self) -> int:
    """Private names that can stand beside one object."""
    return int(self.density * self.private)

  def described(self, properties: Array | int) -> np.ndarray:
    """Properties with values of each class, of so many before naming [C]."""
    named = np.where(np.arange(self.classes) < self.half, self.private > 0, 0)
    return properties - 1 - named

  @property
  def starts(self) -> dict[str, np.ndarray]:
    """The first token of each kind of word; by class where it has classes."""
    C, H, A = self.classes, self.half, self.modifiers
    adverb = len(SPECIAL)
    verb = adverb + 2 * A
    private = verb + H * self.verbs
    generic = private + H * self.private
    sizes = self.described(self.properties) * self.values
    value = generic + C * self.generic + np.cumsum(sizes) - sizes
    return {
      'adverb': np.array(adverb),
      'adjective': np.array(adverb + A),
      'verb': verb + self.verbs * np.arange(H),
      'private': private + self.private * np.arange(H),
      'generic': generic + self.generic * np.arange(C),
      'value': value,
    }

  @property
  def num_tokens(self) -> int:
    """Tokens in all."""
    last = self.described(self.properties)[-1] * self.values
    return int(self.starts['value'][-1] + last)


@cache
def lexicon(language: Language) -> Lexicon:
  """What each token of a language is."""
  size = language.num_tokens
  kind, group, prop, number = (np.full(size, -1) for _ in range(4))
  kind[: len(SPECIAL)] = [0] * 10 + [1] * 2 + [2] * 3 + [3] * 2
  sizes = {
    'adverb': language.modifiers,
    'adjective': language.modifiers,
    'verb': language.verbs,
    'private': language.private,
    'generic': language.generic,
  }
  for name, start in language.starts.items():
    for c, first in enumerate(np.atleast_1d(start)):
      if name == 'value':
        count = language.described(language.properties)[c] * language.values
      else:
        count = sizes[name]
      at = np.arange(first, first + count)
      kind[at] = KINDS.index(name)
      number[at] = at - first
      if start.ndim:
        group[at] = c
      if name == 'value':
        prop[at], number[at] = divmod(at - first, language.values)
  return Lexicon(kind, group, prop, number)


def skeleton(modifiers: bool = True) -> Grammar:
  """The grammar of skeletons, with a place for each modifier or without."""
  rules = {
    'S': [(1.0, 'NP VP')],
    'NP': [(0.8, '<adjective> <subject>'), (0.2, 'NP Conj NP')],
    'VP': [
      (0.4, 'Is <adjective> <value>'),
      (0.4, '<adverb> <verb> On Objects'),
      (0.2, 'VP Conj VP'),
    ],
    'Objects': [
      (0.7, '<adjective> <object>'),
      (0.3, '<adjective> <object> Conj Objects'),
    ],
    'Is': [(0.5, 'is'), (0.5, 'has')],
    'On': [(0.4, 'on'), (0.3, 'in'), (0.3, 'to')],
    'Conj': [(0.5, 'and'), (0.5, 'or')],
  }
  words = (*SPECIAL[10:], '<subject>', '<object>', '<value>', '<verb>')
  if modifiers:
    words += ('<adjective>', '<adverb>')
  else:
    plain = lambda text: ' '.join(
      s for s in text.split() if s not in ('<adjective>', '<adverb>')
    )
    rules = {
      left: [(p, plain(right)) for p, right in options]
      for left, options in rules.items()
    }
  return build(rules, words)
