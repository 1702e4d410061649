"""The study's judge of images: who judges, and what it says of known images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import build, diffusion
from jaxsynth.build import complete
from jaxsynth.experiments import _concept_space_generation as generation
from jaxsynth.experiments import _concept_space_judge as judges
from jaxsynth.experiments import _concept_space_measures as measures
from jaxsynth.launch import load_config
from jaxsynth.models.base import Output, tap
from jaxsynth.tasks.concept_images import ConceptImages, Latents
from jaxsynth.tasks.concept_labels import ConceptLabels
from jaxsynth.trajectory.mapping import Context

KEY = jax.random.key(0)
TASK = ConceptImages(side=8, blur=0.25)
LABELS = ConceptLabels(side=8, blur=0.25, eval_size=32)
WORLD = TASK.init(KEY, colour_signal=0.8)
SIGNAL = {'task.colour_signal': jnp.float32(0.8)}
SIZES = generation.Sizes(3, 2, (2.0,), (1.0,), 1)


def by_template(params, images):
  """Reads an image as the nearest template does; `flip` turns concepts over."""
  read = TASK.read(WORLD, images)
  read = jnp.where(params['flip'] > 0, 1 - read, read)
  return Output(10 * jnp.stack([1 - read, read], -1), {})


def paints(params, inputs, *, edit=None):
  """A denoiser that knows of one image: that of its condition's mean."""
  acts = {}
  told = tap(acts, edit, generation.SITE, inputs['condition'])
  zero = jnp.zeros(len(told))
  looks = Latents(
    zero, jnp.zeros((len(told), 2)), told[:, 4:7], told[:, 7],
    jnp.full((len(told), 3), 0.9),
  )  # fmt: skip
  x = jax.vmap(TASK.draw)(looks)
  scales = diffusion.scales(inputs['gamma'])
  a, b = (s[:, None, None, None] for s in scales)
  return Output((inputs['noisy'] - a * x) / b, acts)


def judge(other, *flips):
  """Judges, the first trained on a signal of .1, all others on .8."""
  flips = other, *flips
  signals = [0.1, *[0.8] * (len(flips) - 1)]
  return judges.Judge(
    by_template,
    {'flip': jnp.asarray(flips, jnp.float32)},
    {'task.colour_signal': jnp.asarray(signals)},
  )


def test_a_run_is_judged_by_the_one_trained_on_its_signals():
  x = TASK.draw(TASK.means(WORLD, jnp.asarray([1.0, 0.0])))[None, None]
  sure = jax.nn.sigmoid(10.0)
  both = judge(1, 0, 0, 1)
  for signal, blue in ((0.79, (1 + sure) / 3), (0.11, 1 - sure)):
    found = jax.jit(functools.partial(judges.probabilities, both))(
      {'task.colour_signal': jnp.float32(signal)}, x
    )
    np.testing.assert_allclose(found, [[[blue, 1 - blue]]], atol=1e-6)


@pytest.mark.parametrize('flip', [0, 1])
def test_generations_that_are_known_are_judged_as_they_are(flip):
  params = {'schedule': {'start': jnp.full(1, -7.0), 'end': jnp.full(1, 10.0)}}
  context = Context(
    paints, {'task_params': WORLD}, SIGNAL, {}, jnp.arange(1), KEY
  )
  fn = measures.capabilities(TASK, SIZES, judge(1 - flip, flip))
  found = jax.device_get(jax.jit(lambda p: fn(p, context))(params))
  sure = float(jax.nn.sigmoid(10.0))
  codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
  told = abs(codes - flip)
  np.testing.assert_allclose(
    found['share'][0], np.where(told, sure, 1 - sure), atol=1e-6
  )
  np.testing.assert_array_equal(found['naive'][0], 1 - flip)
  np.testing.assert_array_equal(found['template'][0], 1)
  np.testing.assert_array_equal(found['alike'][0], 1 - flip)


@pytest.mark.parametrize(('flip', 'right'), [(0, 1.0), (1, 0.0)])
def test_reading_counts_images_read_as_they_are(flip, right):
  evals = LABELS.evals(WORLD, KEY)
  context = Context(by_template, {'task_params': WORLD}, {}, evals, 0, KEY)
  fn = jax.jit(lambda p: judges.reading(LABELS)(p, context))
  found = fn({'flip': jnp.float32(flip)})
  assert found['alike'] == found['noiseless'] == right
  assert found['template'] >= 0.9
  assert abs(found['seen'] - right) <= 0.1
  assert abs(found['all_on'] - right) <= 0.1


@pytest.mark.parametrize('preset', ['smoke', 'quick', 'standard', 'paper'])
def test_judges_are_trained_on_the_images_they_judge(preset):
  config = complete(load_config(f'concept_space:{preset}'))
  seen = build.build(measures.stage_config(config, 'images'))
  setup = build.build(judges.stage_config(config))
  alike = lambda task: (task.side, task.third, task.blur)
  assert alike(setup.task) == alike(seen.task)
  assert setup.sweep.traced == seen.sweep.traced
  assert not set(setup.sweep.seed_list) & set(seen.sweep.seed_list)
