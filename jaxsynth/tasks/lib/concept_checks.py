"""Whether generated sentences follow the language of entities.

  grammatical  the skeleton parses: modifiers are dropped; a generic name
               before the first verb is a subject and after it an object, a
               private one is always a subject
  relative     of the verbs, how many have all subjects of the sentence in
               their subject class and all objects in their object class
  descriptive  of the values, how many belong to a property of the class of
               the last subject before them
  allowed      of the values, how many that very subject can have

and how well the tasks are done, `unscrambled`, `conditioned`, `reached`.

The released code checks the first three so (and also that adverbs and
adjectives are of their group, of which there is one each: this cannot fail),
except that once one verb of a sentence fails it counts all later ones as
failed too. It does not check the last.

Source: as in `concept_language`.
"""

import jax
import jax.numpy as jnp

from jaxsynth.tasks.lib import concept_language, grammar_parse
from jaxsynth.tasks.lib import concept_words as words
from jaxsynth.types import Array

_KIND = {name: i for i, name in enumerate(words.KINDS)}


def sentence(tokens: Array, room: int) -> tuple[Array, Array]:
  """What stands between Out: and the next <eos> of each sequence.

  Args:
    tokens: whole sequences, int32 [B, T].
    room: S, the tokens that are kept of a sentence.

  Returns:
    Tokens, int32 [B, S], and how many, int32 [B]; a sequence without Out: or
    without <eos> after it has none.
  """
  place = jnp.arange(tokens.shape[1])
  begun = (tokens == words.OUT).cumsum(-1) > 0
  ends = begun & (tokens == words.EOS)
  end = jnp.where(ends.any(-1), ends.argmax(-1), 0)[:, None]
  inside = begun & (tokens != words.OUT) & (place < end)
  moved, length = concept_language.compact(tokens, inside)
  fits = length <= room
  return moved[:, :room], jnp.where(fits, length, 0)


def grammatical(
  language: words.Language, tokens: Array, length: Array
) -> Array:
  """Whether the skeleton of each sentence parses.

  Args:
    language: its sizes.
    tokens: sentences, int32 [B, S].
    length: int32 [B].

  Returns:
    bool [B].
  """
  plain = words.skeleton(modifiers=False)
  number = {name: i for i, name in enumerate(plain.terminals)}
  kind = _kinds(language, tokens, length)
  spoken = (kind == _KIND['verb']).cumsum(-1) > 0
  generic = jnp.where(spoken, number['<object>'], number['<subject>'])
  of = lambda name: kind == _KIND[name]
  little = of('is') | of('on') | of('and')
  symbol = jnp.select(
    [of('generic'), of('private'), of('value'), of('verb'), little],
    [
      generic,
      number['<subject>'],
      number['<value>'],
      number['<verb>'],
      tokens - words.SPECIAL.index('is'),
    ],
    -1,
  )
  # Special tokens have no place in a sentence; modifiers may stand anywhere.
  modifier = of('adverb') | of('adjective')
  symbols, count = concept_language.compact(symbol, (kind >= 0) & ~modifier)
  stray = of('special').any(-1)
  parses = grammar_parse.grammatical(plain, jnp.maximum(symbols, 0), count)
  return parses & ~stray


