"""Evaluation in parts against the plain mean over each set."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.train.evaluation import measure
from jaxsynth.types import Batch


def batch(seed, count, width=3, **info):
  rng = np.random.default_rng(seed)
  x = jnp.asarray(rng.normal(size=(count, width)), jnp.float32)
  weights = jnp.asarray(rng.integers(0, 3, (count, width)), jnp.float32)
  return Batch(x, 2 * x, weights, {k: jnp.arange(count) for k in info})


def loss(batch):
  mean = lambda v: (
    (v * batch.weights).sum() / jnp.maximum(batch.weights.sum(), 1)
  )
  return mean(batch.inputs**2), {'above': mean(batch.inputs > 0)}


@pytest.mark.parametrize('rows', [None, 1, 4, 5, 100])
def test_every_set_has_its_own_weighted_mean(rows):
  """Sizes that the parts divide and do not; one set of another shape."""
  sets = {
    'a': batch(0, 10),
    'b': batch(1, 7),
    'c': batch(2, 4, width=2),
    'd': batch(3, 10, extra=True),
  }
  got = measure(loss, sets, rows)
  assert set(got) == {f'{s}/{k}' for s in sets for k in ('loss', 'above')}
  for name, one in sets.items():
    x, w = np.asarray(one.inputs), np.asarray(one.weights)
    mean = lambda v, w=w: (v * w).sum() / w.sum()
    np.testing.assert_allclose(got[f'{name}/loss'], mean(x**2), rtol=1e-5)
    np.testing.assert_allclose(got[f'{name}/above'], mean(x > 0), rtol=1e-5)


def test_info_reaches_the_loss_where_all_sets_of_a_shape_have_it():
  seen = []

  def spy(batch):
    seen.append(sorted(batch.info))
    return loss(batch)

  measure(spy, {'a': batch(0, 4, n=1, only=1), 'b': batch(1, 4, n=1)}, 2)
  assert all(names == ['n'] for names in seen)
  measure(spy, {'a': batch(0, 4, n=1, only=1)}, 2)
  assert seen[-1] == ['n', 'only']


def test_a_set_without_weight_is_zero_not_nan():
  empty = batch(0, 5)
  empty = empty._replace(weights=jnp.zeros_like(empty.weights))
  assert measure(loss, {'a': empty}, 2)['a/loss'] == 0
