"""What every model promises, checked on every module of `jaxsynth.models`.

A new model is found by its file name; nothing here is edited. It must be
constructible without arguments, and is then built for each kind of task below
that its `check` does not refuse; it has to read at least one of them.

Parameters are moved away from their initialisation first, so that a part that
starts at zero is tested as well.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.models import base
from jaxsynth.models.base import Edit
from jaxsynth.types import Spec

B, T = 3, 6
KEY = jax.random.key(0)


def shaped(*shape, dtype=jnp.float32):
  return jax.ShapeDtypeStruct(shape, dtype)


def noisy(*point):
  inputs = {'noisy': shaped(*point), 'gamma': shaped(), 'condition': shaped(2)}
  return Spec(inputs, shaped(*point), None, point[-1])


SPECS = {
  'tokens': Spec(shaped(T, dtype=jnp.int32), shaped(T, dtype=jnp.int32), 7, 7),
  'sequence': Spec(shaped(T, 3), shaped(T, 2), None, 2),
  'vector': Spec(shaped(5), shaped(2), None, 2),
  'itself': Spec(shaped(5), shaped(5), None, 5),
  'labelled image': Spec(shaped(4, 4, 3), shaped(2, dtype=jnp.int32), None, 3),
  'noisy vector': noisy(5),
  'noisy image': noisy(4, 4, 3),
}


def fits(name, spec):
  try:
    base.check(base.get(name)(), spec)
  except UserError:
    return False
  return True


CASES = [
  (name, kind)
  for name in base.names()
  for kind, spec in SPECS.items()
  if fits(name, spec)
]


class Built:
  """One model on one kind of task: parameters, inputs, compiled functions."""

  def __init__(self, name, kind):
    self.model, self.spec = base.get(name)(), SPECS[kind]
    self.init = jax.jit(lambda key: self.model.init(key, self.spec))
    self.initial = self.init(KEY)
    self.params = self.moved(0)
    rng = np.random.default_rng(0)

    def drawn(part):
      shape, size = (B, *part.shape), self.spec.vocab_size
      if size is None:
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)
      return jnp.asarray(rng.integers(0, size, shape), jnp.int32)

    self.inputs = jax.tree.map(drawn, self.spec.inputs)
    self.apply = jax.jit(self.model.apply, static_argnames='fast')
    self.out = self.apply(self.params, self.inputs)

  def moved(self, seed):
    rng = np.random.default_rng(seed)
    noise = lambda x: (0.1 * rng.standard_normal(x.shape)).astype(x.dtype)
    moved = jax.tree.map(lambda x: x + noise(x), jax.device_get(self.initial))
    return jax.device_put(moved)


@pytest.fixture(scope='module', params=CASES, ids=lambda case: '-'.join(case))
def built(request):
  return Built(*request.param)


def close(a, b, tolerance=1e-6):
  """Equal within `tolerance` of each array's largest entry, at least of 1."""
  chex.assert_trees_all_equal_shapes_and_dtypes(a, b)
  a, b = jax.device_get((a, b))  # numpy compiles nothing
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
    scale = max(1.0, float(abs(y).max()))
    np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize('name', base.names())
def test_reads_some_kind_of_task_and_is_plain_data(name):
  assert any(case[0] == name for case in CASES)
  model = base.get(name)()
  assert dataclasses.is_dataclass(model)
  assert model == base.get(name)()
  assert hash(model) == hash(base.get(name)())
  with pytest.raises(dataclasses.FrozenInstanceError):
    setattr(model, dataclasses.fields(model)[0].name, 0)


def test_parameters_are_nested_dicts_of_arrays(built):
  def visit(node):
    if isinstance(node, jax.Array):
      return node.size > 0 and bool(np.isfinite(node).all())
    assert type(node) is dict
    assert node
    return all(isinstance(k, str) and visit(v) for k, v in node.items())

  assert visit(built.initial)


def test_initialisation_is_a_function_of_the_key(built):
  again = built.init(jax.random.key(0))
  chex.assert_trees_all_equal(again, built.initial)
  other = jax.tree.leaves(built.init(jax.random.key(1)))
  pairs = zip(other, jax.tree.leaves(built.initial))
  assert any(bool((x != y).any()) for x, y in pairs)


def test_apply_is_pure(built):
  again = built.apply(built.params, built.inputs)
  chex.assert_trees_all_equal(again, built.out)


def test_compiled_equals_eager(built):
  with jax.disable_jit():
    eager = built.model.apply(built.params, built.inputs)
  close(eager, built.out, 3e-6)


