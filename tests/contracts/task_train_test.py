"""Every task trains: five steps of a tiny network, and nothing turns NaN."""

import jax
import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.models import base as models
from jaxsynth.tasks import base


def tiny_model(spec) -> dict:
  """The config of a tiny model that reads this kind of task."""
  length = max([x.shape[0] for x in jax.tree.leaves(spec.inputs) if x.shape])
  configs = (
    {
      'name': 'transformer', 'num_layers': 1, 'd_model': 8, 'num_heads': 1,
      'max_len': length,
    },
    {'name': 'mlp', 'widths': (8,)},
  )  # fmt: skip
  for config in configs:
    fields = {k: v for k, v in config.items() if k != 'name'}
    try:
      models.check(models.get(config['name'])(**fields), spec)
    except UserError:
      continue
    return config
  raise AssertionError('no model here reads this task')


@pytest.mark.parametrize('name', base.names())
def test_five_steps_without_nan(name, tmp_path):
  spec = base.get(name)().spec
  setup = build.build({
    'task': {'name': name},
    'model': tiny_model(spec),
    'train': {
      'steps': 5, 'batch_size': 2, 'snapshots': (0, 5), 'evals': (),
      'loss': 'mse' if spec.vocab_size is None else 'cross_entropy',
    },
  })  # fmt: skip
  traj = stage.train(setup, tmp_path / 'run', quiet=True)
  for metric, values in traj.metrics.items():
    assert np.isfinite(values).all(), metric
  for leaf in traj.leaves:
    values = traj.leaf(leaf)[:]
    assert np.isfinite(values).all(), leaf
  moved = [
    not np.array_equal(traj.leaf(n)[:, 0], traj.leaf(n)[:, 1])
    for n in traj.leaves
  ]
  assert any(moved)
