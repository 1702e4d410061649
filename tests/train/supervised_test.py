"""Supervised training, step by step against numpy."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import rng
from jaxsynth.models.base import Output
from jaxsynth.optim.optimizers import Optimizer
from jaxsynth.train import sweep
from jaxsynth.train.supervised import (
  cross_entropy,
  mean_squared_error,
  supervised,
)
from jaxsynth.types import Batch, Spec

BATCH = 8


@dataclass(frozen=True)
class Regression:
  """y = scale * (x + shift of the task), two numbers in and out."""

  @property
  def spec(self):
    two = jax.ShapeDtypeStruct((2,), jnp.float32)
    return Spec(two, two, None, 2)

  def init(self, key, scale=1.0):
    return {'shift': jax.random.normal(key, (2,)), 'scale': scale}

  def sample(self, task_params, key, step, batch_size):
    x = jax.random.normal(key, (batch_size, 2)) + 0.1 * step
    y = task_params['scale'] * (x + task_params['shift'])
    return Batch(x, y, jnp.ones(batch_size), {'n': jnp.arange(batch_size)})

  def evals(self, task_params, key):
    return {'held_out': self.sample(task_params, key, 0, 4)}


@dataclass(frozen=True)
class Linear:
  """x W + b, and a noise of its own when given a key."""

  noisy: bool = False

  def init(self, key, spec):
    w = jax.random.normal(key, (*spec.inputs.shape, spec.output_size))
    return {'w': w, 'b': jnp.zeros(spec.output_size)}

  def apply(self, params, inputs, *, key=None, **_):
    out = inputs @ params['w'] + params['b']
    if self.noisy and key is not None:
      out = out + jax.random.normal(key, out.shape)
    return Output(out, {})


def program(optimizer=None, model=None, **options):
  return supervised(
    Regression(),
    model or Linear(),
    mean_squared_error,
    optimizer or Optimizer(name='sgd', peak_lr=0.1),
    **{'batch_size': BATCH, **options},
  )


def run_of(**hparams):
  return sweep.one(sweep.RunSpec(dict.fromkeys(rng.STREAMS, 3), hparams))


def follow(some, run, steps):
  """States and scalars of `steps` jitted steps."""
  run = run._replace(constants=some.constants(run))
  state = some.init(run)
  step, states, scalars = jax.jit(some.step), [state], []
  for t in range(steps):
    state, new = step(run, state, t)
    states.append(state)
    scalars.append(new)
  return states, scalars


def by_hand(run, params, t, scale=1.0):
  """Loss and gradient of step t in float64, from the documented streams."""
  key = rng.at(rng.stream(run.seeds, 'data'), t)
  shift = jax.random.normal(rng.stream(run.seeds, 'task'), (2,))
  x = np.asarray(jax.random.normal(key, (BATCH, 2)), np.float64) + 0.1 * t
  error = x @ params['w'] + params['b'] - scale * (x + np.asarray(shift))
  grad = {'w': x.T @ error / BATCH, 'b': error.mean(0)}
  return (error**2).mean(), grad


def test_steps_are_those_of_numpy():
  run = run_of(**{'optimizer.peak_lr': 0.05, 'task.scale': 2.0})
  states, scalars = follow(program(), run, 5)
  w = jax.random.normal(rng.stream(run.seeds, 'init'), (2, 2))
  params = {'w': np.asarray(w, np.float64), 'b': np.zeros(2)}
  for t in range(5):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6),
      states[t]['params'],
      params,
    )
    loss, grad = by_hand(run, params, t, scale=2.0)
    np.testing.assert_allclose(scalars[t]['loss'], loss, rtol=1e-5)
    norm = np.sqrt(sum((g**2).sum() for g in grad.values()))
    np.testing.assert_allclose(scalars[t]['grad_norm'], norm, rtol=1e-5)
    params = {k: p - 0.05 * grad[k] for k, p in params.items()}


def test_a_fixed_task_value_is_used_unless_it_is_swept():
  loss = lambda run, **kw: follow(program(**kw), run, 1)[1][0]['loss']
  fixed = loss(run_of(), task_hparams={'scale': 3.0})
  swept = loss(run_of(**{'task.scale': 3.0}), task_hparams={'scale': 7.0})
  assert fixed == swept
  assert fixed != loss(run_of())


def test_evaluation_is_of_the_fixed_batches():
  some, run = program(model=Linear(noisy=True)), run_of()
  run = run._replace(constants=some.constants(run))
  state = some.init(run)
  got = some.evaluate(run, state, 0)
  assert set(got) == {'held_out/loss'}
  task = Regression()
  task_params = task.init(rng.stream(run.seeds, 'task'))
  batch = task.evals(task_params, rng.stream(run.seeds, 'eval'))['held_out']
  params = jax.tree.map(np.asarray, state['params'])
  error = batch.inputs @ params['w'] + params['b'] - batch.targets
  np.testing.assert_allclose(got['held_out/loss'], (error**2).mean(), rtol=1e-5)


def test_noise_is_of_its_stream_and_step():
  noisy = program(model=Linear(noisy=True))
  losses = lambda run: [float(s['loss']) for s in follow(noisy, run, 3)[1]]
  run = run_of()
  other = run._replace(seeds={**run.seeds, 'noise': jnp.uint32(4)})
  assert losses(run) == losses(run)
  assert not set(losses(run)) & set(losses(other))
  silent = program()
  a, b = (follow(silent, r, 3)[0][-1]['params'] for r in (run, other))
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize('flat', [False, True])
def test_what_is_not_trainable_stays(flat):
  """To the bit, under weight decay; and it does not enter the norm."""
  some = program(
    Optimizer(peak_lr=0.1, weight_decay=0.5, clip=0.01, flat=flat),
    trainable=lambda params: {'w': False, 'b': True},
  )
  run = run_of()
  states, scalars = follow(some, run, 4)
  first, last = states[0]['params'], states[-1]['params']
  np.testing.assert_array_equal(first['w'], last['w'])
  assert (np.abs(first['b'] - last['b']) > 1e-3).all()
  params = jax.tree.map(lambda x: np.asarray(x, np.float64), first)
  grad = by_hand(run, params, 0)[1]['b']
  np.testing.assert_allclose(
    scalars[0]['grad_norm'], np.linalg.norm(grad), rtol=1e-5
  )
  everything = follow(program(trainable=lambda p: {'w': True, 'b': True}),
                      run, 2)[0][-1]  # fmt: skip
  jax.tree.map(
    np.testing.assert_array_equal, everything, follow(program(), run, 2)[0][-1]
  )


@pytest.mark.parametrize('parts', [2, 8])
def test_microbatches_average_to_the_full_batch(parts):
  run = run_of()
  full, scalars = follow(program(), run, 3)
  cut, cut_scalars = follow(program(microbatches=parts), run, 3)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  jax.tree.map(close, cut[-1], full[-1])
  jax.tree.map(close, cut_scalars, scalars)


def test_microbatches_count_by_their_weights():
  """Unequal weights, and a part without any, which must not turn into NaN."""

  @dataclass(frozen=True)
  class Unequal(Regression):
    def sample(self, *args):
      weights = jnp.asarray([0, 0, 1, 5, 0.5, 0, 2, 3])
      return super().sample(*args)._replace(weights=weights)

  def last(**options):
    model, sgd = Linear(), Optimizer(name='sgd', peak_lr=0.1)
    some = supervised(
      Unequal(), model, mean_squared_error, sgd, batch_size=BATCH, **options
    )
    states, scalars = follow(some, run_of(), 2)
    return states[-1]['params'], scalars[-1]

  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  jax.tree.map(close, last(microbatches=4), last())


def test_each_microbatch_has_its_own_noise():
  """With one noise for all, x and -x would see the same and cancel."""
  loss = lambda parts: float(
    follow(program(model=Linear(noisy=True), microbatches=parts), run_of(), 1)[
      1
    ][0]['loss']
  )
  assert len({loss(1), loss(2), loss(4)}) == 3


def test_a_step_uses_what_was_drawn_for_it():
  some, run = program(), run_of()
  run = run._replace(constants=some.constants(run))
  state, step = some.init(run), jax.jit(some.step)
  by_hand = step(run, state, 5)
  ahead = step(run._replace(drawn=some.draw(run, 5)), state, 5)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  jax.tree.map(close, by_hand, ahead)
  other = step(run._replace(drawn=some.draw(run, 6)), state, 5)
  assert other[1]['loss'] != by_hand[1]['loss']


def test_a_stage_starts_from_its_parents_parameters():
  run = run_of()
  parent = {'params': {'w': jnp.full((2, 2), 7.0), 'b': jnp.ones(2)}, 'opt': 0}
  state = program(Optimizer()).init(run._replace(parent=parent))
  assert state['params'] is parent['params']
  fresh = Optimizer().build().init(parent['params'])
  jax.tree.map(np.testing.assert_array_equal, state['opt'], fresh)


@pytest.mark.parametrize(('mode', 'block'), [('map', 2), ('vmap', 4)])
def test_a_traced_value_equals_the_same_value_fixed(lab, tmp_path, mode, block):
  """A learning rate among others, traced, and alone, in the config.

  Equal to the bit in both layouts; the decays of Adam are not, since 1 - b1
  of a constant is rounded once, in double precision.
  """
  on = lab.layout(mode, block)
  table = lambda *rates: sweep.Sweep(
    seeds=2, traced={'optimizer.peak_lr': rates} if rates else {}
  ).runs()
  sizes = lab.schedule(evals=(0, 20))
  train = lambda name, runs, rate: lab.go(
    tmp_path / name, runs, on=on, sizes=sizes,
    program=program(Optimizer(peak_lr=rate, weight_decay=0.1)),
  )  # fmt: skip
  swept = train('swept', table(0.3, 0.03), 9.9)
  alone = train('alone', table(), 0.03)
  for name in ('w', 'b'):
    np.testing.assert_array_equal(swept.leaf(name)[2:], alone.leaf(name)[:])
    np.testing.assert_array_equal(
      swept.leaf(name)[:2, 0], swept.leaf(name)[2:, 0]
    )
    assert not np.array_equal(swept.leaf(name)[:2, 1], swept.leaf(name)[2:, 1])
  for name, values in alone.metrics.items():
    np.testing.assert_array_equal(swept.metrics[name][2:], values)


def test_cross_entropy_is_numpys():
  r = np.random.default_rng(0)
  logits = r.normal(size=(3, 4, 5)).astype(np.float32) * 3
  targets = r.integers(5, size=(3, 4))
  weights = r.uniform(size=(3, 4)).astype(np.float32)
  weights[0] = 0
  batch = Batch(None, jnp.asarray(targets), jnp.asarray(weights), {})
  apply = lambda params, inputs, key: Output(params, {})
  loss, scalars = cross_entropy(apply, jnp.asarray(logits), batch, None, 0)
  p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  nll = -np.log(np.take_along_axis(p, targets[..., None], -1))[..., 0]
  hit = logits.argmax(-1) == targets
  np.testing.assert_allclose(loss, np.average(nll, weights=weights), rtol=1e-5)
  np.testing.assert_allclose(
    scalars['accuracy'], np.average(hit, weights=weights), rtol=1e-5
  )


def test_mean_squared_error_weighs_its_targets():
  apply = lambda params, inputs, key: Output(params, {})
  target = jnp.asarray([[0.0, 0.0], [1.0, 3.0]])
  batch = Batch(None, target, jnp.asarray([1.0, 3.0]), {})
  loss, _ = mean_squared_error(apply, jnp.ones((2, 2)), batch, None, 0)
  np.testing.assert_allclose(loss, (1 * 1 + 3 * 2) / 4)
