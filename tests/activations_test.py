"""Autoencoders of activations read the network, the run and the data named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import activations, build, stage
from jaxsynth.errors import UserError

SITE = 'blocks.0.resid_post'


def config(folder, **task):
  return {
    'task': {
      'name': 'jaxsynth.activations', 'folder': str(folder), 'step': 12,
      'site': SITE, **task,
    },
    'model': {'name': 'sae', 'kind': 'topk', 'width': 16, 'k': 4},
    'optimizer': {'peak_lr': 1e-2},
    'train': {
      'loss': 'own', 'steps': 60, 'batch_size': 8, 'snapshots': (0, 60),
      'evals': (0, 60), 'call_steps': 20,
    },
    'sweep': {'seeds': 1, 'traced': {'task': {'run': (0, 3)}}},
  }  # fmt: skip


@pytest.mark.parametrize('run', [0, 3])
def test_points_are_the_activations_of_that_run(tiny, run):
  """By hand: its snapshot, its chains, its task's batch of this key."""
  setup, traj = tiny
  task = activations.Activations(str(traj.folder), 12, SITE)
  key = jax.random.key(5)
  network = jax.jit(task.init)(key, jnp.int32(run))
  batch = task.sample(network, key, jnp.int32(0), 4)
  row = traj.index['runs'][run]
  own = jax.tree.map(
    lambda x: x[0], stage.sweep.stack([setup.sweep.runs()[run]])
  )
  assert row['seeds'] == dict(setup.sweep.runs()[run].seeds)
  chains = setup.program().constants(own)['task_params']
  theirs = setup.task.sample(chains, key, jnp.int32(0), 4)
  acts = setup.model.apply(traj.params(12, run), theirs.inputs).acts
  np.testing.assert_allclose(batch.inputs, acts[SITE], atol=1e-6)
  np.testing.assert_array_equal(batch.targets, batch.inputs)
  np.testing.assert_array_equal(batch.weights, theirs.weights)
  np.testing.assert_array_equal(batch.info['chain'], theirs.info['chain'])


def test_a_sweep_over_parents_trains(tiny, tmp_path):
  """As well on each as on what it reads, and better than its mean."""
  setup = build.build(config(tiny[1].folder))
  traj = stage.train(setup, tmp_path / 'sae', quiet=True)
  assert traj.runs['task.run'].tolist() == [0, 3]
  error = traj.metrics['in_distribution/squared_error'].values
  assert (error[:, -1] < 0.5 * error[:, 0]).all()

  def fn(params, ctx):
    batch = ctx.evals['in_distribution']
    out = ctx.apply(params, batch.inputs)
    mean = setup.task.reference(None, batch)['mean']
    squares = lambda r: jnp.square(batch.inputs - r).sum()
    return {'nmse': squares(out.prediction) / squares(mean)}

  assert (traj.map(fn, quiet=True)['nmse'].isel(step=-1) < 1).all()


def test_sites_by_head_have_weights_too(tiny):
  folder = str(tiny[1].folder)
  task = activations.Activations(folder, 12, 'blocks.0.attn.z')
  network = task.init(jax.random.key(0))
  batch = task.evals(network, jax.random.key(1))['in_distribution']
  assert batch.weights.shape == batch.inputs.shape[:-1]
  assert batch.inputs.shape[2:] == (2, 4)
  assert task.spec.inputs.shape == batch.inputs.shape[1:]


@pytest.mark.parametrize(
  ('change', 'text'),
  [
    ({'site': 'blocks.0.resid_pst'}, 'did you mean'),
    ({'site': 'blocks.0.attn.pattern'}, 'holds no vector'),
    ({'step': 7}, 'no snapshot at step 7'),
    ({'folder': 'nowhere'}, 'holds no trajectory'),
  ],
)
def test_what_is_not_there_is_refused(tiny, change, text):
  with pytest.raises(UserError, match=text):
    build.build(config(tiny[1].folder, **change) | {'sweep': {}})


def test_a_run_that_is_not_there_is_refused(tiny):
  bad = config(tiny[1].folder) | {
    'sweep': {'traced': {'task': {'run': (0, 4)}}}
  }
  with pytest.raises(UserError, match=r'0\.\.3, got 4'):
    build.build(bad)