def types(
  language: words.Language,
  known: concept_language.Facts,
  tokens: Array,
  length: Array,
) -> dict[str, Array]:
  """How many types there are to be checked in each sentence, and how many fit.

  Args:
    language: its sizes.
    known: from `concept_language.facts`.
    tokens: sentences, int32 [B, S].
    length: int32 [B].

  Returns:
    verbs, relative: verbs, and those whose types fit, int32 [B]; values,
    descriptive, allowed: likewise.
  """
  table = words.lexicon(language)
  of = lambda column: jnp.asarray(column, jnp.int32)[tokens]
  kind = _kinds(language, tokens, length)
  group, prop, number = of(table.group), of(table.prop), of(table.number)
  is_ = lambda name: kind == _KIND[name]
  verb, value = is_('verb'), is_('value')
  spoken = verb.cumsum(-1) > 0
  subject = is_('private') | (is_('generic') & ~spoken)
  thing = is_('generic') & spoken
  fits = lambda names, wanted: (
    ~names[:, None, :] | (group[:, None, :] == wanted[:, :, None])
  ).all(-1)  # [B, S]
  relative = verb & fits(subject, group) & fits(thing, group + language.half)

  place = jnp.arange(tokens.shape[1])
  at = jax.lax.cummax(jnp.where(subject, place, -1), axis=1)
  from_subject = lambda x: jnp.take_along_axis(x, jnp.maximum(at, 0), 1)
  described = value & (at >= 0) & (from_subject(group) == group)
  entity = from_subject(number)
  may = concept_language.allowed(
    language, known, jnp.maximum(group, 0), entity, jnp.maximum(prop, 0), number
  )
  count = lambda mask: mask.sum(-1, dtype=jnp.int32)
  return {
    'verbs': count(verb),
    'relative': count(relative),
    'values': count(value),
    'descriptive': count(described),
    'allowed': count(described & may),
  }


def unscrambled(
  tokens: Array, length: Array, wanted: Array, wanted_length: Array
) -> dict[str, Array]:
  """How far a sentence is the one that was scrambled.

  Args:
    tokens: what was said, int32 [B, S].
    length: int32 [B].
    wanted: what should have been, int32 [B, S].
    wanted_length: int32 [B].

  Returns:
    exact: bool [B].
    accuracy: share of the wanted tokens that stand where they should [B].
    overlap: share of them that were said anywhere, each as often as it was
      said at most, [B].
  """
  place = jnp.arange(tokens.shape[1])
  there, should = place < length[:, None], place < wanted_length[:, None]
  right = (tokens == wanted) & there & should
  # The n-th time a token is wanted counts if it was said n times.
  same = wanted[:, :, None] == wanted[:, None, :]  # [B, S, S]
  times = (same & (place <= place[:, None]) & should[:, None, :]).sum(-1)
  said = ((wanted[:, :, None] == tokens[:, None, :]) & there[:, None, :]).sum(
    -1
  )
  total = jnp.maximum(wanted_length, 1)
  return {
    'exact': (right.sum(-1) == wanted_length) & (length == wanted_length),
    'accuracy': right.sum(-1) / total,
    'overlap': ((said >= times) & should).sum(-1) / total,
  }


def conditioned(tokens: Array, room: int) -> Array:
  """Whether all operands stand in the sentence.

  Args:
    tokens: whole sequences, int32 [B, T].
    room: as in `sentence`.

  Returns:
    bool [B].
  """
  said, length = sentence(tokens, room)
  there = jnp.arange(said.shape[1]) < length[:, None]
  line = (tokens == words.LINE).cumsum(-1)
  given = (line == 1) & (tokens != words.LINE) & (tokens != words.OPS)
  found = (tokens[:, :, None] == said[:, None, :]) & there[:, None, :]
  return (found.any(-1) | ~given).all(-1)


def reached(
  language: words.Language,
  known: concept_language.Facts,
  probs: Array,
  value: Array,
) -> dict[str, Array]:
  """What a prediction gives to a value that may never have been seen there.

  Args:
    language: its sizes.
    known: from `concept_language.facts`.
    probs: predictions at the value's place [B, V].
    value: its token, int32 [B].

  Returns:
    prob: its probability [B].
    rank: tokens that are more probable [B].
    reached: whether these are fewer than one and a half times the values of
      its class, bool [B].
  """
  prob = jnp.take_along_axis(probs, value[:, None], 1)
  rank = (probs > prob).sum(-1)
  group = jnp.asarray(words.lexicon(language).group)[value]
  values = known.live[group] * language.values
  return {'prob': prob[:, 0], 'rank': rank, 'reached': rank < 1.5 * values}


def _kinds(language: words.Language, tokens: Array, length: Array) -> Array:
  """The kind of each token, -1 beyond the length, [B, S]."""
  kind = jnp.asarray(words.lexicon(language).kind, jnp.int32)[tokens]
  return jnp.where(jnp.arange(tokens.shape[1]) < length[:, None], kind, -1)
