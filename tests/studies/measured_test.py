"""Numbers per seed: labels, censoring, order statistics."""

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from jaxsynth.errors import UserError
from jaxsynth.studies.measured import measured, shown, summary

INF = math.inf


def test_every_form_gives_the_same_numbers():
  labelled = xr.DataArray([1.0, 2.0], dims='seed', coords={'seed': [7, 3]})
  assert measured({7: 1, 3: 2}) == measured(labelled)
  assert measured([1, 2]).seeds == (0, 1)
  assert measured(np.float32(4)).values == (4.0,)
  once = measured([1, 2])
  assert measured(once) is once


def test_infinite_is_censored_only_with_a_last_step():
  assert measured([INF, 5]).censored == (False, False)
  found = measured([INF, 5], last_step=200)
  assert found.values == (200.0, 5.0)
  assert found.censored == (True, False)


def test_marks_follow_their_seed():
  a = measured({1: 9.0, 2: 8.0}, censored={2: True, 1: False})
  assert a.censored == (False, True)
  assert a.values == (9.0, 8.0)
  b = measured([math.nan, 1.0], censored=[True, False])
  assert b.values == (INF, 1.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_summary_equals_numpy(values):
  found = summary(measured(values))
  assert found['median'] == np.median(values)
  assert found['min'] == min(values)
  assert found['max'] == max(values)
  np.testing.assert_allclose(
    found['std'], np.std(values, ddof=1), rtol=1e-6, atol=1e-9
  )


def test_median_is_exact_while_most_onsets_come():
  found = summary(measured([10, 30, 20, INF, INF], last_step=99))
  assert (found['median'], found['min'], found['max']) == (30, 10, INF)
  assert (found['censored'], found['diverged'], found['n']) == (2, 0, 5)
  assert summary(measured([10, INF, INF], last_step=99))['median'] == INF


def test_nan_is_counted_not_dropped():
  found = summary(measured([1.0, math.nan, 3.0]))
  assert (found['median'], found['diverged'], found['n']) == (2.0, 1, 3)
  nothing = summary(measured([math.nan]))
  assert math.isnan(nothing['median'])
  assert nothing['std'] is None


@pytest.mark.parametrize(
  'bad',
  [[], [[1, 2]], ['a'], {'a': 'b'}, xr.DataArray([[1.0]])],
)
def test_not_one_number_per_seed_is_refused(bad):
  with pytest.raises(UserError):
    measured(bad)


def test_two_numbers_for_one_seed_and_wrong_marks_are_refused():
  twice = xr.DataArray([1.0, 2.0], dims='seed', coords={'seed': [0, 0]})
  with pytest.raises(UserError, match='one seed'):
    measured(twice)
  with pytest.raises(UserError, match='marks'):
    measured([1, 2], censored=[True])
  with pytest.raises(UserError, match='same seeds'):
    measured({1: 1.0}, censored={2: True})


@pytest.mark.parametrize(
  ('value', 'censored', 'text'),
  [
    (0.123456, False, '0.1235'),
    (12000, False, '12000'),
    ('nan', False, 'NaN'),
    ('inf', False, 'inf'),
    ('-inf', False, '-inf'),
    (500, True, 'not by step 500'),
    ('inf', True, 'never'),
  ],
)
def test_numbers_as_people_read_them(value, censored, text):
  assert shown(value, censored) == text


def test_minus_zero_does_not_betray_the_order():
  one, two = (summary(measured(v)) for v in ([0.0, -0.0], [-0.0, 0.0]))
  assert repr(one) == repr(two)
