"""The measurements of the study `identity_mapping`, on known networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxsynth import build
from jaxsynth.analysis import descents, linear_flow
from jaxsynth.configs.identity_mapping import get_config
from jaxsynth.experiments import _identity_mapping_measures as measures
from jaxsynth.experiments import _identity_mapping_numbers as numbers
from jaxsynth.models.mlp import MLP
from jaxsynth.tasks.identity_mapping import IdentityMapping
from jaxsynth.train import sweep
from jaxsynth.trajectory.mapping import Context

RATE = 0.01


def one_layer(swap: bool = False) -> xr.Dataset:
  """What a one-layer network from zero does, exactly; two seeds, two cells."""
  step = np.arange(0, 2001, 5)
  means = np.array([[1.0, 2.0]] * 4)
  sigma = np.array([0.05, 0.05, 1.6, 1.6])
  a = np.stack([sigma**2 + 0.5, np.full(4, 0.05**2 + 2.0)], 1)
  used = a[:, ::-1] if swap else a
  output = means[:, None] * (1 - np.exp(-RATE * step[:, None] * used[:, None]))
  return xr.Dataset(
    {
      'output': (('run', 'step', 'concept'), output.astype(np.float32)),
      'jacobian': (('run', 'step', 'out', 'into'), np.zeros((4, 401, 2, 2))),
      'means': (('run', 'concept'), means),
      'moments': (('run', 'concept'), a),
    },
    {
      'step': step,
      'concept': [1, 2],
      'time': ('step', RATE * step),
      'seed_init': ('run', [0, 1, 0, 1]),
      'task_first_mean': ('run', [1.0] * 4),
      'task_first_deviation': ('run', sigma),
    },
  )


def test_exact_dynamics_have_no_error_and_others_have():
  exact, wrong = one_layer(), one_layer(swap=True)
  assert numbers.order_error(exact).max() < 0.005
  assert numbers.order_error(exact, swapped=True).min() > 0.3
  assert numbers.order_error(wrong).min() > 0.3
  assert numbers.closed_form_error(exact).max() < 1e-5
  assert numbers.closed_form_error(exact, swapped=True).min() > 0.1
  rates = numbers.tail_rates(exact)
  np.testing.assert_allclose(rates, exact['moments'], rtol=1e-3)


def test_order_reverses_only_where_the_deviation_is_widened():
  data = one_layer()
  a = data['moments'].values
  expected = min(np.log(a[0, 1] / a[0, 0]), np.log(a[2, 0] / a[2, 1]))
  found = numbers.reversal(data, widened=True)
  assert list(found) == [0, 1]
  np.testing.assert_allclose(list(found.values()), expected, atol=0.01)
  assert max(numbers.reversal(data, widened=False).values()) < 0


def test_the_worst_cell_of_each_seed_counts():
  values = np.array([1.0, 2.0, 3.0, np.nan])
  worst = numbers.worst(values, one_layer())
  assert worst[0] == 3.0
  assert np.isnan(worst[1])


@pytest.fixture(scope='module')
def tied():
  """A task, a tied network, and what an analysis is told of its run."""
  task = IdentityMapping(dim=3, means=(1.0, 2.0), deviations=(0.3, 0.1))
  model = MLP(
    widths=(4,), activation='linear', tied=True, bias=False,
    initialiser='normal', init_scale=0.2,
  )  # fmt: skip
  world = task.init(jax.random.key(0))
  params = model.init(jax.random.key(1), task.spec)
  steps = jnp.arange(0, 401, 50)
  constants = {'task_params': world, 'evals': {}}
  context = Context(model.apply, constants, {}, {}, steps, jax.random.key(2))
  u = world.basis.T @ params['layers_0']['kernel']
  return task, world, params, context, u


def test_state_is_that_of_the_matrix_in_own_coordinates(tied):
  task, world, params, context, u = tied
  w = np.asarray(u @ u.T)
  out = measures.state(task, context.apply, world, params)
  np.testing.assert_allclose(out['jacobian'], w[:2, :2], atol=1e-5)
  z = np.array([1.0, 2.0, 0.0])
  np.testing.assert_allclose(out['output'], (w @ z)[:2], atol=1e-5)
  for code, loss in zip(task.codes, out['losses']):
    z = np.array([*code * np.array([1.0, 2.0]), 0.0])
    expected = 0.5 * np.square(w @ z - z).sum()
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-6)
  minor = [w[0, 1], w[1, 0], w[0, 2], w[1, 2], w[2, 0], w[2, 1]]
  rms = lambda x: np.sqrt(np.mean(np.square(x)))
  np.testing.assert_allclose(out['major'], rms(np.diag(w)[:2]), rtol=1e-4)
  np.testing.assert_allclose(out['minor'], rms(minor), rtol=1e-4)
  np.testing.assert_allclose(out['irrelevant'], abs(w[2, 2]), rtol=1e-4)


def test_flow_is_that_of_the_matrix_at_both_speeds(tied):
  """Through the network's own gradient, and by the tied equation."""
  task, world, params, context, u = tied
  snapshots = jax.tree.map(lambda x: jnp.stack([x] * 9), params)
  out = measures.flow(task, RATE)(snapshots, context)
  times = RATE * context.step
  for n, speed in enumerate(measures.SPEEDS.values()):
    w = linear_flow.tied(u, world.moments, times, speed)
    np.testing.assert_allclose(out['jacobian'][n], w[:, :2, :2], atol=1e-4)
    loss = jax.vmap(linear_flow.population_loss, (0, None))(w, world.moments)
    np.testing.assert_allclose(out['training'][n], loss, atol=1e-4)
  ends = out['jacobian'][:, -1, 0, 0]
  assert ends[0] > ends[1] + 0.05


