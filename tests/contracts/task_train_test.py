"""Every task trains: five steps of a tiny network, and nothing turns NaN."""

import jax
import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.models import base as models
from jaxsynth.tasks import base


def reads(name, spec):
  try:
    models.check(models.get(name)(), spec)
  except UserError:
    return False
  return True


def tiny_model(spec):
  """A tiny transformer where inputs have a length, or else what reads them."""
  shapes = [x.shape for x in jax.tree.leaves(spec.inputs)]
  if len(shapes[0]) == 1 and spec.vocab_size is None:
    return {'name': next(n for n in models.names() if reads(n, spec))}
  length = max(shape[0] for shape in shapes if shape)
  return {
    'name': 'transformer', 'num_layers': 1, 'd_model': 8, 'num_heads': 1,
    'max_len': length,
  }  # fmt: skip


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
