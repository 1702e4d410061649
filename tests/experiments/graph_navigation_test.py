"""The study's measures on models whose answers are known, and its numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxsynth import build
from jaxsynth.config import plain
from jaxsynth.configs.graph_navigation import PRESETS, get_config
from jaxsynth.experiments import _graph_navigation_measures as measures
from jaxsynth.experiments import _graph_navigation_motifs as motifs
from jaxsynth.experiments import _graph_navigation_numbers as numbers
from jaxsynth.experiments import _graph_navigation_rule as rule
from jaxsynth.models.base import Edit, Output
from jaxsynth.models.transformer import Transformer
from jaxsynth.studies.variants import of_sections
from jaxsynth.tasks.graph_motifs import GraphMotifs
from jaxsynth.tasks.graph_navigation import GraphNavigation
from jaxsynth.tasks.lib import traces
from jaxsynth.trajectory.mapping import Context
from jaxsynth.types import Batch

TASK = GraphNavigation(num_nodes=20, num_layers=4)
CHAINS = GraphMotifs()


@dataclasses.dataclass(frozen=True)
class Oracle:
  """Writes what the task's optimum says; params are the task's own."""

  task: GraphNavigation

  def init_carry(self, batch_size, length):
    tokens = jnp.zeros((batch_size, self.task.document_length), jnp.int32)
    return {'tokens': tokens, 'position': jnp.int32(0)}

  def apply(self, params, inputs, *, edit=None, carry=None):
    position = carry['position']
    tokens = jax.lax.dynamic_update_slice(
      carry['tokens'], inputs, (0, position)
    )
    batch = Batch(tokens, None, None, {})
    law = self.task.reference(params, batch)['bayes']
    position += inputs.shape[1]
    now = jax.lax.dynamic_slice_in_dim(law, position - 1, 1, axis=1)
    carry = {'tokens': tokens, 'position': position}
    return Output(jnp.log(now), {}, carry)


def context(world, step=0):
  constants = {'task_params': world, 'evals': {}}
  return Context(None, constants, {}, {}, jnp.asarray(step), jax.random.key(2))


@pytest.fixture(scope='module')
def world():
  return jax.jit(lambda k: TASK.init(k, p=0.4))(jax.random.key(0))


def test_one_who_knows_the_graph_is_always_right(world):
  """And with an edge taken out of what it is judged by, no longer valid."""
  measure = measures.navigated(TASK, Oracle(TASK), 60)
  pair = jax.tree.map(lambda x: x[None], world)
  out = jax.jit(measure)(pair, context(world))
  for name in ('right', 'valid'):
    assert out[name].all()
  np.testing.assert_array_equal(out['arrives'][0], out['path'])
  assert (out['steps'] == out['edges']).all()
  assert 10 < out['path'].sum() < 50
  # On paths alone, the steps count the start as one more.
  path = np.asarray(out['path'])
  np.testing.assert_array_equal(out['steps'][0][path], out['span'][path] + 1)
  blind = world._replace(edges=jnp.zeros_like(world.edges))
  judged = jax.jit(measure)(pair, context(blind))
  assert (judged['edges'] == 1).all()
  assert judged['valid'].sum() == (judged['steps'] == 1).sum()


def test_the_span_rule_is_the_better_guess_of_each_span(world):
  kind, rank = np.asarray(world.kind), np.asarray(world.rank)
  span = rank - rank[:, None]
  for d in (1, 2, 3):
    with_path, without = (
      ((kind == k) & (span == d)).sum() / int(world.count[k]) for k in (1, 0)
    )
    got = measures.by_span(TASK, world, jnp.asarray([d]))
    assert bool(got[0]) == (with_path >= without)


def test_different_rows_are_counted_once():
  rows = jnp.asarray([[1, 2], [1, 2], [3, 4], [5, 6], [3, 4], [7, 7]])
  counted = jnp.asarray([True, True, True, False, True, True])
  assert int(measures.distinct(rows, counted)) == 3
  assert int(measures.distinct(rows, jnp.ones(6, bool))) == 4
  assert int(measures.distinct(rows, jnp.zeros(6, bool))) == 0


def test_sampling_finds_all_paths_and_none_when_hot(world):
  measure = measures.tempered(TASK, Oracle(TASK), (1.0, 1e4), 2, 200)
  out = jax.jit(measure)(world, context(world))
  most = np.sort(np.where(np.asarray(world.kind) == 3, world.paths, -1).ravel())
  np.testing.assert_array_equal(out['paths'], most[::-1][:2])
  # The optimum's logits of what cannot be are -inf at any temperature.
  assert (out['success'] == 1).all()
  np.testing.assert_array_equal(out['different_valid'][0], out['paths'])
  np.testing.assert_array_equal(out['different_valid'], out['different'])


def test_lengths_of_uniform_paths_have_no_bias():
  task = GraphNavigation(graph='bernoulli', num_nodes=12, max_nodes=12)
  world = jax.jit(lambda k: task.init(k, p=0.4))(jax.random.key(1))
  measure = measures.lengths(task, Oracle(task), 30, 200)
  out = jax.jit(measure)(world, context(world))
  assert (out['success'] == 1).all()
  varied = np.asarray(out['varied'])
  assert 5 < varied.sum() < 30
  # Greedily, the next node from which most paths lead on.
  edges = np.asarray(out['greedy'])
  assert (edges == edges.round()).all()
  for name in ('written', 'sampled'):
    error = np.asarray(out[name] - out['known'])
    assert abs(error[varied]).max() < 0.35
    assert abs(error[varied].mean()) < 0.06
    np.testing.assert_allclose(error[~varied], 0, atol=1e-4)


@pytest.fixture(scope='module')
def one_layer():
  model = Transformer(
    num_layers=1, d_model=12, num_heads=1, mlp_ratio=0, bias=False, max_len=12
  )
  params = model.init(jax.random.key(3), TASK.spec)
  return model, jax.tree.map(
    lambda x: 12 * x if x.ndim > 1 else x + 0.3 * jnp.arange(len(x)), params
  )


@jax.jit
def contexts(world):
  source, goal = TASK.pairs(world, jax.random.key(4), 20, 'unseen', True)
  nodes = TASK.traces(world, jax.random.key(5), source, goal).nodes
  return TASK.documents(world, source, goal, nodes)[:, :-1], goal


def read_rule(model, params, world, size):
  measure = rule.additive(TASK, model, size)
  return jax.jit(lambda p: measure(p, context(world)))(params)


def test_the_rule_is_the_network_with_attention_held_fixed(world, one_layer):
  """Its sum is the logits of a network that attends to goal and current node
  with fixed weights, at the mean of the positions, up to a positive factor."""
  model, params = one_layer
  table = params['pos_embed']['embedding']
  table = table.at[4:8].set(table[4:8].mean(0))
  params = {**params, 'pos_embed': {'embedding': table}}
  tokens, goal = contexts(world)
  size = tokens.shape[1]
  fixed = jnp.zeros((size, size)).at[:, 1].set(0.3)
  fixed += 0.6 * jnp.eye(size)
  edit = {'blocks.0.attn.pattern': Edit(keep=jnp.float32(0), add=fixed)}
  logits = jax.jit(lambda p: model.apply(p, tokens, edit=edit).prediction)(
    params
  )
  v_goal, v_node, u = rule.vectors(params, 20, 0.3, 0.6, table[4])
  for t in range(4, 7):
    rows = tokens[:, t] < 20
    now = tokens[rows, t]
    said = (v_goal[goal[rows]] + v_node[now]) @ u
    true = logits[rows, t, :20]
    scale = (said * true).sum(-1) / (true * true).sum(-1)
    assert (scale > 0).all()
    np.testing.assert_allclose(
      said, scale[:, None] * true, rtol=2e-3, atol=2e-3
    )


def test_the_rule_is_exact_where_only_goal_and_node_matter(world, one_layer):
  """A network whose queries are zero attends to all alike. With nothing in
  its values, the rule decides as it does, everywhere."""
  model, params = one_layer
  table = params['pos_embed']['embedding']
  table = table.at[4:].set(table[4])
  attn = {**params['blocks_0']['attn'], 'q': {'kernel': jnp.zeros((12, 12))}}
  attn['v'] = {'kernel': jnp.zeros((12, 12))}
  block = {**params['blocks_0'], 'attn': attn}
  embed = params['embed']['embedding'][:20]
  near = (
    embed.T / jnp.square(embed).sum(1) @ world.edges
  )  # points to neighbours
  still = {
    **params, 'pos_embed': {'embedding': table}, 'blocks_0': block,
    'unembed': {'kernel': jnp.pad(near, ((0, 0), (0, 6)))},
  }  # fmt: skip
  out = read_rule(model, still, world, 40)
  assert out['agrees'] == 1
  assert out['rule_valid'] == pytest.approx(float(out['network_valid']))
  assert out['rule_valid'] > 0.2
  np.testing.assert_allclose(out['of_goal'], 0, atol=1e-4)
  # At a trace's place t there are t + 1 tokens to attend to.
  assert 1 / 8 < out['attention'][0] == pytest.approx(out['attention'][1])


def test_shares_of_the_rule_are_of_what_it_says(world, one_layer):
  model, params = one_layer
  out = read_rule(model, params, world, 30)
  assert 0 < out['rule_leads'] <= out['rule_valid'] < 1
  assert 0 < out['agrees'] < 1
  assert 0 < out['valid_everywhere'] < 1
  rank = np.asarray(world.rank)
  there = (np.asarray(world.paths.T) > 0) | np.eye(20, dtype=bool)
  gap = np.where(there, rank[:, None] - rank, np.nan)
  np.testing.assert_array_equal(out['distance'], gap)


@pytest.fixture(scope='module')
def known():
  return jax.jit(CHAINS.init)(jax.random.key(0))


def test_paths_through_motifs_are_judged_by_order_and_edges(known):
  chain = jnp.asarray([[2, 0, 5, -1, -1, -1]] * 2)
  segments = jax.jit(lambda c: CHAINS.segments(known, jax.random.key(1), c))
  walks = np.asarray(segments(chain)).reshape(2, -1)
  there, back = ([x for x in row if x >= 0] for row in walks.tolist())
  rows = [there, back[::-1]]
  assert len(back) > 3
  wide = jnp.asarray([w + [99] * (20 - len(w)) for w in rows])

  @jax.jit
  def right(chain):
    told = traces.read(wide, 0, known.edges + known.ghosts)
    return motifs.visits(CHAINS, told, chain)

  assert right(chain).tolist() == [True, False]
  for other in ([2, 0, 4, -1], [2, 0, -1, -1], [2, 0, 5, 1]):
    wrong = jnp.asarray([[*other, -1, -1]] * 2)
    assert right(wrong).tolist() == [False, False]


@dataclasses.dataclass(frozen=True)
class Copier:
  """Continues every prompt as a document of its own; params are tokens."""

  def init_carry(self, batch_size, length):
    return {'position': jnp.int32(0)}

  def apply(self, params, inputs, *, edit=None, carry=None):
    position = carry['position'] + inputs.shape[1]
    following = jax.lax.dynamic_slice_in_dim(params, position, 1, axis=1)
    logits = jax.nn.one_hot(following, CHAINS.spec.output_size)
    return Output(logits, {}, {'position': position})


def test_a_written_path_counts_when_it_ends_as_asked(known):
  @jax.jit
  def made(key):
    chain = CHAINS.chains(known, key, jnp.full(6, 2))
    path = CHAINS.segments(known, key, chain).reshape(6, -1)
    return chain, path, CHAINS.exemplars(known, key, chain)

  @jax.jit
  def written(chain, path, asked):
    truth = CHAINS.documents(shown, path)
    told, good = motifs.write(CHAINS, Copier(), truth, known, shown, asked)
    return told, good, motifs.visits(CHAINS, told, chain)

  chain, path, shown = made(jax.random.key(1))
  told, good, through = written(chain, path, path)
  assert good.all()
  assert through.all()
  for row, nodes in zip(path.tolist(), told.nodes.tolist()):
    assert [x for x in nodes if x >= 0] == [x for x in row if x >= 0]
  other = path.at[:, 0].set((path[:, 0] + 1) % CHAINS.num_nodes)
  assert not written(chain, path, other)[1].any()


def test_chains_that_contradict_each_other_fit():
  assert motifs.conflicts(CHAINS) == [1]
  big = GraphMotifs(num_motifs=8, max_k=4, room=6)
  assert motifs.conflicts(big) == [1, 2, 3]


@pytest.mark.parametrize('preset', PRESETS)
def test_every_variant_of_every_preset_can_be_built(preset):
  config = get_config(preset)
  variants = plain(config)['measure']['variants']
  wanted = {'stepwise', 'direct', 'bernoulli', 'one_layer', 'motifs'}
  assert wanted == set(variants)
  for name, changes in variants.items():
    setup = build.build(of_sections(config, changes))
    assert setup.sweep.runs()
    if name in ('stepwise', 'direct'):
      # The largest limit is none: every span of the graph is within it.
      limits = setup.sweep.traced['task.max_span']
      assert max(limits) == setup.task.num_layers - 1


def close(got, wanted):
  np.testing.assert_allclose(got, wanted)


def test_numbers_from_made_up_answers():
  """Four pairs with a path, one without, two snapshots."""
  array = lambda rows: (('run', 'snapshot', 'pair'), [rows])
  nav = xr.Dataset(
    {
      'right': array([[0, 0, 0, 0, 1], [1, 1, 1, 0, 1]]),
      'steps': array([[4, 4, 2, 2, 9], [4, 4, 4, 4, 9]]),
      'edges': array([[1, 1, 1, 0, 0], [4, 4, 4, 3, 0]]),
      'valid': array([[False] * 5, [True, True, True, False, False]]),
      'arrives': array([[False] * 5, [True, True, False, True, False]]),
      'path': (('run', 'pair'), [[True] * 4 + [False]]),
      'span': (('run', 'pair'), [[1, 1, 2, 2, 1]]),
      'right_by_span': (('run', 'pair'), [[True, True, False, False, True]]),
    },
    {'snapshot': [0, 50], 'run': [7]},
  )
  close(numbers.accuracy(nav), [[0.2, 0.8]])
  close(numbers.span_alone(nav), [0.6])
  close(numbers.edge_accuracy(nav), [[3 / 12, 15 / 16]])
  close(numbers.planning_accuracy(nav), [[0, 2 / 3]])
  close(numbers.missteps(nav), [[1, 0.25]])
  close(numbers.planning_failures(nav), [[0, 0.25]])
  by = numbers.of_span(nav).isel(snapshot=-1).transpose('run', 'span')
  close(by, [[1.0, np.nan]])
  edges = numbers.edge_accuracy(nav)
  close(numbers.onset(edges, 0.9), [50])
  close(numbers.onset(edges, 0.2), [0])
  close(numbers.onset(edges, 0.99), [np.inf])


def test_numbers_from_made_up_samples():
  heat = xr.DataArray([[0.1, 0.5, 0.4, 0.2]], dims=('run', 'temperature'))
  close(numbers.peak(heat), [2.5])
  close(numbers.fall(heat), [-0.1])
  close(numbers.rise(heat), [0.4])
  of_pairs = lambda row: (('run', 'of_pair'), [row])
  lengths = xr.Dataset(
    {
      'written': of_pairs([2.0, 3.5, np.nan, 2.0]),
      'greedy': of_pairs([2.0, 2.0, 2.0, 2.0]),
      'sampled': of_pairs([2.5, 2.5, 2.0, 2.0]),
      'known': of_pairs([2.4, 3.0, 3.0, 2.0]),
      'varied': of_pairs([True, True, True, False]),
    }
  )
  close(numbers.shorter(lengths), [0.5])
  close(numbers.shorter(lengths, 'sampled'), [2 / 3])
  close(numbers.shorter(lengths, 'greedy'), [1])
  close(numbers.bias(lengths), [0.05])
  close(numbers.bias(lengths, 'sampled'), [-1.4 / 3])


def test_runs_are_chosen_by_value_and_named_by_seed():
  data = xr.Dataset(
    {'x': ('run', [1, 2, 3, 4])},
    {
      'run': range(4),
      'seed_init': ('run', [7, 8, 7, 8]),
      'task_max_span': ('run', [2, 2, 4, 4]),
    },
  )
  part = numbers.by_seed(data, max_span=4)
  assert part['x'].values.tolist() == [3, 4]
  assert part['run'].values.tolist() == [7, 8]
  assert set(part.coords) == {'run'}


def test_goals_near_and_far():
  there = [[0.0, 1.0, 2.0], [np.nan, 0.0, 1.0]]
  said = [[3.0, 2.0, 1.0], [99.0, 3.0, 2.0]]
  read = xr.Dataset(
    {
      'distance': (('goal', 'node'), there),
      'of_goal': (('goal', 'node'), said),
    }
  )
  assert float(numbers.nearness(read)) == pytest.approx(-1)
