"""Next-token laws of three who know the language of entities more or less.

  grammar      the skeletons and the parts of speech; any word of its kind
  relative     the classes too: subjects of one class, verbs and objects that
               go with it, properties of it; any value of these
  descriptive  the values too that an entity can have, and which adjectives go
               with a word: the Bayes optimum of free generation

Each reads the prefix once. What can follow depends on the last token, on how
many subjects and verb phrases there have been, on whether there was a verb, on
the class of the subjects and on the number of the last one. With
pi_m = C_(m-1) .8^m .2^(m-1), C the Catalan numbers, the law of the number of
noun phrases, and of verb phrases, sums over all that may still come are

  B_j = sum_{m >= j} pi_m     A_j = sum_{m >= j} pi_m 2^(j-m)

without verbs in A. A class c of subjects is drawn as such with or without a
verb, or as its partner with one; a class of objects can be that of a subject
only without. Hence after j verb phrases what may still come has the mass

  2 B_j        once there was a verb
  2 B_j - A_j  if there was none, and subjects are of a subject class
  A_j          if they are of an object class, so that none will come

and stopping has pi_j (twice that after a verb). Two things are left out: that
long sentences are drawn anew, and what private names tell of the words after
them.

Shapes: B sequences, T tokens of a prefix, V tokens of the language, C classes.

Source: derived here from the process in `concept_language`; the three degrees
of knowledge are the phases of Lubana, Kawaguchi, Dick and Tanaka (2024), arXiv
2408.12578.
"""

import jax.numpy as jnp
import numpy as np

from jaxsynth.tasks.lib import concept_words as words
from jaxsynth.tasks.lib.concept_language import Facts
from jaxsynth.tasks.lib.concept_word_laws import (
  KIND,
  State,
  after_adjective,
  read,
  with_adjectives,
  word_laws,
)
from jaxsynth.types import Array

LEVELS = ('grammar', 'relative', 'descriptive')


def predictions(
  language: words.Language, known: Facts, inputs: Array, shares: tuple
) -> dict[str, Array]:
  """What each of the three predicts after every prefix.

  Args:
    language: its sizes.
    known: from `concept_language.facts`.
    inputs: tokens, int32 [B, T].
    shares: of the tasks T0, T1, T2.

  Returns:
    Name of the level -> probabilities [B, T, V].
  """
  state = read(language, inputs)
  prompt, in_prompt = _prompt(language, inputs, shares)

  def predict(level):
    law = _sentence(language, known, state, level)
    law = jnp.where(in_prompt[..., None], prompt, law)
    total = law.sum(-1, keepdims=True)
    # After what is no sentence anything may follow.
    return jnp.where(total > 0, law / total, 1 / language.num_tokens)

  return {name: predict(i) for i, name in enumerate(LEVELS)}


