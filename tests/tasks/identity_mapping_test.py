"""The clusters of the identity mapping: moments, rotation, compositions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.tasks.identity_mapping import IdentityMapping

KEY = jax.random.key(3)
FOUR = IdentityMapping(
  dim=6, means=(1.0, 2.0, 3.0), deviations=(0.5, 0.1, 0.0), samples=2000
)


@pytest.mark.parametrize('samples', [0, 20_000])
def test_second_moments_are_the_stated_ones(samples):
  """E z z^T = diag(a): sampled, within five standard errors."""
  task = IdentityMapping(
    dim=5, means=(1.0, 2.0), deviations=(0.8, 0.3), samples=samples
  )
  world = task.init(KEY)
  a = [0.8**2 + 1 / 2, 0.3**2 + 4 / 2, 0, 0, 0]
  np.testing.assert_allclose(world.moments, a, rtol=1e-6)
  z = task.sample(world, KEY, 0, 40_000).inputs @ world.basis
  np.testing.assert_allclose(z.T @ z / len(z), np.diag(a), atol=0.06)
  np.testing.assert_allclose(z[:, 2:], 0, atol=1e-5)


def test_each_concept_has_its_cluster_and_no_other():
  world = FOUR.init(KEY)
  batch = FOUR.sample(world, KEY, 0, 4000)
  np.testing.assert_array_equal(batch.inputs, batch.targets)
  z = np.asarray(batch.inputs @ world.basis)
  for p, (mean, sigma) in enumerate(zip(FOUR.means, FOUR.deviations)):
    own = z[np.asarray(batch.info['concept']) == p]
    assert 1200 < len(own) < 1500
    centre = np.zeros(6)
    centre[p] = mean
    np.testing.assert_allclose(own.mean(0), centre, atol=0.06)
    np.testing.assert_allclose(
      own.std(0), [0.5, 0.1, 0, 0, 0, 0], atol=0.03
    )  # Sigma is common to all clusters
    assert sigma == FOUR.deviations[p]


def test_rotation_is_orthogonal_and_all_it_changes():
  plain = IdentityMapping(dim=4, rotate=False)
  turned = IdentityMapping(dim=4, rotate=True)
  here, there = plain.init(KEY), turned.init(KEY)
  np.testing.assert_array_equal(here.basis, np.eye(4))
  basis = there.basis
  np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-6)
  assert abs(basis - np.eye(4)).max() > 0.1
  for old, new in (
    (here.points, there.points),
    (here.centroids, there.centroids),
    (plain.compositions(here), turned.compositions(there)),
  ):
    np.testing.assert_allclose(old @ basis.T, new, atol=1e-5)


def test_compositions_are_the_sums_of_centroids():
  world = FOUR.init(KEY)
  points, codes = np.asarray(FOUR.compositions(world)), FOUR.codes
  assert codes.shape == (8, 3)
  assert len({tuple(c) for c in codes.tolist()}) == 8
  assert not codes[0].any()
  assert codes[-1].all()
  z = points @ np.asarray(world.basis)
  expected = np.pad(codes * np.array(FOUR.means), ((0, 0), (0, 3)))
  np.testing.assert_allclose(z, expected, atol=1e-5)


def test_a_finite_data_set_is_what_batches_are_drawn_from():
  task = IdentityMapping(samples=16)
  world = task.init(KEY)
  rows = {tuple(r) for r in np.asarray(world.points).tolist()}
  assert len(rows) == 32
  batch = np.asarray(task.sample(world, KEY, 0, 256).inputs).tolist()
  assert {tuple(r) for r in batch} == rows
  held_out = task.evals(world, KEY)['in_distribution'].inputs
  assert not rows & {tuple(r) for r in np.asarray(held_out).tolist()}


def test_composed_points_lie_around_the_composition():
  task = IdentityMapping(eval_size=4000, deviations=(0.3, 0.1))
  world = task.init(KEY)
  z = task.evals(world, KEY)['composed'].inputs @ world.basis
  np.testing.assert_allclose(z.mean(0), [1, 2, *[0] * 6], atol=0.03)
  np.testing.assert_allclose(z.std(0), [0.3, 0.1, *[0] * 6], atol=0.01)


def test_points_near_the_composition_weigh_nothing():
  task = IdentityMapping(dim=2, deviations=(1.0, 1.0), samples=0, exclusion=0.5)
  world = task.init(KEY)
  batch = task.sample(world, KEY, 0, 5000)
  apart = np.linalg.norm(batch.inputs - world.centroids.sum(0), axis=1)
  np.testing.assert_array_equal(batch.weights, apart >= 0.5)
  assert 0 < (apart < 0.5).mean() < 0.2
  control = IdentityMapping(dim=2, deviations=(1.0, 1.0), samples=0)
  assert control.sample(world, KEY, 0, 5000).weights.all()


def test_references_are_the_truth_and_the_nearest_cluster():
  world = FOUR.init(KEY)
  points = world.centroids + 0.1 * jax.random.normal(KEY, (3, 6))
  batch = FOUR.sample(world, KEY, 0, 3)._replace(inputs=points)
  out = FOUR.reference(world, batch)
  np.testing.assert_array_equal(out['identity'], points)
  np.testing.assert_allclose(out['nearest_centroid'], world.centroids)


def test_swept_values_replace_those_of_the_first_concept():
  task = IdentityMapping(dim=3)
  traced = jax.jit(task.init)(KEY, first_mean=3, first_deviation=1.6)
  fixed = IdentityMapping(dim=3, means=(3.0, 2.0), deviations=(1.6, 0.05)).init(
    KEY
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), traced, fixed
  )


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'means': 1.0}, 'means is a tuple'),
    ({'means': (1.0, -2.0)}, 'a mean must be positive'),
    ({'means': (1.0,)}, '2 deviations for 1 means'),
    ({'dim': 1}, 'means must be 1 to 1'),
    ({'deviations': (0.1, -0.1)}, 'a deviation must be >= 0'),
    ({'samples': -1}, 'samples must be at least 0'),
    ({'eval_size': 0}, 'eval_size must be at least 1'),
  ],
)
def test_mistakes_are_refused(fields, message):
  with pytest.raises(UserError, match=message):
    IdentityMapping(**fields)


def test_impossible_swept_values_are_refused():
  with pytest.raises(UserError, match='a mean must be positive'):
    IdentityMapping().init(KEY, first_mean=0.0)
  with pytest.raises(UserError, match='a deviation must be'):
    IdentityMapping().check(first_deviation=jnp.inf)
