"""The study's measures on models whose answers are known, and its numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxsynth.errors import UserError
from jaxsynth.experiments import _knowledge_editing_measures as measures
from jaxsynth.experiments import _knowledge_editing_numbers as numbers
from jaxsynth.experiments import _knowledge_editing_questions as questions
from jaxsynth.models.base import Output
from jaxsynth.models.transformer import Transformer
from jaxsynth.tasks.knowledge_graph import KnowledgeGraph
from jaxsynth.trajectory.mapping import Context
from jaxsynth.types import Batch

TASK = KnowledgeGraph(num_entities=11, num_steps=2, length=10)
OPTIONS = {
  'block': 0, 'subject': 'entity', 'prefixes': 3, 'inputs': 30,
  'questions': 8, 'edits': 3, 'weight': 1.0, 'threshold': 0.01,
  'ridge': 1.0,
  'descent': {
    'steps': 0, 'rate': 0.2, 'decay': 0.01, 'most': 4.0, 'enough': 0.0,
  },
}  # fmt: skip
KEY = jax.random.key(0)


@dataclasses.dataclass(frozen=True)
class Knows:
  """Answers as one of the task's reference predictors; params is the graph."""

  what: str

  def apply(self, params, inputs):
    batch = Batch(inputs, inputs, None, {})
    p = TASK.reference(params, batch)[self.what]
    return Output(jnp.log(p + 1e-9), {})


@pytest.fixture(scope='module')
def graph():
  return jax.jit(TASK.init)(KEY)


@pytest.fixture(scope='module')
def exam(graph):
  make = lambda g, key: questions.examination(TASK, g, key, 20, 3)
  return jax.jit(make)(graph, jax.random.key(1))


def test_who_knows_the_rings_passes_and_who_looks_up_only_what_was_told(
  graph, exam
):
  kinds = {}
  for what in ('rings', 'lookup'):
    model = Knows(what)
    say = lambda g, x, f=model.apply: questions.said(TASK, f, g, x, 3)
    says = jax.jit(say)(graph, exam.batch)
    np.testing.assert_allclose(says.sum(1), 1, atol=1e-4)
    p = says[jnp.arange(len(says)), exam.answer]
    kinds[what] = np.asarray(p).reshape(3, 3, 20)
  np.testing.assert_allclose(kinds['rings'], 1, atol=1e-4)
  np.testing.assert_allclose(kinds['lookup'][:, 0], 1, atol=1e-4)
  np.testing.assert_allclose(kinds['lookup'][:, 1:], 1 / 11, atol=1e-4)


