"""The attention cores agree with each other and with numpy, gradients too."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.models import _attention, _layers

# One block, a partial second block, and (above 256) a partial block of 128.
LENGTHS = (5, 70, 300)


def untapped(name, value):
  return value


def plain(q, k, v, causal):
  positions = jnp.arange(q.shape[2])
  mask = _attention.causal_mask(positions, positions) if causal else None
  return _attention.plain(q, k, v, mask, untapped)


def qkv(T, seed=0, scale=2.0):
  keys = jax.random.split(jax.random.key(seed), 4)
  shape = (2, 2, T, 4)
  return [scale * jax.random.normal(key, shape) for key in keys]


def value_and_grads(core, q, k, v, weights, causal):
  loss = lambda q, k, v: (core(q, k, v, causal) * weights).sum()
  out = core(q, k, v, causal)
  return out, jax.grad(loss, argnums=(0, 1, 2))(q, k, v)


def loops(q, k, v, causal):
  """Attention row by row in numpy, float64."""
  q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
  out = np.zeros_like(q)
  for b, h, t in np.ndindex(q.shape[:3]):
    seen = t + 1 if causal else q.shape[2]
    weight = np.exp(k[b, h, :seen] @ q[b, h, t] / np.sqrt(q.shape[-1]))
    out[b, h, t] = weight @ v[b, h, :seen] / weight.sum()
  return out


@pytest.mark.parametrize('causal', [True, False])
@pytest.mark.parametrize(
  'core', [plain, _attention.blockwise, _attention.vendor]
)
def test_cores_equal_the_definition(core, causal):
  q, k, v, _ = qkv(70)
  expected = loops(q, k, v, causal)
  got = jax.jit(core, static_argnums=3)(q, k, v, causal)
  np.testing.assert_allclose(got, expected, atol=3e-6)


@pytest.mark.parametrize('T', LENGTHS)
@pytest.mark.parametrize('causal', [True, False])
def test_hand_written_gradient_equals_autodiff(T, causal):
  arrays = qkv(T, seed=T)
  compute = jax.jit(value_and_grads, static_argnums=(0, 5))
  expected = compute(plain, *arrays, causal)
  got = compute(_attention.blockwise, *arrays, causal)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected)):
    np.testing.assert_allclose(a, b, atol=2e-5 * float(abs(b).max()))


def query_grad(core, q, k, v, weights):
  return jax.grad(lambda q: (core(q, k, v, True) * weights).sum())(q)


def test_blockwise_has_forward_over_reverse():
  q, k, v, w = qkv(5)

  @functools.partial(jax.jit, static_argnums=0)
  def hvp(core):
    return jax.jvp(lambda q: query_grad(core, q, k, v, w), (q,), (w,))[1]

  got, expected = hvp(_attention.blockwise), hvp(plain)
  np.testing.assert_allclose(got, expected, atol=2e-5 * abs(expected).max())


def test_blockwise_vmaps_over_runs():
  first, second = qkv(5), qkv(5, seed=1)
  grad = jax.jit(functools.partial(query_grad, _attention.blockwise))
  both = jax.jit(jax.vmap(grad))(*map(jnp.stack, zip(first, second)))
  np.testing.assert_allclose(both[1], grad(*second), atol=2e-5)


def test_large_scores_do_not_overflow():
  q, k, v, _ = qkv(5, scale=200.0)
  out = _attention.blockwise(q, k, v, True)
  np.testing.assert_allclose(out, plain(q, k, v, True), rtol=1e-4, atol=1e-2)
  assert np.isfinite(out).all()


def test_rotation_turns_each_pair_by_its_angle():
  x = jnp.array([1.0, 0.0, 0.0, 1.0]).reshape(1, 1, 1, 4)
  (a, b), (c, d) = (1.0, 0.0), (0.0, 1.0)  # channels (0, 2) and (1, 3)
  position, slow = 3.0, 3.0 / 100.0  # 10000 ** (-2 / 4) = 1 / 100
  got = _attention.rotate(x, jnp.array([position]))[0, 0, 0]
  expected = [
    a * np.cos(position) - b * np.sin(position),
    c * np.cos(slow) - d * np.sin(slow),
    a * np.sin(position) + b * np.cos(position),
    c * np.sin(slow) + d * np.cos(slow),
  ]
  np.testing.assert_allclose(got, expected, atol=1e-6)


def test_rotated_products_depend_on_the_offset_only():
  q, k, _, _ = qkv(9)

  @jax.jit
  def score(shift_q, shift_k):
    q_turned = _attention.rotate(q, jnp.arange(9) + shift_q)
    k_turned = _attention.rotate(k, jnp.arange(9) + shift_k)
    return q_turned @ k_turned.swapaxes(-1, -2)

  np.testing.assert_allclose(score(0, 0), score(50, 50), atol=2e-4)
  assert abs(score(0, 0) - score(50, 0)).max() > 1


@pytest.mark.parametrize('sizes', [(3, 8), (8, 3)])
def test_product_gradient_equals_autodiff(sizes):
  keys = jax.random.split(jax.random.key(1), 3)
  x = jax.random.normal(keys[0], (2, 5, sizes[0]))
  w = jax.random.normal(keys[1], sizes)
  target = jax.random.normal(keys[2], (2, 5, sizes[1]))

  def loss(x, w, fast):
    if fast:
      kernels = _layers.choose(fast=True)
      return (_layers.matmul(kernels, x, w) * target).sum()
    return (jnp.einsum('btd,df->btf', x, w) * target).sum()

  grad = jax.jit(jax.grad(loss, argnums=(0, 1)), static_argnums=2)
  grads = [grad(x, w, fast) for fast in (False, True)]
  for a, b in zip(*grads):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_kernels_follow_the_backend(monkeypatch):
  assert _layers.choose(fast=False).attention is None
  chosen = {}
  for backend in ('cpu', 'gpu', 'tpu'):
    monkeypatch.setattr(jax, 'default_backend', lambda name=backend: name)
    chosen[backend] = _layers.choose(fast=True).attention
  assert chosen['cpu'] is _attention.blockwise
  assert chosen['gpu'] is chosen['tpu'] is _attention.vendor


@pytest.mark.parametrize('vocab', [64, 65])
def test_one_hot_embedding_equals_the_lookup(vocab):
  table = jax.random.normal(jax.random.key(0), (vocab, 3))
  tokens = jnp.array([[0, vocab - 1, 5]])
  got = _layers.embed(_layers.choose(fast=True), table, tokens)
  np.testing.assert_array_equal(got, table[tokens])
