"""Scores of hand-made heads: ideal ones, uniform ones, and brute force."""

import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.analysis import attention
from jaxsynth.errors import UserError
from jaxsynth.models.base import Output
from jaxsynth.types import Batch

B, T, K = 3, 14, 3
score = jax.jit(attention.scores)


@pytest.fixture(scope='module')
def tokens():
  return np.random.default_rng(0).integers(0, K, (B, T))


def one_hot(look):
  """A head [B, T, T] that looks at key look(b, t), or at the query itself."""
  pattern = np.zeros((B, T, T), np.float32)
  for b, t in np.ndindex(B, T):
    s = look(b, t)
    pattern[b, t, t if s is None else s] = 1.0
  return pattern


def uniform():
  mask = np.tril(np.ones((T, T), np.float32))
  return np.tile(mask / mask.sum(-1, keepdims=True), (B, 1, 1))


def before(x, t):
  """Earlier occurrences of x[t]."""
  return [s for s in range(t) if x[s] == x[t]]


def after(x, t):
  """Keys right after earlier occurrences of x[t]."""
  return [s + 1 for s in before(x, t)]


def scored(tokens, *heads):
  return score(jnp.stack(heads, 1), jnp.asarray(tokens))


def test_ideal_heads_score_one(tokens):
  previous = one_hot(lambda b, t: t - 1 if t else None)
  first = one_hot(lambda b, t: 0)
  same = one_hot(lambda b, t: max(before(tokens[b], t), default=None))
  last = one_hot(lambda b, t: max(after(tokens[b], t), default=None))
  early = one_hot(lambda b, t: min(after(tokens[b], t), default=None))
  out = scored(tokens, previous, first, same, last, early)
  expected = {
    'previous_token': 0,
    'first_token': 1,
    'same_token': 2,
    'same_token_excess': 2,
    'induction': 3,
    'induction_all': 3,
    'induction_all_excess': 3,
  }
  for name, head in expected.items():
    np.testing.assert_allclose(out[name][head], 1.0, rtol=1e-6)
    assert float(jnp.delete(out[name], head).min()) < 0.9, name
  # Any occurrence counts for one score, the last alone for the other.
  np.testing.assert_allclose(out['induction_all'][4], 1.0, rtol=1e-6)
  assert float(out['induction'][4]) < 0.9
  np.testing.assert_allclose(out['entropy'], 0.0, atol=1e-6)


def test_uniform_attention_has_no_excess_and_closed_forms(tokens):
  out = scored(tokens, uniform())
  for name in ('same_token_excess', 'induction_all_excess'):
    np.testing.assert_allclose(out[name], 0.0, atol=1e-6)
  # Over queries 1..T-1: mean of 1 / (t + 1) = (H_T - 1) / (T - 1).
  harmonic = sum(1 / n for n in range(2, T + 1)) / (T - 1)
  for name in ('previous_token', 'first_token'):
    np.testing.assert_allclose(out[name], harmonic, rtol=1e-5)
  np.testing.assert_allclose(out['entropy'], math.lgamma(T + 1) / T, rtol=1e-5)


def test_scores_of_a_random_pattern_equal_brute_force(tokens):
  rng = np.random.default_rng(1)
  pattern = np.tril(rng.uniform(size=(B, T, T))).astype(np.float32)
  pattern /= pattern.sum(-1, keepdims=True)
  sets = {
    'same_token': before,
    'induction': lambda x, t: after(x, t)[-1:],
    'induction_all': after,
  }
  out = scored(tokens, pattern)
  for name, keys in sets.items():
    mass, chance = [], []
    for b, t in np.ndindex(B, T):
      found = keys(tokens[b], t)
      if found:
        mass.append(pattern[b, t, found].sum())
        chance.append(len(found) / (t + 1))
    np.testing.assert_allclose(out[name][0], np.mean(mass), rtol=1e-5)
    if f'{name}_excess' in out:
      excess = (np.sum(mass) - np.sum(chance)) / np.sum(1 - np.array(chance))
      np.testing.assert_allclose(out[f'{name}_excess'][0], excess, atol=1e-6)


def test_avoidance_is_negative_excess(tokens):
  itself = one_hot(lambda b, t: t)
  assert float(scored(tokens, itself)['same_token_excess'][0]) < -0.1


def test_no_target_scores_zero():
  distinct = np.tile(np.arange(T), (B, 1))
  out = scored(distinct, uniform())
  for name in ('induction', 'induction_all', 'induction_all_excess'):
    assert float(out[name][0]) == 0.0


def test_a_models_layers_are_stacked_in_order(tokens):
  previous = one_hot(lambda b, t: t - 1 if t else None)[:, None]
  layers = {f'blocks.{l}.attn.pattern': uniform()[:, None] for l in range(12)}
  layers['blocks.10.attn.pattern'] = previous
  layers['blocks.0.attn.z'] = previous
  apply = lambda params, inputs: Output(None, dict(sorted(layers.items())))
  evals = {'fresh': Batch(jnp.asarray(tokens), None, None, {})}
  ctx = SimpleNamespace(apply=apply, evals=evals)
  out = attention.model_scores(None, ctx, 'fresh')
  assert out['previous_token'].shape == (12, 1)
  np.testing.assert_allclose(out['previous_token'][10], 1.0)
  assert float(jnp.delete(out['previous_token'], 10).max()) < 0.5

  with pytest.raises(UserError, match="did you mean 'fresh'"):
    attention.model_scores(None, ctx, 'frsh')
  ctx.apply = lambda params, inputs: Output(None, {})
  with pytest.raises(UserError, match='a model with attention'):
    attention.model_scores(None, ctx, 'fresh')
