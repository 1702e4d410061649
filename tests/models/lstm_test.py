"""The LSTM against its equations, written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.models.lstm import LSTM
from jaxsynth.types import Spec

B, T, D, V = 2, 5, 6, 4
TOKENS = jax.ShapeDtypeStruct((T,), jnp.int32)
SPEC = Spec(TOKENS, TOKENS, V, V)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def test_equals_the_equations():
  model = LSTM(num_layers=2, d_model=D)
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: rng.standard_normal(x.shape),
    model.init(jax.random.key(0), SPEC),
  )
  tokens = rng.integers(0, V, (B, T))
  x_BTD = params['embed']['embedding'][tokens]
  for i in range(2):
    p = params[f'layers_{i}']
    c = h = np.zeros((B, D))
    out = []
    for t in range(T):
      gate = {
        g: x_BTD[:, t] @ p[f'i{g}']['kernel']
        + h @ p[f'h{g}']['kernel']
        + p[f'h{g}']['bias']
        for g in 'ifgo'
      }
      c = sigmoid(gate['f']) * c + sigmoid(gate['i']) * np.tanh(gate['g'])
      h = sigmoid(gate['o']) * np.tanh(c)
      out.append(h)
    x_BTD = np.stack(out, 1)
  logits = x_BTD @ params['unembed']['kernel'] + params['unembed']['bias']
  got = model.apply(params, jnp.asarray(tokens))
  np.testing.assert_allclose(got.prediction, logits, atol=1e-4)
  np.testing.assert_allclose(got.acts['layers.1.hidden'], x_BTD, atol=1e-4)


def test_misfits_are_refused():
  with pytest.raises(UserError, match='d_model must be at least 1'):
    LSTM(d_model=0)
  vectors = jax.ShapeDtypeStruct((T, 3), jnp.float32)
  with pytest.raises(UserError, match='one sequence of tokens'):
    LSTM().init(jax.random.key(0), Spec(vectors, vectors, None, 2))
