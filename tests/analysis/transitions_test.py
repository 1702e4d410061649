"""Onsets, rises, plateaus and returns of curves whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth.analysis import transitions

NUM = 16
STEPS = np.concatenate([[0], 2 ** np.arange(NUM - 1)])
onset = jax.jit(transitions.onset)
rise = jax.jit(transitions.rise)
plateaus = jax.jit(transitions.plateaus)


def floats(out):
  return {name: value.tolist() for name, value in out.items()}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=NUM, max_size=NUM))
def test_onset_is_the_first_snapshot_at_the_level(values):
  out = floats(onset(jnp.asarray(values, jnp.float32), STEPS, 2.0))
  reached = [k for k, v in enumerate(values) if v >= 2]
  if not reached:
    assert out == {
      'before': STEPS[-1],
      'after': np.inf,
      'at': np.inf,
      'censored': True,
    }
    return
  k = reached[0]
  assert out['after'] == STEPS[k]
  assert out['before'] == (STEPS[k - 1] if k else 0)
  assert out['before'] <= out['at'] <= out['after']
  assert not out['censored']


def test_the_estimate_is_linear_in_log_one_plus_step():
  curve = 3.0 * np.log1p(STEPS) - 1.0
  for step in (2.7, 100.0, 9000.0):
    out = onset(curve, STEPS, 3.0 * np.log1p(step) - 1.0)
    np.testing.assert_allclose(out['at'], step, rtol=1e-4)


def test_what_is_there_at_the_first_snapshot_came_after_step_zero():
  out = floats(onset(np.ones(NUM), STEPS + 10, 1.0))
  assert out == {'before': 0.0, 'after': 10, 'at': 10.0, 'censored': False}


@pytest.mark.parametrize('end', [np.nan, np.inf, -np.inf])
def test_a_curve_that_diverges_first_is_not_censored_but_unknown(end):
  """Censored, it would pass a gate on an onset that comes late."""
  curve = np.where(np.arange(NUM) < 6, 0.0, end)
  for out in (onset(curve, STEPS, 1.0), rise(curve, STEPS, 0.0, 2.0)):
    assert not out.pop('censored')
    assert np.isnan([float(x) for x in out.values()][:3]).all()
  crossed = np.where(np.arange(NUM) < 6, np.arange(NUM), end)
  assert float(onset(crossed, STEPS, 3.5)['after']) == STEPS[4]


@pytest.mark.parametrize('sign', [1.0, -1.0])
def test_rise_of_a_ramp_in_log_steps(sign):
  """From 1 to 5 between steps e^2 - 1 and e^6 - 1, up or down."""
  curve = sign * np.clip(np.log1p(STEPS) - 1.0, 1.0, 5.0)
  out = rise(curve, STEPS, sign * 1.0, sign * 5.0)
  at = {'tenth': 2.4, 'half': 4.0, 'ninetieth': 5.6}
  for name, log_step in at.items():
    exact = np.expm1(log_step)
    # The corners at 2 and 6 lie between snapshots: not linear there.
    np.testing.assert_allclose(out[name], exact, rtol=0.25, err_msg=name)
  np.testing.assert_allclose(out['half'], np.expm1(4.0), rtol=1e-4)
  np.testing.assert_allclose(out['width'], out['ninetieth'] - out['tenth'])
  assert (float(out['before']), float(out['after'])) == (32, 64)


def test_rise_looks_for_its_ends_on_either_side_of_the_half():
  """An early bump over 10 %, a late dip and a return to 0 do not count."""
  curve = np.zeros(NUM)
  curve[3], curve[9:14], curve[11] = 0.2, 1.0, 0.8
  out = floats(rise(curve, STEPS, 0.0, 1.0))
  assert (out['before'], out['after']) == (STEPS[8], STEPS[9])
  assert STEPS[8] <= out['tenth'] <= out['half'] <= out['ninetieth'] <= STEPS[9]


def test_a_rise_without_an_end_is_censored_there():
  half = np.linspace(0.0, 0.7, NUM)
  out = floats(rise(half, STEPS, 0.0, 1.0))
  assert not out['censored']
  assert np.isfinite(out['half'])
  assert out['ninetieth'] == out['width'] == np.inf
  none = floats(rise(half, STEPS, 0.0, 2.0))
  assert none['censored']
  assert none['half'] == none['width'] == np.inf
  assert (none['before'], none['after']) == (STEPS[-1], np.inf)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=NUM, max_size=NUM))
def test_plateaus_equal_brute_force(values):
  out = plateaus(jnp.asarray(values, jnp.float32), STEPS, 1.0)
  mask, longest = np.zeros(NUM, bool), (-1.0, None)
  for i in range(NUM):
    for j in range(i + 2, NUM):
      part = values[i : j + 1]
      if max(part) - min(part) <= 1:
        mask[i : j + 1] = True
        span = np.log1p(STEPS[j]) - np.log1p(STEPS[i])
        longest = max(longest, (span, (i, j)), key=lambda x: x[0])
  np.testing.assert_array_equal(out['mask'], mask)
  assert bool(out['found']) == (longest[1] is not None)
  if longest[1] is None:
    assert floats(out)['start'] == floats(out)['end'] == np.inf
    return
  start, end = float(out['start']), float(out['end'])
  np.testing.assert_allclose(np.log1p(end) - np.log1p(start), longest[0], 1e-5)
  i, j = STEPS.tolist().index(start), STEPS.tolist().index(end)
  assert np.ptp(values[i : j + 1]) <= 1
  np.testing.assert_allclose(out['level'], np.mean(values[i : j + 1]), 1e-5)


def test_return_after_the_minimum():
  curve = np.array([2.0, 0.5, 0.25, 0.25, 0.75, 1.0])
  out = floats(transitions.rise_after_minimum(curve, STEPS[:6]))
  assert out == {'ratio': 4.0, 'minimum': 0.25, 'step': STEPS[2]}
  falling = curve[::-1].copy()
  falling[:] = np.sort(curve)[::-1]
  gone = floats(transitions.rise_after_minimum(falling, STEPS[:6]))
  assert gone['ratio'] == 1.0
