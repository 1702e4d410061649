"""Denoisers: what they say first, how they read noise, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.interventions.swap import swap
from jaxsynth.models._convolution import Conv
from jaxsynth.models.denoiser_mlp import DenoiserMLP
from jaxsynth.models.mlp import MLP
from jaxsynth.models.unet import UNet
from jaxsynth.tasks import linear_teacher
from jaxsynth.tasks.concept_images import ConceptImages
from jaxsynth.tasks.concept_vectors import ConceptVectors

KEY = jax.random.key(0)
PAIRS = {
  'vector': (DenoiserMLP((8, 8), 4), ConceptVectors()),
  'image': (UNet((4, 8), groups=2, embed_dim=4), ConceptImages(side=4)),
}


@pytest.fixture(params=PAIRS, scope='module')
def pair(request):
  model, task = PAIRS[request.param]
  sample = lambda key: task.sample(task.init(key), key, jnp.int32(0), 5)
  batch = jax.jit(sample)(KEY)
  params = jax.jit(lambda key: model.init(key, task.spec))(KEY)
  moved = jax.tree.map(lambda x: x + 0.1, params)
  return jax.jit(model.apply), params, moved, batch


def test_the_first_answer_is_the_point_itself(pair):
  apply, params, _, batch = pair
  out = apply(params, batch.inputs).prediction
  np.testing.assert_array_equal(out, batch.inputs['noisy'])


def test_the_noise_level_is_read_within_the_schedule(pair):
  """Gamma and both ends moved and stretched alike change nothing."""
  apply, _, params, batch = pair
  ends = params['schedule']
  other = {**params, 'schedule': {k: 2 * v + 3 for k, v in ends.items()}}
  gamma = batch.inputs['gamma']
  stretched = {**batch.inputs, 'gamma': 2 * gamma + 3}
  one = apply(params, batch.inputs).prediction
  np.testing.assert_allclose(
    apply(other, stretched).prediction, one, rtol=1e-3, atol=1e-4
  )
  moved = apply(params, stretched).prediction
  assert abs(moved - one).max() > 1e-3


def test_the_embedding_can_be_put_into_another_network(pair):
  apply, params, moved, batch = pair
  mixed = swap(moved, params, ('condition.*',))
  acts = [apply(p, batch.inputs).acts for p in (params, moved, mixed)]
  np.testing.assert_array_equal(*(acts[i]['embed.condition'] for i in (0, 2)))
  np.testing.assert_array_equal(*(acts[i]['embed.time'] for i in (1, 2)))
  assert abs(acts[1]['embed.condition'] - acts[2]['embed.condition']).max() > 0


def test_attention_of_the_unet_is_a_distribution(pair):
  apply, _, params, batch = pair
  acts = apply(params, batch.inputs).acts
  if 'mid.attn.pattern' not in acts:
    return
  pattern = acts['mid.attn.pattern']
  assert pattern.shape == (5, 1, 4, 4)
  np.testing.assert_allclose(pattern.sum(-1), 1, atol=1e-5)


def test_published_sizes_are_those_of_a_unet():
  model = UNet((64, 128, 256), blocks=2, groups=8, embed_dim=64)
  task = ConceptImages(side=32)
  shapes = jax.eval_shape(lambda key: model.init(key, task.spec), KEY)
  kernel = shapes['up_2_1']['conv_out']['kernel']
  assert kernel.shape == (3, 3, 256, 256)
  out = jax.eval_shape(
    model.apply,
    shapes,
    jax.tree.map(
      lambda s: jax.ShapeDtypeStruct((2, *s.shape), s.dtype), task.spec.inputs
    ),
  )
  assert out.acts['mid.0'].shape == (2, 8, 8, 256)
  assert out.prediction.shape == (2, 32, 32, 3)


@pytest.mark.parametrize(
  ('refuses', 'says'),
  [
    (lambda: DenoiserMLP().check(linear_teacher.TASK().spec), 'another model'),
    (lambda: DenoiserMLP().check(ConceptImages().spec), 'other denoiser'),
    (lambda: UNet().check(ConceptVectors().spec), 'other denoiser'),
    (lambda: UNet().check(ConceptImages(side=5).spec), 'divisible by 2'),
    (lambda: MLP().check(ConceptVectors().spec), 'another model'),
    (lambda: UNet((8, 12), groups=8), 'groups=8'),
    (lambda: UNet(blocks=0), 'blocks'),
    (lambda: DenoiserMLP(()), 'widths'),
    (lambda: DenoiserMLP(embed_dim=0), 'embed_dim'),
  ],
)
def test_what_does_not_fit_is_refused(refuses, says):
  with pytest.raises(UserError, match=says):
    refuses()


@pytest.mark.parametrize(('size', 'stride'), [(3, 1), (3, 2), (1, 1)])
def test_patches_make_a_convolution(size, stride):
  x = jax.random.normal(KEY, (2, 6, 6, 3))
  conv = Conv(5, size, stride)
  params = conv.init(jax.random.key(1), x)
  patched = Conv(5, size, stride, patches=True)
  expected = conv.apply(params, x)
  assert expected.shape == (2, 6 // stride, 6 // stride, 5)
  np.testing.assert_allclose(patched.apply(params, x), expected, atol=1e-5)
