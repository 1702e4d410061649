"""What every task promises, checked on every module of `jaxsynth.tasks`.

A new task is found by its file name; nothing here is edited. It must be
constructible without arguments and be small then (a batch within
milliseconds): this suite builds it that way, with all default
hyperparameters.

Integers and booleans are compared bit for bit; real numbers to 1e-6 of the
array's largest, since a compiler may contract a product and a sum into one
rounding, which near zero is no small part of their sum.
"""

import inspect
import re
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.tasks import base

B = 4
KEY = jax.random.key(0)
STEP = jnp.zeros((), jnp.int32)


class Built:
  """One task with its parameters and compiled functions."""

  def __init__(self, name):
    self.task = base.get(name)()
    self.init = jax.jit(lambda key, h: self.task.init(key, **h))
    signature = inspect.signature(self.task.init).parameters.values()
    self.defaults = {p.name: p.default for p in signature if p.name != 'key'}
    # Every hyperparameter is traced, as in a sweep.
    self.traced = {k: v for k, v in self.defaults.items() if v is not None}
    self.params = self.init(KEY, self.traced)
    self.sample = jax.jit(lambda p, key: self.task.sample(p, key, STEP, B))
    self.batch = self.sample(self.params, KEY)
    self.eval = jax.jit(self.task.evals)
    self.evals = self.eval(self.params, KEY)


@pytest.fixture(scope='module', params=base.names())
def built(request):
  return Built(request.param)


def same(a, b):
  chex.assert_trees_all_equal_shapes_and_dtypes(a, b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
    exact = not jnp.issubdtype(x.dtype, jnp.floating)
    near = 0 if exact else 1e-6 * float(abs(y).max(initial=0))
    np.testing.assert_allclose(x, y, rtol=0, atol=near)


def differ(a, b):
  return any(
    bool((x != y).any()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b))
  )


def stack(a, b):
  return jax.tree.map(lambda x, y: jnp.stack([x, y]), a, b)


def one(tree, i):
  return jax.tree.map(lambda x: x[i], tree)


def test_batch_depends_on_the_key_alone(built):
  same(built.sample(built.params, KEY), built.batch)
  other = built.sample(built.params, jax.random.key(1))
  assert differ(other.inputs, built.batch.inputs)


def test_compiled_equals_eager(built):
  same(built.task.sample(built.params, KEY, STEP, B), built.batch)


def test_vmaps_over_keys_and_task_params(built):
  keys = jax.random.split(jax.random.key(2))
  params = [built.params, built.init(keys[0], built.traced)]
  both = jax.jit(jax.vmap(built.sample))(stack(*params), keys)
  for i in range(2):
    same(one(both, i), built.sample(params[i], keys[i]))


def test_every_hyperparameter_has_a_default_and_no_other_is_taken(built):
  assert inspect.Parameter.empty not in built.defaults.values()
  with pytest.raises((TypeError, UserError)):
    built.task.init(KEY, no_such_hyperparameter=1.0)


def test_static_part_is_hashable_and_frozen(built):
  assert hash(built.task) == hash(type(built.task)())
  field = next(iter(built.task.__dataclass_fields__))
  with pytest.raises(AttributeError):
    setattr(built.task, field, None)


def check_values(batch, spec):
  for tree, size in (
    (batch.inputs, spec.vocab_size),
    (batch.targets, spec.output_size),
  ):
    for leaf in jax.tree.leaves(tree):
      assert np.isfinite(leaf).all()
      if size is not None and jnp.issubdtype(leaf.dtype, jnp.integer):
        assert leaf.min() >= 0
        assert leaf.max() < size
  assert np.isfinite(batch.weights).all()
  assert (batch.weights >= 0).all()
  assert batch.weights.sum() > 0
  targets = jax.tree.leaves(batch.targets)[0].shape
  np.broadcast_shapes(batch.weights.shape, targets[: batch.weights.ndim])
  # A microbatch cuts every array of a batch along its first axis.
  assert {x.shape[0] for x in jax.tree.leaves(batch)} == {targets[0]}


def test_batch_matches_spec(built):
  spec = built.task.spec
  for tree, expected in (
    (built.batch.inputs, spec.inputs),
    (built.batch.targets, spec.targets),
  ):
    chex.assert_trees_all_equal_shapes_and_dtypes(
      tree, jax.tree.map(lambda s: jnp.zeros((B, *s.shape), s.dtype), expected)
    )
  check_values(built.batch, spec)


def test_evals_match_spec_up_to_length(built):
  spec = built.task.spec
  assert built.evals
  for batch in built.evals.values():
    for tree, expected in (
      (batch.inputs, spec.inputs),
      (batch.targets, spec.targets),
    ):
      chex.assert_trees_all_equal_structs(tree, expected)
      for x, s in zip(jax.tree.leaves(tree), jax.tree.leaves(expected)):
        assert (x.dtype, x.ndim, x.shape[2:]) == (
          s.dtype,
          1 + len(s.shape),
          s.shape[1:],
        )
    check_values(batch, spec)


def test_evals_depend_on_the_key_alone(built):
  same(built.eval(built.params, KEY), built.evals)
  other = built.eval(built.params, jax.random.key(1))
  for name, batch in built.evals.items():
    assert differ(batch.inputs, other[name].inputs), name


def test_reference_predicts_the_targets(built):
  spec = built.task.spec
  predictions = jax.jit(built.task.reference)(built.params, built.batch)
  assert predictions
  target = jax.tree.leaves(built.batch.targets)[0]
  for p in predictions.values():
    assert np.isfinite(p).all()
    if jnp.issubdtype(target.dtype, jnp.integer):
      assert p.shape == (*target.shape, spec.output_size)
      assert (p >= 0).all()
      np.testing.assert_allclose(p.sum(-1), 1, atol=1e-5)


def test_docstring_names_source_process_and_glossary(built):
  text = sys.modules[type(built.task).__module__].__doc__
  for heading in ('Source', 'Process', 'Glossary'):
    assert re.search(rf'^{heading}\b', text, re.MULTILINE), heading
