"""The matrices: ranks, variances, masks, tokens and their order."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth.errors import UserError
from jaxsynth.tasks import matrix_completion as mc

KEY = jax.random.key(0)
FINE = {'precision': 1e-4, 'largest': 4.0}


@pytest.mark.parametrize('law', mc.LAWS)
@pytest.mark.parametrize('rank', [1, 2])
def test_rank_and_variance(law, rank):
  task = mc.MatrixCompletion(4, 6, rank, law=law, **FINE)
  x = np.asarray(task.matrices(KEY, 4000), np.float64)
  s = np.linalg.svd(x.reshape(-1, 4, 6), compute_uv=False)
  assert (s[:, rank] < 1e-3).all()
  assert (s[:, rank - 1] > 1e-3).mean() > 0.9
  assert task.variance == rank * mc.VARIANCES[law] ** 2
  # Entries share factors, so a mean of them varies by more than 1 / sqrt(n).
  assert np.square(x).mean() == pytest.approx(task.variance, rel=0.1)
  assert abs(x.mean()) < 0.02


def test_entries_are_row_major_and_masks_are_of_each_entry_alone():
  task = mc.MatrixCompletion(2, 3, 1, **FINE)
  params = task.init(KEY, p_hidden=0.2)
  batch = task.sample(params, KEY, jnp.int32(0), 3000)
  x = np.asarray(batch.info['values']).reshape(-1, 2, 3)
  minors = x[:, 0, :-1] * x[:, 1, 1:] - x[:, 0, 1:] * x[:, 1, :-1]
  assert abs(minors).max() < 1e-3
  hidden = ~np.asarray(batch.info['observed'])
  np.testing.assert_allclose(hidden.mean(0), 0.2, atol=0.03)
  together = np.corrcoef(hidden.T) - np.eye(6)
  assert abs(together).max() < 0.08
  np.testing.assert_array_equal(batch.weights, 1)


@settings(max_examples=30, deadline=None)
@given(
  steps=st.integers(1, 200),
  precision=st.sampled_from([0.01, 0.1, 0.25, 1.0]),
  data=st.data(),
)
def test_tokens_name_values(steps, precision, data):
  task = mc.MatrixCompletion(precision=precision, largest=steps * precision)
  assert task.steps == steps
  k = data.draw(st.integers(-steps, steps))
  value = jnp.float32(k * precision)
  token = int(task.tokens(value))
  assert token == k + steps + 1
  assert 0 < token < task.separator
  assert float(task.values(jnp.int32(token))) == pytest.approx(
    k * precision, abs=1e-5
  )
  assert float(task.rounded(value + 0.3 * precision)) == pytest.approx(
    k * precision, abs=1e-4
  )
  beyond = jnp.float32((steps + 3) * precision)
  assert int(task.tokens(beyond)) == task.separator - 1


def test_the_published_vocabulary():
  """2,002 tokens: 0.00 is 1001, -10.00 is 1, 10.00 is 2001."""
  task = mc.MatrixCompletion(7, 7, 2, precision=0.01, largest=10.0)
  assert task.spec.vocab_size == 2002
  for value, token in ((0.0, 1001), (-10.0, 1), (10.0, 2001), (0.44, 1045)):
    assert int(task.tokens(jnp.float32(value))) == token


@pytest.mark.parametrize('reads', ['tokens', 'values'])
def test_hidden_entries_are_not_read_and_are_to_be_written(reads):
  task = mc.MatrixCompletion(3, 4, reads=reads)
  values, _, _ = task._draw(task.init(KEY), KEY, 5)
  observed = jnp.arange(60).reshape(5, 12) % 3 > 0
  batch = task.batch(values, observed, observed)
  np.testing.assert_array_equal(batch.targets[..., 0], values)
  other = jnp.where(observed, values, -values + 0.1)
  np.testing.assert_array_equal(batch.inputs, task.read(other, observed))
  seen = (
    batch.inputs[..., 0] if reads == 'values' else task.values(batch.inputs)
  )
  np.testing.assert_allclose(seen, jnp.where(observed, values, 0), atol=1e-6)
  if reads == 'values':
    np.testing.assert_array_equal(batch.inputs[..., 1], ~observed)
  else:
    np.testing.assert_array_equal(batch.inputs == 0, ~observed)


def test_the_sets_are_one_set_of_matrices_weighted():
  task = mc.MatrixCompletion(3, 4, eval_size=7)
  sets = task.evals(task.init(KEY, p_hidden=0.4), KEY)
  assert list(sets) == ['all', 'observed', 'hidden']
  for batch in sets.values():
    np.testing.assert_array_equal(batch.inputs, sets['all'].inputs)
  np.testing.assert_array_equal(
    sets['hidden'].weights + sets['observed'].weights, sets['all'].weights
  )
  np.testing.assert_array_equal(sets['hidden'].weights, sets['all'].inputs == 0)


def test_a_line_for_a_causal_network():
  task = mc.MatrixCompletion(2, 2, answer='tokens')
  values = jnp.array([[0.1, -0.2, 0.3, 1.0]])
  observed = jnp.array([[True, False, True, True]])
  batch = task.batch(values, observed, ~observed)
  line = [12, 0, 14, 21, 22, 12, 9, 14, 21]
  assert batch.inputs.tolist() == [line[:-1]]
  assert batch.targets.tolist() == [line[1:]]
  assert batch.weights.tolist() == [[0, 0, 0, 0, 0, 1, 0, 0]]
  copied = task.reference(task.init(KEY), batch)['copy'][0]
  chosen = copied[jnp.arange(8), batch.targets[0]]
  # The hidden matrix: 1 / 21 each, and 0.3 for hidden. Then known, but one.
  expected = [0.3, 0.7 / 21, 0.7 / 21, 1, 1, 1 / 21, 1, 1]
  np.testing.assert_allclose(chosen, expected, rtol=1e-5)


def test_copying_errs_by_the_variance_of_what_is_hidden():
  task = mc.MatrixCompletion(6, 6, 2, **FINE)
  sets = dataclasses.replace(task, eval_size=4000).evals(task.init(KEY), KEY)
  for name, expected in (
    ('observed', 0),
    ('hidden', 2 / 9),
    ('all', 0.3 * 2 / 9),
  ):
    batch = sets[name]
    copied = task.reference(None, batch)['copy']
    error = jnp.square(copied - batch.targets)[..., 0]
    mean = (error * batch.weights).sum() / batch.weights.sum()
    assert float(mean) == pytest.approx(expected, rel=0.08, abs=1e-9)


@pytest.mark.parametrize(
  ('options', 'says'),
  [
    ({'law': 'unifrom'}, "did you mean 'uniform'"),
    ({'reads': 'value'}, "did you mean 'values'"),
    ({'answer': 'token'}, "did you mean 'tokens'"),
    ({'rank': 0}, 'rank must be at least 1'),
    ({'precision': 2.0}, 'precision must lie in'),
    ({'reads': 'values', 'answer': 'tokens'}, "needs reads='tokens'"),
  ],
)
def test_impossible_tasks_are_refused(options, says):
  with pytest.raises(UserError, match=says):
    mc.MatrixCompletion(**options)


@pytest.mark.parametrize('p', [0.0, 1.0, -0.1])
def test_a_share_of_hidden_entries_lies_between_none_and_all(p):
  with pytest.raises(UserError, match='p_hidden'):
    mc.MatrixCompletion().check(p_hidden=p)
