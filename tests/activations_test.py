"""Autoencoders of activations read the network, the run and the data named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import activations, build, launch, rng, stage
from jaxsynth.errors import UserError
from jaxsynth.models.base import Edit
from jaxsynth.train import sweep
from jaxsynth.types import Batch

SITE = 'sae.codes'
PARENT = {
  'task': {
    'name': 'concept_geometry_sae', 'process': 'heterogeneity', 'size': 8,
    'intrinsic': (2, 4), 'eval_size': 64,
  },
  'model': {'name': 'sae', 'kind': 'relu', 'width': 6},
  'optimizer': {'peak_lr': 1e-2},
  'train': {
    'loss': 'own', 'steps': 10, 'batch_size': 16, 'snapshots': (0, 10),
    'evals': (), 'call_steps': 10,
  },
  'sweep': {'seeds': 2, 'traced': {'model': {'sparsity': (0.0, 0.1)}}},
}  # fmt: skip


@pytest.fixture(scope='module')
def parent(tmp_path_factory):
  """Four runs of a network; the clusters it reads depend on the seed."""
  folder = tmp_path_factory.mktemp('parent') / 'trajectory'
  return stage.train(build.build(PARENT), folder, quiet=True)


def config(trajectory, **task):
  return {
    'task': {
      'name': 'jaxsynth.activations', 'folder': str(trajectory.folder),
      'step': int(trajectory.steps[-1]), 'site': SITE, **task,
    },
    'model': {'name': 'sae', 'kind': 'topk', 'width': 8, 'k': 3},
    'optimizer': {'peak_lr': 1e-2},
    'train': {
      'loss': 'own', 'steps': 60, 'batch_size': 32, 'snapshots': (0, 60),
      'evals': (0, 60), 'call_steps': 20,
    },
    'sweep': {'seeds': 1, 'traced': {'task': {'run': (0, 3)}}},
  }  # fmt: skip


def test_points_are_the_activations_of_that_run(parent):
  """By hand: its snapshot, its clusters, its task's batch of this key."""
  setup = build.build(PARENT)
  task = activations.Activations(str(parent.folder), 10, SITE)
  key = jax.random.key(5)
  init = jax.jit(task.init)
  found = []
  for run, spec in enumerate(setup.sweep.runs()):
    batch = task.sample(init(key, jnp.int32(run)), key, jnp.int32(0), 4)
    constants = setup.program().constants(sweep.one(spec))
    clusters = constants['task_params']
    theirs = setup.task.sample(clusters, key, jnp.int32(0), 4)
    acts = setup.model.apply(parent.params(10, run), theirs.inputs).acts
    np.testing.assert_allclose(batch.inputs, acts[SITE], atol=1e-6)
    np.testing.assert_array_equal(batch.targets, batch.inputs)
    np.testing.assert_array_equal(batch.info['concept'], theirs.info['concept'])
    found.append(batch.inputs)
  assert not np.allclose(found[0], found[1])


def test_a_sweep_over_networks_trains(parent, tmp_path):
  """On each, what is rebuilt is nearer than the mean."""
  setup = build.build(config(parent))
  traj = stage.train(setup, tmp_path / 'sae', quiet=True)
  assert traj.runs['task.run'].tolist() == [0, 3]
  error = traj.metrics['held_out/squared_error'].values
  assert (error[:, -1] < 0.7 * error[:, 0]).all()

  def fn(params, ctx):
    batch = ctx.evals['held_out']
    out = ctx.apply(params, batch.inputs)
    mean = setup.task.reference(None, batch)['mean']
    squares = lambda r: jnp.square(batch.inputs - r).sum()
    return {'nmse': squares(out.prediction) / squares(mean)}

  assert (traj.map(fn, quiet=True)['nmse'].isel(step=-1) < 1).all()


def test_positions_and_heads_have_the_weights_of_their_targets(tiny):
  folder = str(tiny[1].folder)
  task = activations.Activations(folder, 12, 'blocks.0.attn.z')

  def sets(key):
    return task.evals(task.init(key), key)

  batch = jax.eval_shape(sets, jax.random.key(1))['in_distribution']
  assert batch.inputs.shape[1:] == task.spec.inputs.shape == (8, 2, 4)
  assert batch.weights.shape == batch.inputs.shape[:-1]


