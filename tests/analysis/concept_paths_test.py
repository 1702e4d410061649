"""Paths through concept space, against scipy and by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxsynth.analysis import concept_paths

RNG = np.random.default_rng(0)


@pytest.mark.parametrize('deviation', [1.5, 2.0])
def test_smoothing_is_that_of_scipy(deviation):
  curve = RNG.random((20, 2))
  expected = ndimage.gaussian_filter1d(curve, deviation, axis=0)
  got = concept_paths.smoothed(jnp.asarray(curve), deviation)
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  np.testing.assert_array_equal(concept_paths.smoothed(curve, 0), curve)


def test_learning_times_are_those_of_an_erosion():
  """The published way: erode what exceeds the level, take the first left."""
  steps = np.arange(30) ** 2
  found = 0
  for _ in range(200):
    curve = RNG.random(30) ** 0.3
    kept = ndimage.binary_erosion(curve > 0.6, np.ones(3))
    got = concept_paths.learned(
      jnp.asarray(curve), jnp.asarray(steps, float), 0.6
    )
    assert bool(got['found']) == kept.any()
    first = steps[kept.argmax()] if kept.any() else steps[-1]
    assert float(got['at']) == first
    found += kept.any()
  assert found > 20


def test_one_good_snapshot_is_not_learning():
  steps = jnp.arange(6.0)
  lone = jnp.asarray([0.0, 1, 1, 0, 1, 0])
  got = concept_paths.learned(lone, steps, 0.9)
  assert not got['found']
  assert got['at'] == 5


def test_departure_and_turn_by_hand():
  path = jnp.asarray([[0.25, 0.25], [0.6, 0.2], [1.0, 0.0], [1.0, 1.0]])
  got = concept_paths.departure(path)
  np.testing.assert_allclose(got['farthest'], -1 / np.sqrt(2), rtol=1e-6)
  assert got['index'] == 2
  cosine = -0.25 / np.hypot(0.75, 0.25)
  np.testing.assert_allclose(
    got['turn'], np.degrees(np.arccos(cosine)), rtol=1e-5
  )
  mirrored = concept_paths.departure(path[:, ::-1])
  np.testing.assert_allclose(mirrored['farthest'], -got['farthest'])
  np.testing.assert_allclose(mirrored['turn'], got['turn'], rtol=1e-6)


def test_a_straight_path_neither_leaves_nor_turns():
  path = jnp.linspace(0.3, 1.0, 8)[:, None] * jnp.ones(2)
  got = concept_paths.departure(path)
  assert abs(got['farthest']) < 1e-6
  assert got['turn'] == 0
