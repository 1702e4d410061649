"""The study's measures on networks whose answers are known, and its numbers."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from jaxsynth import build
from jaxsynth.activations import Network
from jaxsynth.config import make, plain
from jaxsynth.errors import UserError
from jaxsynth.experiments import _formal_language_sae_measures as measures
from jaxsynth.experiments import _formal_language_sae_numbers as numbers
from jaxsynth.experiments import _formal_language_sae_stages as stages
from jaxsynth.experiments import formal_language_sae as study
from jaxsynth.launch import load_config
from jaxsynth.models import base
from jaxsynth.models.base import Output, tap
from jaxsynth.models.causal_sae import CausalSAE
from jaxsynth.studies.variants import of_sections
from jaxsynth.tasks.formal_language import FormalLanguage
from jaxsynth.trajectory.mapping import Context
from jaxsynth.types import Batch

TASK = FormalLanguage(language='expr', max_words=6)
SITE = 'state'
KEY = jax.random.key(0)


@dataclasses.dataclass(frozen=True)
class Says:
  """A network that says the same words in every string.

  What it says next is told by the first entry of its activation, which is 1
  by itself: above 3 it says another operator instead.
  """

  words: str

  def init_carry(self, batch_size, length):
    del batch_size, length
    return jnp.int32(0)

  def apply(self, params, inputs, *, carry=None, edit=None):
    del params
    acts = {}
    here = jnp.ones((*inputs.shape, 2))
    state = tap(acts, edit, SITE, here)
    said = [*TASK.grammar.encode(self.words), TASK.eos]
    step = jnp.minimum(carry + jnp.arange(inputs.shape[1]), len(said) - 1)
    operator = TASK.grammar.encode('unary0')[0]
    token = jnp.where(state[..., 0] > 3, operator, jnp.asarray(said)[step])
    logits = 100 * jax.nn.one_hot(token, TASK.spec.output_size)
    return Output(logits, acts, carry + inputs.shape[1])


def identity(size):
  """An autoencoder that rebuilds vectors exactly."""
  rows = jnp.concatenate([jnp.eye(size), -jnp.eye(size)])
  model = CausalSAE(kind='relu', width=2 * size)
  return model, {'encoder': {'kernel': rows}, 'decoder': {'kernel': rows}}


@pytest.mark.parametrize(
  ('words', 'valid'),
  [('3', 1), ('binary1 3 unary0 4', 1), ('binary1 3', 0), ('3 4', 0)],
)
def test_what_is_written_is_judged_by_the_grammar(words, valid):
  tokens, length, found = measures.written(TASK, Says(words), {}, 5, KEY)
  assert found.tolist() == [bool(valid)] * 5
  assert length.tolist() == [len(words.split())] * 5
  said = TASK.grammar.encode(words)
  assert tokens[0, : len(said)].tolist() == said


def context(inputs, features, weights, apply=None):
  info = {'features': features}
  batch = Batch(inputs, inputs, weights, info)
  constants = {'task_params': Network({}, None)}
  held = {'held_out': batch}
  return Context(apply, constants, {}, held, jnp.int32(0), KEY)


def observed(seed=0):
  """Activations [4, 6, 2], features that follow both entries, weights."""
  rng = np.random.default_rng(seed)
  level = rng.uniform(0, 4, (4, 6, 1))
  inputs = np.concatenate([level, level], -1)
  features = np.repeat(level, len(TASK.features), -1)
  weights = (rng.random((4, 6)) > 0.2).astype(np.float32)
  return [jnp.asarray(x, jnp.float32) for x in (inputs, features, weights)]


def test_a_latent_that_causes_is_told_from_one_that_only_correlates():
  """Both entries follow the feature; the network reads the first one."""
  model, params = identity(2)
  apply = model.apply
  fn = measures.clamped(TASK, Says('ternary0 1 2 3'), model, SITE, 3, 4)
  out = jax.jit(lambda p: fn(p, context(*observed(), apply)))(params)
  r, effect = np.asarray(out['r']), np.asarray(out['effect'])
  together = abs(r[:, 0]) > 0.99
  assert together.sum() == 2
  # Strings do not vary here, so any change is one of very many deviations.
  unary = TASK.features.index('unary')
  moves = abs(effect[:, unary]) > 1
  assert (moves & together).sum() == 1


def test_an_autoencoder_is_judged_by_what_it_rebuilds():
  model, params = identity(2)
  inputs, features, weights = observed()
  language = Says('unary1 7')

  def judged(params):
    fn = measures.judged(TASK, language, model, SITE, 4)
    return fn(params, context(inputs, features, weights, model.apply))

  out = jax.jit(judged)(params)
  assert out['valid'] == 1
  assert out['l0'] == 2
  assert out['dead'] == 0.5
  np.testing.assert_allclose(out['error'], 0, atol=1e-10)
  np.testing.assert_allclose(out['best'], 1, atol=1e-4)
  assert out['shuffled'].max() < 0.9
  silent = jax.tree.map(jnp.zeros_like, params)
  out = jax.jit(judged)(silent)
  keep = np.asarray(weights) > 0
  x = np.asarray(inputs)[keep]
  expected = np.square(x).sum() / np.square(x - x.mean(0)).sum()
  np.testing.assert_allclose(out['error'], expected, rtol=1e-4)
  assert (out['l0'], out['dead'], out['best'].max()) == (0, 1, 0)


def test_directions_are_those_the_vectors_change_along():
  rng = np.random.default_rng(1)
  y, v = rng.standard_normal((50, 1)), rng.standard_normal((1, 3))
  weights = jnp.asarray(rng.random(50) > 0.3, jnp.float32)
  keep = np.asarray(weights) > 0
  found = measures.directions(
    jnp.asarray(y * v + 5), jnp.asarray(3 * y), weights
  )
  expected = measures.FAR * y[keep].std() * v
  np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_means_are_over_words():
  said = [*TASK.grammar.encode('binary1 3 unary0 4'), TASK.eos, TASK.pad]
  found = measures.means(TASK, jnp.asarray([said]), jnp.asarray([4]))
  by_name = dict(zip(TASK.features, found[0].tolist()))
  # Operands to come after each word: 2, 1, 1, 0.
  assert by_name['operands'] == 1.0
  assert by_name['digit'] == 0.5
  assert by_name['ternary'] == 0.0


@pytest.mark.parametrize('preset', ['smoke', 'quick', 'standard', 'paper'])
def test_every_language_and_recipe_of_every_preset_builds(preset):
  config = load_config(f'formal_language_sae:{preset}')
  options = plain(config)['measure']
  study.check(options)
  assert options['site'] == 'blocks.0.resid_post'
  for changes in options['languages'].values():
    setup = build.build(of_sections(config, changes))
    assert setup.model.max_len >= setup.task.length - 1
    own, shared = setup.measure, setup.measure['autoencoder']['model']
    for name, recipe in own['recipes'].items():
      fields = {**shared, **recipe['model']}
      cls = base.get(fields.pop('name'))
      model = make(cls, fields, name)
      traced = set(recipe.get('traced', {}).get('model', {}))
      assert traced <= set(model.hparams), name
      assert model.width >= own['latents']


def test_what_the_claims_are_about_must_be_there():
  options = plain(load_config('formal_language_sae:smoke'))['measure']
  study.check(options)
  for section in ('languages', 'recipes'):
    for name in list(options[section]):
      fewer = {k: v for k, v in options[section].items() if k != name}
      with pytest.raises(UserError, match=f'need {name!r} in measure'):
        study.check({**options, section: fewer})
  own = {'english': {'measure': {'recipes': {'topk': {}}}}}
  options['languages'] |= own
  with pytest.raises(UserError, match='recipes of english are topk'):
    study.check(options)


def test_runs_become_recipes_and_seeds():
  """Whatever the order of the runs."""
  runs = pd.DataFrame(
    {
      'task.run': [0, 0, 1, 1],
      'model.causal': [0.0, 0.5, 0.0, 0.5],
      'seed.init': [9, 9, 9, 9],
    }
  )
  data = xr.Dataset({'x': ('run', [10.0, 11, 20, 21])}, {'run': np.arange(4)})
  found = stages.by_recipe(
    data, 'topk', SimpleNamespace(runs=runs), np.asarray([1000, 1001])
  )['x']
  assert found.sel(recipe='topk causal=0.5', seed=1001) == 21
  assert found.sel(recipe='topk causal=0', seed=1000) == 10
  bare = stages.by_recipe(
    data.isel(run=[0, 2]),
    'l1',
    SimpleNamespace(runs=runs.iloc[[0, 2]][['task.run']]),
    np.asarray([1000, 1001]),
  )
  assert bare['recipe'].values == ['l1']


def table(rows, recipes):
  return xr.DataArray(
    np.asarray(rows, float), dims=('recipe', 'seed'),
    coords={'recipe': recipes, 'seed': [0, 1]},
  )  # fmt: skip


def test_numbers_from_made_up_results():
  data = table(
    [[1, 2], [4, 6], [9, 9]], ['l1 sparsity=0.1', 'l1 sparsity=1', 'l1_x']
  )
  assert numbers.first(data, 'l1').values.tolist() == [1, 2]
  assert numbers.last(data, 'l1').values.tolist() == [4, 6]
  assert numbers.over(data, 'l1').values.tolist() == [4, 3]
  with pytest.raises(KeyError):
    numbers.of(data, 'l2')
  r = xr.DataArray([[0.9, -0.6, 0.2], [0.7, 0.1, 0.1]], dims=('seed', 'latent'))
  effect = xr.DataArray([[0.1, -2, 0], [0.7, 0.1, 0]], dims=('seed', 'latent'))
  assert numbers.idle(r, effect).values.tolist() == [0.5, 0]
  # With a second feature that all three latents follow and none moves.
  more = (r, 0 * r + 0.6), (effect, 0 * effect)
  both = [xr.concat(x, 'feature') for x in more]
  assert numbers.idle(*both).values.tolist() == [4 / 5, 3 / 4]
  best = xr.DataArray([[0.8, 0.79, 0.9], [0, 0, 0]], dims=('seed', 'feature'))
  assert numbers.told(best).values.tolist() == [2 / 3, 0]
  assert numbers.moved(effect[0]).values.tolist() == [1, 0, 1]


def test_one_word_sentences_are_told_from_longer_ones():
  found = measures.summary(
    jnp.asarray([1, 1, 3, 5]), jnp.asarray([True, True, True, False])
  )
  assert {k: float(v) for k, v in found.items()} == {
    'valid': 0.75, 'longer_valid': 0.5, 'length': 2.5,
  }  # fmt: skip
  short = measures.summary(jnp.asarray([1, 0]), jnp.asarray([True, False]))
  assert short['longer_valid'] == 0
