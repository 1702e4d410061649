"""The autoencoders against their formulas, their objectives, their geometry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from jaxsynth.errors import UserError
from jaxsynth.models.base import Edit
from jaxsynth.models.sae import KINDS, SAE
from jaxsynth.types import Batch, Spec

B, D, W = 9, 4, 10
VECTOR = jax.ShapeDtypeStruct((D,), jnp.float32)
SPEC = Spec(VECTOR, VECTOR, None, D)


def built(kind, **options):
  """A model and parameters away from their initialisation."""
  model = SAE(kind=kind, width=W, k=3, **options)
  rng = np.random.default_rng(0)
  moved = lambda x: x + jnp.asarray(0.3 * rng.standard_normal(x.shape), x.dtype)
  return model, jax.tree.map(moved, model.init(jax.random.key(0), SPEC))


def batch(scale=1.0, seed=1):
  x = np.random.default_rng(seed).standard_normal((B, D))
  x = jnp.asarray(scale * x, jnp.float32)
  return Batch(x, x, jnp.ones(B), {})


def by_hand(model, p, x):
  """Codes and reconstruction in numpy, float64, from the paper's formulas."""
  p = jax.tree.map(lambda v: np.asarray(v, np.float64), p)
  x, scale = np.asarray(x, np.float64), 1 / (2 * D)
  rows, out = p['encoder']['kernel'], p['decoder']['kernel']
  if model.kind == 'spade':
    scale = np.log1p(np.exp(p['pre_scale']))
    v = -scale * ((x[:, None] - rows) ** 2).sum(-1)
    z = np.empty_like(v)
    for i, row in enumerate(v):  # Held, Wolfe and Crowder: by sorting
      top = np.sort(row)[::-1]
      taus = (np.cumsum(top) - 1) / np.arange(1, len(top) + 1)
      tau = taus[(top > taus).sum() - 1]
      z[i] = np.maximum(row - tau, 0)
    return z, z @ out
  unit = out / np.linalg.norm(out, axis=1, keepdims=True)
  bias = p['decoder']['bias']
  u = (x - bias) @ rows.T
  if model.kind == 'topk':
    u = np.maximum(u, 0)
    least = np.sort(u, -1)[:, -model.k, None]
    z = scale * np.where(u >= least, u, 0)
  else:
    z = np.maximum(scale * (u + p['encoder']['bias']), 0)
    if model.kind == 'jumprelu':
      z = np.where(z > np.exp(p['log_threshold']), z, 0)
  return z, z @ unit + bias


@pytest.mark.parametrize('kind', KINDS)
def test_codes_and_reconstruction_equal_the_formulas(kind):
  model, params = built(kind)
  out = jax.jit(model.apply)(params, batch().inputs)
  codes, reconstruction = by_hand(model, params, batch().inputs)
  assert 0 < (codes > 0).mean() < 1
  np.testing.assert_allclose(out.acts['sae.codes'], codes, atol=2e-6)
  np.testing.assert_allclose(out.prediction, reconstruction, atol=2e-6)


@pytest.mark.parametrize('kind', KINDS)
def test_leading_axes_do_not_matter_and_sites_take_edits(kind):
  model, params = built(kind)
  x = batch().inputs
  flat = model.apply(params, x)
  deep = model.apply(params, x.reshape(3, 3, D))
  np.testing.assert_allclose(
    deep.prediction.reshape(B, D), flat.prediction, atol=1e-6
  )
  codes = flat.acts['sae.codes']
  edit = {'sae.codes': Edit(keep=jnp.zeros(()), add=2 * codes)}
  bias = params['decoder'].get('bias', 0)
  doubled = model.apply(params, x, edit=edit).prediction
  np.testing.assert_allclose(
    doubled - bias, 2 * (flat.prediction - bias), atol=1e-5
  )
  for site in ('sae.pre', 'sae.codes', 'sae.reconstruction'):
    edit = {site: Edit(add=jnp.ones(()).at[()].set(0.7))}
    moved = model.apply(params, x, edit=edit)
    assert not np.allclose(moved.acts[site], flat.acts[site])


@pytest.mark.parametrize('kind', KINDS)
def test_initialisation_is_the_published_one(kind):
  params = SAE(kind=kind, width=W, k=3).init(jax.random.key(3), SPEC)
  np.testing.assert_array_equal(
    params['encoder']['kernel'], params['decoder']['kernel']
  )
  if kind == 'spade':
    scale = jax.nn.softplus(params['pre_scale'])
    np.testing.assert_allclose(scale, 1 / (2 * D), rtol=1e-5)
  if kind == 'jumprelu':
    np.testing.assert_allclose(jnp.exp(params['log_threshold']), 1e-3)


