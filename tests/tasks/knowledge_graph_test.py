"""The knowledge graph: its counts, its questions, and its exact law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.tasks.knowledge_graph import KnowledgeGraph

KEY = jax.random.key(0)
TASK = KnowledgeGraph(num_entities=12, num_steps=2, eval_size=300)
N, R = 12, 12


@pytest.fixture(scope='module')
def graph():
  return jax.jit(TASK.init)(KEY)


@pytest.fixture(scope='module')
def sets(graph):
  return jax.jit(TASK.evals)(graph, jax.random.key(1))


@pytest.mark.parametrize('cross', [False, True])
def test_as_much_is_held_out_as_was_asked(cross):
  task = KnowledgeGraph(
    num_entities=12, num_steps=2, cross=cross, logical=0.2, compositional=0.3
  )
  graph = task.init(KEY)
  assert int((~graph.told).sum()) == round(0.2 * N * R)
  pairs = R * R if cross else 4 * R
  assert int(graph.told_twice.sum()) == N * pairs - round(0.3 * N * pairs)
  order = np.arange(R) // 4
  mixed = np.asarray(graph.told_twice)[:, order[:, None] != order]
  assert mixed.any() == cross


def test_published_size():
  task = KnowledgeGraph(num_entities=2048)
  assert task.num_relations == 24
  assert task.spec.vocab_size == 2072
  assert task.spec.inputs.shape == (16,)


def test_questions_ask_what_they_say(graph, sets):
  kinds = {
    'direct': (graph.told, True),
    'logical': (graph.told, False),
    'composed': (graph.told_twice, True),
    'compositional': (graph.told_twice, False),
  }
  answers = np.asarray(graph.answers)
  for name, (table, known) in kinds.items():
    batch = jax.tree.map(np.asarray, sets[name])
    entity, relations = batch.info['entity'], batch.info['relations']
    assert (np.asarray(table)[(entity, *relations.T)] == known).all(), name
    row, at = np.arange(300), batch.info['position']
    expected = entity
    for j, r in enumerate(relations.T):
      expected = answers[expected, r]
      place = at - relations.shape[1] + 1 + j
      assert (batch.inputs[row, place] == N + r).all()
    assert (batch.inputs[row, at - relations.shape[1]] == entity).all()
    assert (batch.targets[row, at] == expected).all()
    assert (batch.weights.sum(1) == 1).all()
    assert (batch.weights[row, at] == 1).all()
    assert (batch.inputs[:, 0] < N).all()
    # A prefix ends with its first token, or with the third or later.
    count = relations.shape[1]
    assert {*at.tolist()} == {count, *range(count + 2, 16)}


def test_prefixes_tell_nothing_that_is_held_out(graph, sets):
  """Up to its question every row is a walk along what is told."""
  told, twice = np.asarray(graph.told), np.asarray(graph.told_twice)
  answers = np.asarray(graph.answers)
  seen = 0
  for name in ('logical', 'compositional'):
    batch = jax.tree.map(np.asarray, sets[name])
    ends = batch.info['position'] - batch.info['relations'].shape[1]
    for row, end in zip(batch.inputs.tolist(), ends.tolist()):
      x, relations = row[0], []
      for token in row[1 : end + 1]:
        if token >= N:
          relations.append(token - N)
          continue
        y = x
        for r in relations:
          y = answers[y, r]
        assert y == token
        table = told if len(relations) == 1 else twice
        assert table[(x, *relations)]
        x, relations, seen = token, [], seen + 1
      assert not relations
  assert seen > 1000


def test_only_entities_count(graph):
  batch = TASK.sample(graph, KEY, 0, 50)
  entity = np.asarray(batch.targets) < N
  np.testing.assert_array_equal(batch.weights, entity)
  np.testing.assert_array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])


def log_probability(graph, tokens):
  """Of one sequence given its first token, in plain Python."""
  told, twice = np.asarray(graph.told), np.asarray(graph.told_twice)
  answers, total, t = np.asarray(graph.answers), 0.0, 0
  while t + 1 < len(tokens):
    x, r = tokens[t], tokens[t + 1] - N
    single = 0.5 * told[x, r] / told[x].sum()
    pairs = 0.5 / twice[x].sum()
    if t + 2 == len(tokens):
      return total + np.log(single + pairs * twice[x, r].sum())
    if tokens[t + 2] < N:
      assert tokens[t + 2] == answers[x, r]
      total, t = total + np.log(single), t + 2
    else:
      total += np.log(pairs * twice[x, r, tokens[t + 2] - N])
      t += 3
  return total


def test_optimum_gives_every_sequence_its_exact_probability(graph):
  batch = TASK.sample(graph, jax.random.key(3), 0, 40)
  bayes = jax.jit(TASK.reference)(graph, batch)['bayes']
  chosen = jnp.take_along_axis(bayes, batch.targets[..., None], -1)[..., 0]
  whole = np.concatenate([batch.inputs, batch.targets[:, -1:]], 1)
  expected = [log_probability(graph, row) for row in whole.tolist()]
  np.testing.assert_allclose(np.log(chosen).sum(1), expected, rtol=1e-5)


def test_rings_know_all_answers_and_lookup_those_that_were_told(graph, sets):
  reference = jax.jit(TASK.reference)
  for name, known in (
    ('direct', 1.0), ('logical', 1 / N),
    ('composed', 1.0), ('compositional', 1 / N),
  ):  # fmt: skip
    batch = sets[name]
    says = reference(graph, batch)
    at = jnp.arange(300), batch.info['position']
    answer = batch.targets[at]
    p = {n: x[at][jnp.arange(300), answer] for n, x in says.items()}
    np.testing.assert_allclose(p['rings'], 1)
    np.testing.assert_allclose(p['lookup'], known)
    if name == 'logical':
      assert (p['bayes'] < 1e-6).all()


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_entities': 8}, 'num_entities must be at least 9, got 8'),
    ({'length': 2}, 'length must be at least 3'),
    ({'logical': 0.6}, 'logical must hold out some of 768 and at most 0.5'),
    ({'compositional': 0.0}, 'compositional must hold out some of 6144'),
  ],
)
def test_impossible_sizes_are_refused(options, message):
  with pytest.raises(UserError, match=message):
    KnowledgeGraph(**options)