def test_weights_reach_the_vectors_they_belong_to(tiny):
  traj = tiny[1]
  task = activations.Activations(str(traj.folder), 12, 'blocks.0.attn.z')
  tokens = jnp.zeros((2, 8), jnp.int32)
  weights = jnp.arange(16.0).reshape(2, 8)
  batch = Batch(tokens, tokens, weights, {})
  network = activations.Network(traj.params(12, 0), None)
  seen = task._seen(network, batch)
  np.testing.assert_array_equal(seen.weights, np.stack([weights] * 2, -1))
  expected = np.einsum('bthc,bth->c', seen.inputs, seen.weights)
  mean = task.reference(None, seen)['mean'][0, 0, 0]
  np.testing.assert_allclose(mean, expected / seen.weights.sum(), rtol=1e-4)


def test_an_autoencoder_of_every_run_is_two_lines(tiny, tmp_path):
  """Those of the docstring, on smaller sizes; the networks stay as they are."""
  traj = tiny[1]
  before = {n: traj.leaf(n)[:] for n in traj.leaves}
  small = {'train': {'steps': 3, 'snapshots': (0, 3), 'evals': ()}}
  found = activations.config(
    traj, 'blocks.0.resid_post', model={'name': 'sae', 'width': 4}, **small
  )
  saes = launch.train(found, tmp_path / 'saes', say=lambda _: 0, quiet=True)['']
  assert saes.runs['task.run'].tolist() == [0, 1, 2, 3]
  for run in range(4):
    context = saes.context(run, 3)
    network = context.constants['task_params']
    kept = traj.params(int(traj.steps[-1]), run)
    jax.tree.map(np.testing.assert_array_equal, network.params, kept)
    held = context.evals['in_distribution']
    acts = traj.apply(kept, held.info[activations.READ]).acts
    np.testing.assert_allclose(
      held.inputs, acts['blocks.0.resid_post'], atol=1e-6
    )
  for name, values in before.items():
    np.testing.assert_array_equal(traj.leaf(name)[:], values)


def test_a_config_names_what_is_asked_for(tiny):
  found = activations.config(
    tiny[1], 'embed', step=5, runs=[2], model={'name': 'sae'},
    sweep={'seeds': 3, 'traced': {'model': {'sparsity': (0.0, 1.0)}}},
    train={'steps': 7},
  )  # fmt: skip
  setup = build.build(found)
  assert (setup.task.step, setup.task.site) == (5, 'embed')
  assert setup.train.loss == 'own'
  assert [s.hparams for s in setup.sweep.runs()[::3]] == [
    {'task.run': 2, 'model.sparsity': 0.0},
    {'task.run': 2, 'model.sparsity': 1.0},
  ]


def test_runs_of_a_view_are_those_of_the_whole(tiny):
  view = tiny[1].sel(run=[1, 3])
  axis = lambda **o: activations.config(view, 'embed', **o)['sweep']['traced']
  assert axis() == {'task.run': (1, 3)}
  assert axis(runs=[1]) == {'task.run': (3,)}


def language(tmp_path, **model):
  """A causal autoencoder of an untrained model of brackets."""
  config = {
    'task': {
      'name': 'formal_language', 'language': 'dyck', 'max_words': 6,
      'eval_size': 4,
    },
    'model': {
      'name': 'transformer', 'num_layers': 1, 'd_model': 8, 'num_heads': 1,
      'max_len': 7, 'init_std': 0.5,
    },
    'train': {'steps': 0, 'snapshots': (0,), 'evals': (0,)},
    'sweep': {'seeds': 2},
  }  # fmt: skip
  traj = stage.train(build.build(config), tmp_path / 'parent', quiet=True)
  return traj, activations.config(
    traj,
    'blocks.0.resid_post',
    mask='sentence',
    model={'name': 'causal_sae', 'kind': 'topk', 'width': 6, 'k': 2, **model},
    train={'steps': 1, 'batch_size': 3, 'snapshots': (0,), 'evals': (0,)},
  )  # fmt: skip


