"""Measures of codes against scikit-learn, hand counts and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import f1_score

from jaxsynth.analysis import codes, receptive_fields


def made(seed=0, n=60, latents=8, count=4):
  rng = np.random.default_rng(seed)
  z = np.maximum(rng.standard_normal((n, latents)), 0)
  z[:, 0] = 0  # a latent that is never active
  concept = rng.integers(0, count, n)
  return jnp.asarray(z, jnp.float32), jnp.asarray(concept), count


def test_f1_equals_scikit_learn():
  z, concept, count = made()
  ours = codes.f1(z, concept, count)
  for c in range(count):
    for i in range(z.shape[1]):
      theirs = f1_score(concept == c, z[:, i] > 1e-6, zero_division=0)
      assert float(ours[c, i]) == pytest.approx(theirs, abs=1e-6)
  best = np.sort(ours, -1)[:, -3:].mean(-1)
  ours = codes.best_f1(z, concept, count, 3)
  np.testing.assert_allclose(ours, best, rtol=1e-6)


def test_codes_below_the_threshold_are_not_active():
  z = jnp.asarray([[1e-7, 1e-5], [0.0, 2.0]])
  np.testing.assert_array_equal(codes.l0(z, jnp.asarray([0, 0]), 1), [1])


def test_l0_and_error_by_concept_by_hand():
  z = jnp.asarray([[1.0, 2, 0], [3, 0, 0], [1, 1, 1]])
  concept = jnp.asarray([0, 0, 2])
  np.testing.assert_allclose(codes.l0(z, concept, 3), [1.5, 0, 3])
  x, labels = jnp.asarray([[1.0, 0], [3, 0], [0, 5]]), jnp.asarray([0, 0, 1])
  off = jnp.asarray([[1.0, 1], [3, 0], [0, 5]])
  # Concept 0 has squares 1 + 1 about its centre (2, 0), and one error of 1.
  np.testing.assert_allclose(codes.nmse(x, off, labels, 2), [0.5, 0])
  centres = jnp.asarray([[2.0, 0], [2, 0], [0, 5]])
  np.testing.assert_allclose(codes.nmse(x, centres, labels, 2), [1, 0])


def test_participation_counts_equal_axes():
  """n / (1 + n / N) for N Gaussian points, to leading order."""
  rng = np.random.default_rng(0)
  dims, count = (3, 10), 4000
  x = np.zeros((2, count, 12))
  for c, n in enumerate(dims):
    x[c, :, :n] = rng.standard_normal((count, n)) + 5 * c
  concept = jnp.repeat(jnp.arange(2), count)
  got = codes.participation(jnp.asarray(x.reshape(-1, 12)), concept, 2)
  np.testing.assert_allclose(
    got, [n / (1 + n / count) for n in dims], rtol=0.01
  )


def test_groups_without_overlap_have_their_rank_and_do_not_cross():
  concept = jnp.repeat(jnp.arange(3), 5)
  own = jax.nn.one_hot(concept, 3)
  pairs = jnp.repeat(own, 2, axis=1) * 0.7  # two latents for each concept
  assert float(codes.stable_rank(pairs)) == pytest.approx(3, rel=1e-5)
  assert float(codes.crossing(pairs, concept, 3)) == 0
  everywhere = jnp.ones((15, 6))
  assert float(codes.stable_rank(everywhere)) == pytest.approx(1, rel=1e-5)


def test_crossing_is_the_share_of_cosines_between_concepts():
  z = jnp.asarray([[1.0, 1, 0], [0, 0, 1], [0, 1, 1]])
  concept = jnp.asarray([0, 1, 1])
  # Homes: latent 0 concept 0; latent 1 a tie, so the first; latent 2 concept 1.
  within, between = 1 / np.sqrt(2), 1 / 2
  expected = between / (within + between)
  assert float(codes.crossing(z, concept, 2)) == pytest.approx(expected)


def test_a_disc_is_local_and_a_half_plane_is_not():
  line = jnp.linspace(-2, 2, 41)
  x, y = jnp.meshgrid(line, line)
  disc = (x**2 + y**2 < 1).astype(jnp.float32)
  half = (x > 1).astype(jnp.float32)
  fields = jnp.stack([disc, half, jnp.zeros_like(disc)], -1)
  found = receptive_fields.extent(fields)
  np.testing.assert_array_equal(found['local'], [1, 0, 0])
  area = [np.pi / 16, 0.25, 0]
  np.testing.assert_allclose(found['area'], area, atol=0.02)
  assert float(receptive_fields.local_share(fields)) == 0.5
