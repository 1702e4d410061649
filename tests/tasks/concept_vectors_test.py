"""Concept vectors: their law, their conditions, the best denoisers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import diffusion
from jaxsynth.errors import UserError
from jaxsynth.tasks.concept_vectors import ConceptVectors
from jaxsynth.tasks.lib import concept_space

TASK = ConceptVectors()
KEY = jax.random.key(0)
WORLD = TASK.init(KEY, colour_signal=0.5, size_signal=0.8)


def drawn(task, world, count=4000):
  sample = jax.jit(
    lambda w: task.sample(w, jax.random.key(1), jnp.int32(0), count)
  )
  return jax.device_get(sample(world))


@pytest.fixture(scope='module')
def batch():
  return drawn(TASK, WORLD)


def test_classes_with_at_most_one_concept_are_trained():
  assert concept_space.trained(2).tolist() == [[0, 0], [0, 1], [1, 0]]
  assert len(concept_space.trained(3)) == 4
  assert len(concept_space.codes(3)) == 8
  assert (concept_space.codes(2)[-1] == 1).all()


def test_trained_classes_are_alike_and_the_held_out_one_is_never_drawn(batch):
  number = batch.info['code'] @ [2, 1]
  share = np.bincount(number.astype(int), minlength=4) / len(number)
  assert share[3] == 0
  np.testing.assert_allclose(share[:3], 1 / 3, atol=0.03)
  held = TASK.evals(WORLD, KEY)['held_out']
  assert (held.info['code'] == 1).all()


def test_points_have_the_law_that_is_written(batch):
  own = batch.info['clean'] @ np.asarray(WORLD.basis)
  told, code = batch.inputs['condition'], batch.info['code']
  signals = np.array([0.5, 0.8])
  jitter = told / signals - (code - 0.5)
  assert abs(jitter).max() <= 0.125 + 1e-6
  np.testing.assert_allclose(jitter.std(0), 0.125 / np.sqrt(3), rtol=0.05)
  off = np.concatenate([own[:, :2] - told, own[:, 2:]], 1)
  spread = np.array([0.05] * 2 + [0.5] * 8)
  np.testing.assert_allclose(off.std(0), spread, rtol=0.05)
  np.testing.assert_allclose(off.mean(0), 0, atol=0.03)


def test_the_basis_is_a_rotation_that_nothing_else_sees():
  np.testing.assert_allclose(WORLD.basis @ WORLD.basis.T, np.eye(10), atol=1e-5)
  other = WORLD._replace(basis=jnp.eye(10))
  turned, plain = drawn(TASK, WORLD, 64), drawn(TASK, other, 64)
  np.testing.assert_allclose(
    turned.info['clean'] @ np.asarray(WORLD.basis),
    plain.info['clean'],
    atol=1e-5,
  )
  for key in ('gamma', 'condition'):
    np.testing.assert_array_equal(turned.inputs[key], plain.inputs[key])


def test_a_condition_is_the_mean_of_its_class_and_can_be_pushed():
  told = TASK.condition(WORLD, jnp.asarray([0.0, 1.0]))
  np.testing.assert_allclose(told, [-0.25, 0.4])
  pushed = TASK.condition(WORLD, jnp.ones(2), jnp.asarray([3.0, 1.0]))
  np.testing.assert_allclose(pushed, [0.75, 0.4])


def test_points_are_read_as_what_they_are(batch):
  read = TASK.read(WORLD, batch.info['clean'])
  assert (read == batch.info['code']).all(1).mean() > 0.995
  every = jnp.asarray(concept_space.codes(2))
  means = TASK.condition(WORLD, every) @ WORLD.basis[:, :2].T
  np.testing.assert_array_equal(TASK.read(WORLD, means), every)


@pytest.mark.parametrize('masking', [0.0, 0.3, 1.0])
def test_masking_hides_the_first_concept_of_one_class(masking):
  world = WORLD._replace(masking=jnp.float32(masking))
  batch = drawn(TASK, world)
  hidden = batch.inputs['condition'][:, 0] == 0
  own = (batch.info['code'] == [0, 1]).all(1)
  assert not hidden[~own].any()
  np.testing.assert_allclose(hidden[own].mean(), masking, atol=0.04)
  assert (batch.inputs['condition'][:, 1] != 0).all()


def test_the_conditional_reference_has_the_least_error_there_is(batch):
  """E|n - n'|^2 = v a^2 / (v a^2 + b^2), and what is left owes z nothing."""
  best = TASK.reference(WORLD, batch)['conditional']
  basis = np.asarray(WORLD.basis)
  left = (batch.targets - best) @ basis
  a, b = diffusion.scales(batch.inputs['gamma'])
  variance = np.array([0.05] * 2 + [0.5] * 8) ** 2
  power = np.outer(a**2, variance)
  np.testing.assert_allclose(
    np.square(left).mean(0), (power / (power + np.outer(b**2, 1))).mean(0),
    rtol=0.12,
  )  # fmt: skip
  z = batch.inputs['noisy'] @ basis
  assert abs((left * z).mean(0)).max() < 0.03


def test_the_linear_reference_is_least_squares():
  """At one noise level, against a regression on z without the condition.

  With much jitter, so that the spread within classes counts.
  """
  task = ConceptVectors(nuisance=1, jitter=0.45)
  world = task.init(KEY, colour_signal=1.0, size_signal=2.0)
  batch = drawn(task, world, 40_000)
  count = len(batch.targets)
  level = jnp.full(count, -1.0)
  z = diffusion.noised(batch.info['clean'], level, batch.targets)
  design = np.concatenate([z, np.ones((count, 1))], 1)
  weights, *_ = np.linalg.lstsq(design, batch.targets, rcond=None)
  one = batch._replace(inputs={**batch.inputs, 'noisy': z, 'gamma': level})
  got = task.reference(world, one)['linear']
  assert np.sqrt(np.square(got - design @ weights).mean()) < 0.025


def test_discrete_time_visits_the_steps_of_ddpm():
  task = ConceptVectors(ddpm_steps=21)
  gamma = drawn(task, WORLD).inputs['gamma']
  levels = diffusion.ddpm(21)
  assert np.isfinite(levels).all()
  np.testing.assert_allclose(np.unique(gamma), levels, rtol=1e-5)


def test_three_concepts_have_three_signals():
  task = ConceptVectors(concepts=3)
  world = task.init(KEY, shape_signal=0.3)
  np.testing.assert_allclose(world.signals, [1.0, 1.0, 0.3])
  assert task.spec.inputs['condition'].shape == (3,)
  assert drawn(task, world, 8).targets.shape == (8, 11)


@pytest.mark.parametrize(
  ('make', 'says'),
  [
    (lambda: ConceptVectors(concepts=4), '2 or 3'),
    (lambda: ConceptVectors(ddpm_steps=20), 'at least 21'),
    (lambda: ConceptVectors(spread=0.0), 'spread'),
    (lambda: ConceptVectors(jitter=0.5), 'jitter'),
    (lambda: ConceptVectors(eval_size=0), 'eval_size'),
    (lambda: TASK.check(masking=1.5), 'probability'),
    (lambda: TASK.check(size_signal=0.0), 'size_signal'),
  ],
)
def test_impossible_values_are_refused_by_name(make, says):
  with pytest.raises(UserError, match=says):
    make()
