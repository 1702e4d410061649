"""Turns of closed curves: circles, sums of circles, points in no order."""

import jax
import numpy as np
import pytest

from jaxsynth.analysis.windings import windings


def circle(turns, count):
  angle = 2 * np.pi * turns * np.arange(count) / count
  return np.stack([np.cos(angle), np.sin(angle)], 1)


@pytest.mark.parametrize('turns', [1, 3, 6])
def test_a_circle_has_its_turns(turns):
  expected = np.eye(6)[turns - 1]
  np.testing.assert_allclose(windings(circle(turns, 12)), expected, atol=1e-6)


@pytest.mark.parametrize('count', [12, 13])
def test_shares_are_of_the_variance(count):
  """Radii 1 and 2 have variances 1 and 4; a shift has none."""
  points = np.concatenate([circle(1, count), 2 * circle(3, count) + 5], 1)
  expected = np.zeros(6)
  expected[[0, 2]] = 0.2, 0.8
  np.testing.assert_allclose(windings(points), expected, atol=1e-5)


def test_half_as_many_turns_as_points_are_there_and_back():
  """At N / 2 turns a circle is a segment; both have variance one here."""
  segment = np.tile([[1.0], [-1.0]], (6, 1))
  points = np.concatenate([circle(1, 12), segment], 1)
  expected = np.zeros(6)
  expected[[0, 5]] = 0.5
  np.testing.assert_allclose(windings(points), expected, atol=1e-5)


def test_points_in_no_order_have_all_turns_alike():
  points = jax.random.normal(jax.random.key(0), (200, 13, 40))
  np.testing.assert_allclose(windings(points).mean(0), 1 / 6, atol=0.01)
