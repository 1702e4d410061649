"""Graph navigation: against networkx, plain Python, exact probabilities."""

import functools
import itertools

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jaxsynth.errors import UserError
from jaxsynth.tasks.graph_navigation import GraphNavigation
from jaxsynth.tasks.lib import traces

KEY = jax.random.key(0)
TASKS = {
  'hierarchical': GraphNavigation(num_nodes=20, num_layers=4),
  'bernoulli': GraphNavigation(graph='bernoulli', num_nodes=14, max_nodes=5),
}


def init(task, key=KEY, **hparams):
  return jax.jit(lambda k: task.init(k, **hparams))(key)


WORLDS = {n: init(t, p=0.4) for n, t in TASKS.items()}


def known(world):
  return nx.from_numpy_array(
    np.asarray(world.edges), create_using=nx.DiGraph, edge_attr='one'
  )


def pairs_of(world, kinds):
  return {tuple(x) for x in np.argwhere(np.isin(world.kind, kinds)).tolist()}


def test_published_sizes():
  task = GraphNavigation(num_nodes=200, num_layers=10)
  assert task.spec.vocab_size == task.spec.output_size == 206
  assert task.document_length == 4 + 10 + 2
  assert GraphNavigation(stepwise=False).spec.inputs.shape == (5,)


@pytest.mark.parametrize('name', TASKS)
def test_pairs_are_sorted_as_networkx_says(name):
  """Ranked pairs, with and without a path, none with too long a path."""
  task, world = TASKS[name], WORLDS[name]
  graph, rank = known(world), np.asarray(world.rank)
  far = 0
  for s in graph:
    for g in graph:
      paths = [p for p in nx.all_simple_paths(graph, s, g) if s != g]
      long = any(len(p) > task.longest for p in paths)
      far += long
      kind = int(world.kind[s, g])
      if rank[s] >= rank[g] or long:
        assert kind == 4
      else:
        assert kind % 2 == (len(paths) > 0)
        assert kind < 4
  assert (far > 0) == (name == 'bernoulli')
  codes = np.asarray(world.pairs)
  assert sorted(codes.tolist()) == list(range(task.num_nodes**2))
  by_kind = np.asarray(world.kind).ravel()
  assert (np.diff(by_kind[codes]) >= 0).all()
  assert world.count.tolist() == np.bincount(by_kind)[:4].tolist()


def test_fewer_and_nearer_pairs_are_subsets():
  task, world = TASKS['hierarchical'], WORLDS['hierarchical']
  seen = pairs_of(world, (0, 1))
  few = init(task, p=0.4, train_share=0.2)
  assert pairs_of(few, (0, 1)) < seen
  near = init(task, p=0.4, max_span=2)
  rank = np.asarray(world.rank)
  expected = {(s, g) for s, g in seen if rank[g] - rank[s] <= 2}
  assert pairs_of(near, (0, 1)) == expected < seen
  assert pairs_of(near, range(4)) == pairs_of(world, range(4))
  many = init(GraphNavigation(), train_share=0.2).count
  share = many[:2].sum() / many.sum()
  assert share == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / int(many.sum())))


def check_document(task, world, row, source, goal):
  """One document against the rules, in plain Python."""
  n, rank = task.num_nodes, np.asarray(world.rank)
  edges = np.asarray(world.edges)
  assert row[:4] == [n, goal, n + 1, source]
  rest = row[4:]
  end = rest.index(n + 4)
  assert set(rest[end + 1 :]) <= {n + 5}
  *trace, label = rest[:end]
  path = nx.has_path(known(world), source, goal)
  assert label == (n + 2 if path else n + 3)
  if not task.stepwise:
    assert trace == []
    return
  assert trace[0] == source
  assert all(edges[a, b] for a, b in itertools.pairwise(trace))
  assert goal not in trace[:-1]
  if path:
    assert trace[-1] == goal
  else:
    assert trace[-1] != goal
    assert all(rank[x] < rank[goal] for x in trace[:-1])
    over = rank[trace[-1]] >= rank[goal] or not edges[trace[-1]].any()
    assert over or len(trace) == task.longest


@functools.partial(jax.jit, static_argnums=(0, 2))
def made(task, world, evals=False):
  sets = task.evals(world, KEY) if evals else {}
  return {'train': task.sample(world, KEY, 0, 60), **sets}


@pytest.mark.parametrize(
  ('name', 'stepwise'),
  [('hierarchical', True), ('hierarchical', False), ('bernoulli', True)],
)
def test_documents_follow_the_rules(name, stepwise):
  options = {f: getattr(TASKS[name], f) for f in TASKS[name].__match_args__}
  task = GraphNavigation(**{**options, 'stepwise': stepwise})
  world = WORLDS[name]
  sets = made(task, world, name == 'hierarchical')
  for split, batch in sets.items():
    tokens = np.concatenate([batch.inputs, batch.targets[:, -1:]], 1)
    np.testing.assert_array_equal(tokens[:, 1:], batch.targets)
    source, goal = (np.asarray(batch.info[n]) for n in ('source', 'goal'))
    for row, s, g in zip(tokens.tolist(), source.tolist(), goal.tolist()):
      check_document(task, world, row, s, g)
    kinds = np.asarray(world.kind)[source, goal]
    assert set(kinds.tolist()) == ({2, 3} if split == 'unseen' else {0, 1})
    np.testing.assert_array_equal(kinds % 2, batch.info['path'])
    assert 15 < (kinds % 2).sum() < len(kinds) - 15
    real = batch.targets <= task.end_token
    answer = np.arange(batch.targets.shape[1]) >= 3
    weighed = real if split == 'train' else real & answer
    np.testing.assert_array_equal(batch.weights, weighed)