@pytest.mark.parametrize('kind', ['relu', 'jumprelu', 'spade'])
def test_objective_is_error_and_penalty(kind):
  model, params = built(kind)
  data = batch()
  hparams = {'sparsity': jnp.float32(0.25)}
  memory = model.memory(params)
  losses, scalars, _ = model.objective(params, data, memory, hparams)
  codes, reconstruction = by_hand(model, params, data.inputs)
  x = np.asarray(data.inputs, np.float64)
  far = ((x[:, None] - np.asarray(params['encoder']['kernel'])) ** 2).sum(-1)
  penalty = {
    'relu': codes.sum(-1),
    'jumprelu': (codes > 0).sum(-1),
    'spade': (codes * far).sum(-1),
  }[kind]
  error = ((x - reconstruction) ** 2).sum(-1)
  np.testing.assert_allclose(losses, error + 0.25 * penalty, rtol=1e-4)
  np.testing.assert_array_equal(scalars['l0'], (codes > 1e-6).sum(-1))


def test_memory_counts_silence_and_weights_decide_who_was_seen():
  model, params = built('topk')
  data = batch()
  active = np.asarray(model.apply(params, data.inputs).acts['sae.codes']) > 0
  memory = jnp.arange(W, dtype=jnp.int32)
  after = model.objective(params, data, memory, {})[2]
  np.testing.assert_array_equal(after, np.where(active.any(0), 0, memory + 1))
  first = data._replace(weights=jnp.zeros(B).at[0].set(1))
  after = model.objective(params, first, memory, {})[2]
  np.testing.assert_array_equal(after, np.where(active[0], 0, memory + 1))


def test_only_silent_latents_are_revived():
  """They get a gradient from the residual; without patience spent, none do."""
  model, params = built('topk', patience=5)
  # All pre-codes are positive, those of one latent too small to be kept.
  silent = 7
  rows = jnp.abs(params['encoder']['kernel']).at[silent].multiply(0.01)
  params = params | {'encoder': {'kernel': rows}}
  x = jnp.abs(batch().inputs) + params['decoder']['bias']
  data = batch()._replace(inputs=x, targets=x)
  acts = model.apply(params, x).acts
  assert (acts['sae.pre'] > 0).all()
  assert not (acts['sae.codes'][:, silent] > 0).any()

  def gradient(memory):
    total = lambda p: model.objective(p, data, memory, {})[0].mean()
    return jax.grad(total)(params)['encoder']['kernel'][silent]

  alive = jnp.zeros(W, jnp.int32)
  np.testing.assert_array_equal(gradient(alive), 0)
  assert np.abs(gradient(alive.at[silent].set(5))).max() > 0


def test_spade_stays_in_the_hull_of_its_decoder():
  """x̂ is a mixture of decoder rows, however far the input: a feasible LP."""
  model, params = built('spade')
  out = model.apply(params, batch(scale=50.0).inputs)
  corners = np.asarray(params['decoder']['kernel'], np.float64)
  system = np.vstack([corners.T, np.ones(W)])
  for point in np.asarray(out.prediction, np.float64):
    found = linprog(
      np.zeros(W), A_eq=system, b_eq=np.append(point, 1), bounds=(0, None),
      options={'primal_feasibility_tolerance': 1e-6},
    )  # fmt: skip
    assert found.status == 0
  relu, params = built('relu')
  near = relu.apply(params, batch().inputs).prediction
  far = relu.apply(params, batch(scale=50.0).inputs).prediction
  assert jnp.abs(far).max() > 20 * jnp.abs(near).max()


def test_far_from_all_prototypes_spade_names_the_nearest():
  model, params = built('spade')
  x = batch(scale=1e3).inputs
  far = ((x[:, None] - params['encoder']['kernel']) ** 2).sum(-1)
  codes = model.apply(params, x).acts['sae.codes']
  np.testing.assert_allclose(codes, jax.nn.one_hot(far.argmin(-1), W))


@pytest.mark.parametrize(
  ('options', 'text'),
  [
    ({'kind': 'topk '}, 'did you mean'),
    ({'kind': 'topk', 'width': 4, 'k': 5}, 'k <= width'),
    ({'width': 0}, 'model.width'),
    ({'sparsity': -1.0}, 'model.sparsity'),
    ({'threshold': 0.0}, 'model.threshold'),
  ],
)
def test_impossible_options_are_refused(options, text):
  with pytest.raises(UserError, match=text):
    SAE(**options)
