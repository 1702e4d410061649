"""ConvNet: what its parts compute, by hand; invariances; what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal, special

from jaxsynth.errors import UserError
from jaxsynth.models.convnet import ConvNet
from jaxsynth.models.mlp import MLP
from jaxsynth.tasks.concept_images import ConceptImages
from jaxsynth.tasks.concept_labels import ConceptLabels

KEY = jax.random.key(0)
MODEL, TASK = ConvNet((4, 5)), ConceptLabels(side=5)


@pytest.fixture(scope='module')
def built():
  params = jax.jit(lambda key: MODEL.init(key, TASK.spec))(KEY)
  params = jax.tree.map(lambda x: x + 0.1, params)
  x = jax.random.normal(jax.random.key(1), (3, 5, 5, 3))
  return params, x, jax.jit(MODEL.apply)(params, x)


def test_it_is_that_of_scipy_in_another_order(built):
  """Convolutions by scipy, then every second pixel, GELU, pools and heads."""
  params, x, out = jax.device_get(built)
  h = x
  for i in range(2):
    layer = params[f'convs_{i}']
    full = np.stack([
      [
        sum(
          signal.correlate2d(image[..., c], layer['kernel'][..., c, f], 'same')
          for c in range(image.shape[-1])
        )
        for f in range(layer['kernel'].shape[-1])
      ]
      for image in h
    ])  # fmt: skip
    h = np.moveaxis(full, 1, -1)[:, ::2, ::2] + layer['bias']
    h = h * special.ndtr(h)
    np.testing.assert_allclose(out.acts[f'convs.{i}'], h, rtol=1e-4, atol=1e-5)
  heads = params['heads']
  assert heads['kernel'].shape == (10, 2, 2)
  pooled = np.concatenate([h.mean((1, 2)), h.max((1, 2))], 1)
  logits = np.einsum('bf,fnv->bnv', pooled, heads['kernel'])
  np.testing.assert_allclose(
    out.prediction, logits + heads['bias'], rtol=1e-4, atol=1e-5
  )


def test_one_label_has_one_head():
  one = TASK.spec._replace(targets=jax.ShapeDtypeStruct((), jnp.int32))
  shapes = jax.eval_shape(lambda key: MODEL.init(key, one), KEY)
  out = jax.eval_shape(MODEL.apply, shapes, jnp.zeros((3, 5, 5, 3)))
  assert out.prediction.shape == (3, 2)


@pytest.mark.parametrize(
  ('refuses', 'says'),
  [
    (lambda: ConvNet().check(ConceptImages().spec), 'another model'),
    (
      lambda: ConvNet().check(
        TASK.spec._replace(targets=jax.ShapeDtypeStruct((2,), jnp.float32))
      ),
      'another model',
    ),
    (lambda: MLP().check(TASK.spec), 'another model'),
    (lambda: ConvNet(()), 'channels'),
    (lambda: ConvNet((0,)), 'channels'),
  ],
)
def test_what_does_not_fit_is_refused(refuses, says):
  with pytest.raises(UserError, match=says):
    refuses()
