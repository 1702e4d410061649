"""The language of entities: its optimum, and when its pairs percolate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.analysis import percolation
from jaxsynth.tasks.concept_percolation import ConceptPercolation
from jaxsynth.tasks.lib import concept_language
from jaxsynth.tasks.lib import concept_words as words
from jaxsynth.tasks.lib.concept_sequences import sequences

KEY = jax.random.key(7)
KIND = {name: i for i, name in enumerate(words.KINDS)}


def scores(task, known, key, num):
  """Loss and entropy of each predictor within sentences of T0, [level, B]."""

  @jax.jit
  def go(key):
    language = task.language
    made = concept_language.sentences(language, known, key, num, task._room)
    zero = jnp.zeros(num, jnp.int32)
    batch = sequences(language, key, zero, made, task.seq_len)
    said = jnp.arange(batch.inputs.shape[1]) >= batch.info['first'][:, None] - 1
    weight = batch.weights * said
    out = {}
    for name, p in task.reference(known, batch).items():
      hit = jnp.take_along_axis(p, batch.targets[..., None], -1)[..., 0]
      surprise = -(jnp.log(hit) * weight)
      entropy = -(jax.scipy.special.xlogy(p, p).sum(-1) * weight)
      out[name] = surprise.sum(-1), entropy.sum(-1)
    return out

  return jax.tree.map(np.asarray, go(key))


def test_the_optimum_is_as_surprised_as_it_expects():
  """For the Bayes optimum, loss minus entropy has mean zero; and what knows
  more loses less. Sentences so long that the limit matters little."""
  task = ConceptPercolation(
    max_properties=4, private=10, modifiers=3, seq_len=87
  )
  known = jax.jit(task.init)(KEY)
  got = scores(task, known, KEY, 400)
  loss = {name: s.mean() for name, (s, _) in got.items()}
  assert loss['descriptive'] + 1 < loss['relative'] < loss['grammar'] - 1
  surprise, entropy = got['descriptive']
  away = surprise - entropy
  error = away.std() / np.sqrt(len(away))
  assert abs(away.mean()) < 4 * error
  assert error < 0.02 * loss['descriptive']


def test_the_optimum_stops_and_goes_on_as_often_as_the_language():
  """What it expects of each part of speech, against what comes: after
  subjects of either class without a verb yet, and after a verb."""
  task = ConceptPercolation(
    classes=2, max_properties=2, values=5, density=0.2, generic=2, verbs=1,
    seq_len=71,
  )  # fmt: skip
  known = jax.jit(task.init)(KEY)
  kind = words.lexicon(task.language).kind.copy()
  kind[words.EOS] = len(words.KINDS)
  group = words.lexicon(task.language).group
  is_kind = jnp.asarray(kind[:, None] == np.arange(len(words.KINDS) + 1))

  @jax.jit
  def one(key):
    made = concept_language.sentences(
      task.language, known, key, 500, task._room
    )
    zero = jnp.zeros(500, jnp.int32)
    batch = sequences(task.language, key, zero, made, task.seq_len)
    place = jnp.arange(task.seq_len - 1)
    said = place >= batch.info['first'][:, None]
    verb = ((batch.inputs >= 17) & said & (batch.inputs < 18)).cumsum(-1) > 0
    thing = (made.group >= 1)[:, None] & said
    cells = [thing, said & ~thing & ~verb, said & verb]
    law = task.reference(known, batch)['descriptive'] @ is_kind.astype(float)
    hit = is_kind[batch.targets] - law
    out = []
    for cell in cells:
      weight = (cell * batch.weights)[..., None]
      spread = (law * (1 - law) * weight).sum((0, 1))
      out.append(jnp.stack([(hit * weight).sum((0, 1)), spread]))
    return jnp.stack(out)

  assert kind[17] == KIND['verb']
  assert group[17] == 0
  away, spread = np.asarray(
    jax.lax.map(one, jax.random.split(KEY, 16)).sum(0)
  ).transpose(1, 0, 2)
  tried = spread > 1
  assert tried.sum() > 8
  assert (abs(away[tried]) < 4.5 * np.sqrt(spread[tried])).all()
  assert (abs(away[~tried]) < 5).all()


def test_seen_pairs_of_the_language_percolate_a_little_late():
  """Entities and values of one class at the published size. Only 8 entities
  can have a value, and they are no random ones; of the pairs of the language
  some were seen. They join like those of 8 random entities, which is less
  than if any pair could be seen, and far above the threshold just as much."""
  language = words.Language(10, 46, 40, 80, 0, 20, 0, 0.1)
  known = concept_language.facts(language, KEY, 46)
  entity, prop, value = jnp.meshgrid(
    jnp.arange(80), jnp.arange(45), jnp.arange(40), indexing='ij'
  )
  may = concept_language.allowed(
    language, known, jnp.zeros_like(entity), entity, prop, value
  ).reshape(80, -1)
  assert (may.sum(0) == 8).all()
  assert (may.sum(1) == 180).all()
  uniform = jax.random.uniform(KEY, may.shape)
  any_8 = uniform.argsort(0).argsort(0) < 8

  @jax.jit
  def joined(keys, p):
    def one(key):
      uniform = jax.random.uniform(key, may.shape)
      graphs = (may & (uniform < p / 0.1), any_8 & (uniform < p / 0.1))
      graphs += (uniform < p,)
      part = percolation.largest_component
      return jnp.stack([part(g)['entities'] for g in graphs])

    return jax.lax.map(one, keys)

  edge = percolation.threshold(80.0, 1800.0)['probability']
  keys = jax.random.split(KEY, 150)
  got = np.asarray(joined(keys, 1.5 * edge))
  (ours, eight, every), error = got.mean(0), got.std(0) / np.sqrt(150)
  assert abs(ours - eight) < 4 * np.hypot(error[0], error[1])
  assert every - ours > 2 * np.hypot(error[0], error[2])
  solved = percolation.giant(1.5 * edge, 80.0, 1800.0)['entities']
  assert every == pytest.approx(float(solved), abs=0.05)
  got = np.asarray(joined(keys[:20], 2.5 * edge)).mean(0)
  solved = percolation.giant(2.5 * edge, 80.0, 1800.0)['entities']
  np.testing.assert_allclose(got, solved, atol=0.02)
