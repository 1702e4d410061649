"""Optimizers against optax's own and against numpy, schedules by formula."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsynth.errors import UserError
from jaxsynth.optim.optimizers import Optimizer

PARAMS = {
  'w': np.asarray([[1.0, -2.0], [0.5, 3.0]], np.float32),
  'b': np.asarray([0.1, -0.3, 0.7], np.float32),
}


def gradients(steps):
  """Arbitrary gradients, of very different sizes."""
  rng = np.random.default_rng(3)
  scale = 10.0 ** rng.uniform(-3, 1, steps)
  return [
    jax.tree.map(
      lambda p: (s * rng.normal(size=p.shape)).astype(np.float32),  # noqa: B023
      PARAMS,
    )
    for s in scale
  ]


def run(transform, steps=12):
  state, params, out = transform.init(PARAMS), PARAMS, []
  update = jax.jit(transform.update)
  for grads in gradients(steps):
    updates, state = update(grads, state, params)
    params = optax.apply_updates(params, updates)
    out.append(params)
  return jax.tree.map(lambda *x: np.stack(x), *out)


def close(a, b, rtol=1e-5):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-6), a, b
  )


def numpy_adamw(lr, wd, b1, b2, eps, clip, steps=12):
  """Kingma and Ba 2015 with decoupled decay, Loshchilov and Hutter 2019."""
  params = {k: p.astype(np.float64) for k, p in PARAMS.items()}
  m = {k: np.zeros(p.shape) for k, p in PARAMS.items()}
  v = {k: np.zeros(p.shape) for k, p in PARAMS.items()}
  out = []
  for t, grads in enumerate(gradients(steps)):
    norm = np.sqrt(sum((g.astype(float) ** 2).sum() for g in grads.values()))
    shrink = min(1.0, clip / norm) if clip else 1.0
    for k, g in grads.items():
      g = g.astype(np.float64) * shrink
      m[k] = b1 * m[k] + (1 - b1) * g
      v[k] = b2 * v[k] + (1 - b2) * g**2
      m_hat, v_hat = m[k] / (1 - b1 ** (t + 1)), v[k] / (1 - b2 ** (t + 1))
      step = m_hat / (np.sqrt(v_hat) + eps) + wd * params[k]
      params[k] = params[k] - lr(t) * step
    out.append(dict(params))
  return jax.tree.map(lambda *x: np.stack(x), *out)


def test_adamw_is_optax_adamw():
  ours = Optimizer(peak_lr=0.01, weight_decay=0.1, b1=0.8, b2=0.95, eps=1e-6)
  theirs = optax.adamw(0.01, b1=0.8, b2=0.95, eps=1e-6, weight_decay=0.1)
  close(run(ours.build()), run(theirs), rtol=1e-6)


@pytest.mark.parametrize('clip', [0.0, 0.5])
@pytest.mark.parametrize('flat', [False, True])
def test_adamw_is_adamw_in_numpy(clip, flat):
  ours = Optimizer(
    peak_lr=0.02, weight_decay=0.3, b1=0.7, b2=0.9, eps=1e-4, clip=clip,
    flat=flat, schedule='linear', decay_steps=20, warmup_steps=4,
  )  # fmt: skip
  lr = lambda t: 0.02 * ((t + 1) / 4 if t < 4 else 1 - (t - 4) / 20)
  expected = numpy_adamw(lr, 0.3, 0.7, 0.9, 1e-4, clip)
  close(run(ours.build()), expected, rtol=2e-5)


@pytest.mark.parametrize('momentum', [False, True])
def test_sgd_is_optax_sgd(momentum):
  ours = Optimizer(name='sgd', peak_lr=0.05, b1=0.6, momentum=momentum)
  theirs = optax.sgd(0.05, momentum=0.6 if momentum else None)
  close(run(ours.build()), run(theirs), rtol=1e-6)


def test_every_traced_number_counts_and_equals_the_fixed_one():
  """One compile serves all values, and each value does what it does fixed."""
  base = Optimizer(clip=2.0)
  new = {'peak_lr': 0.03, 'weight_decay': 0.2, 'b1': 0.5, 'b2': 0.8, 'eps': 0.1}
  assert set(new) == set(base.hparams)
  compiled = []

  @jax.jit
  def train(hparams):
    compiled.append(1)
    transform, params = base.build(hparams), PARAMS
    state = transform.init(params)
    for grads in gradients(4):
      updates, state = transform.update(grads, state, params)
      params = optax.apply_updates(params, updates)
    return params

  def full(hparams):
    return train({k: jnp.float32(v) for k, v in hparams.items()})

  plain = full(base.hparams)
  for name, value in new.items():
    got = full({**base.hparams, name: value})
    fixed = run(Optimizer(clip=2.0, **{name: value}).build(), 4)
    close(got, jax.tree.map(lambda x: x[-1], fixed))
    assert np.abs(got['w'] - plain['w']).max() > 1e-5, name
  assert len(compiled) == 1


def test_state_does_not_depend_on_the_values():
  a = Optimizer(schedule='cosine', decay_steps=5).build().init(PARAMS)
  b = Optimizer(peak_lr=9.0, schedule='cosine', decay_steps=5, b1=0.1)
  b = b.build({'weight_decay': jnp.float32(3)}).init(PARAMS)
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_schedules():
  h = {'peak_lr': jnp.float32(2.0)}
  t = jnp.arange(14)
  lr = lambda **kw: np.asarray(jax.vmap(lambda t: Optimizer(**kw).lr(h, t))(t))
  np.testing.assert_allclose(lr(), 2.0)
  warm = np.asarray([0.5, 1.0, 1.5, 2.0])
  got = lr(warmup_steps=4)
  np.testing.assert_allclose(got, [*warm, *[2.0] * 10])
  got = lr(warmup_steps=4, schedule='linear', decay_steps=8)
  np.testing.assert_allclose(got[:4], warm)
  np.testing.assert_allclose(got[4:], 2 - np.minimum(np.arange(10) / 4, 2))
  got = lr(schedule='cosine', decay_steps=8)
  theirs = [optax.cosine_decay_schedule(2.0, 8)(i) for i in range(14)]
  np.testing.assert_allclose(got, theirs, atol=1e-6)


@pytest.mark.parametrize(
  ('bad', 'says'),
  [
    ({'name': 'adam'}, "unknown optimizer 'adam': did you mean 'adamw'"),
    ({'schedule': 'cosin'}, "did you mean 'cosine'"),
    ({'schedule': 'linear'}, 'decay_steps must be positive'),
    ({'peak_lr': -1.0}, 'peak_lr must be >= 0, got -1'),
    ({'peak_lr': float('nan')}, 'peak_lr must be >= 0, got nan'),
    ({'b2': 1.0}, r'b2 must lie in \[0, 1\)'),
    ({'warmup_steps': -1}, 'warmup_steps must be >= 0'),
  ],
)
def test_mistakes(bad, says):
  with pytest.raises(UserError, match=says):
    Optimizer(**bad)
