"""The study's measures on models whose answers are known, and its numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxsynth.experiments import _function_composition_measures as measures
from jaxsynth.experiments import _function_composition_numbers as numbers
from jaxsynth.models.base import Output
from jaxsynth.models.transformer import Transformer
from jaxsynth.tasks.function_composition import FunctionComposition
from jaxsynth.trajectory.mapping import Context

TASK = FunctionComposition(
  num_letters=5, length=3, depth=3, num_functions=2, max_random=6
)


@dataclasses.dataclass(frozen=True)
class Executor:
  """Carries out the first `depth` functions that a prompt names."""

  task: FunctionComposition
  depth: int

  def init_carry(self, batch_size, length):
    size = self.task.document_length
    return {
      'tokens': jnp.zeros((batch_size, size), jnp.int32),
      'position': jnp.int32(0),
    }

  def apply(self, params, inputs, *, edit=None, carry=None):
    L, n = self.task.depth, self.task.length
    tokens = jax.lax.dynamic_update_slice(
      carry['tokens'], inputs, (0, carry['position'])
    )
    position = carry['position'] + inputs.shape[1]
    compositions = tokens[:, 1 : L + 1] - self.task.num_letters
    kept = jnp.arange(L) < self.depth
    own = jnp.arange(L) * (self.task.num_functions + 1)  # identities
    done = jnp.where(kept, compositions, own)
    whole = self.task.documents(params, done, tokens[:, L + 2 : L + 2 + n])
    following = jax.lax.dynamic_slice_in_dim(whole, position, 1, axis=1)
    logits = jax.nn.one_hot(following, self.task.spec.output_size)
    return Output(logits, {}, {'tokens': tokens, 'position': position})


@pytest.fixture(scope='module')
def world():
  functions = jax.jit(TASK.init)(jax.random.key(0))
  evals = TASK.evals(functions, jax.random.key(1))
  constants = {'task_params': functions, 'evals': evals}
  context = lambda apply: Context(
    apply, constants, {}, evals, jnp.int32(0), jax.random.key(2)
  )
  return functions, evals, context


def test_every_composition_is_written_and_judged(world):
  """One who carries out all is right everywhere; one who leaves out the last
  function only where that is the identity."""
  functions, _, context = world
  chosen = measures.compositions(TASK, 40)
  assert chosen['numbers'].shape == (27 + 40, 3)
  assert chosen['ordered'].sum() == 27
  assert (chosen['swapped'][27:] > 0).all()
  measure = lambda depth: jax.jit(
    measures.composed(TASK, Executor(TASK, depth), chosen['numbers'], 5)
  )(functions, context(None))
  out = measure(3)
  assert (out['letters'] == 1).all()
  assert (out['exact'] == 1).all()
  trained = {tuple(c) for c in functions.in_order[:6].tolist()}
  seen = [tuple(c) in trained for c in chosen['numbers'].tolist()]
  np.testing.assert_array_equal(out['seen'], seen)
  short = measure(2)
  number = chosen['numbers'][:, -1]
  maps = np.asarray(functions.maps)[number]
  unmoved = (maps == np.arange(5)).all(1)
  assert (np.asarray(short['letters'])[unmoved] == 1).all()
  assert (np.asarray(short['letters'])[~unmoved] < 1).all()


def test_places_are_those_of_the_document(world):
  functions, evals, _ = world
  at = measures.places(TASK)
  batch = evals['unseen']
  compositions = np.asarray(batch.info['composition'])
  inputs, targets = np.asarray(batch.inputs), np.asarray(batch.targets)
  maps = np.asarray(functions.maps)
  named = inputs[:, at['function']] - TASK.num_letters  # [B, L, n]
  assert (named == compositions[:, :, None]).all()
  before = inputs[:, at['letter']]
  assert (targets[:, at['query']] == maps[named, before]).all()


@pytest.fixture(scope='module')
def network(world):
  model = Transformer(num_layers=2, d_model=8, num_heads=2, max_len=24)
  params = model.init(jax.random.key(3), TASK.spec)
  params = jax.tree.map(lambda x: 8 * x if x.ndim > 1 else x, params)
  return model, params


def test_ablations_do_what_they_say(world, network):
  _, evals, _ = world
  model, params = network
  inputs = evals['unseen'].inputs
  length = inputs.shape[1]
  acts = model.apply(params, inputs).acts
  query = measures.places(TASK)['query'].ravel()
  means = {n: a[:, query].mean((0, 1)) for n, a in acts.items() if a.ndim > 2}
  for part in measures.parts(model):
    site, layer, head, kind = part
    edit = measures._edit(model, part, means, length)
    after = model.apply(params, inputs, edit=edit).acts
    name = f'blocks.{layer}.{site}'
    old, new = np.asarray(acts[name]), np.asarray(after[name])
    if kind == 'none':
      np.testing.assert_array_equal(old, new)
      continue
    axis = 1 if site == 'attn.pattern' else 2
    if head is not None:
      rest = np.arange(2) != head
      close = np.testing.assert_allclose
      close(np.compress(rest, old, axis), np.compress(rest, new, axis), 1e-6)
      new = np.take(new, head, axis)
    if kind == 'zero':
      assert (new == 0).all()
    elif kind == 'mean':
      mean = means[name] if head is None else means[name][head]
      np.testing.assert_allclose(new, np.broadcast_to(mean, new.shape), 1e-5)
    else:
      expected = np.tril(np.ones((length, length)))
      expected /= np.arange(1, length + 1)[:, None]
      wanted = np.broadcast_to(expected, new.shape)
      np.testing.assert_allclose(new, wanted, atol=1e-6)


def test_accuracy_without_ablation_is_that_of_the_network(world, network):
  _, evals, context = world
  model, params = network
  out = measures.ablated(TASK, model)(params, context(model.apply))
  batch = evals['unseen']
  guess = np.asarray(model.apply(params, batch.inputs).prediction).argmax(-1)
  query = measures.places(TASK)['query']
  right = (guess == batch.targets)[:, query].mean()
  assert out['letters'][0] == pytest.approx(right)
  assert len(out['letters']) == len(measures.parts(model)) == 21
  assert len({float(x) for x in out['letters']}) > 3
  # Each part as if it were edited alone.
  inputs, query_all = batch.inputs, query.ravel()
  acts = model.apply(params, inputs).acts
  means = {
    n: a[:, query_all].mean((0, 1)) for n, a in acts.items() if a.ndim > 2
  }
  some = list(zip(measures.parts(model), out['letters']))[::4]
  for part, got in some:
    edit = measures._edit(model, part, means, inputs.shape[1])
    logits = np.asarray(model.apply(params, inputs, edit=edit).prediction)
    right = (logits.argmax(-1) == batch.targets)[:, query].mean()
    assert float(got) == pytest.approx(float(right), abs=2e-3), part


def test_attention_is_read_at_the_right_places(world, network):
  _, evals, context = world
  model, params = network
  out = measures.looks(TASK)(params, context(model.apply))
  pattern = model.apply(params, evals['unseen'].inputs).acts[
    'blocks.1.attn.pattern'
  ]
  # Result 2, letter 1: prompt of 9, strings of 4 with their separator.
  at = measures.places(TASK)
  assert at['query'][1, 1] == 13
  assert at['function'][1, 1] == 2
  assert at['letter'][1, 1] == 10
  total = sum(
    float(pattern[:, 1, at['query'][d, j], at['letter'][d, j]].mean())
    for d in range(3)
    for j in range(3)
  )
  assert out['letter'][1, 1] == pytest.approx(total / 9, rel=1e-5)


def test_numbers_from_made_up_accuracies():
  """Two in order seen, three not, one out of order."""
  letters = [1.0, 1.0, 0.8, 0.6, 0.2, 0.1]
  composed = xr.Dataset(
    {
      'letters': (('run', 'composition'), [letters]),
      'exact': (('run', 'composition'), [[1, 1, 1, 0.5, 1, 1]]),
      'seen': (('run', 'composition'), [[True] * 2 + [False] * 4]),
    },
    {
      'active': ('composition', [0, 5, 2, 2, 5, 3]),
      'ordered': ('composition', [True] * 5 + [False]),
    },
  )
  close = lambda got, wanted: np.testing.assert_allclose(got, wanted)
  close(numbers.seen(composed), [1.0])
  close(numbers.unseen(composed), [1.6 / 3])
  close(numbers.out_of_order(composed), [0.1])
  close(numbers.deep_over_shallow(composed), [0.2 / 0.7])
  close(numbers.mastered(composed), [2 / 2])
  assert numbers.by_active(composed)['functions'].values.tolist()[-1] == 5


def test_what_an_ablation_leaves_is_of_the_last_layer_and_over_the_intact():
  names = ['attn_out 0 none', 'mlp_out 0 mean', 'mlp_out 1 zero']
  names += ['mlp_out 1 mean', 'attn_out 1 mean', 'attn.z 1.0 mean']
  ablated = xr.Dataset(
    {
      'letters': ('part', [0.8, 0.7, 0.6, 0.2, 0.4, 0.1]),
      'separators': ('part', [0.5, 0.7, 0.6, 0.1, 0.3, 0.1]),
    },
    {'part': names},
  )
  assert float(numbers.left(ablated, 'mlp_out')) == pytest.approx(0.25)
  assert float(numbers.left(ablated, 'attn_out')) == pytest.approx(0.5)
  kept = numbers.left(ablated, 'mlp_out', 'separators')
  assert float(kept) == pytest.approx(0.2)
