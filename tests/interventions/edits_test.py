"""Edits of a network: what they write, and that they map over facts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.interventions import alpha_edit, edits, memit, pmet, rome
from jaxsynth.interventions.edits import Descent, Fact
from jaxsynth.models.transformer import Transformer
from jaxsynth.types import Spec

MODEL = Transformer(num_layers=2, d_model=8, num_heads=2, max_len=8)
TOKENS = jax.ShapeDtypeStruct((6,), jnp.int32)
SPEC = Spec(TOKENS, TOKENS, 11, 11)
FIRST, LAST = edits.mlp(0), edits.mlp(1)
P = 3


@pytest.fixture(scope='module')
def world():
  """A network with large weights, inputs, and five facts."""
  params = MODEL.init(jax.random.key(0), SPEC)
  params = jax.tree.map(lambda x: 9 * x if x.ndim > 1 else x, params)
  params['blocks_0']['mlp']['out']['bias'] += 0.3
  draw = functools.partial(jax.random.randint, minval=0, maxval=11)
  inputs = draw(jax.random.key(1), (40, 6))
  question = draw(jax.random.key(2), (5, P), minval=2, maxval=6)
  facts = Fact(
    draw(jax.random.key(3), (5, P, 6)),
    question - 1,
    question,
    draw(jax.random.key(4), (5,)),
  )
  return params, inputs, facts


def one(facts, i=0):
  return jax.tree.map(lambda x: x[i], facts)


def values(params, fact, site):
  return edits.read(MODEL.apply, params, fact, [site])[0]


def surprise(params, fact):
  logits = MODEL.apply(params, fact.inputs).prediction
  rows = logits[jnp.arange(P), fact.question]
  return -jax.nn.log_softmax(rows)[:, fact.answer].mean()


@pytest.fixture(scope='module')
def changed(world):
  params, inputs, facts = world
  moments = [
    edits.moment(MODEL.apply, params, m, inputs) for m in (FIRST, LAST)
  ]
  find = lambda f: edits.target(
    MODEL.apply, params, [FIRST.value], f, Descent()
  )[0]
  return moments, jax.jit(jax.vmap(find))(facts)


def test_moment_is_the_mean_outer_product_of_the_keys(world, changed):
  params, inputs, _ = world
  keys = MODEL.apply(params, inputs).acts[FIRST.key].reshape(-1, 32)
  expected = np.einsum('nf,ng->fg', keys, keys) / len(keys)
  np.testing.assert_allclose(changed[0][0], expected, rtol=1e-4, atol=1e-6)


def test_memory_has_the_value_that_the_network_computes(world):
  params, _, facts = world
  key, value = edits.read(
    MODEL.apply, params, one(facts), [FIRST.key, FIRST.value]
  )
  own = edits.layer(params, FIRST)
  np.testing.assert_allclose(
    key @ own['kernel'] + own['bias'], value, atol=1e-5
  )
  with pytest.raises(UserError, match='no layer blocks_7'):
    edits.layer(params, edits.mlp(7))


def test_target_makes_the_network_give_the_answer(world, changed):
  """Setting the value lowers the surprise, within the bound."""
  params, _, facts = world
  bound = Descent(most=0.5)
  find = jax.jit(
    lambda f: edits.target(MODEL.apply, params, [FIRST.value], f, bound)[0]
  )
  for i in range(5):
    fact, change = one(facts, i), changed[1][i]
    before = values(params, fact, FIRST.value)
    here = jnp.arange(6) == fact.subject[:, None]
    mask = here[..., None].astype(jnp.float32)

    def at(value, fact=fact, mask=mask):
      edit = {FIRST.value: edits.Edit(keep=1 - mask, add=mask * value)}
      logits = MODEL.apply(params, fact.inputs, edit=edit).prediction
      rows = logits[jnp.arange(P), fact.question]
      return -jax.nn.log_softmax(rows)[:, fact.answer].mean()

    assert at(before + change) < at(before) or at(before) < 0.05
    small = jnp.linalg.norm(find(fact)) / jnp.linalg.norm(before)
    assert small <= 0.5 + 1e-5


def test_target_rests_where_the_answer_is_given_already(world):
  params, _, facts = world
  find = lambda enough: edits.target(
    MODEL.apply, params, [FIRST.value], one(facts), Descent(enough=enough)
  )[0]
  assert (find(1e9) == 0).all()
  assert (find(0.0) != 0).all()


def test_rome_changes_one_kernel_and_brings_the_value_about(world, changed):
  params, _, facts = world
  fact, change = one(facts), changed[1][0]
  new = rome.edit(MODEL.apply, params, FIRST, changed[0][0], fact, change)
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), params, new)
  assert moved['blocks_0']['mlp']['out'].pop('kernel')
  assert not any(jax.tree.leaves(moved))
  np.testing.assert_allclose(
    values(new, fact, FIRST.value),
    values(params, fact, FIRST.value) + change,
    atol=2e-3 * float(jnp.abs(change).max()),
  )
  assert surprise(new, fact) < surprise(params, fact)


def test_memit_over_two_memories_meets_the_stream_when_nothing_holds_back(
  world, changed
):
  """With next to no weight, all of two facts is written: half in each."""
  params, _, facts = world
  two = jax.tree.map(lambda x: x[:2], facts)
  changes = 0.1 * changed[1][:2]
  new = memit.edit(
    MODEL.apply, params, (FIRST, LAST), changed[0], two, changes, 1e-6
  )
  for i in range(2):
    fact = one(two, i)
    got = values(new, fact, LAST.stream) - values(params, fact, LAST.stream)
    np.testing.assert_allclose(got, changes[i], atol=0.02)
    first = values(new, fact, FIRST.value) - values(params, fact, FIRST.value)
    np.testing.assert_allclose(first, changes[i] / 2, atol=0.02)


def test_pmet_writes_more_into_the_first_memories_than_memit(world, changed):
  params, _, facts = world
  some = jax.tree.map(lambda x: x[:1], facts)
  args = (MODEL.apply, params, (FIRST, LAST), changed[0], some)
  size = {}
  for method in (memit, pmet):
    new = method.edit(*args, changed[1][:1], 0.1)
    moved = [
      jnp.linalg.norm(
        edits.layer(new, m)['kernel'] - edits.layer(params, m)['kernel']
      )
      for m in (FIRST, LAST)
    ]
    size[method] = float(moved[0])
  assert size[pmet] == pytest.approx(size[memit] * 2 / np.sqrt(2), rel=1e-4)
  one_memory = (MODEL.apply, params, (FIRST,), changed[0][:1], some)
  same = [m.edit(*one_memory, changed[1][:1], 0.1) for m in (memit, pmet)]
  jax.tree.map(np.testing.assert_array_equal, *same)


def test_pmet_leaves_to_attention_a_part_of_the_change(world):
  params, _, facts = world
  fact, site = one(facts), 'blocks.0.attn_out'
  descent = Descent(steps=60, enough=1.0)
  own = pmet.target(MODEL.apply, params, FIRST, site, fact, descent)
  alone = edits.target(MODEL.apply, params, [FIRST.value], fact, descent)[0]
  assert 0 < jnp.linalg.norm(own) < jnp.linalg.norm(alone)


def test_alpha_edit_keeps_what_other_inputs_get(world, changed):
  """Keys in the span of few inputs are untouched, at any strength."""
  params, inputs, facts = world
  few = inputs[:2]
  moment = edits.moment(MODEL.apply, params, FIRST, few)  # rank <= 12 of 32
  null = alpha_edit.projector(moment, 1e-4)
  new = alpha_edit.edit(
    MODEL.apply,
    params,
    (FIRST,),
    [null],
    jax.tree.map(lambda x: x[:1], facts),
    changed[1][:1],
  )
  old_out = MODEL.apply(params, few).prediction
  new_out = MODEL.apply(new, few).prediction
  asked = one(facts)
  moved = MODEL.apply(new, asked.inputs).prediction
  moved -= MODEL.apply(params, asked.inputs).prediction
  seen = jnp.abs(new_out - old_out).max()
  assert float(jnp.abs(moved).max()) > 20 * float(seen)


def test_edits_of_many_facts_at_once_are_those_of_each(world, changed):
  params, _, facts = world
  moments, changes = changed

  def edited(fact, change):
    new = rome.edit(MODEL.apply, params, FIRST, moments[0], fact, change)
    return surprise(new, fact)

  many = jax.jit(jax.vmap(edited))(facts, changes)
  single = [edited(one(facts, i), changes[i]) for i in range(5)]
  np.testing.assert_allclose(many, jnp.stack(single), rtol=1e-3, atol=1e-4)
