"""The plain generators do the same work: their documents have the same law."""

import jax
import numpy as np
import pytest

from benchmarks import plain_graphs
from jaxsynth.tasks.graph_motifs import GraphMotifs
from jaxsynth.tasks.graph_navigation import GraphNavigation

KEY = jax.random.key(0)
ROWS = 4000


def alike(ours, plain, size):
  """Each pair of neighbouring tokens is as frequent, and each length."""
  inputs, targets, weights = plain
  assert inputs.shape == ours.inputs.shape
  count = lambda x, y, w: np.bincount(
    (np.asarray(x) * size + np.asarray(y)).ravel(),
    np.asarray(w).ravel(),
    size * size,
  )
  a = count(inputs, targets, weights)
  b = count(ours.inputs, ours.targets, ours.weights)
  assert set(np.flatnonzero(a > 40)) <= set(np.flatnonzero(b))
  assert set(np.flatnonzero(b > 40)) <= set(np.flatnonzero(a))
  # Two draws of one law: the difference has about the variance of their sum.
  z = (a - b)[a + b > 40] / np.sqrt((a + b)[a + b > 40])
  assert abs(z).max() < 6
  lengths = lambda w: np.bincount(
    np.asarray(w).sum(1).astype(int), minlength=inputs.shape[1] + 1
  )
  x, y = lengths(weights), lengths(ours.weights)
  assert (abs(x - y) <= 5 * np.sqrt(x + y) + 5).all()


@pytest.mark.parametrize('stepwise', [False, True])
@pytest.mark.parametrize('graph', ['hierarchical', 'bernoulli'])
def test_documents_about_pairs(graph, stepwise):
  task = GraphNavigation(
    graph=graph, num_nodes=16, num_layers=4, max_nodes=5, stepwise=stepwise
  )
  world = jax.jit(lambda k: task.init(k, p=0.35))(KEY)
  ours = jax.jit(lambda k: task.sample(world, k, 0, ROWS))(KEY)
  plain = plain_graphs.graph_navigation(task, world, ROWS)()
  alike(ours, plain, task.spec.vocab_size)


def test_documents_of_chains():
  """All chains in training: which are is a coin that each generator tosses."""
  task = GraphMotifs(num_motifs=4, motif_nodes=4, num_layers=2, max_k=2, room=2)
  motifs = jax.jit(lambda k: task.init(k, train_share=0.9999999))(KEY)
  ours = jax.jit(lambda k: task.sample(motifs, k, 0, ROWS))(KEY)
  plain = plain_graphs.graph_motifs(task, motifs, ROWS)()
  alike(ours, plain, task.spec.vocab_size)
