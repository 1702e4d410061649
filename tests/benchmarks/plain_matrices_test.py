"""The plain generator does the same work: its matrices have the same law."""

import itertools

import jax
import numpy as np
import pytest
from scipy import stats

from benchmarks import plain_matrices
from jaxsynth.tasks.matrix_completion import MatrixCompletion

KEY = jax.random.key(0)
ROWS = 4000
WAYS = (('values', 'regression'), ('tokens', 'regression'),
        ('tokens', 'tokens'))  # fmt: skip


@pytest.mark.parametrize(('reads', 'answer'), WAYS)
def test_hidden_matrices(reads, answer):
  task = MatrixCompletion(
    num_rows=3, num_columns=2, rank=1, reads=reads, answer=answer
  )
  params = task.init(KEY, p_hidden=0.4)
  ours = jax.jit(lambda k: task.sample(params, k, 0, ROWS))(KEY)
  plain = plain_matrices.matrix_completion(task, params, ROWS)()
  for a, b in zip((ours.inputs, ours.targets, ours.weights), plain):
    assert a.shape == b.shape
    a, b = (np.asarray(x).reshape(ROWS, -1).T for x in (a, b))
    for x, y in zip(a, b):  # each place
      assert stats.ks_2samp(x, y).pvalue > 1e-4
  # Entries of a matrix hang together: products of two have the same law.
  a, b = (np.asarray(x).reshape(ROWS, -1) for x in (ours.targets, plain[1]))
  for i, j in itertools.combinations(range(a.shape[1]), 2):
    x, y = a[:, i] * a[:, j], b[:, i] * b[:, j]
    assert stats.ks_2samp(x, y).pvalue > 1e-4


@pytest.mark.parametrize('law', ['uniform', 'normal', 'laplace'])
def test_other_laws(law):
  task = MatrixCompletion(num_rows=2, num_columns=2, rank=2, law=law)
  params = task.init(KEY)
  ours = jax.jit(lambda k: task.sample(params, k, 0, ROWS))(KEY)
  _, values, _ = plain_matrices.matrix_completion(task, params, ROWS)()
  x, y = np.asarray(ours.targets).ravel(), values.ravel()
  assert stats.ks_2samp(x, y).pvalue > 1e-4