def test_masked_positions_do_not_count_and_an_objective_reaches_the_network(
  tmp_path,
):
  traj, config = language(tmp_path, reach=0.5, causal=1.0)
  setup = build.build(config)
  saes = stage.train(setup, tmp_path / 'saes', quiet=True)
  context = saes.context(1, 0)
  held, network = context.evals['held_out'], context.constants['task_params']
  np.testing.assert_array_equal(held.weights, held.info['sentence'])
  assert (held.weights[:, 0] == 0).all()  # the prefix
  # The network goes on from what it is given, as an edit by hand would.
  other = held.inputs[::-1]
  edit = {'blocks.0.resid_post': Edit(keep=jnp.zeros(()), add=other)}
  read = held.info[activations.READ]
  by_hand = traj.apply(network.params, read, edit=edit).prediction
  resumed = setup.task.resumed(network, held, other)
  np.testing.assert_allclose(resumed, by_hand, atol=1e-5)
  same = setup.task.resumed(network, held, held.inputs)
  clean = traj.apply(network.params, read).prediction
  np.testing.assert_allclose(same, clean, atol=1e-5)
  # And the objective in training is the one by hand.
  params = saes.params(0, 1)
  go = lambda x: traj.apply(
    network.params, read,
    edit={'blocks.0.resid_post': Edit(keep=jnp.zeros(()), add=x)},
  ).prediction  # fmt: skip
  _, scalars, _ = setup.model.objective(
    params, held, setup.model.memory(params), {}, go
  )
  missed = (scalars['causal_loss'] * held.weights).sum() / held.weights.sum()
  recorded = saes.metrics['held_out/causal_loss'].values[1, 0]
  assert recorded > 0
  np.testing.assert_allclose(recorded, missed, rtol=1e-4)


def test_draws_of_an_objective_are_new_at_every_update_and_its_weight_grows(
  tmp_path,
):
  """Without learning, so that all updates see the same autoencoder."""
  _, config = language(tmp_path, reach=1.0, causal=2.0, drawn=True, ramp=4)
  config['optimizer'] = {'peak_lr': 0.0, 'weight_decay': 0.0}
  config['train'] |= {'steps': 6, 'evals': (0, 6), 'call_steps': 2}
  setup = build.build(config)
  saes = stage.train(setup, tmp_path / 'saes', quiet=True)
  context, params = saes.context(1, 0), saes.params(0, 1)
  seeds, network = setup.sweep.runs()[1].seeds, context.constants['task_params']

  @jax.jit
  def missed(t):
    at = lambda name: rng.at(rng.stream(seeds, name), t)
    batch = setup.task.sample(network, at('data'), t, 3)
    go = lambda x: setup.task.resumed(network, batch, x)
    _, scalars, _ = setup.model.objective(
      params, batch, setup.model.memory(params), {}, go, at('noise')
    )
    total = (scalars['causal_loss'] * batch.weights).sum()
    return total / batch.weights.sum()

  m = saes.metrics.isel(run=1)
  by_hand = np.asarray([missed(t) for t in range(6)])
  np.testing.assert_allclose(m['causal_loss'], by_hand, rtol=1e-4)
  share = np.minimum(np.arange(6) / 4, 1)
  total = m['mse'] + 2 * share * m['causal_loss']
  np.testing.assert_allclose(m['loss'], total, rtol=1e-5)
  # Evaluation draws the same steps every time.
  held = m['held_out/causal_loss']
  assert held[0] == held[1] > 0


def test_a_causal_objective_without_a_network_is_refused():
  config = PARENT | {
    'model': {'name': 'causal_sae', 'kind': 'topk', 'reach': 0.2},
    'sweep': {},
  }
  with pytest.raises(UserError, match=r'jaxsynth\.activations'):
    build.build(config)


@pytest.mark.parametrize(
  ('change', 'text'),
  [
    ({'mask': 'sentences'}, "unknown mask 'sentences'"),
    ({'site': 'blocks.0.resid_pst'}, 'did you mean'),
    ({'site': 'blocks.0.attn.pattern'}, 'holds no vector'),
    ({'step': 7}, 'no snapshot at step 7'),
    ({'folder': 'nowhere'}, 'holds no trajectory'),
    ({'run': 4}, r'0\.\.3, got 4'),
  ],
)
def test_what_is_not_there_is_refused(tiny, change, text):
  change = {'site': 'blocks.0.resid_post'} | change
  with pytest.raises(UserError, match=text):
    build.build(config(tiny[1], **change) | {'sweep': {}})
