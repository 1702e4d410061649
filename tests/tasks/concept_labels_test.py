"""Concept labels: classes in equal shares, labels that images bear out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.tasks.concept_images import ConceptImages
from jaxsynth.tasks.concept_labels import ConceptLabels

TASK = ConceptLabels(third='shape', eval_size=64, blur=0.375)
KEY = jax.random.key(0)
WORLD = TASK.init(KEY, colour_signal=0.8)


@pytest.fixture(scope='module')
def batch():
  sample = jax.jit(lambda w: TASK.sample(w, KEY, jnp.int32(0), 800))
  return jax.device_get(sample(WORLD))


def test_all_classes_are_drawn_alike(batch):
  """Eight classes of 100 each; 5 deviations of a binomial are 47."""
  number = batch.targets @ [4, 2, 1]
  counts = np.bincount(number, minlength=8)
  assert abs(counts - 100).max() < 47


def test_labels_are_what_the_pixels_say(batch):
  """Without any template: the hue of the shape, and how much there is of it."""
  image = (batch.inputs + 1) / 2
  colour, size, _ = batch.targets.T
  # Red minus blue beyond that of the background, as corners show it.
  redder = image[..., 0] - image[..., 2]
  ground = np.median(redder[:, [0, 0, -1, -1], [0, -1, 0, -1]], 1)
  tint = (redder - ground[:, None, None]).sum((1, 2))
  seen = batch.info['size'] > 0.15
  right = (tint < 0) == (colour == 1)
  assert right[seen].mean() > 0.97
  # From red to blue is .8 within the shape; a pixel is 2 / 11 wide.
  area = abs(tint) / 0.8 * (2 / 11) ** 2
  assert ((area < np.pi * 0.45**2) == (size == 1)).mean() > 0.95
  assert ((batch.info['size'] < 0.45) == (size == 1)).all()


def test_the_images_are_those_that_denoisers_see(batch):
  """Of one law: mean and deviation of each pixel in three classes alike."""
  other = ConceptImages(third='shape', blur=0.375)
  sample = jax.jit(lambda w: other.sample(w, KEY, jnp.int32(0), 800))
  clean = jax.device_get(sample(other.init(KEY, colour_signal=0.8)))
  code = clean.info['code']
  for one in ([0, 0, 0], [1, 0, 0], [0, 1, 0]):
    a = batch.inputs[(batch.targets == one).all(1)]
    b = clean.info['clean'][(code == one).all(1)]
    error = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
    assert (abs(a.mean(0) - b.mean(0)) < 5 * error + 0.02).all()


def test_the_template_knows_nearly_all(batch):
  found = jax.jit(TASK.reference)(WORLD, batch)['template']
  np.testing.assert_array_equal(found.sum(-1), 1)
  assert (found.argmax(-1) == batch.targets)[:, :2].mean() > 0.97


def test_the_class_that_no_denoiser_sees_is_a_set_of_its_own():
  evals = jax.jit(lambda w: TASK.evals(w, KEY))(WORLD)
  np.testing.assert_array_equal(evals['all_on'].targets, 1)
  assert len(np.unique(evals['in_distribution'].targets, axis=0)) == 8


def test_noise_is_as_large_as_said_and_in_no_evaluation_set():
  noisy = ConceptLabels(noise=0.4, eval_size=4, blur=0.375)
  quiet = ConceptLabels(eval_size=4, blur=0.375)
  sample = lambda task: jax.jit(
    lambda w: task.sample(w, KEY, jnp.int32(0), 300)
  )(WORLD)
  added = np.asarray(sample(noisy).inputs - sample(quiet).inputs)
  deviations = np.sort(added.std((1, 2, 3)))
  expected = 0.4 * (np.arange(300) + 0.5) / 300
  assert abs(deviations - expected).max() < 0.05
  evals = [jax.jit(t.evals)(WORLD, KEY)['all_on'] for t in (noisy, quiet)]
  np.testing.assert_array_equal(*(e.inputs for e in evals))


@pytest.mark.parametrize(
  ('make', 'says'),
  [
    (lambda: ConceptLabels(third='shap'), 'shape'),
    (lambda: ConceptLabels(eval_size=0), 'eval_size'),
    (lambda: ConceptLabels(noise=-0.1), 'noise'),
    (lambda: TASK.check(colour_signal=0.0), 'colour_signal'),
  ],
)
def test_impossible_values_are_refused_by_name(make, says):
  with pytest.raises(UserError, match=says):
    make()
