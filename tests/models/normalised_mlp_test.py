"""Scale invariance of the hidden weights, and what follows from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.models.normalised_mlp import NormalisedMLP
from jaxsynth.types import Spec

shaped = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)
SPEC = Spec(shaped(5), shaped(3), None, 3)


def test_one_layer_by_hand():
  model = NormalisedMLP(num_layers=1, d_model=4)
  params = model.init(jax.random.key(0), SPEC)
  x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
  z = x @ np.asarray(params['hidden_0']['kernel'])
  z = (z - z.mean(1, keepdims=True)) / z.std(1, keepdims=True)
  expected = np.tanh(z) @ np.asarray(params['out']['kernel'])
  np.testing.assert_allclose(model.apply(params, x).prediction, expected, 1e-4)


def test_hidden_weights_have_no_scale_and_orthogonal_gradients():
  model = NormalisedMLP(num_layers=3, d_model=8)
  params = model.init(jax.random.key(0), SPEC)
  x = jax.random.normal(jax.random.key(1), (16, 5))
  before = model.apply(params, x).prediction
  loss = lambda p: jnp.square(model.apply(p, x).prediction - 1).sum()
  grads = jax.grad(loss)(params)
  for i in range(3):
    name = f'hidden_{i}'
    w, g = params[name]['kernel'], grads[name]['kernel']
    scaled = {**params, name: {'kernel': 37.0 * w}}
    after = model.apply(scaled, x).prediction
    np.testing.assert_allclose(after, before, atol=1e-5)
    cosine = (w * g).sum() / jnp.linalg.norm(w) / jnp.linalg.norm(g)
    assert abs(float(cosine)) < 1e-5
  out = {**params, 'out': {'kernel': 2 * params['out']['kernel']}}
  assert abs(model.apply(out, x).prediction - before).max() > 0.1


def test_mistakes():
  tokens = Spec(jax.ShapeDtypeStruct((5,), jnp.int32), shaped(5), 7, 7)
  with pytest.raises(UserError, match='reads real vectors'):
    NormalisedMLP().check(tokens)
  for bad in ({'num_layers': 0}, {'d_model': 1}, {'eps': -1.0}):
    with pytest.raises(UserError, match=next(iter(bad))):
      NormalisedMLP(**bad)
