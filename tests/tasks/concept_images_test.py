"""Concept images: the renderer against scipy and geometry, exact conditions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxsynth.errors import UserError
from jaxsynth.tasks.concept_images import ConceptImages
from jaxsynth.tasks.lib import concept_space, shapes

TASK = ConceptImages()
KEY = jax.random.key(0)
WORLD = TASK.init(KEY)


def drawn(task, world, count=200):
  sample = jax.jit(
    lambda w: task.sample(w, jax.random.key(1), jnp.int32(0), count)
  )
  return jax.device_get(sample(world))


@pytest.fixture(scope='module')
def batch():
  return drawn(TASK, WORLD)


@pytest.mark.parametrize(('side', 'deviation'), [(12, 1.0), (9, 2.5), (5, 0.0)])
def test_the_blur_is_that_of_scipy(side, deviation):
  image = np.random.default_rng(0).random((side, side))
  b = shapes.blur_matrix(side, deviation)
  expected = ndimage.gaussian_filter(image, deviation) if deviation else image
  np.testing.assert_allclose(b @ image @ b.T, expected, atol=1e-12)


@pytest.mark.parametrize('triangle', [0.0, 1.0])
@pytest.mark.parametrize('size', [0.25, 0.65])
def test_both_shapes_have_the_area_of_the_circle(triangle, size):
  side = 401
  mask = shapes.mask(side, jnp.asarray([0.0, 0.05]), size, triangle)
  area = float(mask.sum()) * (2 / (side - 1)) ** 2
  np.testing.assert_allclose(area, np.pi * size**2, rtol=0.01)


def test_a_triangle_stands_on_its_base_and_about_its_centroid():
  side, centre = 201, jnp.asarray([0.2, -0.1])
  mask = np.asarray(shapes.mask(side, centre, 0.4, jnp.asarray(1.0)))
  rows, cols = np.nonzero(mask)
  line = np.linspace(-1, 1, side)
  np.testing.assert_allclose(line[cols].mean(), 0.2, atol=0.01)
  np.testing.assert_allclose(line[rows].mean(), -0.1, atol=0.01)
  widths = mask.sum(1)[rows.min() : rows.max() + 1]
  assert widths[-1] > 10 * widths[0]


def test_conditions_of_the_published_classes_are_exact():
  world = TASK.init(KEY, colour_signal=0.6, size_signal=0.4)
  told = TASK.condition(world, jnp.asarray(concept_space.codes(2)))
  red, blue = [0.8, 0.2, 0.2], [0.2, 0.2, 0.8]
  rows = [(red, 0.65), (red, 0.25), (blue, 0.65), (blue, 0.25)]
  expected = [[0] * 4 + colour + [size] + [0] * 3 for colour, size in rows]
  np.testing.assert_allclose(told, expected, atol=1e-6)


def test_pushing_a_colour_gives_the_published_prompts():
  world = TASK.init(KEY, colour_signal=0.2)
  push = jnp.asarray([[k, 1.0] for k in (1.0, 1.5, 2.5, 3.5, 4.5)])
  told = TASK.condition(world, jnp.ones(2), push)
  blue = np.array([0.6, 0.65, 0.75, 0.85, 0.95])
  rest = 1 - blue
  np.testing.assert_allclose(
    told[:, 4:7], np.stack([rest, rest, blue], 1), atol=1e-6
  )
  np.testing.assert_allclose(told[:, 7], 0.25, atol=1e-6)


def test_third_concepts_are_told_where_they_are_concepts():
  shape = ConceptImages(third='shape')
  told = shape.condition(shape.init(KEY), jnp.asarray([[0.0, 0, 0], [0, 0, 1]]))
  np.testing.assert_array_equal(told[:, :2], [[1, 0], [0, 1]])
  np.testing.assert_array_equal(told[:, 8:], 0)
  ground = ConceptImages(third='background')
  told = ground.condition(
    ground.init(KEY), jnp.asarray([[0.0, 0, 0], [0, 0, 1]])
  )
  np.testing.assert_array_equal(told[:, :2], 0)
  np.testing.assert_allclose(told[:, 8:], [[0.9] * 3, [0.1] * 3], atol=1e-6)


def test_an_image_has_its_colour_within_and_the_background_without():
  look = TASK.means(WORLD, jnp.zeros(2))
  image = np.asarray(TASK.draw(look))  # big, red, in the middle
  np.testing.assert_allclose(
    (image[5, 5] + 1) / 2, [0.75, 0.25, 0.25], atol=0.01
  )
  np.testing.assert_allclose((image[0, 0] + 1) / 2, 0.9, atol=0.01)


def test_samples_stay_within_the_jitter_of_their_class(batch):
  told, code = batch.inputs['condition'], batch.info['code']
  mean = np.asarray(TASK.condition(WORLD, jnp.asarray(code)))
  off = abs(told - mean)
  assert off[:, 4:7].max() <= 0.5 / 8 + 1e-6
  assert off[:, 7].max() <= 3 * 0.4 / 8 + 1e-6
  assert off[:, 4:8].max(0).min() > 0.04
  x = batch.info['clean']
  assert x.shape == (200, 12, 12, 3)
  assert abs(x).max() <= 1
  assert not (code == 1).all(1).any()


def test_real_images_are_read_as_what_they_are(batch):
  read = jax.jit(TASK.read)(WORLD, batch.info['clean'])
  assert (read == batch.info['code']).all(1).mean() >= 0.97

  def held_out(world):
    held = TASK.evals(world, KEY)['held_out']
    return (TASK.read(world, held.info['clean']) == 1).all(1).mean()

  assert jax.jit(held_out)(WORLD) >= 0.9


def test_masking_hides_the_colour_of_small_red_ones():
  batch = drawn(TASK, WORLD._replace(masking=jnp.float32(1.0)))
  own = (batch.info['code'] == [0, 1]).all(1)
  told = batch.inputs['condition']
  assert (told[own, 4:7] == 0).all()
  assert (told[~own, 4:7] > 0).all()
  assert (told[:, 7] > 0).all()


@pytest.mark.parametrize(
  ('make', 'says'),
  [
    (lambda: ConceptImages(third='shap'), 'shape'),
    (lambda: ConceptImages(side=1), 'side'),
    (lambda: ConceptImages(blur=-1.0), 'blur'),
    (lambda: TASK.check(background_signal=-1.0), 'background_signal'),
  ],
)
def test_impossible_values_are_refused_by_name(make, says):
  with pytest.raises(UserError, match=says):
    make()