def test_pairs_are_uniform_within_their_kind():
  task, world = TASKS['hierarchical'], WORLDS['hierarchical']
  source, goal = jax.jit(lambda w: task.pairs(w, KEY, 6000))(world)
  code = np.asarray(source) * 20 + np.asarray(goal)
  kinds = np.asarray(world.kind).ravel()
  for kind in (0, 1):
    counts = np.bincount(code, minlength=400)[kinds == kind]
    assert counts.sum() == pytest.approx(3000, abs=4 * np.sqrt(1500))
    assert stats.chisquare(counts).pvalue > 1e-3
  only = task.pairs(world, KEY, 50, 'unseen', True)
  assert (world.kind[only] == 3).all()


def test_where_a_kind_is_missing_the_other_takes_its_place():
  task = GraphNavigation(num_nodes=4, num_layers=2)
  world = init(task, p=0.999, train_share=0.6)
  assert world.count[0] == world.count[2] == 0
  assert (world.kind[task.pairs(world, KEY, 20)] == 1).all()


@pytest.mark.parametrize('name', TASKS)
def test_optimum_has_the_exact_probability_of_every_document(name):
  """1/2 of each label, a pair of its kind, a path or a step of many."""
  task, world = TASKS[name], WORLDS[name]
  batch = made(task, world)['train']
  bayes = jax.jit(task.reference)(world, batch)['bayes']
  chosen = jnp.take_along_axis(bayes, batch.targets[..., None], -1)[..., 0]
  total = np.log(np.asarray(chosen, np.float64)).sum(1)
  degree, rank = np.asarray(world.edges).sum(1), np.asarray(world.rank)
  for row, got, s, g in zip(
    batch.inputs, total, batch.info['source'], batch.info['goal']
  ):
    path = int(world.paths[s, g])
    expected = -np.log(2 * int(world.count[int(path > 0)]))
    trace = [x for x in row[4:].tolist() if x < task.num_nodes]
    cut = len(trace) == task.longest
    if path:
      expected -= np.log(path)
    else:
      steps = trace[:-1] if cut else trace
      walked = [x for x in steps if rank[x] < rank[g] and degree[x] > 0]
      expected -= np.log(degree[walked]).sum()
    assert got == pytest.approx(expected, rel=1e-5)


def test_paths_of_training_are_uniform():
  task, world = TASKS['bernoulli'], WORLDS['bernoulli']
  allowed = np.where(np.asarray(world.kind) < 4, world.paths, 0)
  s, g = np.unravel_index(allowed.argmax(), allowed.shape)
  all_of = [tuple(p) for p in nx.all_simple_paths(known(world), s, g)]
  many = jnp.full(200 * len(all_of), 1)
  draw = jax.jit(lambda a, b: task.traces(world, KEY, a, b))
  drawn = draw(many * int(s), many * int(g))
  number = {p: i for i, p in enumerate(all_of)}
  rows = zip(np.asarray(drawn.nodes), drawn.length)
  counts = np.bincount([number[tuple(r[:n].tolist())] for r, n in rows])
  assert len(counts) == len(all_of) >= 4
  assert stats.chisquare(counts).pvalue > 1e-3


READ = jax.jit(traces.read)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=8), st.integers(0, 4))
def test_reading_a_path_is_what_plain_python_does(row, begin):
  edges = np.triu(np.arange(25).reshape(5, 5) % 3 > 0, 1)
  begin = min(begin, len(row) - 1)
  whole = np.asarray([row + [6] * (8 - len(row))])
  told = READ(whole, begin, edges.astype(np.float32))
  path, after = [], -1
  for token in row[begin:]:
    if token >= 5:
      after = token
      break
    path.append(token)
  steps = [bool(edges[a, b]) for a, b in itertools.pairwise(path)]
  after = 6 if after < 0 and len(row) < 8 else after
  assert told.nodes[0].tolist() == path + [-1] * (8 - len(path))
  assert told.length[0] == len(path)
  assert told.edges[0] == sum(steps)
  assert told.after[0] == after
  assert bool(told.valid[0]) == (bool(path) and all(steps))
  assert told.last[0] == (path[-1] if path else -1)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'graph': 'bernouli'}, "did you mean 'bernoulli'"),
    ({'num_nodes': 70}, 'num_layers 6 must divide num_nodes 70'),
    ({'max_nodes': 1}, 'max_nodes must be at least 2'),
  ],
)
def test_impossible_sizes_are_refused(options, message):
  with pytest.raises(UserError, match=message):
    GraphNavigation(**options)


@pytest.mark.parametrize('name', ['p', 'train_share'])
def test_impossible_shares_are_refused(name):
  with pytest.raises(UserError, match=rf'{name} must lie in \(0, 1\)'):
    GraphNavigation().check(**{name: 1.0})
  with pytest.raises(UserError, match='max_span must be at least 1'):
    GraphNavigation().check(max_span=0)