def test_fast_equals_plain(built):
  fast = built.apply(built.params, built.inputs, fast=True)
  close(fast.prediction, built.out.prediction, 1e-5)
  assert set(fast.acts) <= set(built.out.acts)
  plain = {name: built.out.acts[name] for name in fast.acts}
  close(fast.acts, plain, 1e-5)


@pytest.mark.parametrize('fast', [False, True])
def test_vmaps_over_parameters(built, fast):
  several = [built.params, built.moved(1)]
  stacked = jax.tree.map(lambda *x: np.stack(x), *jax.device_get(several))
  apply = lambda p: built.model.apply(p, built.inputs, fast=fast).prediction
  together = jax.jit(jax.vmap(apply))(stacked)
  for params, prediction in zip(several, together):
    alone = built.apply(params, built.inputs).prediction
    close(prediction, alone, 1e-5)


def test_predictions_and_activations_are_finite_and_batch_first(built):
  prediction, acts = built.out.prediction, built.out.acts
  assert prediction.shape[0] == B
  assert prediction.shape[-1] == built.spec.output_size
  assert acts
  for name, act in acts.items():
    assert act.shape[0] == B, name
    assert jnp.issubdtype(act.dtype, jnp.floating), name
    assert np.isfinite(act).all(), name


def test_examples_do_not_see_each_other(built):
  changed = jax.tree.map(lambda x: x.at[0].set(x[1]), built.inputs)
  out = built.apply(built.params, changed)
  rest = lambda out: jax.tree.map(
    lambda x: x[1:], jax.device_get((out.prediction, out.acts))
  )
  close(rest(out), rest(built.out))


def test_idle_edits_change_nothing(built):
  empty = built.apply(built.params, built.inputs, edit={})
  chex.assert_trees_all_equal(empty, built.out)
  keep = {name: Edit(keep=jnp.ones(())) for name in built.out.acts}
  close(built.apply(built.params, built.inputs, edit=keep), built.out)


def test_every_activation_can_be_edited(built):
  """Noise added at any one site reaches the prediction."""
  sites = sorted(built.out.acts)
  rng = np.random.default_rng(2)
  noise = {
    name: jnp.asarray(rng.standard_normal(built.out.acts[name].shape))
    for name in sites
  }

  @jax.jit
  @jax.vmap
  def predict(strengths):
    edit = {
      name: Edit(add=strength * noise[name].astype(jnp.float32))
      for name, strength in zip(sites, strengths)
    }
    return built.model.apply(built.params, built.inputs, edit=edit).prediction

  changed = predict(jnp.eye(len(sites)))
  change = np.asarray(changed) - np.asarray(built.out.prediction)
  size = abs(change).reshape(len(sites), -1).max(1)
  dead = [name for name, moved in zip(sites, size) if moved < 1e-4]
  assert not dead


def test_an_unknown_site_is_refused_by_name(built):
  site = next(iter(built.out.acts))
  edit = {site + 'x': Edit(keep=jnp.ones(()))}
  with pytest.raises(UserError, match='did you mean'):
    jax.eval_shape(
      lambda edit: built.model.apply(built.params, built.inputs, edit=edit),
      edit,
    )


@pytest.mark.parametrize('fast', [False, True])
def test_every_parameter_has_a_gradient(built, fast):
  """Finite, and above the rounding noise of a gradient that is zero."""
  rng = np.random.default_rng(3)
  shape = built.out.prediction.shape
  weights = jnp.asarray(rng.standard_normal(shape), jnp.float32)

  def loss(params):
    out = built.model.apply(params, built.inputs, fast=fast)
    return (out.prediction * weights).sum()

  grads = jax.jit(jax.grad(loss))(built.params)
  chex.assert_trees_all_equal_shapes_and_dtypes(grads, built.params)
  sizes = {
    jax.tree_util.keystr(path): float(abs(leaf).max())
    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.device_get(grads))
  }
  largest = max(sizes.values())
  assert np.isfinite(largest)
  idle = {k: v for k, v in sizes.items() if not v > 1e-5 * largest}
  assert not idle


def test_a_carry_continues_the_sequence(built):
  """Two pieces with the state carried over equal the whole, fast or not."""
  if not hasattr(built.model, 'init_carry'):
    assert built.out.carry is None
    return
  length = built.inputs.shape[1]
  carry = built.model.init_carry(B, length)
  first = built.apply(built.params, built.inputs[:, :2], carry=carry)
  chex.assert_trees_all_equal_shapes_and_dtypes(first.carry, carry)
  rest = built.apply(
    built.params, built.inputs[:, 2:], carry=first.carry, fast=True
  )
  pieces = jnp.concatenate([first.prediction, rest.prediction], axis=1)
  close(pieces, built.out.prediction, 1e-5)
