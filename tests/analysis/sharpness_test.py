"""Spans, jumps and logistic fits of curves whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.analysis import sharpness as lib

STEPS = np.concatenate([[0], np.round(np.geomspace(1, 1e5, 200))])
STEPS = np.unique(STEPS).astype(np.float32)
TIME = np.log1p(STEPS)
sharpness = jax.jit(lib.sharpness)
logistic = jax.jit(lib.logistic)


def ramp(middle, width, low=0.0, high=1.0):
  """A logistic from 10 to 90 % within `width` of log(1 + step)."""
  shape = 1 / (1 + np.exp(-2 * np.log(9) / width * (TIME - middle)))
  return low + (high - low) * shape


@pytest.mark.parametrize('width', [0.3, 1.0, 4.0])
def test_span_of_a_logistic_is_its_width(width):
  out = sharpness(ramp(6.0, width), STEPS, 0.0, 1.0)
  np.testing.assert_allclose(out['span'], width, rtol=0.02)
  assert not out['censored']


def test_one_time_scale_spans_log_of_log_ten_over_log_ten_ninths():
  """t_90 / t_10 of 1 - exp(-t / s) is log 10 / log (10 / 9), whatever s."""
  exact = np.log(np.log(10) / np.log(10 / 9))
  for scale in (300.0, 3000.0):
    out = sharpness(1 - np.exp(-STEPS / scale), STEPS, 0.0, 1.0)
    np.testing.assert_allclose(out['span'], exact, atol=0.03)


def test_a_step_jumps_at_once_and_a_ramp_by_its_share():
  index = np.arange(len(STEPS))
  step = np.where(index >= 50, 3.0, -1.0)
  assert float(sharpness(step, STEPS, -1.0, 3.0)['jump']) == 1.0
  even = np.clip((index - 20) / 40, 0, 1)
  out = sharpness(even, STEPS, 0.0, 1.0)
  np.testing.assert_allclose(out['jump'], 1 / 40, rtol=1e-4)


def test_units_of_the_curve_change_nothing():
  rng = np.random.default_rng(0)
  curve = ramp(5.0, 1.0) + 0.02 * rng.normal(size=len(STEPS))
  for a, b in ((1e3, -40.0), (-0.2, 3.0)):
    one, two = (
      sharpness(curve, STEPS, 0.0, 1.0),
      sharpness(a * curve + b, STEPS, b, a + b),
    )
    for name in one:
      np.testing.assert_allclose(one[name], two[name], rtol=1e-3, atol=1e-4)
    fit, other = logistic(curve, STEPS), logistic(a * curve + b, STEPS)
    np.testing.assert_allclose(fit['half'], other['half'], rtol=2e-3)
    np.testing.assert_allclose(fit['width'], other['width'], rtol=5e-3)
    # A fall is a rise read from the other end: low stays what comes first.
    np.testing.assert_allclose(
      other['low'], a * fit['low'] + b, atol=abs(a) / 50
    )
    np.testing.assert_allclose(other['error'], abs(a) * fit['error'], rtol=1e-3)


def test_jump_is_blind_to_the_clock_and_span_to_its_unit():
  curve = ramp(8.0, 1.0)
  slow, warped = sharpness(curve, 7 * STEPS, 0, 1), STEPS**2 + STEPS
  again = sharpness(curve, warped, 0.0, 1.0)
  plain = sharpness(curve, STEPS, 0.0, 1.0)
  assert plain['jump'] == again['jump'] == slow['jump']
  np.testing.assert_allclose(slow['span'], plain['span'], rtol=0.01)
  np.testing.assert_allclose(again['span'], 2 * plain['span'], rtol=0.01)


@pytest.mark.parametrize('width', [0.3, 1.0, 4.0])
@pytest.mark.parametrize('middle', [4.0, 8.0])
def test_the_fit_recovers_a_logistic(middle, width):
  out = logistic(ramp(middle, width, 0.2, -0.7), STEPS)
  np.testing.assert_allclose(np.log1p(out['half']), middle, atol=0.01)
  np.testing.assert_allclose(out['width'], width, rtol=0.02)
  np.testing.assert_allclose(out['low'], 0.2, atol=0.01)
  np.testing.assert_allclose(out['high'], -0.7, atol=0.01)
  assert float(out['error']) < 2e-3


def test_the_fit_averages_noise_that_moves_a_crossing():
  """The first crossing comes early, the middle of the fit does not."""
  rng = np.random.default_rng(1)
  noise = 0.15 * rng.normal(size=(50, len(STEPS)))
  curves = jnp.asarray(ramp(6.0, 2.0) + noise, jnp.float32)
  fits = jax.jit(jax.vmap(lib.logistic, (0, None)))(curves, STEPS)
  np.testing.assert_allclose(np.log1p(fits['half']).mean(), 6.0, atol=0.05)
  first = np.array([STEPS[np.argmax(np.asarray(c) >= 0.5)] for c in curves])
  assert np.log1p(first).mean() < 5.7


def test_a_curve_on_its_way_is_extrapolated_and_censored():
  curve = ramp(TIME[-1], 2.0)
  out = sharpness(curve, STEPS, 0.0, 1.0)
  assert out['censored']
  assert float(out['span']) == np.inf
  fit = logistic(ramp(TIME[-1] - 0.5, 2.0), STEPS)
  np.testing.assert_allclose(fit['high'], 1.0, atol=0.05)


def test_curves_that_say_nothing():
  index = np.arange(len(STEPS))
  lost = np.where(index < 60, ramp(9.0, 1.0), np.nan)
  out = sharpness(lost, STEPS, 0.0, 1.0)
  assert np.isnan(float(out['span']))
  assert not out['censored']
  assert float(out['jump']) < 0.01  # of what there was before
  for curve in (lost, np.full(len(STEPS), 2.0)):
    assert all(np.isnan(float(x)) for x in logistic(curve, STEPS).values())
