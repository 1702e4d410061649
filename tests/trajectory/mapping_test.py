"""Mapping over a trajectory equals a Python loop over what is read by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import rng
from jaxsynth.errors import UserError
from jaxsynth.train import sweep
from jaxsynth.trajectory import mapping


@pytest.fixture(scope='module')
def traj(lab, tmp_path_factory):
  """Three runs: one more than devices, so the last chunk is padded."""
  folder = tmp_path_factory.mktemp('mapping') / 'traj'
  return lab.go(folder, lab.specs(3, (0.1,)))


def measure(params, ctx):
  x, a = params['x'], ctx.constants['a']
  return {
    'energy': 0.5 * x @ a @ x,
    'outer': jnp.outer(x, x[:2]),
    'rate': ctx.hparams['optimizer.peak_lr'],
    'key': jax.random.key_data(ctx.key),
  }


def by_hand(lab, traj, run, step):
  spec = lab.specs(3, (0.1,))[run]
  one = sweep.one(spec)
  constants = lab.toy.constants(one)
  return mapping.context(None, one, constants, step)


def test_over_snapshots(lab, traj):
  got = traj.map(
    measure, dims={'outer': ('i', 'j')}, coords={'j': ['a', 'b']}, quiet=True
  )
  assert got['energy'].dims == ('run', 'step')
  assert got['outer'].dims == ('run', 'step', 'i', 'j')
  assert got['key'].dims == ('run', 'step', 'key_0')
  assert got['j'].values.tolist() == ['a', 'b']
  assert got['step'].values.tolist() == traj.steps.tolist()
  assert got['run_id'].values.tolist() == traj.runs.run_id.tolist()
  assert got['seed_init'].values.tolist() == [0, 1, 2]
  for run in range(3):
    for step in traj.steps:
      ctx = by_hand(lab, traj, run, int(step))
      expected = measure(traj.params(step, run), ctx)
      here = got.sel(run=run, step=step)
      for name in ('energy', 'outer', 'rate'):
        np.testing.assert_allclose(here[name], expected[name], rtol=2e-6)
      assert here['key'].values.tolist() == expected['key'].tolist()


def test_context_step_is_the_snapshots(traj):
  got = traj.map(lambda params, ctx: {'at': ctx.step}, quiet=True)
  np.testing.assert_array_equal(got['at'], np.tile(traj.steps, (3, 1)))


def test_constants_equal_those_of_the_training(lab, traj):
  """To the bit, as far as the loss of the next update can tell."""
  full = traj.map(lambda params, ctx: {'a': ctx.constants['a']}, quiet=True)
  constants = jax.jit(lab.toy.constants)
  for run, spec in enumerate(lab.specs(3, (0.1,))):
    a = np.asarray(constants(sweep.one(spec))['a'])
    np.testing.assert_array_equal(full['a'][run, 0], a)
    np.testing.assert_array_equal(full['a'][run, -1], a)
  energy = traj.map(measure, quiet=True)['energy']
  for k, step in enumerate(traj.steps[:-1]):
    loss = traj.metrics['loss'].sel(step=step + 1)
    np.testing.assert_allclose(energy[:, k], loss, rtol=1e-6)


def test_keys_differ_by_run_and_step_and_from_training(lab, traj):
  got = traj.map(measure, quiet=True)['key'].values.reshape(-1, 2)
  assert len({tuple(k) for k in got}) == len(got)
  seeds = lab.specs(3)[0].seeds
  evals = jax.random.key_data(rng.stream(seeds, 'eval'))
  assert evals.tolist() not in got.tolist()


def test_over_runs(lab, traj):
  def drift(params, ctx):
    assert params['x'].shape == (7, 5)
    return {'path': jnp.diff(params['x'], axis=0), 'sum': ctx.step.sum()}

  got = traj.map(drift, 'run', dims={'path': ('gap', 'axis')}, quiet=True)
  assert got['path'].dims == ('run', 'gap', 'axis')
  np.testing.assert_array_equal(got['path'], np.diff(traj.leaf('x')[:], axis=1))
  assert got['sum'].values.tolist() == [int(traj.steps.sum())] * 3


def test_over_pairs(traj):
  def gap(before, after, ctx):
    change = after['count'] - before['count']
    return {'change': change, 'x': after['x'] - before['x'], 'at': ctx.step}

  got = traj.map(gap, 'pair', quiet=True)
  assert got['step'].values.tolist() == traj.steps[1:].tolist()
  np.testing.assert_array_equal(got['at'], np.tile(traj.steps[1:], (3, 1)))
  np.testing.assert_array_equal(
    got['change'], np.tile(np.diff(traj.steps), (3, 1))
  )
  np.testing.assert_array_equal(got['x'], np.diff(traj.leaf('x')[:], axis=1))


def test_a_view_maps_what_it_shows(traj):
  view = traj.sel(run=[2], steps=(10, 1))
  got = view.map(lambda p, ctx: {'x': p['x'], 'at': ctx.step}, quiet=True)
  assert got['at'].values.tolist() == [[10, 1]]
  np.testing.assert_array_equal(got['x'][0, 1], traj.params(1, 2)['x'])
  assert got['seed_init'].values.tolist() == [2]


def test_mistakes(traj):
  with pytest.raises(UserError, match="did you mean 'pair'"):
    traj.map(measure, 'pairs')
  with pytest.raises(UserError, match="returns 'seed_init', a coordinate"):
    traj.map(lambda params, ctx: {'seed_init': ctx.step}, quiet=True)
  with pytest.raises(UserError, match='nothing to map'):
    traj.sel(steps=0).map(lambda a, b, ctx: {}, 'pair')


def test_context_of_a_supervised_training(tiny):
  """The evaluation batches of the context give the metrics of the training."""
  setup, traj = tiny

  def loss(params, ctx):
    batch = ctx.evals['fresh']
    logits = ctx.apply(params, batch.inputs).prediction
    logp = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(logp, batch.targets[..., None], -1)
    return {'loss': -picked.mean(), 'n': ctx.hparams['task.num_chains']}

  got = traj.map(loss, quiet=True).sel(step=[0, 6, 12])
  np.testing.assert_allclose(got['loss'], traj.metrics['fresh/loss'], rtol=1e-5)
  assert got['n'][:, 0].values.tolist() == [2, 2, 4, 4]
  del setup


def test_a_function_tried_by_hand(traj):
  """On one snapshot, of a view too, it gives what the map has there."""
  view = traj.sel(run=[1, 2])
  got = view.map(measure, quiet=True)
  step = int(traj.steps[2])
  one = measure(traj.params(step, 2), view.context(1, step))
  for name, value in one.items():
    np.testing.assert_allclose(got[name].sel(run=1, step=step), value, 1e-6)
  with pytest.raises(UserError, match='no snapshot at step 3'):
    view.context(1, 3)
