"""Shattering: scipy's distances, and what must not change it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance

from jaxsynth.analysis import shattering as lib

POINTS = jax.random.normal(jax.random.key(0), (9, 4))
MOVED = POINTS + 0.3 * jax.random.normal(jax.random.key(1), (9, 4))


def test_distances_are_those_of_scipy():
  expected = scipy.spatial.distance.cdist(POINTS, POINTS)
  np.testing.assert_allclose(lib.distances(POINTS), expected, atol=1e-5)


def test_shattering_is_the_relative_change_of_them():
  old, new = map(scipy.spatial.distance.pdist, (POINTS, MOVED))
  expected = np.linalg.norm(new - old) / np.linalg.norm(old)
  assert float(lib.shattering(POINTS, MOVED)) == pytest.approx(expected, 1e-5)


def test_a_motion_of_all_points_shatters_nothing():
  turn = jnp.linalg.qr(jax.random.normal(jax.random.key(2), (4, 4)))[0]
  assert float(lib.shattering(POINTS, POINTS @ turn + 3)) < 1e-5
  assert float(lib.shattering(POINTS, 2.5 * POINTS)) == pytest.approx(1.5, 1e-5)
  scaled = lib.shattering(3 * POINTS, 3 * MOVED)
  np.testing.assert_allclose(scaled, lib.shattering(POINTS, MOVED), rtol=1e-5)