def test_an_examination_asks_about_its_own_order_and_class(graph, exam):
  entity, relation, alone = (
    np.asarray(x).reshape(3, 3, 20)
    for x in (exam.entity, exam.relation, exam.alone)
  )
  assert (relation // 4 == np.arange(3)[:, None, None]).all()
  assert alone[:, :2].all()
  assert not alone[:, 2].any()
  told = np.asarray(graph.told)[entity, relation]
  assert told[:, 0].all()
  assert not told[:, 1].any()


def test_new_answers_lie_at_their_distance_on_the_first_ring(graph):
  ring = np.asarray(graph.rings[0]).tolist()
  entity, relation = jnp.arange(11), jnp.arange(11) % 4
  for distance in (1, 2):
    side = jnp.arange(11) % 2 == 0
    new = questions.new_answers(TASK, graph, entity, relation, distance, side)
    old = np.asarray(graph.answers)[entity, relation]
    for a, b, ahead in zip(old.tolist(), new.tolist(), side.tolist()):
      gap = (ring.index(b) - ring.index(a)) % 11
      assert gap == (distance if ahead else 11 - distance)


def test_edited_facts_are_known_ones_and_corrected_ones_are_wrong(graph):
  right = jax.random.uniform(KEY, graph.told.shape) < 0.7
  edits, corrections = questions.chosen_edits(
    TASK, graph, jax.random.key(2), right, {'edits': 5}
  )
  entity, relation = np.asarray(edits.entity), np.asarray(edits.relation)
  assert (relation < 4).all()
  assert corrections == (~right)[:, :4].sum()
  wrong, known = entity[:5], entity[5:].reshape(2, 5)
  assert not np.asarray(right)[wrong, relation[:5]].any()
  answers = np.asarray(graph.answers)
  np.testing.assert_array_equal(edits.answer[:5], answers[wrong, relation[:5]])
  assert (known[0] == known[1]).all()
  at = entity[5:], relation[5:]
  assert np.asarray(right & graph.told)[at].all()
  assert (np.asarray(edits.answer)[5:] != answers[at]).all()
  assert len({*zip(*(x.tolist() for x in at))}) == 5


@pytest.fixture(scope='module')
def world(graph):
  model = Transformer(num_layers=2, d_model=8, num_heads=2, max_len=10)
  params = model.init(jax.random.key(3), TASK.spec)
  params = jax.tree.map(lambda x: 8 * x if x.ndim > 1 else x, params)
  constants = {'task_params': graph}
  context = Context(
    model.apply, constants, {}, {}, jnp.int32(0), jax.random.key(4)
  )
  return model, params, context


def test_edits_that_change_nothing_cost_nothing_and_others_do(world):
  model, params, context = world

  @jax.jit
  def carried_out(params, enough):
    descent = OPTIONS['descent'] | {'steps': 9, 'enough': enough}
    options = OPTIONS | {'descent': descent}
    measure = measures.editing(TASK, model, options, measures.METHODS)
    return measure(params, context)

  still, moved = (
    jax.tree.map(np.asarray, carried_out(params, e)) for e in (1e9, 0.0)
  )
  assert still['drop'].shape == (3, 3, 4, 3, 3)
  assert np.abs(still['drop']).max() == 0
  assert still['shattering'].max() < 1e-5
  expected = np.broadcast_to(still['shape'], still['new_shape'].shape)
  np.testing.assert_allclose(still['new_shape'], expected, atol=1e-4)
  assert (moved['shattering'] > 1e-4).all()
  np.testing.assert_array_equal(still['accuracy'], moved['accuracy'])
  assert np.abs(still['change']).max() == 0
  assert (moved['change'] > 0.1).all()
  assert moved['reach'].shape == (3, 3, 3)
  assert (moved['reach'] > 0).all()
  assert (moved['reach'] < 1).all()
  np.testing.assert_allclose(moved['windings'].sum(-1), 1, rtol=1e-5)


def test_edits_that_cannot_reach_an_answer_are_refused(world):
  model = world[0]
  measures.check(model, {'block': 1, 'subject': 'relation'})
  for options, message in (
    ({'block': 0, 'subject': 'entty'}, "did you mean 'entity'"),
    ({'block': 1, 'subject': 'entity'}, r'must be in 0\.\.0'),
    ({'block': 2, 'subject': 'relation'}, r'must be in 0\.\.1'),
  ):
    with pytest.raises(UserError, match=message):
      measures.check(model, options)


def test_manifolds_are_read_at_the_relation(world):
  model, params, _ = world
  shapes = jax.jit(lambda p: questions.manifolds(TASK, model.apply, p))(params)
  assert shapes.shape == (12, 11, 8)
  acts = jax.jit(model.apply)(params, jnp.asarray([[4, 11 + 7]])).acts
  np.testing.assert_allclose(
    shapes[7, 4], acts['blocks.1.resid_post'][0, 1], atol=1e-5
  )


class Winding:
  """A network whose ring of order o winds o + 1 times."""

  def __init__(self, graph):
    self.places = jnp.argsort(graph.rings, 1)

  def apply(self, params, inputs):
    entity, relation = inputs[:, :1], inputs[:, 1:] - 11
    order = relation // 4
    angle = 2 * jnp.pi * (order + 1) * self.places[order, entity] / 11
    point = jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
    return Output(None, {'blocks.0.resid_post': point.repeat(2, 1)})


def test_windings_are_read_along_the_ring_of_each_order(graph):
  points = questions.manifolds(TASK, Winding(graph).apply, None)
  shares = measures.turns(TASK, graph, points)
  np.testing.assert_allclose(shares, np.eye(5)[:3], atol=1e-5)


def test_steps_between_entities_are_the_shorter_way_round(graph):
  ring = np.asarray(graph.rings[0])
  places = np.arange(11)
  steps = [questions.gap(TASK, graph, ring[p], ring[3]) for p in places]
  expected = [3, 2, 1, 0, 1, 2, 3, 4, 5, 5, 4]
  np.testing.assert_array_equal(steps, expected)


def made_up():
  """Two runs, two edits, distances 0 to 3, two methods, three orders."""
  R = np.array([1.0, 2.0, 6.0, 8.0])[None, :, None, None, None]
  R = R * np.ones((2, 4, 2, 2, 3))
  R[:, 0, 1] = 100.0  # was right already: no correction
  R[:, :, :, 1] *= 0.5
  R[:, 3, :, 1] *= 0.5
  drop = np.array([0.1, 0.001, 0.2, 0.4])[None, :, None, None, None, None]
  drop = drop * np.ones((2, 4, 2, 2, 3, 3))
  drop[:, 3, :, :, 2] = 0.1
  accuracy = np.broadcast_to([0.9, 0.5, 0.7], (2, 3, 3))
  change = np.array([9.0, 0.5, 0.75, 1.5])[None, :, None] * np.ones((2, 4, 2))
  mistake = np.array([[5.0, 9.0], [1, 1], [2, 2], [3, 3]]) * np.ones((2, 1, 1))
  reach = np.ones((2, 4, 2, 3)) * [0.2, 0.1, 0.1]
  reach[:, 0] = 0.9  # of corrections
  windings = np.broadcast_to([0.1, 0.3, 0.0, 0.4, 0.2], (2, 3, 5))
  taken = np.ones((2, 4, 2, 2))
  taken[:, 1:, 1, 1] = 0
  dims = ('run', 'distance', 'edit', 'editor', 'order')
  return xr.Dataset(
    {
      'shattering': (dims, R),
      'drop': ((*dims, 'class'), drop),
      'taken': (dims[:4], taken),
      'accuracy': (('run', 'order', 'class'), accuracy),
      'corrections': ('run', [1, 1]),
      'change': (dims[:3], change),
      'mistake': (dims[:3], mistake),
      'reach': (('run', 'distance', 'edit', 'order'), reach),
      'windings': (('run', 'order', 'turn'), windings),
      'rings': (('run', 'order', 'place'), np.zeros((2, 3, 10))),
    },
    {
      'distance': np.arange(4),
      'editor': ['rome', 'memit'],
      'class': ['direct', 'logical', 'compositional'],
      'turn': np.arange(1, 6),
    },
  )


def test_numbers_from_made_up_edits():
  edits = made_up()
  close = lambda got, wanted: np.testing.assert_allclose(got, [wanted] * 2)
  close(numbers.least_rise(edits), 2 / 2)
  close(numbers.times_torn(edits), 8 / 2)
  close(numbers.others_times_torn(edits), 4 / 2)
  close(numbers.times_lost(edits), 0.3 / 0.01)
  close(numbers.correction(edits), 1 / 8)
  close(numbers.as_far(edits), 0.1 / 0.4)
  close(numbers.taken(edits), 0.5)
  close(numbers.known(edits, 'logical'), 0.5)
  close(numbers.ringed(edits).mean('order'), 0.9)
  close(numbers.turned(edits), 4 * 36)
  close(numbers.reached(edits).isel(order=0), 0.2)
  close(numbers.times_changed(edits), 3)
  close(numbers.mistaken(edits), 5)
  R = np.repeat([2.0, 6.0, 8.0], 2)
  drop = np.repeat([0.001, 0.2, 0.3], 2)
  close(numbers.explained(edits), np.corrcoef(R, drop)[0, 1] ** 2)


def test_orders_that_gain_have_lost_nothing():
  edits = made_up()
  edits['drop'][:, 3, :, :, 1] = -0.2
  np.testing.assert_allclose(numbers.as_far(edits), [0, 0])
