"""Markov chains: stationary laws, sampling, aligned contexts, closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxsynth.tasks.lib import chains as lib

KEY = jax.random.key(7)
sample = jax.jit(lib.sample, static_argnums=3)


@pytest.fixture(scope='module')
def chains():
  # Drawn on the host: the sampler of `lib.dirichlet` is slow to compile.
  random = np.random.default_rng(0)
  transitions = jnp.float32(random.dirichlet(np.ones(5), (6, 5)))
  weights = jnp.float32(random.uniform(size=6))
  return jax.jit(lib.mixture)(transitions, weights, 4)


def test_stationary_law_agrees_with_least_squares_and_eigenvectors(chains):
  for matrix, law in zip(
    np.float64(chains.transitions), np.asarray(chains.stationary)
  ):
    system = np.vstack([matrix.T - np.eye(5), np.ones(5)])
    expected = np.linalg.lstsq(system, [0, 0, 0, 0, 0, 1], rcond=None)[0]
    np.testing.assert_allclose(law, expected, atol=1e-6)
    values, vectors = np.linalg.eig(matrix.T)
    vector = vectors[:, np.argmax(values.real)].real
    np.testing.assert_allclose(law, vector / vector.sum(), atol=1e-6)


def test_dirichlet_chains_have_the_right_law_and_depend_on_their_number():
  alpha, numbers = lib.block_alpha(10), jnp.arange(3000)
  dirichlet = jax.jit(lib.dirichlet)
  transitions, weights = dirichlet(KEY, alpha, numbers)
  assert len(np.unique(np.reshape(transitions, (3000, -1)), axis=0)) == 3000
  other = dirichlet(KEY, alpha, numbers[::-1])
  np.testing.assert_array_equal(other[0], transitions[::-1])
  np.testing.assert_array_equal(other[1], weights[::-1])
  assert stats.kstest(np.asarray(weights), 'uniform').pvalue > 1e-3
  total = alpha.sum(-1, keepdims=True)  # 5 * 5 + 5
  mean = alpha / total
  spread = np.sqrt(mean * (1 - mean) / (total + 1))
  assert mean[0, 4] == pytest.approx(5 / 30)
  assert mean[0, 5] == pytest.approx(1 / 30)
  # Five standard errors: 3000 draws each.
  error = np.abs(np.asarray(transitions).mean(0) - mean)
  assert (error < 5 * spread / np.sqrt(3000)).all()
  np.testing.assert_allclose(np.asarray(transitions).std(0), spread, rtol=0.1)


def test_chains_are_drawn_by_the_prior_and_masked_ones_never(chains):
  drawn = np.asarray(lib.draw(chains, KEY, 4000))
  count = np.bincount(drawn, minlength=6)
  prior = np.exp(np.float64(chains.log_prior))
  prior /= prior.sum()
  assert (count[4:] == 0).all()
  assert (prior[4:] == 0).all()
  assert stats.chisquare(count[:4], 4000 * prior[:4]).pvalue > 1e-3
  # Not even at the largest uniform number can a masked chain be drawn.
  assert np.isinf(np.asarray(chains.prior_cdf)[3:]).all()


def test_sequences_follow_their_chain_from_the_stationary_law(chains):
  which = jnp.arange(3000) % 2
  tokens = np.asarray(sample(chains, KEY, which, 16))
  for chain in range(2):
    own = tokens[chain::2]
    law = np.float64(chains.stationary[chain])
    first = np.bincount(own[:, 0], minlength=5)
    assert stats.chisquare(first, 1500 * law / law.sum()).pvalue > 1e-3
    pairs = np.zeros((5, 5))
    np.add.at(pairs, (own[:, :-1].ravel(), own[:, 1:].ravel()), 1)
    rows = np.float64(chains.transitions[chain])
    expected = pairs.sum(1, keepdims=True) * rows / rows.sum(1, keepdims=True)
    statistic = ((pairs - expected) ** 2 / expected).sum()
    assert stats.chi2(5 * 4).sf(statistic) > 1e-3


def test_aligned_contexts_equal_the_definition(chains):
  length, tries = 12, 4
  which = jnp.arange(24) % 4
  aligned = jax.jit(lib.aligned, static_argnums=(3, 4))
  contexts, valid = aligned(chains, KEY, which, length, tries)
  many = sample(chains, KEY, jnp.repeat(which, tries), 2 * length)
  many = np.asarray(many).reshape(24, tries, 2 * length)
  retried = 0
  for rep in range(24):
    expected = None
    for i, tokens in enumerate(many[rep].tolist()):
      if expected is None and set(tokens) == set(range(5)):
        last = [2 * length - 1 - tokens[::-1].index(s) for s in range(5)]
        if min(last) >= length:
          expected = [tokens[e - length + 1 : e + 1] for e in last]
          retried += i > 0
    assert bool(valid[rep]) == (expected is not None)
    if expected is not None:
      assert np.asarray(contexts[rep]).tolist() == expected
      assert [row[-1] for row in expected] == list(range(5))
  # The case must be hard enough to show rejection and failure.
  assert retried
  assert 0 < valid.sum() < 24


def entropy(*p):
  return -sum(x * np.log(x) for x in p)


def test_entropy_rate_of_cases_known_by_hand():
  two = jnp.array([[0.9, 0.1], [0.4, 0.6]])  # pi = (4/5, 1/5)
  law = jax.jit(lib.stationary)(two)
  np.testing.assert_allclose(law, [0.8, 0.2], atol=1e-6)
  expected = 0.8 * entropy(0.9, 0.1) + 0.2 * entropy(0.4, 0.6)
  assert float(lib.entropy_rate(two, law)) == pytest.approx(expected, rel=1e-5)
  cycle = jnp.roll(jnp.eye(3), 1, axis=1)
  assert float(lib.entropy_rate(cycle, jnp.full(3, 1 / 3))) == 0
  flat = jnp.full((4, 4), 0.25)
  rate = lib.entropy_rate(flat, jnp.full(4, 0.25))
  assert float(rate) == pytest.approx(np.log(4), rel=1e-6)


@pytest.mark.parametrize(('k', 'nats'), [(10, 1.928968), (5, 1.283333)])
def test_mean_row_entropy(k, nats):
  assert lib.mean_row_entropy(k) == pytest.approx(nats, abs=1e-6)


@pytest.mark.parametrize(
  ('k', 'visits', 'nats'),
  [
    (10, 0, 0.373617),
    (10, 10, 0.198516),
    (10, 40, 0.083855),
    (5, 5, 0.174696),
    (5, 25, 0.062381),
  ],
)
def test_expected_divergence_of_bigram_inference(k, visits, nats):
  assert lib.expected_kl(k, visits) == pytest.approx(nats, abs=1e-6)
  random = np.random.default_rng(0)
  rows = random.dirichlet(np.ones(k), 4000)
  counts = random.multinomial(visits, rows)
  predicted = (counts + 1) / (visits + k)
  divergence = (rows * np.log(rows / predicted)).sum(1)
  error = 4 * divergence.std() / np.sqrt(4000)
  assert divergence.mean() == pytest.approx(nats, abs=error)
