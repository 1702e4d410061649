"""What is recorded of updates is what the parameters then show."""

import jax
import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.train import watch

STEPS = 6


def config(**train):
  return {
    'task': {'name': 'linear_teacher', 'num_points': 16, 'eval_size': 8},
    'model': {'name': 'normalised_mlp', 'd_model': 8},
    'optimizer': {
      'name': 'adamw', 'peak_lr': 0.03, 'weight_decay': 0.2,
      'schedule': 'linear', 'decay_steps': 12,
    },
    'train': {
      'steps': STEPS, 'batch_size': 8, 'snapshots': 'every:1', 'evals': (),
      **train,
    },
    'sweep': {'traced': {'optimizer': {'weight_decay': (0.0, 0.2)}}},
  }  # fmt: skip


def test_watched_numbers_are_those_of_the_snapshots(tmp_path):
  setup = build.build(config(watch=('update_max', 'norms')))
  traj = stage.train(setup, tmp_path / 'run', quiet=True)
  metrics = traj.metrics
  for run, decay in enumerate((0.0, 0.2)):
    largest = np.zeros(STEPS)
    for name in ('hidden_0', 'out'):
      path = np.asarray(traj.leaf(f'{name}.kernel')[run], np.float64)
      rate = 0.03 * (1 - np.arange(STEPS) / 12)[:, None, None]
      u = -np.diff(path, axis=0) / rate - decay * path[:-1]
      largest = np.maximum(largest, abs(u).max((1, 2)))
      for key, expected in (
        ('weight', np.sqrt((path[:-1] ** 2).sum((1, 2)))),
        ('update', np.sqrt((u**2).sum((1, 2)))),
        ('inner', (path[:-1] * u).sum((1, 2))),
      ):
        got = metrics[f'norms/{name}/kernel/{key}'][run]
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(metrics['update_max'][run], largest, 1e-3)


def test_nothing_is_watched_unasked_and_watching_changes_nothing(tmp_path):
  plain = stage.train(build.build(config()), tmp_path / 'a', quiet=True)
  assert not {'update_max'} & set(plain.metrics)
  full = build.build(config(watch=('update_max',)))
  watched = stage.train(full, tmp_path / 'b', quiet=True)
  for name in ('loss', 'grad_norm'):
    np.testing.assert_allclose(
      plain.metrics[name], watched.metrics[name], rtol=1e-5
    )


def test_no_learning_rate_no_direction():
  params = {'w': np.ones(2, np.float32)}
  u = watch.direction(params, {'w': np.zeros(2)}, np.float32(0), 0.1)
  np.testing.assert_array_equal(u['w'], 0)
  assert set(watch.update_max(params, u)) == {'update_max'}
  assert jax.tree.structure(u) == jax.tree.structure(params)


@pytest.mark.parametrize(
  ('value', 'says'),
  [(('update_mx',), "did you mean 'update_max'"), ('norms', 'must list names')],
)
def test_mistakes(value, says):
  with pytest.raises(UserError, match=says):
    build.build(config(watch=value))
