"""The Markov-mixture task: its chains, variants and evaluation sets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.tasks.lib import predictors
from jaxsynth.tasks.markov_mixture import MarkovMixture

KEY = jax.random.key(11)
# Aligned contexts so short that one of twelve repetitions finds no sequence.
TASK = MarkovMixture(
  num_states=10, seq_len=40, eval_size=200, aligned_length=16, aligned_reps=6
)


TRACES = []


@jax.jit
def init(num_chains, concentration):
  TRACES.append(1)
  return TASK.init(KEY, num_chains, concentration)


@pytest.fixture(scope='module')
def params():
  return init(16, 1.0)


@pytest.fixture(scope='module')
def sets(params):
  return jax.jit(TASK.evals)(params, KEY)


def sample(task, params):
  return jax.jit(lambda p: task.sample(p, KEY, 0, 8))(params)


@pytest.fixture(scope='module')
def plain(params):
  return sample(TASK, params)


def predicted(task, params, batch, name):
  return jax.jit(lambda p, b: task.reference(p, b)[name])(params, batch)


def variant(**fields):
  return MarkovMixture(
    num_states=10, seq_len=40, eval_size=4, aligned_reps=0, **fields
  )


def test_fewer_chains_are_a_prefix_of_more_in_one_compile(params):
  small = init(4, 1.0)
  assert len(TRACES) == 1
  np.testing.assert_array_equal(small.transitions, params.transitions)
  prior = np.exp(params.log_prior[:4])
  np.testing.assert_allclose(
    np.exp(small.log_prior[:4]), prior / prior.sum(), rtol=1e-5
  )
  assert (small.log_prior[4:] == -jnp.inf).all()


def test_uniform_weights():
  task = variant(weights='uniform')
  log_prior = jax.jit(lambda n: task.init(KEY, n).log_prior)(5)
  np.testing.assert_allclose(log_prior[:5], np.log(1 / 5), rtol=1e-6)
  assert (log_prior[5:] == -jnp.inf).all()


# Weights and seeds as they stand in the published configurations.
PUBLISHED = {
  4: (
    [
      0.1410215567872302,
      0.3579622176722185,
      0.27560979462158475,
      0.22540643091896656,
    ],
    [54886, 6265, 82386, 37194],
  ),
  8: (
    [
      0.09622888483605832,
      0.2442626914976671,
      0.18806786558416266,
      0.1538105944677268,
      0.04008515784535251,
      0.0400789607764453,
      0.014923157613654134,
      0.22254269,
    ],
    [44131, 60263, 16023, 41090, 67221, 64820, 769, 59735],
  ),
}


def test_published_chains_are_those_of_the_paper():
  task = variant(chains='published', max_chains=16)
  init = jax.jit(task.init)
  before = np.random.get_state()[1].copy()
  for size, (weights, seeds) in PUBLISHED.items():
    got = init(KEY, num_chains=size)
    np.testing.assert_allclose(np.exp(got.log_prior[:size]), weights, rtol=1e-5)
    for chain, seed in enumerate(seeds):
      expected = np.random.RandomState(seed).dirichlet(np.ones(10), size=10)
      np.testing.assert_array_equal(
        got.transitions[chain], np.float32(expected)
      )
  np.testing.assert_array_equal(np.random.get_state()[1], before)
  # The largest set, re-derived from the first seed.
  random = np.random.RandomState(42)
  weights = random.random_sample(16)
  seeds = random.randint(0, 100000, 16)
  got = init(KEY, num_chains=16)
  np.testing.assert_allclose(
    np.exp(got.log_prior), weights / weights.sum(), rtol=1e-5
  )
  expected = np.random.RandomState(seeds[-1]).dirichlet(np.ones(10), size=10)
  np.testing.assert_array_equal(got.transitions[-1], np.float32(expected))


def test_inputs_and_targets_are_one_sequence(plain):
  np.testing.assert_array_equal(plain.inputs[:, 1:], plain.targets[:, :-1])
  assert (plain.weights == 1).all()
  assert plain.inputs.shape == (8, 39)


def test_no_two_sequences_of_one_chain_are_equal():
  draw = jax.jit(lambda p, key: TASK.sample(p, key, 0, 8).inputs)
  single = init(1, 1.0)
  rows = [draw(single, jax.random.key(i)) for i in range(2)]
  assert len(np.unique(np.concatenate(rows), axis=0)) == 16


def test_permuted_sequences_are_relabelled_plain_ones(params, plain):
  task = variant(permute=True)
  batch = sample(task, params)
  order = np.asarray(batch.info['permutation'])
  np.testing.assert_array_equal(np.sort(order), np.tile(np.arange(10), (8, 1)))
  assert len({tuple(row) for row in order}) == 8
  for b in range(8):
    np.testing.assert_array_equal(order[b][plain.inputs[b]], batch.inputs[b])
    np.testing.assert_array_equal(order[b][plain.targets[b]], batch.targets[b])
  known = jax.eval_shape(task.reference, params, batch)
  assert set(known) == set(predictors.INFERENCE)
  info = jax.jit(lambda p: task.evals(p, KEY)['in_distribution'].info)(params)
  for b in range(4):
    chain, to = int(info['chain'][b]), np.asarray(info['permutation'][b])
    np.testing.assert_array_equal(
      info['transition'][b][to][:, to], params.transitions[chain]
    )
    np.testing.assert_array_equal(
      info['stationary'][b][to], params.stationary[chain]
    )


def test_pairs_name_the_last_two_tokens(params, plain):
  task = variant(pairs=True)
  batch = sample(task, params)
  x = np.asarray(plain.inputs)
  np.testing.assert_array_equal(batch.inputs[:, 0], x[:, 0])
  for t in range(1, 39):
    np.testing.assert_array_equal(
      batch.inputs[:, t], (x[:, t] + 1) * 10 + x[:, t - 1]
    )
  np.testing.assert_array_equal(task.decode(batch.inputs), x)
  np.testing.assert_array_equal(batch.targets, plain.targets)
  assert task.spec.vocab_size == 110
  p = predicted(task, params, batch, 'bi_ret')
  assert p.shape == (8, 39, 110)
  assert (p[..., 10:] == 0).all()
  expected = predicted(TASK, params, plain, 'bi_ret')
  np.testing.assert_allclose(p[..., :10], expected, atol=1e-6)


def test_evaluation_chains_come_from_their_law(params, sets):
  info = sets['in_distribution'].info
  np.testing.assert_array_equal(
    info['transition'], params.transitions[info['chain']]
  )
  for name in ('fresh', 'structured'):
    rows = np.asarray(sets[name].info['transition'])
    # All chains are new, and no two are the same.
    corner = np.concatenate([rows[:, 0, 0], params.transitions[:, 0, 0]])
    assert len(set(corner.tolist())) == 216
  inside = np.asarray(sets['structured'].info['transition'])[:, :5, :5].sum(-1)
  assert inside.mean() == pytest.approx(25 / 30, abs=0.01)
  inside = np.asarray(sets['fresh'].info['transition'])[:, :5, :5].sum(-1)
  assert inside.mean() == pytest.approx(1 / 2, abs=0.03)


def test_concentration_sets_the_spread_and_the_pseudocount(plain):
  tokens = np.asarray(plain.inputs[0])
  after = tokens[1:][tokens[:-1] == tokens[-1]]  # what followed the last state
  counts = np.bincount(after, minlength=10)
  assert counts.sum() > 1
  for a in (0.5, 1.0, 4.0):
    params = init(16, a)
    spread = np.sqrt(0.1 * 0.9 / (10 * a + 1))
    assert float(params.transitions.std()) == pytest.approx(spread, rel=0.1)
    p = predicted(TASK, params, plain, 'bi_inf')
    expected = (counts + a) / (counts + a).sum()
    np.testing.assert_allclose(p[0, -1], expected, rtol=1e-5)


def test_aligned_sets(params, sets):
  for name in ('aligned_in_distribution', 'aligned_fresh'):
    batch, info = sets[name], sets[name].info
    assert batch.inputs.shape == (60, 16)
    valid = np.asarray(info['valid'])
    assert valid.sum() == {'aligned_in_distribution': 50}.get(name, 60)
    last = np.asarray(batch.inputs[:, -1])
    np.testing.assert_array_equal(last[valid], np.tile(range(10), 6)[valid])
    np.testing.assert_array_equal(info['state'], np.tile(range(10), 6))
    np.testing.assert_array_equal(info['rep'], np.repeat(range(6), 10))
    np.testing.assert_array_equal(batch.targets[:, :-1], batch.inputs[:, 1:])
    np.testing.assert_array_equal(
      batch.weights[:, :-1], np.tile(valid, (15, 1)).T
    )
    assert (batch.weights[:, -1] == 0).all()
    for rep in range(6):
      own = np.asarray(info['transition'][rep * 10 : rep * 10 + 10])
      assert (own == own[0]).all()
      known = (own[0] == np.asarray(params.transitions)).all((1, 2)).any()
      assert known == (name == 'aligned_in_distribution')


def test_sets_and_their_shapes_follow_the_fields():
  shapes = lambda task: jax.tree.map(
    lambda x: x.shape,
    jax.eval_shape(task.evals, jax.eval_shape(task.init, KEY), KEY),
    is_leaf=lambda x: isinstance(x, jax.ShapeDtypeStruct),
  )
  batch = shapes(MarkovMixture(aligned_length=20, aligned_reps=2))
  assert batch['aligned_fresh'].inputs == (10, 20)
  assert batch['aligned_fresh'].targets == (10, 20)
  assert batch['fresh'].inputs == (64, 63)
  none = shapes(MarkovMixture(aligned_reps=0, num_states=4, eval_size=2))
  assert set(none) == {'in_distribution', 'fresh'}


@pytest.mark.parametrize(
  ('fields', 'says'),
  [
    ({'chains': 'publised'}, "did you mean 'published'"),
    ({'weights': 'uniforn'}, "did you mean 'uniform'"),
    ({'num_states': 1}, 'num_states must be at least 2'),
    ({'chains': 'structured', 'num_states': 7}, 'need num_states 5, 10'),
    ({'chains': 'published', 'max_chains': 10}, r'need max_chains in \(4'),
    ({'aligned_length': 64}, 'aligned_reps=0'),
    ({'pairs': True, 'vocab_size': 29}, 'vocab_size must be at least 30'),
  ],
)
def test_impossible_sizes_are_refused(fields, says):
  with pytest.raises(UserError, match=says):
    MarkovMixture(**fields)


@pytest.mark.parametrize(
  ('chains', 'hparams'),
  [
    ('dirichlet', {'num_chains': 0}),
    ('dirichlet', {'num_chains': 17}),
    ('dirichlet', {'num_chains': 2.5}),
    ('dirichlet', {'num_chains': float('nan')}),
    ('dirichlet', {'concentration': 0.0}),
    ('dirichlet', {'concentration': float('inf')}),
    ('published', {'num_chains': 5}),
    ('published', {'num_chains': 2}),
    ('published', {'concentration': 2.0}),
  ],
)
def test_impossible_hyperparameters_are_refused(chains, hparams):
  task = MarkovMixture(chains=chains)
  with pytest.raises(UserError):
    task.check(**hparams)
  with pytest.raises(UserError):
    task.init(KEY, **hparams)
  task.check(num_chains=4.0, concentration=1)
