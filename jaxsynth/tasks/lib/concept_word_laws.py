"""What a prefix says of the words that may come next.

Laws of subjects, objects, values and verbs, and of the adjectives before
them, as `concept_predictors` needs them: given the class of the subjects and
the number of the last one, for each of the three who know the language.

Shapes: B sequences, T tokens of a prefix, V tokens of the language, C classes,
A adjectives.

Source: derived here from the process in `concept_language`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.tasks.lib import concept_words as words
from jaxsynth.tasks.lib.concept_language import NO_ADJECTIVE, Facts
from jaxsynth.types import Array

KIND = {name: i for i, name in enumerate(words.KINDS)}


class State(NamedTuple):
  """What a prefix says of the next token, all [B, T]."""

  last: Array  # kind of the last token
  token: Array  # the last token
  phrases: Array  # verb phrases begun
  subjects: Array  # subjects so far
  verb: Array  # whether there was a verb
  describing: Array  # whether the last verb phrase describes
  group: Array  # class of the subjects, once there is one
  key: Array  # number of the last subject


def read(language: words.Language, inputs: Array) -> State:
  """The state after each token."""
  table = words.lexicon(language)
  of = lambda column: jnp.asarray(column, jnp.int32)[inputs]
  kind, group, number = of(table.kind), of(table.group), of(table.number)
  place = jnp.arange(inputs.shape[1])
  said = ((inputs == words.OUT).cumsum(-1) > 0) & (inputs != words.OUT)
  is_ = lambda *names: (
    said & jnp.isin(kind, jnp.array([KIND[name] for name in names]))
  )
  latest = lambda mask: jax.lax.cummax(jnp.where(mask, place, -1), axis=1)
  describes, verbs = is_('is'), is_('verb')
  phrases = (describes | verbs).cumsum(-1)
  subject = is_('private', 'generic') & (phrases == 0)
  at = latest(subject)
  from_subject = lambda x: jnp.take_along_axis(x, jnp.maximum(at, 0), 1)
  return State(
    last=kind,
    token=inputs,
    phrases=phrases,
    subjects=subject.cumsum(-1),
    verb=verbs.cumsum(-1) > 0,
    describing=latest(describes) > latest(verbs),
    group=from_subject(group),
    key=from_subject(number),
  )


def word_laws(
  language: words.Language, known: Facts, now: State, level: int, silent: float
) -> tuple[Array, Array, Array, Array]:
  """Laws of the next words, of each kind had one to be next.

  Args:
    language: its sizes.
    known: from `concept_language.facts`.
    now: from `read`.
    level: how much is known, 0 to 2, see `concept_predictors.LEVELS`.
    silent: probability that a sentence would have no verb.

  Returns:
    Laws of a subject, an object, a value and a verb, adjectives not yet
    reckoned with: each [B, T, V] or broadcastable to it.
  """
  table = words.lexicon(language)
  kind, group, prop, number = (jnp.asarray(x, jnp.int32) for x in table)
  C, H = language.classes, language.half
  prior = np.repeat([(2 - silent) / C, silent / C], H)
  if level == 0:
    of_subject = jnp.broadcast_to(jnp.asarray(prior), (1, 1, C))
    pair = jnp.full((1, 1, H), 1 / H)
  else:
    classes = jnp.arange(C)
    told = (classes == now.group[..., None]).astype(jnp.float32)
    of_subject = jnp.where((now.subjects > 0)[..., None], told, prior)
    pair = (jnp.arange(H) == now.group[..., None]).astype(jnp.float32)
  is_ = lambda name: kind == KIND[name]
  share = language.private / (language.private + language.generic)
  if language.private:
    names = _private(language, known, silent, level)
    names = jnp.where(
      is_('private'), names[group % H, number % language.private], 0.0
    )
  else:
    names = jnp.zeros(len(kind))
  some_private = jnp.where(group < H, share, 0.0)
  subject = (
    share * names + (1 - some_private) * is_('generic') / language.generic
  )
  subject = of_subject[..., group] * subject
  thing = is_('generic') & (group >= H)
  thing = pair[..., group % H] * thing / language.generic
  verb = pair[..., group % H] * is_('verb') / language.verbs
  live = known.live[group]
  value = is_('value') & (prop < live)
  value = of_subject[..., group] * value / (live * language.values)
  if level == 2:
    in_use = (
      jnp.zeros(known.places.shape)
      .at[
        jnp.arange(C)[:, None, None],
        jnp.arange(known.places.shape[1])[:, None],
        known.places[..., : language.in_use],
      ]
      .set(language.values / language.in_use)
    )
    place = (number - now.key[..., None]) % language.values
    value = value * in_use[group, prop, place]
  return subject, thing, value, verb


def _private(
  language: words.Language, known: Facts, silent: float, level: int
) -> Array:
  """The law of private names of each subject class, [C/2, R]."""
  R = language.private
  if level < 2:
    return jnp.full((language.half, R), 1 / R)
  keys = np.bincount(np.arange(language.generic) % R, minlength=R)
  places = known.private[:, : language.private_in_use]  # [C/2, m]
  number = jnp.arange(R)[:, None, None]
  beside = jnp.asarray(keys / language.generic)[(number - places) % R].mean(-1)
  alone = (number == places).mean(-1)  # [R, C/2]
  lonely = silent / (2 - silent)  # of the sentences of a subject class
  return (lonely * alone + (1 - lonely) * beside).T


def _adjectives(language: words.Language, level: int) -> np.ndarray:
  """P(outcome | word): none and A adjectives, [V, A + 1]."""
  A = language.modifiers
  table = words.lexicon(language)
  if level < 2 or not A:
    law = np.full((len(table.kind), A + 1), 1 / (A + 1))
  else:
    rotated = (np.arange(A + 1) - table.number[:, None]) % (A + 1)
    law = np.where(rotated == 0, NO_ADJECTIVE, (1 - NO_ADJECTIVE) / A)
  law[table.kind == KIND['private']] = np.eye(A + 1)[0]
  return law


def with_adjectives(
  language: words.Language, level: int
) -> Callable[[Array], Array]:
  """From the law of a word [B, T, V] to that of it or its adjective."""
  each = jnp.asarray(_adjectives(language, level), jnp.float32)
  first = int(language.starts['adjective'])

  def spread(law):
    made = law * each[:, 0]
    if language.modifiers:
      at = slice(first, first + language.modifiers)
      made = made.at[..., at].set(law @ each[:, 1:])
    return made

  return spread


def after_adjective(
  language: words.Language, now: State, level: int
) -> Callable[[Array], Array]:
  """From the law of a word [B, T, V] to that after this adjective."""
  each = jnp.asarray(_adjectives(language, level), jnp.float32).T
  said = now.token - int(language.starts['adjective']) + 1
  said = jnp.clip(said, 0, language.modifiers)

  def spread(law):
    made = law * each[said]
    total = made.sum(-1, keepdims=True)
    return made / jnp.where(total > 0, total, 1)

  return spread
