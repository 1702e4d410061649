"""The numbers of the study's claims, from made-up results and autoencoders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxsynth.build import complete
from jaxsynth.experiments import _concept_geometry_sae_figures as figures
from jaxsynth.experiments import _concept_geometry_sae_measures as measures
from jaxsynth.experiments import _concept_geometry_sae_numbers as numbers
from jaxsynth.launch import load_config
from jaxsynth.models.base import Output
from jaxsynth.tasks.concept_geometry_sae import ConceptGeometry
from jaxsynth.trajectory.mapping import Context


def by_concept(rows, recipes=('relu 0.1', 'spade 1')):
  """Values [recipe, seed, concept]."""
  return xr.DataArray(
    np.asarray(rows, float),
    dims=('recipe', 'seed', 'concept'),
    coords={'recipe': list(recipes), 'seed': [0, 1]},
  )


L0 = by_concept([[[4, 4, 8], [9, 3, 9]], [[1, 2, 6], [2, 3, 3]]])


def test_ratios_and_spread_by_hand():
  np.testing.assert_allclose(
    numbers.steps_up(L0), [[1, 1 / 3], [2, 1]], rtol=1e-6
  )
  np.testing.assert_allclose(numbers.ends_ratio(L0), [[2, 1], [6, 1.5]])
  np.testing.assert_allclose(numbers.spread(L0), [[4, 6], [5, 1]])
  np.testing.assert_allclose(
    numbers.ring(L0, numbers.OUTER), [[6, 9], [3.5, 2.5]]
  )
  np.testing.assert_allclose(numbers.ring(L0, numbers.INNER), [[4, 3], [2, 3]])


def test_the_gap_is_that_of_the_recipe_with_the_best_outer_score():
  """Of each seed by itself."""
  names = ('relu 0.1', 'relu 1')
  one = lambda rows: by_concept(rows, names).isel(concept=0)
  outer = one([[[0.9], [0.5]], [[0.6], [0.7]]])
  inner = one([[[0.2], [0.1]], [[0.5], [0.6]]])
  gap = numbers.gap_at_best(inner, outer, 'relu')
  np.testing.assert_allclose(gap, [0.7, 0.1])


def test_kinds_are_whole_words():
  two = by_concept(np.zeros((2, 2, 3)), ('jumprelu 0.1', 'relu 0.1'))
  assert numbers.of(two, 'relu')['recipe'].values.tolist() == ['relu 0.1']


def test_runs_become_recipes_and_seeds():
  """Whatever the order of the runs."""
  data = xr.Dataset(
    {'x': ('run', [10.0, 11, 20, 21])},
    {
      'run': np.arange(4),
      'model_sparsity': ('run', [0.1, 0.1, 1.0, 1.0]),
      'seed_init': ('run', [5, 7, 5, 7]),
    },
  )
  found = measures.by_recipe(data, 'relu', 3)['x']
  assert found.sel(recipe='relu 1', seed=7) == 21
  assert found.sel(recipe='relu 0.1', seed=5) == 10
  bare = data.drop_vars('model_sparsity').isel(run=slice(2))
  assert measures.by_recipe(bare, 'topk', 3)['recipe'].values == ['topk 3']


@pytest.mark.parametrize('preset', ['smoke', 'quick', 'standard', 'paper'])
def test_every_recipe_of_every_preset_builds(preset):
  config = load_config(f'concept_geometry_sae:{preset}')
  kinds = set()
  for process in config.measure.processes:
    for _, _, setup in measures.setups(config, process):
      kinds.add(setup.model.kind)
      own = config.measure.processes[process]
      assert setup.task.process == process
      assert (setup.model.width, setup.train.steps) == (own.width, own.steps)
      end = setup.optimizer.lr(setup.optimizer.hparams, own.steps)
      assert 0.5e-4 < float(end) < 2e-4 or preset == 'smoke'
  assert kinds == set(figures.KINDS)
  assert complete(config) == config


def context(task, codes):
  """A context whose autoencoder's codes are a function of the point."""
  concepts = task.init(jax.random.key(0))
  evals = task.evals(concepts, jax.random.key(1))

  def apply(params, x, **kwargs):
    z = codes(task, concepts, x)
    return Output(x, {'sae.codes': z})

  return Context(apply, {}, {}, evals, jnp.int32(0), jax.random.key(2))


def perfect(task, concepts, x):
  """Five latents for each concept, active on it alone."""
  best = task.posterior(concepts, x).argmax(-1)
  return jnp.repeat(jax.nn.one_hot(best, task.num_concepts), 5, axis=-1)


def half_planes(task, concepts, x):
  return jax.nn.relu(x @ jnp.asarray(concepts.centres).T)


def test_a_perfect_dictionary_scores_and_half_planes_do_not():
  task = ConceptGeometry(eval_size=200)
  out = measures.geometry(task)({}, context(task, perfect))
  assert (out['f1'] > 0.97).all()
  np.testing.assert_array_equal(out['l0'], 5)
  assert float(out['crossing']) < 0.05
  np.testing.assert_allclose(out['growth'], measures.FAR, rtol=1e-5)
  np.testing.assert_allclose(out['nmse'], 0, atol=1e-6)


def test_half_planes_find_the_outer_concepts_only():
  """Five copies of the half-plane towards each centre, beyond 2/3 of it."""
  task = ConceptGeometry(eval_size=200)

  def beyond(task, concepts, x):
    along = x @ concepts.centres.T / jnp.square(concepts.centres).sum(-1)
    return jnp.repeat(jax.nn.relu(along - 2 / 3), 5, axis=-1)

  f1 = measures.geometry(task)({}, context(task, beyond))['f1']
  assert (f1[::2] > 0.9).all()
  assert (f1[1::2] < 0.7).all()


def test_fields_of_half_planes_are_not_local():
  task = ConceptGeometry(eval_size=50)
  fn = measures.plane(task, 21, 3.0)
  out = fn({}, context(task, half_planes))
  assert float(out['local']) == 0
  assert out['field'].shape == (6, 21, 21)
  # The latent of an outer concept covers that concept's centre.
  centre = task.init(jax.random.key(0)).centres[0]
  col, row = (round(float((c + 3) / 0.3)) for c in centre)
  assert out['field'][0, row, col] == 1
  np.testing.assert_allclose(jnp.diag(out['similar']), 1, atol=1e-5)
