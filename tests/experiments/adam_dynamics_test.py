"""The numbers the study's claims are judged on, from made-up results."""

import jax
import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

from jaxsynth import build
from jaxsynth.configs.adam_dynamics import get_config
from jaxsynth.errors import UserError
from jaxsynth.experiments import _adam_dynamics_closed as closed
from jaxsynth.experiments import _adam_dynamics_measures as measures
from jaxsynth.experiments import _adam_dynamics_numbers as numbers
from jaxsynth.experiments import _adam_dynamics_stages as stages
from jaxsynth.experiments import adam_dynamics

SEEDS = [1000, 1001]


def runs(values, cells):
  """[cell, seed] numbers as runs, the seed varying fastest."""
  beta, gamma = np.repeat(np.asarray(cells, float), len(SEEDS), 0).T
  return xr.DataArray(
    np.ravel(values).astype(float),
    dims='run',
    coords={
      'run': np.arange(len(beta)),
      'beta': ('run', beta),
      'gamma': ('run', gamma),
      'seed': ('run', SEEDS * len(cells)),
    },
  )


CELLS = [(0.9, 0.98), (0.999, 0.9), (0.8, 0.97)]


def test_cells_and_their_extremes_by_seed():
  data = runs([[1, 5], [2, 4], [3, 3]], CELLS)
  assert numbers.at(data, CELLS[1]).to_series().to_dict() == {1000: 2, 1001: 4}
  most = numbers.over(data, CELLS, 'max').to_series().to_dict()
  assert most == {1000: 3, 1001: 5}
  assert numbers.over(data, CELLS, 'min').values.tolist() == [1, 3]
  assert numbers.per_seed(data, np.mean) == {1000: 2, 1001: 4}


def test_separation_is_the_chance_to_grow_faster_outside():
  cells = [(0.9, 0.98), (0.9, 0.96), (0.999, 0.9), (0.9, 0.93)]
  slope = runs([[5, 5], [4, 1], [2, 2], [1, 1]], cells)
  c = np.repeat([-0.07, -0.03, 0.2, 0.04], 2)
  found = xr.Dataset({'slope': slope})
  # Seed 1000: always. Seed 1001: 5 beats both, 1 loses once and ties once.
  assert numbers.separation(found, c) == {1000: 1.0, 1001: 2.5 / 4}
  assert numbers.separation(found, -c) == {1000: 0.0, 1001: 1.5 / 4}


def test_beyond_the_edge_are_the_runs_that_have_time_to_grow():
  cells = [(0.9, 0.98), (0.9, 0.949), (0.9, 0.93), (0.9, 0.0)]
  rate = runs(np.repeat([0.03, 0.001, -0.02, -30], 2), cells)
  u = (('run', 'step'), np.ones((8, 500)))
  found = xr.Dataset({'exact_rate': rate, 'update_max': u})
  outside = numbers.beyond_edge(found, 1)
  assert set(outside['gamma'].values) == {0.98}
  assert set(numbers.beyond_edge(found, -1)['gamma'].values) == {0.93}


def test_loss_that_falls_with_c():
  c = runs([[1, 4], [2, 3], [3, 2]], CELLS)
  loss = runs([[9, 1], [5, 2], [4, 3]], CELLS)
  assert numbers.falls_with(loss, c) == pytest.approx({1000: 1, 1001: 1})
  assert numbers.falls_with(-loss, c) == pytest.approx({1000: -1, 1001: -1})


def test_order_is_the_power_of_eta():
  eta = np.asarray([0.02, 0.01, 0.005])
  error = xr.DataArray(
    [3 * eta, 2 * eta**1.5], dims=('seed', 'eta'), coords={'eta': eta}
  )
  np.testing.assert_allclose(numbers.order(error), [1, 1.5])


def test_rank_correlation_is_spearmans():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(2, 30))
  expected = spearmanr(a, b).statistic
  assert numbers.rank_correlation(a, b) == pytest.approx(expected)


