"""Shares, sweeps and generators: the arithmetic, and that it can be run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from benchmarks import generation, generators, ours, shares, sweep
from jaxsynth import rng
from jaxsynth.generate import generate
from jaxsynth.tasks.function_composition import FunctionComposition
from jaxsynth.tasks.knowledge_graph import KnowledgeGraph
from jaxsynth.train.sweep import one


@pytest.fixture(scope='module')
def short():
  """A small setup and its one chain."""
  setup = ours.setup_of(
    'tiny',
    overrides=[
      'task.num_states=3', 'task.max_chains=1', 'task.seq_len=9',
      'task.aligned_reps=0', 'model.max_len=8', 'model.num_layers=1',
    ],
  )  # fmt: skip
  return setup, jax.jit(setup.task.init)(jax.random.key(0))


def test_shares_are_of_a_step_and_of_a_default_training():
  seconds = {
    'step': 0.01, 'data': 0.0004, 'data_left_out': 0.0, 'optimizer': 0.001,
    'forward_backward': 0.008, 'metrics': 0.0001, 'evaluation': 0.02,
    'snapshot': 0.001,
  }  # fmt: skip
  made = shares.shares_of(seconds)
  assert made['of_a_step']['data'] == pytest.approx(0.04)
  # 1000 steps of 10 ms and 51 evaluations of 20 ms, snapshots of 1 ms
  whole = 10 + 51 * 0.021
  assert made['of_a_training']['evaluation'] == pytest.approx(1.02 / whole)
  data, measuring = made['targets']
  assert data['met'] is True
  assert measuring['measured'] == pytest.approx((0.1 + 1.02) / whole)
  assert measuring['met'] is False


def test_the_cost_of_one_more_run():
  rates = {1: 10.0, 2: 20.0, 4: 20.0, 8: 16.0}
  rows = [{'runs': n, 'run_steps_per_s': r} for n, r in rates.items()]
  got = [r['marginal_share'] for r in sweep.marginal(rows)]
  # a step of all takes 0.1, 0.1, 0.2 and 0.5 s
  assert got == [
    None,
    pytest.approx(0),
    pytest.approx(0.5),
    pytest.approx(0.75),
  ]


class Counting:
  """A task whose batches name the key they came from."""

  def init(self, key):
    return jnp.arange(3)

  def sample(self, task_params, key, step, batch_size):
    return jax.random.normal(key, (batch_size,)) + task_params[0]


def test_a_repeated_batch_is_one_of_the_task():
  task = shares.Repeated(Counting(), 4)
  params = task.init(jax.random.key(0))
  first, later = (task.sample(params, jax.random.key(t), t, 4) for t in (1, 2))
  assert (first == later).all()
  assert (first == jax.random.normal(jax.random.key(0), (4,))).all()


def test_parts_are_parts_of_the_step(short):
  """The optimizer alone moves the parameters; data alone make every batch."""
  setup, chains = short
  run = one(setup.sweep.runs()[0])._replace(constants={'task_params': chains})
  alone = shares.optimizer_alone(setup)
  state = jax.jit(alone.init)(run)
  after, _ = jax.jit(alone.step)(run, state, 0)
  moved = jax.tree.map(lambda a, b: abs(a - b).max(), state, after)
  assert min(jax.tree.leaves(moved['params']['embed'])) > 0
  data = jax.jit(shares.data_alone(setup).step)
  sums = [float(data(run, 0.0, t)[0]) for t in range(3)]
  assert len(set(sums)) > 1
  key = rng.at(rng.stream(run.seeds, 'data'), 0)
  batch = setup.task.sample(chains, key, 0, 16)
  whole = batch.inputs.sum() + batch.targets.sum() + batch.weights.sum()
  assert sums[0] == float(whole)


def test_numpy_draws_from_the_same_law(short):
  """Transitions of the numpy generator against the rows it was given."""
  setup, chains = short
  sample = generators.markov_mixture(setup.task, chains, 10_000)
  inputs, targets, weights = sample()
  assert inputs.shape == targets.shape == weights.shape == (10_000, 8)
  counts = np.zeros((3, 3))
  np.add.at(counts, (inputs, targets), 1)
  rows = counts / counts.sum(1, keepdims=True)
  np.testing.assert_allclose(rows, chains.transitions[0], atol=0.01)


@pytest.mark.parametrize('stepwise', [False, True])
def test_numpy_writes_documents_of_the_subset(stepwise):
  task = FunctionComposition(
    depth=3, max_random=9, num_combos=2, permute=True, stepwise=stepwise
  )
  functions = jax.jit(task.init)(jax.random.key(0))
  made = generators.function_composition(task, functions, 500)()
  inputs, targets, weights = made
  compositions = inputs[:, 1:4] - task.num_letters
  documents = task.documents(functions, compositions, inputs[:, 5:11])
  np.testing.assert_array_equal(inputs, documents[:, :-1])
  np.testing.assert_array_equal(targets, documents[:, 1:])
  assert weights.shape == targets.shape
  subset = np.concatenate([functions.in_order[:9], functions.combos])
  assert {*map(tuple, compositions.tolist())} == {*map(tuple, subset.tolist())}


def test_numpy_walks_have_the_law_of_the_task():
  """Surprise under the exact law is the same, in the mean, as of ours."""
  task = KnowledgeGraph(num_entities=9, num_orders=2, num_steps=2)
  graph = jax.jit(task.init)(jax.random.key(0))
  inputs, targets, weights = generators.knowledge_graph(task, graph, 3000)()
  ours = jax.jit(lambda key: task.sample(graph, key, 0, 3000))(
    jax.random.key(1)
  )
  np.testing.assert_array_equal(weights, targets < 9)
  law = jax.jit(lambda batch: task.reference(graph, batch)['bayes'])

  def surprise(batch):
    p = np.take_along_axis(
      np.asarray(law(batch)), np.asarray(batch.targets)[..., None], -1
    )
    return -np.log(p).sum((1, 2))

  theirs = surprise(ours._replace(inputs=inputs, targets=targets))
  assert np.isfinite(theirs).all()
  assert scipy.stats.ttest_ind(theirs, surprise(ours)).pvalue > 1e-3


@pytest.mark.slow
def test_tokens_per_second_are_of_generation(monkeypatch):
  monkeypatch.setattr('sys.argv', ['x', '--config=tiny', '--rows=2'])
  made = generation.main()
  assert made['length'] == 33
  for name in ('tokens_per_s', 'sampled_tokens_per_s', 'floor'):
    assert made[name] > 0


def test_recomputing_writes_what_the_cache_writes(short):
  setup, _ = short
  model, spec = setup.model, setup.task.spec
  params = model.init(jax.random.key(0), spec)
  params = jax.tree.map(lambda x: 9 * x if x.ndim > 1 else x, params)
  prompts = jnp.asarray([[0], [1], [2]])
  again = generation.recomputed(model, params, prompts, 9)
  written = generate(model, params, prompts, 9).tokens
  np.testing.assert_array_equal(again, written)
