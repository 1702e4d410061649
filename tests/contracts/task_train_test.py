"""Every task trains: five steps of a tiny network, and nothing turns NaN."""

import jax
import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.tasks import base


@pytest.mark.parametrize('name', base.names())
def test_five_steps_without_nan(name, tmp_path):
  spec = base.get(name)().spec
  length = max([x.shape[0] for x in jax.tree.leaves(spec.inputs) if x.shape])
  setup = build.build({
    'task': {'name': name},
    'model': {
      'name': 'transformer', 'num_layers': 1, 'd_model': 8, 'num_heads': 1,
      'max_len': length,
    },
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
