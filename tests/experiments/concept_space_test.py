"""The study's measures on denoisers of known capabilities, and its numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxsynth import build
from jaxsynth.build import complete
from jaxsynth.experiments import _concept_space_generation as generation
from jaxsynth.experiments import _concept_space_measures as measures
from jaxsynth.experiments import _concept_space_numbers as numbers
from jaxsynth.experiments import concept_space as study
from jaxsynth.interventions.swap import swap
from jaxsynth.launch import load_config
from jaxsynth.models.base import Output, tap
from jaxsynth.models.denoiser_mlp import DenoiserMLP
from jaxsynth.tasks.concept_vectors import ConceptVectors
from jaxsynth.trajectory.mapping import Context
from jaxsynth.types import Batch

TASK = ConceptVectors(nuisance=1, eval_size=64)
SIZES = generation.Sizes(16, 20, (1.5, 3.0), (0.5, 1.0), 2)
KEY = jax.random.key(0)


def knows(params, inputs, *, edit=None):
  """The best denoiser, of a condition that it reads with errors.

  Its embedding is c * scale + offset; the rest takes that for the condition.
  """
  acts = {}
  read = params['condition']
  told = inputs['condition'] * read['scale'] + read['offset']
  told = tap(acts, edit, generation.SITE, told)
  batch = Batch({**inputs, 'condition': told}, None, None, {})
  world = TASK.init(KEY)
  return Output(TASK.reference(world, batch)['conditional'], acts)


@pytest.fixture(scope='module')
def found():
  """A denoiser that reads size too weakly, and at last one that reads well."""
  params = {
    'schedule': {
      'start': jnp.full(2, -7.0), 'end': jnp.full(2, 10.0),
    },
    'condition': {
      'scale': jnp.asarray([[1.0, 0.5], [1.0, 1.0]]),
      'offset': jnp.asarray([[0.0, -0.45], [0.0, 0.0]]),
    },
  }  # fmt: skip
  world = TASK.init(KEY)
  constants = {'task_params': world}
  context = Context(knows, constants, {}, {}, jnp.arange(2), KEY)
  measure = jax.jit(lambda p: measures.capabilities(TASK, SIZES)(p, context))
  return jax.device_get(measure(params))


def test_a_denoiser_that_reads_well_gives_every_class(found):
  np.testing.assert_array_equal(found['naive'][1], 1)
  np.testing.assert_array_equal(
    found['share'][1], [[0, 0], [0, 1], [1, 0], [1, 1]]
  )


def test_what_a_plain_prompt_does_not_give_is_there(found):
  """Size is read as c / 2 - .45: -.2 for the mean, .3 pushed three times."""
  np.testing.assert_array_equal(found['naive'][0], [1, 0, 1, 0])
  np.testing.assert_array_equal(found['overprompt'][0], [[0, 0], [0, 1]])
  # The direction of size is 1/2: half of it leaves .05, all of it .3.
  assert found['steer'][0, 1, 1] == 1
  np.testing.assert_array_equal(found['steer'][0, 0], 0)
  assert found['swap'][0] == 1
  assert found['random'].shape == (2, 2, 2, 2)


def test_the_other_embedding_in_place_is_the_swap_of_its_parameters():
  model = DenoiserMLP((8,), 4)
  init = jax.jit(lambda key: model.init(key, TASK.spec))
  one, other = (
    jax.tree.map(lambda x: x + 0.1, init(jax.random.key(i))) for i in (1, 2)
  )
  told = TASK.condition(TASK.init(KEY), jnp.ones((1, 2)))

  @jax.jit
  def points(params, keep, add):
    asked = generation.Prompts(told, keep, add)
    return generation.generate(TASK, model.apply, params, asked, KEY, SIZES)

  h = generation.embedded(TASK, model.apply, other, told)
  swapped = swap(one, other, ('condition.*',))
  np.testing.assert_allclose(
    points(one, jnp.zeros(1), h), points(swapped, jnp.ones(1), 0 * h), rtol=1e-4
  )


def test_the_best_denoiser_has_no_excess():
  world = TASK.init(KEY)
  evals = TASK.evals(world, KEY)
  read = {'scale': jnp.ones(2), 'offset': jnp.zeros(2)}
  context = Context(knows, {'task_params': world}, {}, evals, 0, KEY)
  measure = jax.jit(lambda p: measures.excess(TASK)(p, context)['excess'])
  assert measure({'condition': read}) < 1e-6
  assert measure({'condition': {**read, 'offset': jnp.ones(2)}}) > 0.1


@pytest.mark.parametrize('preset', ['smoke', 'quick', 'standard', 'paper'])
def test_every_stage_of_every_preset_builds(preset):
  config = complete(load_config(f'concept_space:{preset}'))
  setups = {
    name: build.build(measures.stage_config(config, name))
    for name in config.measure.stages
  }
  assert set(setups) == {'masked', 'ddpm', 'triple', 'images'}
  main = build.build(config)
  assert main.task.concepts == 2
  assert setups['triple'].task.concepts == 3
  assert setups['ddpm'].train.loss == 'mse'
  assert setups['ddpm'].task.ddpm_steps > 0
  assert setups['images'].train.loss == main.train.loss == 'variational'
  values = study.SIGNAL.removeprefix('task_')
  signals = main.sweep.traced[f'task.{values}']
  assert config.task.size_signal in signals


def made_up(**arrays) -> xr.Dataset:
  """Two seeds in each of three cells of five snapshots."""
  held = np.zeros((6, 5, 4, 2))
  held[..., -1, :] = arrays.pop('share', 0.0)
  dims = {'naive': ('run', 'step', 'class')}
  return xr.Dataset(
    {
      'share': (('run', 'step', 'class', 'concept'), held),
      **{k: (dims[k], v) for k, v in arrays.items()},
    },
    {
      'step': [0, 10, 20, 40, 80],
      'task_colour_signal': ('run', [0.5, 0.5, 1.0, 1.0, 2.0, 2.0]),
      'seed_init': ('run', [7, 8] * 3),
    },
  )


def test_cells_and_leaning_by_hand(monkeypatch):
  monkeypatch.setattr(numbers, 'PATH', 0)
  share = np.ones((6, 5, 2)) * np.linspace(0, 1, 5)[:, None]
  share[0, 2], share[1, 2] = [0.2, 0.8], [0.4, 0.6]
  share[4, 2], share[5, 2] = [1.0, 0.0], [0.5, 0.4]
  data = made_up(share=share)
  low = numbers.cell(data, 0, study.SIGNAL)
  np.testing.assert_allclose(
    numbers.departures(low), np.array([0.6, 0.2]) / np.sqrt(2), rtol=1e-5
  )
  found = numbers.leaning(data, study.SIGNAL)
  np.testing.assert_allclose(
    [found[7], found[8]], np.array([0.6, 0.1]) / np.sqrt(2), rtol=1e-5
  )
  middle = study.equal(data, 1.1)
  assert (middle[study.SIGNAL] == 1.0).all()
  np.testing.assert_allclose(numbers.departures(middle), 0, atol=1e-6)
  strong = numbers.cell(data, -1, study.SIGNAL)
  np.testing.assert_allclose(numbers.turns(strong)[0], 90)


def test_speed_follows_the_rank_of_learning_times(monkeypatch):
  monkeypatch.setattr(numbers, 'ACCURACY', 0)
  share = np.zeros((6, 5, 2))
  for run, first in enumerate([3, 9, 2, 0, 0, 2]):  # 9: never
    share[run, first:, 0] = 1.0
  data = made_up(share=share)
  seeds, values, table = numbers.learning(data, 0, study.SIGNAL)
  assert seeds.tolist() == [7, 8]
  assert values.tolist() == [0.5, 1.0, 2.0]
  np.testing.assert_array_equal(table, [[80, 40, 10], [80, 10, 40]])
  found = numbers.follows(data, 0, study.SIGNAL)
  np.testing.assert_allclose([found[7], found[8]], [-1.0, -0.5])
  assert numbers.follows(data, 1, study.SIGNAL) == {7: 0.0, 8: 0.0}


def test_capabilities_count_only_where_the_plain_prompt_fails(monkeypatch):
  monkeypatch.setattr(numbers, 'ACCURACY', 0)
  naive = np.zeros((6, 5, 4))
  naive[:, 2:, -1] = [0.4, 0.95, 0.95]
  data = numbers.cell(made_up(naive=naive), 0, study.SIGNAL)
  curves = np.array([[0.1, 0.3, 0.7, 1.0, 1.0], [0, 1.0, 1.0, 1.0, 1.0]])
  assert numbers.hidden(data, curves) == {7: 0.7, 8: 1.0}
  naive[0] = 1.0
  data = numbers.cell(made_up(naive=naive), 0, study.SIGNAL)
  assert numbers.hidden(data, curves)[7] == 0
  found = numbers.earlier(data, curves)
  np.testing.assert_allclose([found[7], found[8]], [10 / 80, 80 / 20])


def test_worst_is_that_over_the_cells_of_a_seed():
  data = made_up()
  values = np.array([1.0, 2.0, 5.0, 0.0, 3.0, 4.0])
  assert study.worst(data, values, largest=True) == {7: 5.0, 8: 4.0}
  assert study.worst(data, values, largest=False) == {7: 1.0, 8: 0.0}
