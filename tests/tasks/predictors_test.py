"""The named algorithms: by hand, by brute force, and as optima."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from jaxsynth.errors import UserError
from jaxsynth.tasks.lib import chains as lib
from jaxsynth.tasks.lib import predictors

predict = jax.jit(predictors.predictions, static_argnames='names')
sample = jax.jit(lib.sample, static_argnums=3)


def drawn(k, size, num_chains):
  """A mixture drawn on the host, where no sampler is to be compiled."""
  random = np.random.default_rng(k)
  transitions = jnp.float32(random.dirichlet(np.ones(k), (size, k)))
  weights = jnp.float32(random.uniform(size=size))
  return jax.jit(lib.mixture)(transitions, weights, num_chains)


@pytest.fixture(scope='module')
def mixture():
  return drawn(3, size=4, num_chains=3)


@pytest.fixture(scope='module')
def tokens(mixture):
  which = lib.draw(mixture, jax.random.key(4), 6)
  return sample(mixture, jax.random.key(5), which, 20)


def test_two_states_by_hand():
  # pi = (4/5, 1/5) and (1/2, 1/2); prior (1/4, 3/4); context 0, 0, 1.
  chains = lib.mixture(
    jnp.array([[[0.9, 0.1], [0.4, 0.6]], [[0.5, 0.5], [0.5, 0.5]]]),
    jnp.array([1.0, 3.0]),
    num_chains=2,
  )
  out = predict(chains, jnp.array([[0, 0, 1]]))
  zero = {name: float(p[0, -1, 0]) for name, p in out.items()}
  post_u = 0.25 * 0.8 * 0.8 * 0.2 / (0.25 * 0.8 * 0.8 * 0.2 + 0.75 / 8)
  post_b = 0.25 * 0.8 * 0.9 * 0.1 / (0.25 * 0.8 * 0.9 * 0.1 + 0.75 / 8)
  assert zero == pytest.approx(
    {
      'uni_ret': post_u * 0.8 + (1 - post_u) * 0.5,
      'bi_ret': post_b * 0.4 + (1 - post_b) * 0.5,
      'ul_bp': post_u * 0.4 + (1 - post_u) * 0.5,
      'bl_up': post_b * 0.8 + (1 - post_b) * 0.5,
      'uni_inf': 3 / 5,
      'bi_inf': 1 / 2,  # state 1 was never left
      'uni_inf_stationary': 1 / 2,  # rows (1/2, 1/2), (1/2, 1/2)
    },
    abs=1e-6,
  )
  # After 0, 0: one transition 0 -> 0, rows (2/3, 1/3) and (1/2, 1/2).
  assert float(out['bi_inf'][0, 1, 0]) == pytest.approx(2 / 3)
  assert float(out['uni_inf_stationary'][0, 1, 0]) == pytest.approx(3 / 5)


def by_loops(chains, context):
  """All predictions after one context, from the definitions, in numpy."""
  matrices, laws = np.float64(chains.transitions), np.float64(chains.stationary)
  prior = np.exp(np.float64(chains.log_prior))
  k, last = laws.shape[1], context[-1]
  uni, bi = prior.copy(), prior.copy()
  visits, moves = np.ones(k), np.ones((k, k))
  for t, x in enumerate(context):
    visits[x] += 1
    if t:
      moves[context[t - 1], x] += 1
    for m in range(len(prior)):
      uni[m] *= laws[m, x]
      bi[m] *= matrices[m, context[t - 1], x] if t else laws[m, x]
  uni, bi = uni / uni.sum(), bi / bi.sum()
  rows = moves / moves.sum(1, keepdims=True)
  return {
    'uni_ret': uni @ laws,
    'bi_ret': bi @ matrices[:, last],
    'ul_bp': uni @ matrices[:, last],
    'bl_up': bi @ laws,
    'uni_inf': visits / visits.sum(),
    'bi_inf': rows[last],
    'uni_inf_stationary': np.linalg.matrix_power(rows, 500)[0],
  }


def test_every_position_agrees_with_brute_force(mixture, tokens):
  out = predict(mixture, tokens)
  for b in range(3):
    for t in range(20):
      for name, p in by_loops(mixture, np.asarray(tokens[b, : t + 1])).items():
        np.testing.assert_allclose(out[name][b, t], p, atol=2e-6, err_msg=name)


def test_bigram_retrieval_obeys_the_chain_rule(mixture, tokens):
  # The product of its predictions is the mixture's likelihood.
  tokens = np.asarray(tokens)
  log_t = np.log(np.float64(mixture.transitions))
  log_first = np.log(np.float64(mixture.stationary))[:, tokens[:, 0]]  # [N, B]
  log_rest = log_t[:, tokens[:, :-1], tokens[:, 1:]].sum(-1)
  log_prior = np.float64(mixture.log_prior)[:, None]
  start = logsumexp(log_prior + log_first, axis=0)
  whole = logsumexp(log_prior + log_first + log_rest, axis=0)
  p = np.asarray(predict(mixture, tokens)['bi_ret'])[:, :-1]
  chosen = np.take_along_axis(p, tokens[:, 1:, None], -1)[..., 0]
  np.testing.assert_allclose(np.log(chosen).sum(-1), whole - start, rtol=1e-5)


def test_predictions_are_causal_and_a_window_is_a_sequence(mixture, tokens):
  out = predict(mixture, tokens)
  changed = predict(mixture, tokens.at[:, 12:].set(0))
  window = predict(mixture, tokens[:, :12])
  for name, p in out.items():
    np.testing.assert_allclose(changed[name][:, :12], p[:, :12], atol=1e-6)
    np.testing.assert_allclose(window[name], p[:, :12], atol=1e-6)


def test_inference_treats_all_labels_alike(mixture, tokens):
  relabel = jnp.array([2, 0, 1])
  out, moved = predict(mixture, tokens), predict(mixture, relabel[tokens])
  for name in predictors.INFERENCE:
    np.testing.assert_allclose(moved[name][..., relabel], out[name], atol=1e-6)
  for name in predictors.RETRIEVAL:
    assert abs(moved[name][..., relabel] - out[name]).max() > 0.1


def test_groups_of_sequences_change_nothing(mixture, tokens, monkeypatch):
  whole = predict(mixture, tokens)
  monkeypatch.setattr(predictors, '_BUDGET', 1)
  for name, p in predictors.predictions(mixture, tokens).items():
    np.testing.assert_allclose(p, whole[name], atol=1e-6)


def test_an_unknown_predictor_is_refused(mixture, tokens):
  with pytest.raises(UserError, match=r'did you mean .bi_inf'):
    predictors.predictions(mixture, tokens, ('bi_inff',))


@pytest.fixture(scope='module')
def losses():
  """Mean loss of each predictor on each set, and the mean entropy rate."""
  known = drawn(5, size=256, num_chains=8)
  which = lib.draw(known, jax.random.key(0), 256)
  # The masked chains are as fresh to the mixture as any other.
  chains = {'in_distribution': which, 'fresh': jnp.arange(8, 256)}
  chains['fresh'] = jnp.resize(chains['fresh'], 256)
  out = {}
  for name, chain in chains.items():
    tokens = sample(known, jax.random.key(1), chain, 64)
    hit = tokens[:, 1:, None]
    out[name] = {
      k: -float(jnp.log(jnp.take_along_axis(p[:, :-1], hit, -1)).mean())
      for k, p in predict(known, tokens).items()
    }
    rate = lib.entropy_rate(known.transitions, known.stationary)[chain]
    out[name]['floor'] = float(rate.mean())
  return out


@pytest.mark.parametrize(
  ('split', 'optimum'), [('in_distribution', 'bi_ret'), ('fresh', 'bi_inf')]
)
def test_the_bayes_optimum_loses_least_and_no_less_than_entropy(
  losses, split, optimum
):
  loss = dict(losses[split])
  floor = loss.pop('floor')
  assert min(loss, key=loss.get) == optimum
  assert floor < loss[optimum]
  # Each transition predictor beats its frequency counterpart where it works.
  assert loss['bi_inf'] < loss['uni_inf']
  if split == 'in_distribution':
    # What all 63 predictions lose beyond the true chain is at most
    # log(1 / prior), here log 8 on average or less; plus sampling error.
    assert loss['bi_ret'] - floor < np.log(8) / 63 + 0.02
    assert loss['bi_ret'] < loss['ul_bp'] < loss['uni_ret']
