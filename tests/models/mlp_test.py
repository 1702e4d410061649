"""The multilayer perceptron against formulas and an independent library."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neural_network import MLPRegressor

from jaxsynth.errors import UserError
from jaxsynth.models.mlp import MLP
from jaxsynth.types import Spec

KEY = jax.random.key(0)


def vectors(size_in, size_out):
  shaped = lambda n: jax.ShapeDtypeStruct((n,), jnp.float32)
  return Spec(shaped(size_in), shaped(size_out), None, size_out)


def uniform(*shape):
  return jax.random.uniform(jax.random.key(1), shape, minval=-1)


def test_relu_network_is_scikit_learns():
  model = MLP(widths=(7, 4), initialiser='torch_uniform')
  params = model.init(KEY, vectors(5, 3))
  x = np.asarray(uniform(20, 5))
  peer = MLPRegressor(hidden_layer_sizes=(7, 4))
  with np.errstate(all='ignore'):
    peer.partial_fit(x, np.zeros((20, 3)))
  layers = [params[f'layers_{i}'] for i in range(3)]
  peer.coefs_ = [np.asarray(layer['kernel']) for layer in layers]
  peer.intercepts_ = [np.asarray(layer['bias']) for layer in layers]
  assert min(abs(b).min() for b in peer.intercepts_) > 0
  ours = model.apply(params, x).prediction
  np.testing.assert_allclose(ours, peer.predict(x), rtol=1e-5, atol=1e-6)


def test_without_widths_it_is_one_matrix():
  model = MLP(widths=(), bias=False)
  params = model.init(KEY, vectors(3, 2))
  assert list(params) == ['layers_0']
  x = uniform(4, 3)
  expected = x @ params['layers_0']['kernel']
  out = model.apply(params, x)
  np.testing.assert_allclose(out.prediction, expected, rtol=1e-6)
  assert list(out.acts) == ['output']


def test_tied_linear_network_is_u_u_transposed():
  model = MLP(widths=(6,), activation='linear', tied=True, bias=False)
  params = model.init(KEY, vectors(4, 4))
  (kernel,) = jax.tree.leaves(params)
  w = np.asarray(kernel @ kernel.T)
  out = model.apply(params, jnp.eye(4)).prediction
  np.testing.assert_allclose(out, w, atol=1e-6)
  assert np.linalg.eigvalsh(w).min() > 0


def test_deep_tied_network_mirrors_its_encoder():
  model = MLP(
    widths=(5, 3), activation='tanh', tied=True, initialiser='torch_uniform'
  )
  params = model.init(KEY, vectors(4, 4))
  first, second = (params[f'layers_{i}']['kernel'] for i in range(2))
  b = [params[f'layers_{i}']['bias'] for i in range(4)]
  assert [x.shape[0] for x in b] == [5, 3, 5, 4]
  assert 'kernel' not in params['layers_2']
  x = uniform(6, 4)
  h = np.tanh(x @ first + b[0])
  h = np.tanh(h @ second + b[1])
  h = np.tanh(h @ second.T + b[2])
  expected = h @ first.T + b[3]
  out = model.apply(params, x)
  np.testing.assert_allclose(out.prediction, expected, atol=1e-6)
  np.testing.assert_allclose(out.acts['layers.2.post'], h, atol=1e-6)


@pytest.mark.parametrize(
  ('name', 'variance'),
  [
    ('lecun_normal', 1 / 400),
    ('he_normal', 2 / 400),
    ('torch_uniform', 1 / 1200),
    ('normal', 1.0),
    ('orthogonal', 1 / 400),
  ],
)
def test_initial_variance(name, variance):
  model = MLP(widths=(), initialiser=name, init_scale=3.0)
  params = model.init(KEY, vectors(400, 100))['layers_0']
  got = float(params['kernel'].var())
  np.testing.assert_allclose(got, 9 * variance, rtol=0.03)
  if name == 'torch_uniform':
    assert abs(params['kernel']).max() <= 3 / 20
    assert 0.9 * 3 / 20 < abs(params['bias']).max() <= 3 / 20
  else:
    assert not params['bias'].any()


def test_layers_are_drawn_apart():
  params = MLP(widths=(4, 4), initialiser='torch_uniform').init(
    KEY, vectors(4, 4)
  )
  kernels = [params[f'layers_{i}']['kernel'] for i in range(3)]
  assert not np.allclose(kernels[0], kernels[1])
  assert not np.allclose(kernels[1], kernels[2])


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'widths': 64}, 'widths is a tuple'),
    ({'widths': (0,)}, 'widths is a tuple'),
    ({'widths': (2.5,)}, 'widths is a tuple'),
    ({'activation': 'relo'}, "did you mean 'relu'"),
    ({'initialiser': 'he'}, 'he_normal'),
    ({'init_scale': 0.0}, 'init_scale must be positive'),
    ({'widths': (), 'tied': True}, 'at least one width'),
  ],
)
def test_mistakes_are_refused(fields, message):
  with pytest.raises(UserError, match=message):
    MLP(**fields)


def test_tasks_that_do_not_fit_are_refused():
  with pytest.raises(UserError, match='set tied=False'):
    MLP(tied=True).check(vectors(3, 2))
  tokens = jax.ShapeDtypeStruct((3,), jnp.int32)
  with pytest.raises(UserError, match='offers tokens'):
    MLP().check(Spec(tokens, tokens, 5, 5))