def test_swing_is_told_apart_by_the_first_correlation():
  curves = xr.DataArray(
    [[1.0, 0.2, 0.5, 0.1], [1.0, 0.5, 0.4, 0.1]], dims=('run', 'step')
  )
  np.testing.assert_allclose(numbers.swing(curves), [0.3, 0.0], atol=1e-6)
  first = xr.DataArray([-1, 0, 0.2, 0.9, -0.5, 0.5, 0.4, 0.3], dims='run')
  first = first.assign_coords(seed_init=('run', range(8)))
  rise = xr.DataArray([1, 2, 9, 3, 4, 5, 9, 9], dims='run') / 10
  low = numbers.swing_where(first, rise, 2, positive=False)
  assert low == {'seeds 0-3': 0.2, 'seeds 4-7': 0.4}
  high = numbers.swing_where(first, rise, 2, positive=True)
  assert high == {'seeds 0-3': 0.3, 'seeds 4-7': 0.5}


def test_order_over_compositions():
  names = ['00', '01', '10', '11']
  losses = np.array([[[9, 1, 2, 3]] * 3, [[0, 1, 4, 3]] * 3], float)
  losses[0, 0] = [0, 9, 9, 1]  # step 0 does not count
  data = xr.Dataset(
    {
      'losses': (('run', 'step', 'composition'), losses),
      'means': (('run', 'concept'), [[1.0, 1.0], [1.0, 3.0]]),
    },
    {'composition': names, 'step': [0, 1, 2], 'seed_init': ('run', [5, 6])},
  )
  found = numbers.ordered(data, (1, 2))
  assert found['run'].values.tolist() == [5, 6]
  np.testing.assert_allclose(found, [1.0, 0.5])
  # Over 1/2 |x|^2: 1, 2, 3 over .5, .5, 1; and 1, 4, 3 over 4.5, .5, 5.
  relative = numbers.ordered(data, (1, 2), relative=True)
  np.testing.assert_allclose(relative, [0.5, 0.5])


class Bench:
  """Computes without keeping."""

  config = get_config('smoke')

  def measure(self, name, fn):
    return fn()


def test_a_search_follows_the_starts_that_training_has():
  """The flow of a seed starts at what `init` gives this seed."""
  found = measures.search(Bench(), 'triple')
  config = measures.stage_config(Bench.config, 'searches', 'triple')
  setup = build.build(config)
  for i, seed in enumerate(found['start'].values):
    run = sweep.one(sweep.Sweep(seeds=(int(seed),)).runs()[0])
    program = setup.program()
    run = run._replace(constants=program.constants(run))
    u = program.init(run)['params']['layers_0']['kernel']
    moments = run.constants['task_params'].moments
    times = jnp.asarray(found['time'].values)
    w = linear_flow.tied(u, moments, times, linear_flow.PUBLISHED)
    loss = linear_flow.composition_loss(w, jnp.asarray(setup.task.means))
    np.testing.assert_allclose(found['curve'][i], loss / loss[0], atol=1e-4)
    if i == 1:
      break
  curves = jnp.asarray(found['curve'].values)
  for j, least in enumerate(measures.PROMINENCES):
    count = jax.vmap(descents.descents, (0, None))(curves, jnp.asarray(least))
    np.testing.assert_array_equal(found['descents'][:, j], count)
  np.testing.assert_array_equal(found['end'], curves[:, -1])


def test_largest_of_groups_of_starts():
  values = xr.DataArray(
    [1, 5, 2, 0, 0, 3, 1, 1, 4], dims='start', coords={'start': range(9)}
  )
  assert numbers.most(values, 3) == {'seeds 0-4': 5, 'seeds 5-8': 4}
  assert numbers.most(values[:3], 3) == {'seeds 0-2': 5}
