"""The study's measures on models whose answers are known, and its numbers."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxsynth import rng
from jaxsynth.analysis import percolation
from jaxsynth.experiments import _concept_percolation_measures as measures
from jaxsynth.experiments import _concept_percolation_numbers as numbers
from jaxsynth.experiments import _concept_percolation_pairs as pairs
from jaxsynth.models.base import Output
from jaxsynth.tasks.concept_percolation import ConceptPercolation
from jaxsynth.tasks.lib import concept_language
from jaxsynth.tasks.lib import concept_words as words
from jaxsynth.trajectory.mapping import Context

TASK = ConceptPercolation(
  classes=4, max_properties=4, values=5, generic=6, verbs=2, density=0.2,
  seq_len=24, eval_size=40,
)  # fmt: skip
TABLE = words.lexicon(TASK.language)
KIND = {name: i for i, name in enumerate(words.KINDS)}


@dataclasses.dataclass(frozen=True)
class Reciter:
  """Says the sequences it was given as parameters [B, T], row by row."""

  def init_carry(self, batch_size, length):
    del batch_size, length
    return jnp.int32(0)

  def apply(self, params, inputs, *, edit=None, carry=None):
    following = jax.lax.dynamic_slice_in_dim(params, carry + 1, 1, axis=1)
    logits = 100 * jax.nn.one_hot(following, TASK.spec.output_size)
    return Output(logits, {}, carry + inputs.shape[1])


@pytest.fixture(scope='module')
def world():
  facts = jax.jit(TASK.init)(jax.random.key(0))
  evals = jax.jit(TASK.evals)(facts, jax.random.key(1))
  constants = {'task_params': facts, 'evals': evals}
  context = lambda apply=None: Context(
    apply, constants, {}, evals, jnp.int32(0), jax.random.key(2)
  )
  return facts, evals, context


def truth(evals):
  """Whole sequences of the three tasks, [3 B, T]."""
  rows = [
    np.concatenate([evals[n].inputs, evals[n].targets[:, -1:]], 1)
    for n in measures.TASKS
  ]
  return np.concatenate(rows)


@pytest.fixture(scope='module')
def recite(world):
  _, _, context = world
  measure = jax.jit(measures.written(TASK, Reciter()))
  return lambda rows: jax.tree.map(
    np.asarray, measure(jnp.asarray(rows), context())
  )


def test_one_who_says_what_is_asked_is_right_everywhere(world, recite):
  out = recite(truth(world[1]))
  for name, rate in out.items():
    assert (rate == 1).all(), name


def test_each_mistake_lowers_its_own_rate(world, recite):
  """Values of other classes, values never shown, verbs of the other group;
  and no end to the second task."""
  rows = truth(world[1])
  kind = TABLE.kind[rows]
  said = (rows == words.OUT).cumsum(1) > 0
  size = TASK.language.described(4)[0] * TASK.values
  value = said & (kind == KIND['value'])
  first = TASK.language.starts['value'][0]
  away = first + (rows - first + size) % (4 * size)
  out = recite(np.where(value, away, rows))
  assert (out['descriptive'] == 0).all()
  assert (out['allowed'] == 0).all()
  assert (out['relative'] == 1).all()
  assert (out['grammatical'] == 1).all()
  assert out['accuracy'] < 1
  # The next value of a property: one of five is allowed.
  number = TABLE.number[rows]
  out = recite(np.where(value, rows - number + (number + 1) % 5, rows))
  assert (out['descriptive'] == 1).all()
  assert (out['allowed'] == 0).all()
  verb = said & (kind == KIND['verb'])
  start = TASK.language.starts['verb'][0]
  out = recite(np.where(verb, start + (rows - start + 2) % 4, rows))
  assert (out['relative'] == 0).all()
  assert (out['descriptive'] == 1).all()
  endless = rows.copy()
  endless[40:80][endless[40:80] == words.EOS] = words.PAD
  out = recite(endless)
  assert out['grammatical'].tolist() == [1, 0, 1]
  assert out['exact'] == out['accuracy'] == 0
  assert out['conditioned'] == 1


def test_who_knows_the_language_predicts_as_it_is(world):
  """Three predictors as networks: their losses, and where probability goes."""
  facts, evals, context = world
  loss = np.asarray(jax.jit(measures.known(TASK))(None, context())['loss'])
  assert loss[0] > loss[1] > loss[2]
  told, measure = {}, measures.foretold(TASK)
  for name in measures.LEVELS:

    def apply(params, inputs, name=name):
      batch = evals['free']._replace(inputs=inputs)
      law = TASK.reference(params, batch)[name]
      return Output(jnp.log(law + 1e-30), {}, None)

    go = jax.jit(lambda facts, apply=apply: measure(facts, context(apply)))
    told[name] = jax.tree.map(float, go(facts))
  for name, expected in zip(measures.LEVELS, loss):
    assert told[name]['loss'] == pytest.approx(expected, rel=1e-4)
  for name in measures.LEVELS[1:]:
    for part in ('verbs', 'objects', 'values'):
      assert told[name][part] == pytest.approx(1.0, rel=1e-5)
  # Who knows the parts of speech alone: two groups of verbs, two classes of
  # objects, and values of four classes in the order of their subjects.
  assert told['grammar']['verbs'] == pytest.approx(0.5, rel=1e-5)
  assert told['grammar']['objects'] == pytest.approx(0.5, rel=1e-5)
  assert 0.1 < told['grammar']['values'] < 0.5
  # Who knows the classes takes all values of one alike; who knows the pairs,
  # the one of five that the entity has.
  assert told['relative']['seen'] == pytest.approx(1.0, rel=1e-4)
  assert told['relative']['unseen'] == pytest.approx(1.0, rel=1e-4)
  assert told['descriptive']['seen'] == pytest.approx(5.0, rel=1e-4)
  assert told['descriptive']['unseen'] == pytest.approx(0.0, abs=1e-4)
  assert told['relative']['reached'] == 1.0


def test_pairs_are_those_of_the_very_batches():
  """Reads the sentences of the first batches, word by word."""
  seeds, steps, size = {'task': 3, 'data': 4}, 6, 16
  made = jax.jit(lambda seeds: pairs.seen(TASK, seeds, size, steps))(seeds)
  out = jax.tree.map(np.asarray, made)
  facts = jax.jit(TASK.init)(rng.stream(seeds, 'task'))
  key = rng.stream(seeds, 'data')
  sample = jax.jit(lambda t: TASK.sample(facts, rng.at(key, t), t, size))
  shown = set()
  for t in range(steps):
    batch = sample(t)
    for row, first in zip(np.asarray(batch.inputs), batch.info['first']):
      entity, spoken = None, False
      for token in row[int(first) :]:
        kind = TABLE.kind[token]
        spoken |= kind == KIND['verb']
        spoken |= kind == KIND['is']
        if kind == KIND['generic'] and not spoken:
          entity = token
        if kind == KIND['value']:
          shown.add((int(entity), int(token)))
    assert out['pairs'][t] == len(shown) / TASK.classes
  assert (np.diff(out['inferable']) >= 0).all()
  assert out['inferable'][-1] > 0


@pytest.mark.parametrize(('density', 'share'), [(0.1, 0.1), (0.2, 1.0)])
def test_with_one_value_of_each_property_pairs_never_percolate(density, share):
  """Entities whose numbers agree modulo the values share all, others none."""
  task = ConceptPercolation(
    max_properties=9, values=10, generic=20, density=density
  )
  facts = task.init(jax.random.key(5))
  group, entity = jnp.zeros((20, 80), int), jnp.arange(20)[:, None]
  prop, value = jnp.divmod(jnp.arange(80), 10)
  may = concept_language.allowed(
    task.language, facts, group, entity, prop, value
  )
  found = percolation.largest_component(may)
  assert float(found['entities']) == pytest.approx(share)
  assert float(found['values']) == pytest.approx(share)


def test_simulated_pairs_percolate_as_solved():
  options = {
    'entities': 100, 'values': 200, 'times': (0.5, 1.5, 3.0), 'draws': 4,
    'scaling': (50,), 'scaling_draws': 4,
  }  # fmt: skip
  out = pairs.simulated(5, options)
  assert out['solved'].values[0] == 0
  far = float(numbers.farthest(out))
  assert far < 0.1
  other = pairs.simulated(6, options)
  assert not np.array_equal(out['share'], other['share'])
  np.testing.assert_allclose(out['pairs'], out['theory'], rtol=0.15)


STEPS = np.array([0, 10, 20, 40, 80, 160])


def curves(*rows):
  return xr.DataArray(
    np.array(rows, float), {'run': [7, 8], 'step': STEPS}, ('run', 'step')
  )


def test_onsets_keep_their_seeds_and_their_order():
  early = numbers.onset(curves([0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1]), 0.5)
  late = numbers.onset(curves([0, 0, 0, 0, 1, 1], [0] * 6), 0.5)
  found = numbers.margin(early, late)
  assert found['run'].values.tolist() == [7, 8]
  np.testing.assert_allclose(found, [40 / 20, 160 / 10])
  np.testing.assert_allclose(numbers.margin(late, early), [10 / 80, 0])
  assert numbers.concordance([early['at'], late['at']]) == 1.0
  assert late['censored'].values.tolist() == [False, True]


def test_exponents_of_planted_powers():
  at = lambda *x: xr.DataArray(list(x), {'run': [7, 8]}, ('run',))
  onsets = {k: at(3.0 * k**0.5, 2.0 * k**1.5) for k in (160, 40, 80)}
  np.testing.assert_allclose(numbers.exponents(onsets), [0.5, 1.5], rtol=1e-4)
  onsets[40] = at(math.inf, 2.0)
  assert np.isnan(numbers.exponents(onsets)[0])


def test_first_crossings():
  found = numbers.crossing(curves([0, 0, 0.6, 1, 1, 1], [0] * 6), 0.5)
  np.testing.assert_array_equal(found, [20, np.nan])


def test_distance_from_the_fixed_point_counts_from_one_and_a_half():
  data = xr.Dataset(
    {
      'share': (('times', 'draw'), [[0.9, 0.9], [0.5, 0.7], [0.8, 0.8]]),
      'solved': (('times',), [0.0, 0.55, 0.9]),
    },
    {'times': [0.5, 1.5, 3.0]},
  )
  assert float(numbers.farthest(data)) == pytest.approx(0.1)
