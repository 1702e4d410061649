"""The moments, dimensions and separability of the published clusters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.tasks.concept_geometry_sae import PROCESSES, ConceptGeometry

KEY = jax.random.key(0)


def drawn(process, count=2000, **options):
  task = ConceptGeometry(process=process, eval_size=count, **options)
  concepts = task.init(KEY)
  held = jax.jit(task.evals)(concepts, KEY)['held_out']
  return task, concepts, held


@pytest.mark.parametrize('process', PROCESSES)
def test_points_are_standardised(process):
  task, concepts, held = drawn(process)
  x = np.asarray(held.inputs, np.float64)
  power = np.square(x).sum(1).mean()
  np.testing.assert_allclose(power, task.dim, rtol=0.02)
  # The standard error of a mean over N points is sqrt(variance / N).
  errors = np.abs(x.mean(0)) / (x.std(0) / np.sqrt(len(x)) + 1e-12)
  assert errors.max() < 5
  np.testing.assert_allclose(concepts.centres.mean(0), 0, atol=1e-6)


@pytest.mark.parametrize('process', PROCESSES)
def test_concepts_have_their_dimension_and_equal_variance(process):
  task, _, held = drawn(process)
  x = np.asarray(held.inputs, np.float64)
  concept = np.asarray(held.info['concept'])
  totals = []
  for c, dims in enumerate(task.dims):
    cloud = x[concept == c] - x[concept == c].mean(0)
    values = np.linalg.eigvalsh(cloud.T @ cloud / len(cloud))[::-1]
    assert (values[:dims] > 0.1 * values[0]).all()
    assert (values[dims:] < 1e-9).all()
    totals.append(values.sum())
  np.testing.assert_allclose(totals, np.mean(totals), rtol=0.06)


def test_variance_and_geometry_are_the_published_ones():
  """In units in which the outer radius is 3/2."""
  _, concepts, _ = drawn('separability')
  radii = np.linalg.norm(concepts.centres, axis=1)
  np.testing.assert_allclose(radii[1::2] / radii[::2], 1 / 3, rtol=1e-5)
  raw = 1.5 / radii[0]
  np.testing.assert_allclose(
    raw * concepts.deviations, np.sqrt(0.022097), rtol=1e-4
  )
  directions = concepts.centres / radii[:, None]
  turn = 2j * np.pi * np.arange(6) / 6
  expected = np.stack([np.exp(turn).real, np.exp(turn).imag], 1)
  np.testing.assert_allclose(directions, expected, atol=1e-6)
  _, concepts, _ = drawn('heterogeneity')
  spread = np.square(concepts.centres).sum(1).mean()
  within = np.square(concepts.deviations).sum(1)
  # Expected: 128 axes of variance SIDE^2 / 12, less 1 / 5 for the mean.
  expected = 128 * 0.046875**2 / 12 * 0.8
  np.testing.assert_allclose(spread / within, expected / 0.02, rtol=0.15)
  np.testing.assert_allclose(within, within[0], rtol=1e-5)


def test_no_line_separates_an_inner_concept_but_distance_does():
  """Of the centres: an inner one lies in the hull of the outer ones."""
  task, concepts, held = drawn('separability')
  inner = np.asarray(concepts.centres[1::2], np.float64)
  outer = np.asarray(concepts.centres[::2], np.float64)
  weights = np.linalg.solve(np.vstack([outer.T, np.ones(3)]),
                            np.vstack([inner.T, np.ones(3)]))  # fmt: skip
  assert weights.min() > 0
  known = task.posterior(concepts, held.inputs)
  right = known.argmax(-1) == held.info['concept']
  assert right.mean() > 0.98
  np.testing.assert_allclose(known.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize('process', PROCESSES)
def test_knowing_the_concept_leaves_the_variance_within(process):
  task, concepts, held = drawn(process)
  known = task.reference(concepts, held)
  error = lambda r: float(jnp.square(held.inputs - known[r]).sum(-1).mean())
  within = float(jnp.square(concepts.deviations).sum(-1).mean())
  assert error('concept_mean') == pytest.approx(within, rel=0.06)
  assert error('mean') == pytest.approx(task.dim, rel=0.02)


def test_hyperparameters_change_what_they_name():
  task = ConceptGeometry()
  tight, usual = task.init(KEY, variance=1e-4), task.init(KEY)
  assert tight.deviations.max() < 0.2 * usual.deviations.max()
  wide = task.init(KEY, spread=10.0)
  assert wide.deviations.max() < 0.2 * usual.deviations.max()


@pytest.mark.parametrize(
  'options',
  [{'process': 'seperability'}, {'intrinsic': (4, 2)}, {'eval_size': 0},
   {'intrinsic': (2, 200)}, {'intrinsic': ()}],
)  # fmt: skip
def test_impossible_options_are_refused(options):
  with pytest.raises(UserError):
    ConceptGeometry(**options)
  with pytest.raises(UserError, match='variance'):
    ConceptGeometry().check(variance=0.0)
