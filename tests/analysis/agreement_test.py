"""Orders of onsets against scipy, exact cases, and what must not matter."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jaxsynth.analysis import agreement, transitions

concordance = jax.jit(agreement.concordance)
ranks = jax.jit(agreement.ranks)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=5, max_size=5))
def test_ranks_equal_scipys(values):
  values = np.array([*values, np.inf])
  np.testing.assert_allclose(ranks(values), stats.rankdata(values))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=28, max_size=28))
def test_concordance_is_friedmans_statistic_over_its_most(values):
  onsets = np.array(values, float).reshape(4, 7)
  if all(len(set(run)) == 1 for run in onsets.T):
    assert np.isnan(float(concordance(onsets)['w']))
    return
  expected = stats.friedmanchisquare(*onsets).statistic / (7 * 3)
  np.testing.assert_allclose(concordance(onsets)['w'], expected, atol=1e-5)


def test_one_order_is_full_agreement_and_two_opposite_ones_are_none():
  same = np.array([[1, 20, 300], [2, 30, 400], [3, 40, 500]])
  out = concordance(same.astype(float))
  assert float(out['w']) == 1.0
  assert out['order'].tolist() == [1, 2, 3]
  opposite = np.array([[1.0, 9.0], [5.0, 5.0], [9.0, 1.0]])
  assert float(concordance(opposite)['w']) == 0.0


def test_over_all_orders_the_mean_is_one_over_the_runs():
  orders = list(itertools.permutations([1.0, 2.0, 3.0]))
  every = [np.array(p).T for p in itertools.product(orders, repeat=3)]
  w = jax.jit(jax.vmap(lambda x: agreement.concordance(x)['w']))(
    np.stack(every)
  )
  np.testing.assert_allclose(w.mean(), 1 / 3, rtol=1e-5)


def test_only_the_order_of_the_steps_matters():
  rng = np.random.default_rng(0)
  onsets = rng.permutation(12).reshape(3, 4) * 10.0
  onsets[2, 1] = np.inf
  relabelled = np.expm1(onsets / 20) + onsets
  one, two = concordance(onsets), concordance(relabelled)
  assert float(one['w']) == float(two['w'])
  np.testing.assert_array_equal(one['order'], two['order'])
  before = onsets - 5
  args = before[0], onsets[0], before[1], onsets[1]
  moved = [np.expm1(x / 20) + x for x in args]
  first, second = agreement.precedence(*args), agreement.precedence(*moved)
  for name in ('earlier', 'later'):
    np.testing.assert_array_equal(first[name], second[name])


def test_what_never_comes_is_last_and_what_diverged_is_left_out():
  onsets = np.array([[10.0, 10.0, 5.0], [20.0, np.inf, np.nan]])
  out = concordance(onsets)
  assert int(out['runs']) == 2
  assert out['order'].tolist() == [1, 2]
  assert float(out['w']) == 1.0
  gone = np.where(np.isnan(onsets), onsets, np.nan)
  assert np.isnan(float(concordance(gone)['w']))


def test_precedence_of_intervals_read_off_curves():
  """Three metrics that cross at snapshots 2, 4 and, between them, 3 or so."""
  steps = np.array([0, 1, 2, 4, 8, 16])
  cross = lambda curve: transitions.onset(np.asarray(curve, float), steps, 0.5)
  early, late = cross([0, 0, 1, 1, 1, 1]), cross([0, 0, 0, 0, 1, 1])
  never, lost = cross(np.zeros(6)), cross([0, 0, 0, np.nan, 0, 0])
  compare = lambda a, b: agreement.precedence(
    a['before'], a['after'], b['before'], b['after']
  )
  out = compare(early, late)
  assert (bool(out['earlier']), bool(out['later'])) == (True, False)
  assert float(out['margin']) == 4 / 2
  back = compare(late, early)
  assert (bool(back['earlier']), bool(back['later'])) == (False, True)
  assert float(back['margin']) == 1 / 8
  same = compare(early, early)
  assert (bool(same['earlier']), bool(same['later'])) == (False, False)
  assert bool(compare(late, never)['earlier'])
  assert float(compare(late, never)['margin']) == 16 / 8
  assert float(compare(never, late)['margin']) == 0
  none = compare(early, lost)
  assert not bool(none['earlier'])
  assert not bool(none['later'])
  assert np.isnan(float(none['margin']))


def test_spreads_of_planted_onsets():
  """log(1 + step) = metric + run: deviations of the one and of the other."""
  metric, run = np.array([1.0, 3.0, 5.0]), np.array([0.0, 0.3, 0.6, 0.9])
  onsets = np.expm1(2 + metric[:, None] + run)
  out = agreement.spreads(onsets)
  np.testing.assert_allclose(out['runs'], run.std(), rtol=1e-4)
  np.testing.assert_allclose(out['metrics'], metric.std(), rtol=1e-4)
  onsets[1, 2] = np.inf
  out = agreement.spreads(onsets)
  assert int(out['kept']) == 3
  np.testing.assert_allclose(out['runs'], run[[0, 1, 3]].std(), rtol=1e-4)


@pytest.mark.parametrize('bad', [np.inf, np.nan])
def test_no_run_left_is_no_number(bad):
  out = agreement.spreads(np.full((2, 3), bad))
  assert int(out['kept']) == 0
  assert np.isnan(float(out['metrics']))
