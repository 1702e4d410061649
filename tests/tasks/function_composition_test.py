"""Function composition: against plain Python, exact counts, exact entropy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth.errors import UserError
from jaxsynth.tasks.function_composition import FunctionComposition

KEY = jax.random.key(0)
TASK = FunctionComposition()


def init(task, key=KEY, **hparams):
  return jax.jit(lambda k: task.init(k, **hparams))(key)


FUNCTIONS = init(TASK)


def by_hand(task, functions, composition, letters):
  """The document of one composition, in plain Python."""
  V, size = task.num_letters, task.num_functions + 1
  x, results = list(letters), []
  for g in composition:
    x = [x[place] for place in functions.orders[g].tolist()]
    x = [functions.maps[g].tolist()[letter] for letter in x]
    results.append(x)
  separator = V + task.depth * size
  out = [separator + 2, *[V + g for g in composition], separator, *letters]
  for x in results if task.stepwise else results[-1:]:
    out += [separator, *x]
  return out


@pytest.mark.parametrize(
  ('options', 'vocabulary', 'length', 'compositions', 'base'),
  [
    ({}, 33, 48, 1024, 16),
    ({'stepwise': False}, 33, 20, 1024, 16),
    ({'num_functions': 4}, 38, 48, 3125, 21),
  ],
)
def test_published_sizes(options, vocabulary, length, compositions, base):
  task = FunctionComposition(base=True, max_random=0, **options)
  assert task.spec.vocab_size == task.spec.output_size == vocabulary
  assert task.spec.inputs.shape == (length - 1,)
  assert task.document_length == length
  everything = {tuple(c) for c in task.space.in_order().tolist()}
  assert len(everything) == compositions
  functions = init(task)
  assert {tuple(c) for c in functions.in_order.tolist()} == everything
  assert int(functions.count) == base
  trained = functions.in_order[:base]
  assert int(task.space.num_active(trained).max()) == 1
  assert int(task.space.num_active(functions.in_order[base:]).min()) == 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31 - 1), st.booleans(), st.booleans())
def test_documents_equal_plain_python(seed, stepwise, permute):
  task = FunctionComposition(
    num_letters=4, length=5, depth=3, num_functions=2, max_random=9,
    stepwise=stepwise, permute=permute, num_combos=7,
  )  # fmt: skip
  key = jax.random.key(seed)
  functions = init(task, key)
  batch = task.sample(functions, key, 0, 6)
  compositions = batch.info['composition'].tolist()
  letters = batch.inputs[:, 5:10].tolist()
  expected = [
    by_hand(task, functions, c, x) for c, x in zip(compositions, letters)
  ]
  whole = np.asarray(expected)
  np.testing.assert_array_equal(batch.inputs, whole[:, :-1])
  np.testing.assert_array_equal(batch.targets, whole[:, 1:])
  assert whole.shape[1] == task.document_length
  prompts = whole[:, : task.prompt_length]
  assert (prompts[:, -1] == task.separator).all()
  np.testing.assert_array_equal(prompts[:, -1 - task.length : -1], letters)


@pytest.mark.parametrize('permute', [False, True])
def test_functions_are_bijections_and_number_zero_is_the_identity(permute):
  task = FunctionComposition(permute=permute)
  functions = init(task)
  identity = np.arange(20) % 4 == 0
  moved = {}
  for name, size in (('maps', 10), ('orders', 6)):
    table = np.asarray(getattr(functions, name))
    assert (np.sort(table, axis=1) == np.arange(size)).all()
    moved[name] = (table != np.arange(size)).any(1)
    assert not moved[name][identity].any()
  first = np.arange(20) < 4
  reorders = ~identity & first & permute
  np.testing.assert_array_equal(moved['orders'], reorders)
  np.testing.assert_array_equal(moved['maps'], ~identity & ~reorders)


def test_bijections_are_uniform():
  task = FunctionComposition(
    num_letters=3, length=2, depth=1, num_functions=2, max_random=1
  )
  keys = jax.random.split(KEY, 2000)
  maps = jax.vmap(lambda k: task.init(k).maps)(keys)[:, 1:]
  codes = np.asarray(maps @ jnp.asarray([9, 3, 1])).ravel()
  _, counts = np.unique(codes, return_counts=True)
  assert len(counts) == 6
  assert scipy.stats.chisquare(counts).pvalue > 1e-3


def trained(functions):
  return functions.in_order[: int(functions.count)]


def test_random_compositions_are_distinct_and_fewer_are_a_prefix_of_more():
  rows = {tuple(c) for c in trained(FUNCTIONS).tolist()}
  assert len(rows) == 50
  few = trained(init(TASK, num_random=20))
  np.testing.assert_array_equal(few, trained(FUNCTIONS)[:20])
  other = {tuple(c) for c in trained(init(TASK, jax.random.key(1))).tolist()}
  assert len(rows & other) < 15


def test_every_composition_is_as_likely_to_be_in_training():
  task = FunctionComposition(depth=2, num_functions=2, max_random=3)
  keys = jax.random.split(KEY, 2000)
  rows = jax.vmap(lambda k: task.init(k).in_order[:3])(keys)
  codes = np.asarray(rows % 3 @ jnp.asarray([3, 1])).ravel()
  counts = np.bincount(codes, minlength=9)
  assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_biased_and_base_subsets():
  biased = FunctionComposition(max_random=40, num_identities=2)
  active = biased.space.num_active(trained(init(biased)))
  assert (active == 3).all()
  both = FunctionComposition(base=True, max_random=9)
  active = np.asarray(both.space.num_active(trained(init(both))))
  assert len(active) == 25
  assert (active <= 1).sum() == 16


def test_out_of_order_draws_all_of_them_and_identities_stay_in_place():
  task = FunctionComposition(depth=2, num_functions=2, max_random=3)
  drawn = np.asarray(task.space.out_of_order(KEY, 5000))
  rows, counts = np.unique(drawn, axis=0, return_counts=True)
  assert len(rows) == (2 * 2 + 1) ** 2
  assert scipy.stats.chisquare(counts).pvalue > 1e-3
  identity = rows % 3 == 0
  assert (rows[identity] == np.broadcast_to([0, 3], rows.shape)[identity]).all()
  swapped = np.asarray(task.space.num_swapped(rows))
  in_order = {tuple(c) for c in task.space.in_order().tolist()}
  inside = np.asarray([tuple(row) in in_order for row in rows.tolist()])
  np.testing.assert_array_equal(inside, swapped == 0)


def test_training_is_uniform_over_the_subset_and_strings():
  task = FunctionComposition(
    depth=3, num_functions=1, max_random=4, num_combos=2, num_letters=3
  )
  functions = init(task, jax.random.key(5))
  batch = task.sample(functions, KEY, 0, 6000)
  rows, counts = np.unique(
    batch.info['composition'], axis=0, return_counts=True
  )
  allowed = np.concatenate([trained(functions), functions.combos])
  assert {tuple(r) for r in rows.tolist()} == {
    tuple(r) for r in allowed.tolist()
  }
  assert len(counts) == 6
  assert scipy.stats.chisquare(counts).pvalue > 1e-3
  letters = np.asarray(batch.inputs[:, 5:11]).ravel()
  assert scipy.stats.chisquare(np.bincount(letters)).pvalue > 1e-3


def test_evaluation_sets_are_what_they_say_and_weigh_answers():
  sets = TASK.evals(FUNCTIONS, KEY)
  known = {tuple(c) for c in trained(FUNCTIONS).tolist()}
  in_order = {tuple(c) for c in TASK.space.in_order().tolist()}
  drawn = {
    n: {tuple(c) for c in b.info['composition'].tolist()}
    for n, b in sets.items()
  }
  assert drawn['seen'] <= known
  assert drawn['unseen'] <= in_order - known
  assert len(drawn['unseen']) > 50
  assert not drawn['out_of_order'] & in_order
  for batch in sets.values():
    # The first target that counts is the first letter after the prompt.
    assert batch.weights.sum(1).tolist() == [34.0] * 64
    assert (batch.inputs[:, 13] == TASK.separator).all()
    assert (batch.weights[:, :13] == 0).all()


@pytest.mark.parametrize('stepwise', [False, True])
def test_optimum_reaches_the_entropy_of_a_document(stepwise):
  """Each document of training has probability 1 / (subset * V^n), exactly."""
  task = FunctionComposition(stepwise=stepwise, num_combos=14)
  functions = init(task, num_random=30)
  batch = task.sample(functions, jax.random.key(2), 0, 16)
  bayes = task.reference(functions, batch)['bayes']
  chosen = jnp.take_along_axis(bayes, batch.targets[..., None], -1)[..., 0]
  total = np.log(np.asarray(chosen, np.float64)).sum(1)
  np.testing.assert_allclose(total, -np.log(44) - 6 * np.log(10), rtol=1e-5)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_letters': 1}, 'num_letters must be at least 2'),
    ({'depth': 9}, 'compositions in order are more'),
    ({'max_random': 1024}, 'all 1024 compositions'),
    ({'num_identities': 5, 'max_random': 2}, 'max_random is 2, of 1 such'),
    ({'num_identities': 6}, 'num_identities must be in'),
  ],
)
def test_impossible_sizes_are_refused(options, message):
  with pytest.raises(UserError, match=message):
    FunctionComposition(**options)


def test_impossible_subsets_are_refused():
  with pytest.raises(UserError, match=r'num_random must be in 0..50'):
    TASK.init(KEY, num_random=51)
  with pytest.raises(UserError, match='no composition is in training'):
    TASK.check(num_random=0)
  FunctionComposition(base=True).check(num_random=0)
