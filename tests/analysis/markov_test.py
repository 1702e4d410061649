"""Divergences against numpy, memorisation, and what the probes tell apart."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth.analysis import markov
from jaxsynth.errors import UserError
from jaxsynth.models.base import Output
from jaxsynth.tasks.lib import chains as lib
from jaxsynth.tasks.lib import predictors

K, T = 3, 24
kl = jax.jit(markov.transition_kl)


def chains(seed, *shape):
  rng = np.random.default_rng(seed)
  return rng.dirichlet(np.ones(K), (*shape, K)).astype(np.float32)


def by_eigenvector(matrix):
  """The left eigenvector of eigenvalue one, in double precision."""
  values, vectors = np.linalg.eig(np.float64(matrix).T)
  vector = vectors[:, np.abs(values - 1).argmin()].real
  return vector / vector.sum()


def reference_kl(a, b):
  a, b = np.float64(a), np.float64(b)
  pi, total = by_eigenvector(b), 0.0
  for i, j in np.ndindex(K, K):
    if a[i, j] > 0:
      total += pi[i] * a[i, j] * np.log(a[i, j] / (b[i, j] + 1e-8))
  return total


def count_bigrams(params, inputs):
  """Bi-Inf as a model: logits are log (count + 1), and one unused symbol."""
  del params
  return _logits(inputs, predictors.bi_inf)


def count_tokens(params, inputs):
  """Uni-Inf as a model."""
  del params
  return _logits(inputs, predictors.uni_inf)


def look_up(params, inputs):
  """The row of a known chain: reads the current state and nothing else."""
  return Output(jnp.log(params[inputs]), {})


def _logits(inputs, predictor):
  mixed = lib.mixture(jnp.asarray(chains(0, 1)), jnp.ones(1), 1)
  p = jax.vmap(lambda x: predictor(mixed, x))(inputs)
  return Output(jnp.pad(jnp.log(p), ((0, 0), (0, 0), (0, 1))) + 1.5, {})


@pytest.fixture(scope='module')
def contexts():
  """Aligned contexts of two repetitions, [2 * K, T]."""
  truth = lib.mixture(jnp.asarray(chains(3, 2)), jnp.ones(2), 2)
  tokens, valid = lib.aligned(truth, jax.random.key(0), jnp.arange(2), T)
  assert valid.all()
  return tokens.reshape(-1, T)


def test_kl_weights_rows_by_the_second_chains_stationary_law():
  a, b = chains(1, 4), chains(2, 4)
  a[0, 0] = [0.0, 0.25, 0.75]
  expected = [reference_kl(*pair) for pair in zip(a, b)]
  np.testing.assert_allclose(kl(a, b), expected, rtol=1e-4)
  # Every pair at once, by broadcasting.
  table = kl(a[:, None], b[None])
  np.testing.assert_allclose(np.diag(table), expected, rtol=1e-4)
  # A first chain with a certain row, against a by-hand value: b is uniform.
  certain = np.eye(K, dtype=np.float32)
  third = np.full((K, K), 1 / K, np.float32)
  np.testing.assert_allclose(kl(certain, third), np.log(K), rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_kl_is_a_divergence_that_ignores_the_names_of_states(seed):
  a, b = chains(seed, 4), chains(seed + 1, 4)
  order = np.random.default_rng(seed).permutation(K)
  swap = lambda x: x[:, order][:, :, order]
  value = np.asarray(kl(a, b))
  assert (value > -K * 1e-8).all()
  np.testing.assert_allclose(kl(swap(a), swap(b)), value, rtol=1e-3, atol=1e-5)
  np.testing.assert_allclose(kl(a, a), 0.0, atol=1e-6)


def test_divergences_are_all_pairs_in_both_directions():
  model, truth, algorithms = chains(4, 2), chains(5, 2), chains(6, 3, 2)
  out = jax.jit(markov.divergences)(model, truth, algorithms)
  matrices = {'model': model, 'truth': truth}
  for name, value in out.items():
    first, second = name.split('_to_')
    for n, r in np.ndindex(3, 2):
      pair = matrices | {'algorithm': algorithms[n]}
      got = value[n, r] if 'algorithm' in name else value[r]
      expected = reference_kl(pair[first][r], pair[second][r])
      np.testing.assert_allclose(got, expected, rtol=1e-3, err_msg=name)
  assert len(out) == 6


def test_a_counting_model_implies_its_smoothed_counts(contexts):
  """Aligned contexts, prediction and matrix together, for every length."""
  predict = jax.jit(
    jax.vmap(
      lambda n: markov.predict_aligned(count_bigrams, None, contexts, n, K)
    )
  )
  lengths = jnp.asarray([1, 5, T])
  matrices = markov.implied_matrix(predict(lengths))
  assert matrices.shape == (3, 2, K, K)
  tokens = np.asarray(contexts).reshape(2, K, T)
  for at, length in enumerate(lengths.tolist()):
    for rep, state in np.ndindex(2, K):
      window = tokens[rep, state, T - length :]
      assert window[-1] == state
      counts = np.ones(K)
      for now, then in itertools.pairwise(window):
        counts[then] += now == state
      np.testing.assert_allclose(
        matrices[at, rep, state], counts / counts.sum(), rtol=1e-5
      )


def test_a_length_outside_the_context_is_refused(contexts):
  for length in (0, T + 1):
    with pytest.raises(UserError, match=f'1..{T}'):
      markov.predict_aligned(count_bigrams, None, contexts, length, K)


def test_memorisation_is_minimum_and_mean_over_chains_in_use():
  train, fresh, implied = chains(7, 6), chains(8, 6), chains(9, 2)
  mask = np.arange(6) < 4
  train[4:], fresh[4:] = np.nan, np.nan  # what is masked is never read
  out = jax.jit(markov.memorisation)(implied, train, fresh, mask)
  for name, matrices in [('train', train), ('random', fresh)]:
    for kind in ('', '_unigram'):
      table = np.empty((2, 4))
      for r, n in np.ndindex(2, 4):
        one = matrices[n]
        if kind:
          one = np.tile(by_eigenvector(one), (K, 1))
        table[r, n] = reference_kl(one, implied[r])
      got = out[f'{name}{kind}_min'], out[f'{name}{kind}_mean']
      np.testing.assert_allclose(got[0], table.min(1), rtol=1e-3)
      np.testing.assert_allclose(got[1], table.mean(1), rtol=1e-3)


def test_a_retrieving_model_is_caught_memorising(contexts):
  train, fresh = chains(10, 4), chains(11, 4)
  p = markov.predict_aligned(look_up, jnp.asarray(train[2]), contexts, 5, K)
  implied = markov.implied_matrix(p)
  out = markov.memorisation(implied, train, fresh, jnp.ones(4, bool))
  np.testing.assert_allclose(out['train_min'], 0.0, atol=1e-5)
  assert (out['random_min'] > 0.05).all()


@pytest.mark.parametrize(
  ('apply', 'moved'),
  [
    (count_tokens, {'all': 0, 'history': 0, 'recent': 0}),
    (look_up, {'all': 1, 'history': 0, 'recent': 1}),
    (count_bigrams, {'all': 1, 'history': 1, 'recent': 1}),
  ],
)
def test_shuffles_tell_which_statistic_a_model_reads(contexts, apply, moved):
  table = jnp.asarray(chains(12))
  probe = lambda x: markov.shuffle_probe(
    apply, table, x, jax.random.key(1), 3, K
  )
  out = jax.jit(probe)(contexts)
  for name, expected in moved.items():
    assert out[name].shape == (2 * K,)
    assert bool(out[name].max() > 1e-3) == bool(expected), name
    assert (out[name] > -1e-6).all()


def test_shuffles_move_only_what_they_say(contexts):
  seen = []

  def remember(params, inputs):
    seen.append(np.asarray(inputs))
    return look_up(params, inputs)

  markov.shuffle_probe(
    remember, jnp.asarray(chains(12)), contexts, jax.random.key(2), 4, K
  )
  before, whole, history, recent = seen
  np.testing.assert_array_equal(before, contexts)
  np.testing.assert_array_equal(history[:, -4:], before[:, -4:])
  np.testing.assert_array_equal(recent[:, :-4], before[:, :-4])
  for after in (whole, history, recent):
    np.testing.assert_array_equal(np.sort(after, 1), np.sort(before, 1))
    assert (after != before).any(1).sum() >= len(before) - 1
