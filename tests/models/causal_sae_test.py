"""The recipes against their formulas, and the causal loss by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from jaxsynth.errors import UserError
from jaxsynth.models import _causal
from jaxsynth.models.causal_sae import KINDS, CausalSAE
from jaxsynth.types import Batch, Spec

B, T, D, W, V = 3, 5, 4, 7, 6
VECTOR = jax.ShapeDtypeStruct((T, D), jnp.float32)
SPEC = Spec(VECTOR, VECTOR, None, D)


def built(**options):
  model = CausalSAE(width=W, k=2, **options)
  rng = np.random.default_rng(0)
  moved = lambda x: x + jnp.asarray(0.3 * rng.standard_normal(x.shape), x.dtype)
  return model, jax.tree.map(moved, model.init(jax.random.key(0), SPEC))


def batch(seed=1, scale=1.0):
  rng = np.random.default_rng(seed)
  x = jnp.asarray(scale * rng.standard_normal((B, T, D)), jnp.float32)
  weights = jnp.asarray(rng.random((B, T)) > 0.3, jnp.float32)
  # One sequence with a single vector, which has no other.
  weights = weights.at[0].set(0).at[0, 2].set(1)
  return Batch(x, x, weights, {})


def unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def by_hand(model, params, x):
  """Codes and reconstruction of vectors [N, d], in numpy."""
  p = jax.tree.map(lambda v: np.asarray(v, np.float64), params)
  rows, out = p['encoder']['kernel'], p['decoder']['kernel']
  b, c = p['decoder'].get('bias', 0), p['encoder'].get('bias', 0)
  out = unit(out) if 'decoder' in model.normalise else out
  codes = []
  for pre in (np.asarray(x, np.float64) - b) @ rows.T + c:
    if model.kind == 'sparsemax':
      top = np.sort(pre)[::-1]
      tau = (np.cumsum(top) - 1) / np.arange(1, W + 1)
      codes.append(np.maximum(pre - tau[(top > tau).sum() - 1], 0))
    else:
      z = np.maximum(pre, 0)
      keep = np.argsort(-z)[: model.k] if model.kind == 'topk' else slice(None)
      codes.append(np.zeros(W))
      codes[-1][keep] = z[keep]
  codes = np.asarray(codes)
  rebuilt = codes @ out + b
  if 'reconstruction' in model.normalise:
    rebuilt = unit(rebuilt)
  return codes, rebuilt


RECIPES = [
  {'kind': kind, 'normalise': norms, 'bias': bias}
  for kind, (norms, bias) in itertools.product(
    KINDS,
    [
      ((), False),
      (('input',), False),
      (('input', 'decoder'), True),
      (('input', 'reconstruction'), False),
    ],
  )
]


@pytest.mark.parametrize('recipe', RECIPES, ids=str)
def test_every_recipe_equals_its_formula(recipe):
  model, params = built(**recipe)
  data = batch(scale=3.0)
  x = np.asarray(data.inputs).reshape(-1, D)
  out = model.apply(params, data.inputs)
  codes, rebuilt = by_hand(model, params, x)
  shaped = lambda v: np.asarray(v).reshape(-1, v.shape[-1])
  np.testing.assert_allclose(shaped(out.acts['sae.codes']), codes, atol=1e-5)
  np.testing.assert_allclose(shaped(out.prediction), rebuilt, atol=1e-5)
  # The objective is of unit vectors where inputs are normalised.
  if 'input' in model.normalise:
    x = unit(x)
  codes, rebuilt = by_hand(model, params, x)
  hparams = {'sparsity': jnp.float32(0.5)}
  memory = model.memory(params)
  loss, scalars, memory = model.objective(params, data, memory, hparams)
  mse = np.square(rebuilt - x).mean(-1)
  expected = mse + 0.5 * codes.sum(-1)
  np.testing.assert_allclose(np.ravel(loss), expected, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(np.ravel(scalars['mse']), mse, rtol=1e-4)
  counts = np.ravel(data.weights) > 0
  fired = (codes[counts] > 1e-6).any(0)
  np.testing.assert_array_equal(memory, np.where(fired, 0, 1))


def test_homogeneous_recipes_scale_and_normalised_reconstructions_do_not():
  """So what was trained on unit vectors may rebuild those of any size."""
  for norms, grows in ((('input',), 4.0), (('input', 'reconstruction'), 1.0)):
    model, params = built(kind='topk', normalise=norms)
    x = batch().inputs
    once, far = (model.apply(params, s * x).prediction for s in (1.0, 4.0))
    np.testing.assert_allclose(far, grows * once, rtol=1e-4, atol=1e-5)


def logits(x):
  """A network whose predictions look back, so splices reach later ones."""
  mix = np.random.default_rng(5).standard_normal((D, V))
  return jnp.tanh(jnp.cumsum(x, 1)) @ jnp.asarray(mix, jnp.float32)


def causal_by_hand(model, params, data, steps, distance):
  """Loops over sequences, tokens and other tokens; steps are [B, T]."""
  x, counts = np.asarray(data.inputs), np.asarray(data.weights) > 0
  clean = np.asarray(logits(data.inputs))
  out = np.zeros((B, T))
  for b in range(B):
    here = np.flatnonzero(counts[b])
    codes, _ = by_hand(model, params, x[b])
    spliced, wanted = x[b].copy(), clean[b].copy()
    for t in here:
      others = [s for s in here if s != t]
      if not others:
        spliced[t] = by_hand(model, params, x[b])[1][t]
        continue
      far = [np.linalg.norm(codes[t] - codes[s]) for s in others]
      c = others[int(np.argmin(far))]
      moved = codes[t] + steps[b, t] * (codes[c] - codes[t])
      spliced[t] = moved @ np.asarray(params['decoder']['kernel'])
      wanted[t] += steps[b, t] * (clean[b, c] - clean[b, t])
    after = np.asarray(logits(jnp.asarray(spliced)[None])[0])
    if len(here) > 1:
      out[b, here] = distance(after[here], wanted[here])
  return out


DISTANCES = {
  'mse': lambda found, wanted: np.square(found - wanted).mean(-1),
  # By scipy: the divergence of the second distribution from the first.
  'kl': lambda found, wanted: entropy(
    softmax(wanted, -1), softmax(found, -1), axis=-1
  ),
}


@pytest.mark.parametrize(
  ('reach', 'drawn', 'distance'),
  [(0.02, False, 'mse'), (0.5, False, 'kl'), (1.0, True, 'mse')],
)
def test_causal_loss_equals_a_loop(reach, drawn, distance):
  model, params = built(
    kind='topk', reach=reach, drawn=drawn, distance=distance
  )
  data, key = batch(), jax.random.key(3)
  arguments = (params, data, model.memory(params), {'causal': jnp.float32(2.0)})
  loss, scalars, _ = jax.jit(
    lambda *a: model.objective(*a, network=logits, key=key)
  )(*arguments)
  steps = np.full((B, T), reach)
  if drawn:
    steps = np.asarray(reach * jax.random.uniform(key, (B, T, 1)))[..., 0]
  expected = causal_by_hand(model, params, data, steps, DISTANCES[distance])
  assert (expected > 1e-4).sum() > 3
  np.testing.assert_allclose(scalars['causal_loss'], expected, atol=2e-5)
  total = scalars['mse'] + 2 * scalars['causal_loss']
  np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_drawn_steps_are_uniform_up_to_the_reach():
  found = np.ravel(_causal.drawn(0.4, jax.random.key(0), (50, 100)))
  assert len(np.unique(found)) > 4000
  # Quantiles of U(0, 0.4), each within five standard errors of 5,000 draws.
  for q in (0.1, 0.5, 0.9):
    assert abs((found < 0.4 * q).mean() - q) < 5 * (q * (1 - q) / 5000) ** 0.5
  assert (found <= 0.4).all()


def test_the_weight_of_the_causal_loss_grows_over_its_ramp():
  model, params = built(kind='topk', reach=0.5, causal=0.5, ramp=100)
  data, memory = batch(), model.memory(params)
  for t, weight in ((0, 0), (50, 0.25), (100, 0.5), (999, 0.5)):
    loss, scalars, _ = model.objective(
      params, data, memory, {}, network=logits, t=jnp.int32(t)
    )
    total = scalars['mse'] + weight * scalars['causal_loss']
    np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_a_perfect_autoencoder_of_a_linear_network_has_no_causal_loss():
  """Moving codes moves activations alike, and so the predictions."""
  eye = jnp.eye(D)
  rows = jnp.concatenate([eye, -eye])
  params = {'encoder': {'kernel': rows}, 'decoder': {'kernel': rows}}
  model = CausalSAE(kind='relu', width=2 * D, reach=0.3, causal=1.0)
  mix = jnp.asarray(np.random.default_rng(5).standard_normal((D, V)))
  data = batch()
  memory = model.memory(params)
  _, scalars, _ = model.objective(
    params, data, memory, {}, network=lambda x: x @ mix
  )
  np.testing.assert_allclose(scalars['mse'], 0, atol=1e-9)
  np.testing.assert_allclose(scalars['causal_loss'], 0, atol=1e-9)


def test_nearest_is_another_one_that_counts():
  codes = jnp.asarray([[[0.0], [0.1], [5.0], [0.4]]])
  counts = jnp.asarray([[True, False, True, True]])
  index, some = _causal.nearest(codes, counts)
  assert index[0].tolist() == [3, 0, 3, 0]
  assert some[0].tolist() == [True, False, True, True]
  alone = jnp.asarray([[False, False, True, False]])
  assert not _causal.nearest(codes, alone)[1].any()


def test_gradients_are_finite_where_everything_is_silent():
  model, params = built(kind='relu', normalise=('input', 'reconstruction'))
  silent = jax.tree.map(jnp.zeros_like, params)
  data = batch()
  memory = model.memory(params)
  loss = lambda p: model.objective(p, data, memory, {})[0].sum()
  for leaf in jax.tree.leaves(jax.grad(loss)(silent)):
    assert jnp.isfinite(leaf).all()


@pytest.mark.parametrize(
  ('options', 'text'),
  [
    ({'kind': 'topp'}, "did you mean 'topk'"),
    ({'kind': 'topk', 'k': 200}, 'k <= width'),
    ({'width': 0}, 'at least 1'),
    ({'normalise': ('inputs',)}, "did you mean 'input'"),
    ({'normalise': 'input'}, 'must list'),
    ({'sparsity': -1.0}, 'sparsity'),
    ({'reach': 1.5}, '0..1'),
    ({'reach': 0.2, 'normalise': ('input',)}, 'decoder'),
    ({'reach': 0.2, 'distance': 'k1'}, "did you mean 'kl'"),
    ({'ramp': 10}, 'need a model.reach'),
    ({'drawn': True}, 'need a model.reach'),
    ({'reach': 0.2, 'ramp': -1}, 'ramp'),
  ],
)
def test_impossible_recipes_are_refused(options, text):
  with pytest.raises(UserError, match=text):
    CausalSAE(**options)


def test_only_what_matters_can_be_swept():
  assert CausalSAE().hparams == {'sparsity': 0.0}
  assert CausalSAE(reach=0.2).hparams == {'sparsity': 0.0, 'causal': 0.0}
