"""Chains of motifs: documents against plain Python, chains against counts."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxsynth.errors import UserError
from jaxsynth.tasks.graph_motifs import GraphMotifs
from jaxsynth.tasks.lib import motifs as motifs_lib

KEY = jax.random.key(0)
TASKS = {
  'hierarchical': GraphMotifs(),
  'bernoulli': GraphMotifs(num_layers=0, motif_nodes=5),
}
MOTIFS = {n: jax.jit(t.init)(KEY) for n, t in TASKS.items()}


def split_at(row, token):
  """The parts of a list between a token."""
  grouped = itertools.groupby(row, lambda x: x == token)
  return [list(part) for is_token, part in grouped if not is_token]


def check_walk(task, motifs, walk, chain):
  """Sources to sinks by edges, and ghosts to the next motif of the chain."""
  edges, m = np.asarray(motifs.edges), task.motif_nodes
  into, out = edges.sum(0), edges.sum(1)
  parts = [list(p) for _, p in itertools.groupby(walk, lambda x: x // m)]
  assert [p[0] // m for p in parts] == chain
  for part in parts:
    assert into[part[0]] == 0
    assert out[part[-1]] == 0
    assert all(edges[a, b] for a, b in itertools.pairwise(part))
  ghosts = np.asarray(motifs.ghosts)
  assert all(ghosts[a[-1], b[0]] for a, b in itertools.pairwise(parts))


@functools.partial(jax.jit, static_argnums=(0, 2))
def made(task, motifs, evals):
  """Sets of documents, and which of their chains are in training."""
  sets = task.evals(motifs, KEY) if evals else {}
  sets['train'] = task.sample(motifs, KEY, 0, 40)
  chains = {n: b.info['chain'] for n, b in sets.items()}
  return sets, {n: task.in_training(motifs, c) for n, c in chains.items()}


@pytest.mark.parametrize('name', TASKS)
def test_documents_follow_the_rules(name):
  task, motifs = TASKS[name], MOTIFS[name]
  n = task.num_nodes
  sets, known = made(task, motifs, name == 'hierarchical')
  lengths = set()
  for split, batch in sets.items():
    tokens = np.concatenate([batch.inputs, batch.targets[:, -1:]], 1)
    assert (known[split] == (split != 'unseen')).all()
    for row, chain, weight in zip(
      tokens.tolist(), batch.info['chain'].tolist(), batch.weights
    ):
      chain = [a for a in chain if a >= 0]
      lengths.add(len(chain))
      assert len(set(chain)) == len(chain)
      end = row.index(n + 3)
      assert set(row[end + 1 :]) <= {n + 4}
      goal = row.index(n)
      exemplars = split_at(row[:goal], n + 2)
      assert len(exemplars) == len(chain) - 1
      for walk, a, b in zip(exemplars, chain, chain[1:]):
        check_walk(task, motifs, walk, [a, b])
      _, g, start, s, *path = row[goal:end]
      assert start == n + 1
      assert (path[0], path[-1]) == (s, g)
      check_walk(task, motifs, path, chain)
      first = 0 if split == 'train' else goal + 3
      weighed = np.zeros(len(row) - 1)
      weighed[first:end] = 1
      np.testing.assert_array_equal(weight, weighed)
  assert lengths == {3, 4}


def test_motifs_are_apart_and_ghosts_join_sinks_to_sources():
  task, motifs = TASKS['bernoulli'], MOTIFS['bernoulli']
  edges, m = np.asarray(motifs.edges), task.motif_nodes
  apart = np.arange(30)[:, None] // m != np.arange(30) // m
  assert (edges[apart] == 0).all()
  assert edges.sum() > 20
  blocks = {edges[i : i + m, i : i + m].tobytes() for i in range(0, 30, m)}
  assert len(blocks) == 6
  into, out = edges.sum(0) == 0, edges.sum(1) == 0
  np.testing.assert_array_equal(motifs.source, into)
  expected = out[:, None] & into & apart
  np.testing.assert_array_equal(motifs.ghosts, expected)


def test_permutations_are_uniform():
  drawn = np.asarray(
    jax.jit(lambda k: motifs_lib.permutations(k, (6000, 4)))(KEY)
  )
  rows, counts = np.unique(drawn, axis=0, return_counts=True)
  np.testing.assert_array_equal(rows, list(itertools.permutations(range(4))))
  assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize('split', ['seen', 'unseen'])
def test_chains_are_uniform_in_their_split(split):
  task, motifs = TASKS['hierarchical'], MOTIFS['hierarchical']
  every = np.full((120, 6), -1)
  every[:, :3] = list(itertools.permutations(range(6), 3))
  known = np.asarray(task.in_training(motifs, jnp.asarray(every)))
  assert known.mean() == pytest.approx(0.75, abs=0.16)
  draw = jax.jit(lambda k: task.chains(motifs, KEY, k, split))
  drawn = draw(jnp.ones(4000, jnp.int32))
  place = 7 ** np.arange(6)
  codes, counts = np.unique((np.asarray(drawn) + 1) @ place, return_counts=True)
  allowed = (every[known == (split == 'seen')] + 1) @ place
  np.testing.assert_array_equal(codes, np.sort(allowed))
  assert stats.chisquare(counts).pvalue > 1e-3


def test_each_order_has_a_coin_of_its_own():
  """Not one of each set of motifs, nor of each number of them."""
  task, motifs = TASKS['hierarchical'], MOTIFS['hierarchical']
  orders = np.full((24, 6), -1)
  orders[:, :4] = list(itertools.permutations(range(4)))
  known = np.asarray(task.in_training(motifs, jnp.asarray(orders)))
  assert 0 < known.sum() < 24
  other = motifs._replace(coins=motifs.coins + 1)
  again = np.asarray(task.in_training(other, jnp.asarray(orders)))
  assert (again != known).any()


def test_segments_start_at_uniform_sources():
  task, motifs = TASKS['bernoulli'], MOTIFS['bernoulli']
  walk = jax.jit(lambda a: task.segments(motifs, KEY, a))
  walks = walk(jnp.full((4000, 1), 2))
  begins = np.asarray(walks[:, 0, 0])
  sources = np.flatnonzero(np.asarray(motifs.source)[10:15]) + 10
  counts = np.bincount(begins, minlength=30)[sources]
  assert counts.sum() == 4000
  assert len(counts) > 1
  assert stats.chisquare(counts).pvalue > 1e-3


def test_longest_documents_have_room():
  task = GraphMotifs(num_motifs=8, max_k=4, room=6)
  context = jnp.zeros((1, 7 * (2 * 3 + 1)), jnp.int32)
  tokens = task.documents(context, jnp.zeros((1, 8 * 3), jnp.int32))
  assert tokens.shape == (1, task.document_length)
  assert tokens[0, -1] == task.end_token
  assert (tokens[0, :-1] < task.end_token).all()


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'room': 5}, r'max_k 2 <= room 5 <= num_motifs - 2 = 4'),
    ({'max_k': 5}, r'max_k 5 <= room 4'),
    ({'num_layers': 4}, 'divide motif_nodes 6'),
    ({'max_k': 0}, 'max_k must be at least 1'),
  ],
)
def test_impossible_sizes_are_refused(options, message):
  with pytest.raises(UserError, match=message):
    GraphMotifs(**options)


def test_impossible_shares_are_refused():
  with pytest.raises(UserError, match=r'train_share must lie in \[0.5, 0.9\]'):
    GraphMotifs().check(train_share=1.0)
