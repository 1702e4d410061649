"""Planted transitions are found where they are; curves without, left alone.

The margin was calibrated on seeds of 1000 and above; these tests use others.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.analysis import detection, null_curves
from jaxsynth.errors import UserError

NUM = 25
STEPS = jnp.asarray(np.geomspace(1, 1e4, NUM), jnp.float32)
LOG = np.log1p(STEPS)
MANY = 400
many = jax.jit(jax.vmap(detection.detect, (0, None)))


def detect(curves, steps=STEPS):
  """Detects in up to MANY curves [S, K] with one compile."""
  curves = np.asarray(curves, np.float32)
  padded = np.resize(curves, (MANY, curves.shape[1]))
  return {
    n: np.asarray(v)[: len(curves)] for n, v in many(padded, steps).items()
  }


def ramps(places, width):
  """Logistic in log(1 + step), from 10 to 90 % within `width`: [S, K]."""
  rate = 2 * np.log(9) / width
  return 1 / (1 + np.exp(-rate * (LOG - np.asarray(places)[:, None])))


@pytest.mark.parametrize('family', null_curves.FAMILIES)
def test_false_positives_are_at_most_five_per_cent(family):
  out = null_curves.false_positive_rate(jax.random.key(7), STEPS, family, MANY)
  assert float(out['rate']) <= 0.05
  np.testing.assert_allclose(
    out['rate'], (np.asarray(out['evidence']) > detection.MARGIN).mean()
  )


def test_a_noiseless_step_is_found_between_its_snapshots():
  places = np.arange(2, NUM - 2)
  curves = 3.0 + 2.0 * (np.arange(NUM) >= places[:, None])
  out = detect(np.concatenate([curves, -curves]))
  assert out['detected'].all()
  steps = np.asarray(STEPS)
  np.testing.assert_array_equal(out['before'], np.tile(steps[places - 1], 2))
  np.testing.assert_array_equal(out['after'], np.tile(steps[places], 2))
  np.testing.assert_allclose(
    out['change'], np.repeat([2.0, -2.0], len(places)), rtol=1e-4
  )
  assert (out['before'] < out['half']).all()
  assert (out['half'] < out['after']).all()


def test_noisy_transitions_are_found_where_they_are():
  rng = np.random.default_rng(0)
  places = rng.uniform(LOG[5], LOG[-6], MANY)
  noise = 0.1 * rng.normal(size=(MANY, NUM))
  out = detect(ramps(places, 0.4) + noise)
  assert out['detected'].mean() > 0.95
  found = out['detected']
  error = np.log1p(out['half'][found]) - places[found]
  assert np.abs(error).max() < 3 * (LOG[-1] - LOG[0]) / NUM
  np.testing.assert_allclose(out['change'][found], 1.0, atol=0.35)


def test_a_transition_on_a_drifting_curve_is_found():
  rng = np.random.default_rng(1)
  places = rng.uniform(LOG[5], LOG[-6], MANY)
  noise = 0.1 * rng.normal(size=(MANY, NUM))
  out = detect(ramps(places, 0.4) + 0.1 * LOG + noise)
  assert out['detected'].mean() > 0.9


def test_width_separates_sharp_from_gradual():
  """The shape of an exponential relaxation is no transition, half of it is."""
  places = np.linspace(LOG[5], LOG[-6], 20)
  relaxation = 1 - np.exp(-np.asarray(STEPS) / np.expm1(places)[:, None])
  out = detect(np.concatenate([ramps(places, 1.5), relaxation]))
  assert out['detected'][:20].all()
  assert not out['detected'][20:].any()
  ratio = out['width'][:20] / np.expm1(places)
  # sinh of half the width, twice, over the middle.
  np.testing.assert_allclose(ratio, 2 * np.sinh(0.75), rtol=0.2)


def test_what_is_not_found_is_censored():
  out = detect(np.stack([np.full(NUM, 2.0), np.full(NUM, np.nan)]))
  assert not out['detected'].any()
  assert (out['evidence'] == -np.inf).all()
  assert (out['before'] == STEPS[-1]).all()
  for name in ('after', 'half', 'width'):
    assert (out[name] == np.inf).all()
  assert (out['change'] == 0).all()


def test_scale_and_offset_change_nothing():
  rng = np.random.default_rng(2)
  curve = ramps([5.0], 0.4) + 0.1 * rng.normal(size=(1, NUM))
  out = detect(np.concatenate([curve, 1e3 * curve - 40.0]))
  np.testing.assert_allclose(out['evidence'][0], out['evidence'][1], rtol=1e-3)
  ratio = out['change'][1] / out['change'][0]
  np.testing.assert_allclose(ratio, 1e3, rtol=1e-3)


def test_a_change_within_the_known_noise_is_no_evidence():
  noise = 0.1 * np.random.default_rng(3).normal(size=NUM)
  curve = jnp.asarray(ramps([5.0], 0.4)[0] + noise, jnp.float32)
  known = jax.jit(jax.vmap(detection.detect, (None, None, 0)))
  out = known(curve, STEPS, jnp.asarray([0.0, 0.01, 0.1, 1.0]))
  assert out['detected'].tolist() == [True, True, True, False]
  # Noise that is certainly there alters nothing.
  np.testing.assert_array_equal(out['evidence'][0], out['evidence'][1])


def test_too_short_a_curve_is_refused():
  with pytest.raises(UserError, match='needs 12 snapshots, got 11'):
    detection.detect(jnp.ones(11), jnp.arange(11))


def test_null_families_are_what_they_say():
  draw = jax.jit(jax.vmap(null_curves.draw, (0, None, None)), static_argnums=2)
  keys = jax.random.split(jax.random.key(0), 4000)
  for family, memory in [('white', 0), ('ar_half', 0.5), ('ar_strong', 0.9)]:
    y = np.asarray(draw(keys, STEPS, family))
    variance = 1 / (1 - memory**2)
    np.testing.assert_allclose(y.var(0), variance, rtol=0.12)
    lagged = (y[:, 1:] * y[:, :-1]).mean(0) / variance
    np.testing.assert_allclose(lagged, memory, atol=0.08)
  walk = np.asarray(draw(keys, STEPS, 'walk'))
  np.testing.assert_allclose(walk.var(0), np.arange(1, NUM + 1), rtol=0.12)
  with pytest.raises(UserError, match="did you mean 'walk'"):
    null_curves.draw(keys[0], STEPS, 'wlak')


def test_a_walk_on_a_short_record_is_the_hardest_null():
  """Two decades of steps: a ramp fills a third of the record. 3.7 % of 4000."""
  steps = jnp.asarray(np.geomspace(10, 1000, 20), jnp.float32)
  out = null_curves.false_positive_rate(
    jax.random.key(8), steps, 'walk', 4 * MANY
  )
  assert 0.01 < float(out['rate']) <= 0.05
