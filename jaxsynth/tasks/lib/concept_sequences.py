"""Sentences of the language of entities as sequences of three tasks.

  Task: Tk \\n Ops: <operands> \\n Out: <sentence> <eos> <pad> ...

See `jaxsynth.tasks.concept_percolation`, which names the source.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.tasks.lib import concept_words as words
from jaxsynth.tasks.lib.concept_language import Sentences, compact
from jaxsynth.types import Array, Batch, Key

HEAD = 4  # Task: Tk \n Ops:
AROUND = HEAD + 3  # and \n Out: before the sentence, <eos> after it
_KIND = {name: i for i, name in enumerate(words.KINDS)}


def sequences(
  language: words.Language, key: Key, task: Array, made: Sentences, size: int
) -> Batch:
  """Batches of tokens, each predicted from those before it.

  Args:
    language: its sizes.
    key: of the operands.
    task: 0, 1 or 2 for each sequence, int32 [B].
    made: the sentences.
    size: l, tokens of a sequence, room for each sentence twice.

  Returns:
    Inputs, targets and weights [B, l - 1], and info: task, group, related,
    first and long, each [B].
  """
  shuffle, choose = jax.random.split(key)
  some, count = _condition(language, choose, made)
  free, unscramble = task[:, None] == 0, task[:, None] == 1
  operands = jnp.where(
    unscramble, shuffled(shuffle, made.tokens, made.length), some
  )
  operands = jnp.where(free, words.NULL, operands)
  given = jnp.select([task == 0, task == 1], [1, made.length], count)

  place = jnp.arange(size)
  first = (HEAD + given + 2)[:, None]
  end = first + made.length[:, None]
  head = jnp.array([words.TASK, words.T0, words.LINE, words.OPS])
  head = head[jnp.minimum(place, HEAD - 1)]
  last = made.tokens.shape[1] - 1
  cut = lambda table, start: jnp.take_along_axis(
    table, jnp.clip(place - start, 0, last), 1
  )
  tokens = jnp.select(
    [
      place == 1,
      jnp.broadcast_to(place < HEAD, (len(task), size)),
      place < first - 2,
      place == first - 2,
      place == first - 1,
      place < end,
      place == end,
    ],
    [
      words.T0 + task[:, None],
      head,
      cut(operands, jnp.full_like(first, HEAD)),
      words.LINE,
      words.OUT,
      cut(made.tokens, first),
      words.EOS,
    ],
    words.PAD,
  ).astype(jnp.int32)
  info = {
    'task': task,
    'group': made.group,
    'related': made.related,
    'first': first[:, 0],
    'long': made.length,
  }
  weights = (place[1:] <= end).astype(jnp.float32)
  return Batch(tokens[:, :-1], tokens[:, 1:], weights, info)


def _condition(
  language: words.Language, key: Key, made: Sentences
) -> tuple[Array, Array]:
  """One subject, object, verb and value where there are any, shuffled."""
  kind = jnp.asarray(words.lexicon(language).kind)[made.tokens]
  there = jnp.arange(kind.shape[1]) < made.length[:, None]
  is_ = lambda name: there & (kind == _KIND[name])
  verb, name = is_('verb'), is_('private') | is_('generic')
  spoken = verb.cumsum(-1) > 0
  slots = jnp.stack([name & ~spoken, name & spoken, verb, is_('value')], 1)
  which, order = jax.random.split(key)
  uniform = jax.random.uniform(which, kind.shape)[:, None]
  chosen = jnp.where(slots, uniform, -1).argmax(-1)  # [B, 4]
  found = jnp.take_along_axis(made.tokens, chosen, 1)
  exists = slots.any(-1)
  shuffle = jax.random.uniform(order, found.shape).argsort(-1)
  moved = lambda x: jnp.take_along_axis(x, shuffle, 1)
  some, count = compact(moved(found), moved(exists))
  room = kind.shape[1]
  return jnp.pad(some, ((0, 0), (0, max(room - 4, 0))))[:, :room], count


def last_words(key: Key, made: Sentences, count: int, size: int) -> Batch:
  """The last word of sentences of one length, after T1 and all their words.

  Args:
    key: of the order of the operands.
    made: the sentences, `count` words each.
    count: tokens of a sentence.
    size: l, tokens of a sequence.

  Returns:
    As `sequences`; only the last words have a weight.
  """
  num, said = len(made.tokens), made.tokens[:, :count]
  column = lambda *of: jnp.tile(jnp.array(of, jnp.int32), (num, 1))
  parts = [
    column(words.TASK, words.T0 + 1, words.LINE, words.OPS),
    shuffled(key, said, made.length),
    column(words.LINE, words.OUT),
    said,
    column(words.EOS),
  ]
  tokens = jnp.concatenate(parts, 1)
  fill = ((0, 0), (0, size - tokens.shape[1]))
  tokens = jnp.pad(tokens, fill, constant_values=words.PAD)
  first = HEAD + count + 2
  only = jnp.arange(1, size) == first + count - 1
  weights = jnp.broadcast_to(only.astype(jnp.float32), (num, size - 1))
  info = {
    'task': jnp.ones(num, jnp.int32),
    'group': made.group,
    'related': made.related,
    'first': jnp.full(num, first, jnp.int32),
    'long': made.length,
  }
  return Batch(tokens[:, :-1], tokens[:, 1:], weights, info)


def shuffled(key: Key, tokens: Array, length: Array) -> Array:
  """The first `length` [B] tokens of each row [B, S] in random order."""
  there = jnp.arange(tokens.shape[1]) < length[:, None]
  uniform = jnp.where(there, jax.random.uniform(key, tokens.shape), 2.0)
  return jnp.take_along_axis(tokens, uniform.argsort(-1), 1)


def random_words(language: words.Language, key: Key, tokens: Array) -> Array:
  """Each word, but not the little ones, replaced by any of its kind [B, S]."""
  kind = words.lexicon(language).kind
  first = np.array([np.flatnonzero(kind == k)[0] for k in kind])
  count = np.bincount(kind)[kind]
  uniform = jax.random.uniform(key, tokens.shape)
  other = jnp.floor(uniform * jnp.asarray(count)[tokens]).astype(jnp.int32)
  changes = jnp.asarray(kind >= _KIND['adverb'])[tokens]
  return jnp.where(changes, jnp.asarray(first)[tokens] + other, tokens)