def _laws(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """pi, A and B for 0..size, float64; those at 0 are zero, and sums from 1."""
  far = size + 400
  pi = np.zeros(far + 2)
  pi[1] = 0.8
  for m in range(1, far + 1):  # C_m / C_(m-1) = (4 m - 2) / (m + 1)
    pi[m + 1] = pi[m] * 0.16 * (4 * m - 2) / (m + 1)
  rest, silent = pi.copy(), pi.copy()
  for m in range(far, -1, -1):
    rest[m] += rest[m + 1]
    silent[m] += silent[m + 1] / 2
  return pi[: size + 2], silent[: size + 2], rest[: size + 2]


def _prompt(
  language: words.Language, inputs: Array, shares: tuple
) -> tuple[Array, Array]:
  """The law before the sentence and after its end, and where that is."""
  V = language.num_tokens
  line = (inputs == words.LINE).cumsum(-1)
  over = (inputs == words.EOS) | (inputs == words.PAD)
  begun = (inputs == words.OUT).cumsum(-1) > 0
  free = inputs[:, 1:2] == words.T0 if inputs.shape[1] > 1 else False
  one = jnp.eye(V)
  tasks = jnp.zeros(V).at[words.T0 : words.T0 + 3].set(jnp.asarray(shares))
  is_ = lambda token: (inputs == token)[..., None]
  is_task = (inputs >= words.T0) & (inputs < words.T0 + 3)
  law = jnp.select(
    [
      over[..., None],
      is_(words.TASK),
      is_task[..., None],
      is_(words.LINE) & (line == 1)[..., None],
      is_(words.LINE),
      is_(words.OPS) & jnp.asarray(free)[..., None],
      is_(words.NULL),
    ],
    [
      one[words.PAD],
      tasks,
      one[words.LINE],
      one[words.OPS],
      one[words.OUT],
      one[words.NULL],
      one[words.LINE],
    ],
    1 / V,
  )
  return law, ~begun | over


def _sentence(
  language: words.Language, known: Facts, now: State, level: int
) -> Array:
  """The law of the next token within a sentence [B, T, V], not normalised."""
  table = words.lexicon(language)
  kind = jnp.asarray(table.kind)
  only = lambda name, law=1.0: jnp.where(kind == KIND[name], law, 0.0)  # [V]
  last = lambda *names: jnp.isin(
    now.last, jnp.array([KIND[name] for name in names])
  )
  subject, thing, value, verb = word_laws(
    language, known, now, level, float(_laws(1)[1][1]) / 2
  )
  more_nouns, stop, describe = _skeleton(language, now, level)

  nouns = now.phrases == 0  # the noun phrase is not over
  joined = last('and')
  named = last('private', 'generic')
  begins = last('special')  # of these only Out: is in a sentence
  onward = 0.3 + 0.7 * (1 - stop)  # of a conjunction after an object
  another = jnp.where(now.describing, 0, 0.3 / onward)  # object after it
  # How probable each kind of place is next.
  zero = jnp.zeros_like(stop)
  pick = lambda *cases: jnp.select(
    [c for c, _ in cases],
    [jnp.broadcast_to(p, stop.shape) for _, p in cases],
    zero,
  )[..., None]
  phrase = pick(
    (named & nouns, 1 - more_nouns),
    (joined & ~nouns, 1 - another),
  )
  conjunction = pick(
    (named & nouns, more_nouns), (named, onward), (last('value'), 1 - stop)
  )
  end = pick((named & ~nouns, 1 - onward), (last('value'), stop))
  describe = describe[..., None]
  adverb = 1 / (language.modifiers + 1)
  fresh = with_adjectives(language, level)
  after = after_adjective(language, now, level)
  slot = lambda place, law, adjective: (
    place * fresh(law) + pick((adjective, 1.0)) * after(law)
  )
  adjective = last('adjective')
  law = phrase * describe * only('is', 0.5)
  law += phrase * (1 - describe) * (only('adverb', adverb) + adverb * verb)
  law += pick((last('adverb'), 1.0)) * verb
  law += pick((last('verb'), 1.0)) * only('on', _on(language))
  law += slot(
    pick((begins | (joined & nouns), 1.0)), subject, adjective & nouns
  )
  law += slot(
    pick((last('is'), 1.0)), value, adjective & ~nouns & now.describing
  )
  law += slot(
    pick((last('on'), 1.0), (joined & ~nouns, another)),
    thing,
    adjective & ~nouns & ~now.describing,
  )
  law += conjunction * only('and', 0.5)
  return law + end * (jnp.arange(len(kind)) == words.EOS)


def _on(language: words.Language) -> Array:
  """The law of on, in and to, [V]."""
  first = words.SPECIAL.index('on')
  law = jnp.zeros(language.num_tokens)
  return law.at[first : first + 3].set(jnp.array([0.4, 0.3, 0.3]))


def _skeleton(
  language: words.Language, now: State, level: int
) -> tuple[Array, Array, Array]:
  """More subjects; no more verb phrases; the next one describes: all [B, T]."""
  pi, silent, rest = (
    jnp.asarray(x, jnp.float32) for x in _laws(now.last.shape[1])
  )
  more_nouns = 1 - (pi / rest)[jnp.maximum(now.subjects, 1)]
  j = jnp.maximum(now.phrases, 1)
  if level == 0:
    return more_nouns, (pi / rest)[j], jnp.full(j.shape, 0.5)
  thing = now.group >= language.half
  unspoken = jnp.where(thing, silent[j], 2 * rest[j] - silent[j])
  stop = pi[j] / jnp.where(now.verb, rest[j], unspoken)
  k = now.phrases + 1
  open_ = (2 * rest[k] - silent[k]) / (4 * rest[k] - silent[k])
  describe = jnp.where(now.verb, 0.5, jnp.where(thing, 1.0, open_))
  return more_nouns, stop, describe
