"""Every task trains: five steps of a tiny network, and nothing turns NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.models import base as models
from jaxsynth.tasks import base


def network(spec):
  """A transformer, or where it cannot read the task the first that can."""
  length = max([x.shape[0] for x in jax.tree.leaves(spec.inputs) if x.shape])
  small = {
    'name': 'transformer', 'num_layers': 1, 'd_model': 8, 'num_heads': 1,
    'max_len': length,
  }  # fmt: skip
  for section in (small, *({'name': name} for name in models.names())):
    sizes = {k: v for k, v in section.items() if k != 'name'}
    try:
      models.check(models.get(section['name'])(**sizes), spec)
    except UserError:
      continue
    return section
  raise AssertionError('no model reads this task')


@pytest.mark.parametrize('name', base.names())
def test_five_steps_without_nan(name, tmp_path):
  spec = base.get(name)().spec
  (target,) = jax.tree.leaves(spec.targets)
  classes = jnp.issubdtype(target.dtype, jnp.integer)
  setup = build.build({
    'task': {'name': name},
    'model': network(spec),
    'train': {
      'steps': 5, 'batch_size': 2, 'snapshots': (0, 5), 'evals': (),
      'loss': 'cross_entropy' if classes else 'mse',
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
