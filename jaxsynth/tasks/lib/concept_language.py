"""A context-sensitive language of entities, their properties and relations.

Sentences such as "adjective entity is adjective value and adverb verb in
adjective entity" come in two steps. A context-free grammar gives the skeleton,

  S -> NP VP          NP -> subject .8 | NP Conj NP .2
  VP -> is|has property .4 | verb on|in|to NP' .4 | VP Conj VP .2
  NP' -> object .7 | object Conj NP' .3

in which each subject, object, property and verb has a modifier before it, that
may be left out. Words are then filled in, each by a law that depends on what
else stands in the sentence:

  class       c of C, drawn once. Class h < C/2 is one of subjects, and its
              partner h + C/2 one of objects: if there is a verb, subjects are
              of one and objects of the other, and verbs are of their group;
              if there is none, subjects are of class c, whichever it is
  object      one of the G generic names of its class, uniformly
  subject     one of G generic and, in a subject class, R private names, with
              G : R; generic ones uniformly; a private one is among a tenth of
              the R, rotated by the number of the first object, or by 0
  property    uniform among those of the subjects' class; its value is among a
              tenth of the V, at places drawn once for the property, rotated
              by the number of the last subject: entity e of class c has the
              value (place + e) mod V
  verb        uniform in its group; its adverb is none or one of A, all equal
  adjective   of the word with number i: none with .1, one of A otherwise, and
              this law of A + 1 outcomes is rotated by i

The prior of the values (and of their adjectives) may be altered: 'normal' p,
'uniform', or 'adversarial', 1 - p normalised. The mean of p and 1 - p, which
the code also has, is the uniform law itself.

Where paper and code differ, this follows the code. Where it differs from both:
names that never occur (of classes, of properties) are no tokens; a sentence is
drawn anew if it would be longer than allowed were no modifier left out, where
the code measures it as filled; the number of live properties may be traced.

Glossary: kind, part of speech of a token; number, the place i of a word among
those of its class and property; live, of the properties in use; key, what a
law is rotated by.

Source: Lubana, Kawaguchi, Dick and Tanaka (2024), "A percolation model of
emergence: analyzing transformers trained on a formal language", arXiv
2408.12578, and its code, EkdeepSLubana/ConceptPercolation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsynth.tasks.lib import grammar_sample
from jaxsynth.tasks.lib.concept_words import SPECIAL, Language, skeleton
from jaxsynth.types import Array, Key

PRIORS = ('normal', 'uniform', 'adversarial')
NO_ADJECTIVE = 0.1


class Facts(NamedTuple):
  """What is drawn once for a language.

  Attributes:
    places: for each class and property a permutation of its values, of which
      the first are those in use before rotation, int32 [C, P, V].
    private: likewise for the private names, int32 [C/2, R].
    live: properties in use of each class, int32 [C].
  """

  places: Array
  private: Array
  live: Array


class Sentences(NamedTuple):
  """Sentences, without the mark of their end.

  Attributes:
    tokens: int32 [B, S]; 0 beyond the length.
    length: int32 [B].
    group: class of the subjects, int32 [B].
    related: whether there is a verb, bool [B].
  """

  tokens: Array
  length: Array
  group: Array
  related: Array


def facts(language: Language, key: Key, properties: Array | int) -> Facts:
  """Draws which values go together, for so many properties of each class."""
  places, private = jax.random.split(key)
  shuffled = lambda key, *shape: jnp.argsort(
    jax.random.uniform(key, shape)
  ).astype(jnp.int32)
  C, P = language.classes, language.properties - 1
  return Facts(
    places=shuffled(places, C, P, language.values),
    private=shuffled(private, language.half, language.private),
    live=jnp.asarray(language.described(properties), jnp.int32),
  )


def _one_of(uniform: Array, count: Array | int) -> Array:
  """A number below `count` from a uniform one."""
  below = jnp.floor(uniform * count).astype(jnp.int32)
  return jnp.minimum(below, count - 1)


def sentences(
  language: Language,
  known: Facts,
  key: Key,
  num: int,
  room: int,
  prior: Array | int = 0,
) -> Sentences:
  """Sentences of the language.

  Args:
    language: its sizes.
    known: from `facts`.
    key: of the sentences.
    num: B.
    room: S, tokens of a sentence at most; at least those of the shortest.
    prior: index into PRIORS of the law of values and their adjectives, one
      for all or one for each sentence, int32 [B].
  """
  prior = jnp.broadcast_to(prior, (num,))[:, None]
  drawn, words, classes = jax.random.split(key, 3)
  grammar = skeleton(language.modifiers > 0)
  tables = grammar_sample.tables(grammar)
  symbol, length = grammar_sample.sample(tables, drawn, num, room)
  there = jnp.arange(room) < length[:, None]  # [B, S]
  number = {name: i for i, name in enumerate(grammar.terminals)}
  of = lambda name: there & (symbol == number.get(f'<{name}>', -1))
  uniform = jax.random.uniform(words, (2, num, room))
  starts = {k: jnp.asarray(v, jnp.int32) for k, v in language.starts.items()}

  any_class = jax.random.randint(classes, (num,), 0, language.classes)
  related = of('verb').any(-1)
  pair = (any_class % language.half)[:, None]  # [B, 1]
  group = jnp.where(related, pair[:, 0], any_class)[:, None]
  name, private = _names(
    language, known, of('subject'), of('object'), group, uniform
  )
  last = room - 1 - jnp.argmax(of('subject')[:, ::-1], -1)[:, None]
  entity = jnp.take_along_axis(name, last, 1)  # [B, 1]
  prop = _one_of(uniform[0], known.live[group])
  place = _placed(language, known, group, prop, uniform[1], prior)
  value = (place + entity) % language.values
  verb = _one_of(uniform[1], language.verbs)

  # The little words come first among terminals, in the order of their tokens.
  token = symbol + SPECIAL.index('is')
  for mask, filled in (
    (of('subject'), starts['generic'][group] + name),
    (of('object'), starts['generic'][pair + language.half] + name),
    (of('value'), starts['value'][group] + prop * language.values + value),
    (of('verb'), starts['verb'][pair] + verb),
  ):
    token = jnp.where(mask, filled, token)
  if language.private:
    token = jnp.where(private, starts['private'][pair] + name, token)
  keep = there
  if language.modifiers:
    after = lambda x: jnp.roll(x, -1, 1)  # of the word that is modified
    numbers = after(jnp.where(of('value'), value, name))
    first = _no_adjective(language, prior)
    first = jnp.where(after(of('value')), first, NO_ADJECTIVE)
    adjective = _adjective(language, first, numbers, uniform)
    adjective = jnp.where(after(private), 0, adjective)
    adverb = _one_of(uniform[0], language.modifiers + 1)
    for kind, chosen in (('adjective', adjective), ('adverb', adverb)):
      token = jnp.where(of(kind), starts[kind] + chosen - 1, token)
      keep &= ~of(kind) | (chosen > 0)
  return Sentences(*compact(token, keep), group[:, 0], related)


def _names(
  language: Language,
  known: Facts,
  subject: Array,
  thing: Array,
  group: Array,
  uniform: Array,
) -> tuple[Array, Array]:
  """Numbers of names [B, S], and which of them are private, bool [B, S].

  Args:
    language: its sizes.
    known: from `facts`.
    subject: where subjects stand, bool [B, S].
    thing: where objects stand, bool [B, S].
    group: class of the subjects [B, 1].
    uniform: [2, B, S].
  """
  generic = _one_of(uniform[1], language.generic)
  if not language.private:
    return generic, jnp.zeros_like(subject)
  first = jnp.argmax(thing, -1)[:, None]
  beside = jnp.where(
    thing.any(-1)[:, None], jnp.take_along_axis(generic, first, 1), 0
  )
  place = _one_of(uniform[1], language.private_in_use)
  own = known.private[group % language.half, place] + beside
  share = language.private / (language.private + language.generic)
  private = subject & (group < language.half) & (uniform[0] < share)
  return jnp.where(private, own % language.private, generic), private


def _placed(
  language: Language,
  known: Facts,
  group: Array,
  prop: Array,
  uniform: Array,
  prior: Array,
) -> Array:
  """A value before rotation: one in use, or by another prior any [B, S]."""
  m, V = language.in_use, language.values
  share = jnp.array([1.0, m / V, (m - 1) / (V - 1)])[prior]  # in use
  within = _one_of(uniform / jnp.maximum(share, 1e-9), m)
  others = (uniform - share) / jnp.maximum(1 - share, 1e-9)
  rank = jnp.where(uniform < share, within, m + _one_of(others, V - m))
  return known.places[group, prop, rank]


def _no_adjective(language: Language, prior: Array) -> Array:
  """Probability of the first of the A + 1 outcomes before rotation."""
  A = language.modifiers
  law = [NO_ADJECTIVE, 1 / (A + 1), (1 - NO_ADJECTIVE) / A]
  return jnp.array(law)[prior]


def _adjective(
  language: Language, first: Array, number: Array, uniform: Array
) -> Array:
  """0 for none, or 1 + the adjective, of words with these numbers [B, S].

  The first of A + 1 outcomes has the probability `first`, the others share
  the rest; then all are rotated by the number of the word.
  """
  other = 1 + _one_of(uniform[1], language.modifiers)
  outcome = jnp.where(uniform[0] < first, 0, other)
  return (outcome + number) % (language.modifiers + 1)


def compact(tokens: Array, keep: Array) -> tuple[Array, Array]:
  """The tokens to keep, moved together.

  Args:
    tokens: int32 [B, S].
    keep: bool [B, S].

  Returns:
    Tokens, int32 [B, S], 0 beyond the end; and how many, int32 [B].
  """
  S = tokens.shape[1]
  column = jnp.where(keep, keep.cumsum(-1) - 1, S)
  row = jnp.arange(tokens.shape[0])[:, None]
  moved = jnp.zeros_like(tokens).at[row, column].set(tokens, mode='drop')
  return moved, keep.sum(-1, dtype=jnp.int32)


def allowed(
  language: Language,
  known: Facts,
  group: Array,
  entity: Array,
  prop: Array,
  value: Array,
) -> Array:
  """Whether the language has sentences that give an entity this value.

  Args:
    language: its sizes.
    known: from `facts`.
    group: class of the entity, [...].
    entity: its number, [...].
    prop: the property, [...].
    value: the number of the value, [...].

  Returns:
    bool [...].
  """
  places = known.places[group, prop][..., : language.in_use]
  place = (value - entity) % language.values
  return (places == place[..., None]).any(-1)