def test_misfit_and_gain():
  cells = [(0.999, 0.0), (0.999, 0.9)]
  weight = runs([[2, 4], [2, 4]], cells).expand_dims(step=[10], axis=1)
  averaged = runs([[2.2, 4], [0.5, 1]], cells).expand_dims(step=[10], axis=1)
  data = xr.Dataset({'weight': weight, 'averaged': averaged})
  np.testing.assert_allclose(numbers.misfit(data, 0.0), [0.1, 0])
  np.testing.assert_allclose(numbers.misfit(data, 0.9), [0.75, 0.75])
  learning = xr.Dataset(
    {'accuracy': (('cell', 'seed', 'eval_step'), [[[0, 5], [0, 6]],
                                                  [[9, 7], [9, 9]]])},
    {
      'strategy': ('cell', ['uniform', 'exponential']),
      'stages': ('cell', [1, 2]),
    },
  )  # fmt: skip
  learning['training'] = ('cell', 'seed'), [[0.5, 0.1], [0.2, 0.3]]
  assert numbers.strategies_ahead(learning).values.tolist() == [1, 0]
  better = numbers.gain(learning, 'exponential', 'accuracy')
  assert better.values.tolist() == [2, 3]


@pytest.mark.parametrize('preset', ['smoke', 'quick', 'standard', 'paper'])
def test_every_stage_of_every_preset_can_be_built(preset):
  config = get_config(preset)
  setup = build.build(config)
  cells = {(r.hparams['optimizer.b2'], r.hparams['optimizer.b1'])
           for r in setup.sweep.runs()}  # fmt: skip
  named = (*setup.measure['unstable'], *setup.measure['stable'])
  assert {tuple(c) for c in named} <= cells
  adam_dynamics.check(setup)
  parts = stages.k_adam(build.complete(config))
  assert ('uniform', 1) in parts
  for stage in (
    stages.norms(build.complete(config)),
    stages.transformer(build.complete(config)),
    *parts.values(),
  ):
    build.build(stage)


def test_a_cell_that_is_not_trained_is_refused():
  config = get_config('smoke')
  config.measure.stable = ((0.999, 0.91),)
  with pytest.raises(UserError, match=r'0.91 is not in sweep.traced'):
    adam_dynamics.check(build.build(config))


def test_made_up_sequences_attain_the_bound_and_random_ones_do_not():
  beta, gamma = np.asarray([[0.9, 0.98], [0.999, 0.9], [0.8, 0.97]]).T
  out = closed.sequences(beta, gamma, 60, SEEDS)
  np.testing.assert_allclose(out['attained'], 1, rtol=1e-10)
  assert (out['random'] <= 1 + 1e-12).all()
  assert (out['mismatched'].max('cell') > 1.01).all()
  assert (out['plain'] < 0.99).all()
  # The published bound starts at zero and is no bound until later.
  assert int(out['valid'][1]) > 1
  np.testing.assert_allclose(out['C'], [-0.0703, 0.2212, -0.1881], atol=1e-4)


def test_flow_starts_from_the_networks_of_the_sweep():
  setup = build.build(get_config('smoke'))
  out = closed.flow(setup)
  assert out['error'].shape == (2, 2, 2)
  assert (out['error'] < 0.5 * out['unpaired']).all()
  assert (out['loss'] > 0).all()
  assert not jax.config.jax_enable_x64


def test_bounds_hold_for_single_precision_decays():
  """The first update is one learning rate in every cell, momentum or none."""
  out = measures.bounds(np.asarray([0.999, 0.9]), np.asarray([0.0, 0.98]), 5)
  np.testing.assert_allclose(out[:, 0], 1, rtol=1e-6)
  b = float(np.float32(0.999))
  last = np.sqrt((1 - b**5) / (1 - b))
  np.testing.assert_allclose(out[0, -1], last, rtol=1e-6)
