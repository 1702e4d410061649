"""The variational loss: its closed form, its gradient, what it refuses."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import diffusion
from jaxsynth.errors import UserError
from jaxsynth.models.base import Output
from jaxsynth.models.denoiser_mlp import DenoiserMLP
from jaxsynth.tasks.concept_vectors import ConceptVectors
from jaxsynth.train.denoising import variational
from jaxsynth.types import Batch

TASK = ConceptVectors(nuisance=0, spread=0.1)
WORLD = TASK.init(jax.random.key(0))
COUNT = 40_000
BATCH = TASK.sample(WORLD, jax.random.key(1), jnp.int32(0), COUNT)
VARIANCE = TASK.spread**2


def knows(params, inputs, key=None):
  """The best denoiser of the task."""
  batch = Batch(inputs, None, None, {})
  return Output(TASK.reference(WORLD, batch)['conditional'], {})


def loss(start, end=10.0):
  params = {'schedule': {'start': start, 'end': jnp.asarray(end)}}
  return variational(knows, params, BATCH, None, jnp.int32(0))


def test_bits_of_the_best_denoiser_have_a_closed_form():
  start, end = -6.0, 10.0
  value, parts = jax.jit(loss)(start, end)
  among = lambda g: 0.5 * math.log1p(VARIANCE * math.exp(-g))
  bits = 1 / math.log(2)
  expected = bits * (among(start) - among(end))
  np.testing.assert_allclose(parts['diffusion'], expected, rtol=0.02)
  blur = math.exp(start) / VARIANCE
  rest = 0.5 * bits * (math.log(2 * math.pi * VARIANCE) + blur)
  np.testing.assert_allclose(parts['reconstruction'], rest, rtol=1e-5)
  assert 0 < parts['prior'] < 1e-3
  total = sum(parts[k] for k in ('diffusion', 'reconstruction', 'prior'))
  np.testing.assert_allclose(value, total, rtol=1e-6)
  mse = 2 * (among(start) - among(end)) / (end - start)
  np.testing.assert_allclose(parts['mse'], mse, rtol=0.02)


def test_the_schedule_is_learned_towards_the_golden_ratio():
  """d bound / d start = 0 where y (1 + y) = 1, y = exp(start) / v."""
  best = math.log((math.sqrt(5) - 1) / 2 * VARIANCE)
  slope = jax.jit(jax.grad(lambda s: loss(s)[0]))
  low, high = slope(best - 0.5), slope(best + 0.5)
  assert low < 0 < high
  assert abs(slope(best)) < 0.1 * min(-low, high)


@pytest.fixture(scope='module')
def network():
  """A small network, (batch) -> its loss, and a few points."""
  model = DenoiserMLP((8,), 4)
  params = jax.jit(lambda key: model.init(key, TASK.spec))(jax.random.key(2))
  params = jax.tree.map(lambda x: x + 0.05, params)
  few = jax.tree.map(lambda x: x[:12], BATCH)
  bits = jax.jit(lambda b: variational(model.apply, params, b, None, 0))
  return bits, few


def test_parts_of_a_batch_make_its_loss(network):
  bits, few = network
  whole, scalars = bits(few)
  parts = [jax.tree.map(lambda x, i=i: x[i::3], few) for i in range(3)]
  each = [bits(part) for part in parts]
  np.testing.assert_allclose(np.mean([e[0] for e in each]), whole, rtol=1e-5)
  mean = np.mean([e[1]['mse'] for e in each])
  np.testing.assert_allclose(mean, scalars['mse'], rtol=1e-5)


def test_points_are_noised_by_the_learned_schedule_alone(network):
  """What the task's own schedule made of them is not looked at."""
  bits, few = network
  inputs = few.inputs | {'noisy': 0 * few.targets, 'gamma': jnp.zeros(12)}
  other = few._replace(inputs=inputs)
  np.testing.assert_array_equal(bits(other)[0], bits(few)[0])


def test_the_first_schedule_is_that_of_the_task():
  few = jax.tree.map(lambda x: x[:12], BATCH)
  gamma = diffusion.linear(-5.0, 10.0, few.info['time'])
  z = diffusion.noised(few.info['clean'], gamma, few.targets)
  np.testing.assert_allclose(z, few.inputs['noisy'], atol=1e-5)


def test_other_models_and_tasks_are_refused():
  with pytest.raises(UserError, match='denoiser'):
    variational(knows, {}, BATCH, None, 0)
  bare = BATCH._replace(info={})
  with pytest.raises(UserError, match='concept_vectors'):
    variational(knows, {'schedule': {}}, bare, None, 0)
