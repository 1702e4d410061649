"""The tell-tale: a commit that makes the training step heavier is noticed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import bare, ours, regression

HERE = {'jaxlib': '1', 'device': '2 cpu', 'processor': 'x'}
COUNTS = {
  'equations': 1000, 'flops': 10_000, 'bytes': 5000, 'instructions': 800,
  'fusions': 100, 'loops': 6, 'temporary_bytes': 4000,
}  # fmt: skip


def verdicts(found, here=HERE):
  reference = {'counts': COUNTS, 'conditions': HERE}
  rows = regression.compare(COUNTS | found, reference, here)
  return {r['name']: r['verdict'] for r in rows}


def test_a_count_beyond_its_tolerance_is_worse():
  assert set(verdicts({}).values()) == {'same'}
  assert verdicts({'flops': 10_150})['flops'] == 'same'
  assert verdicts({'flops': 10_300})['flops'] == 'worse'
  assert verdicts({'loops': 7})['loops'] == 'worse'
  assert verdicts({'fusions': 80})['fusions'] == 'better'


def test_compiled_counts_need_the_same_compiler_and_processor():
  got = verdicts(dict.fromkeys(COUNTS, 10**6), HERE | {'processor': 'y'})
  assert got.pop('equations') == 'worse'
  assert set(got.values()) == {'not compared'}


def test_equations_are_counted_inside_loops_and_calls():
  def inner(x):
    return jnp.sin(x) + 1  # two equations

  def outer(x):
    x, _ = jax.lax.scan(lambda c, _: (inner(c), None), x, None, length=5)
    return x * 2

  count = lambda fn: regression.equations(jax.make_jaxpr(fn)(1.0).jaxpr)
  assert count(inner) == 2
  assert count(outer) == 2 + 1 + 1  # the body, the scan, the product


def test_the_tiny_training_is_no_heavier_than_its_reference():
  """`python -m benchmarks.regression --update` keeps a change that is meant."""
  kept = json.loads(regression.REFERENCES.read_text())['tiny']
  found = regression.counts('tiny')
  rows = regression.compare(found, kept, regression.conditions())
  assert [r for r in rows if r['verdict'] == 'worse'] == []


@pytest.mark.slow
def test_the_bare_loop_trains_what_we_train():
  """Equal losses over the first steps, so that the ratio compares like with
  like."""
  setup = ours.setup_of('tiny', runs=2)
  own = ours.Trainer(setup)
  hand = bare.Bare(setup, own.steps)
  losses = next(_first(own)).scalars['loss'][:, -1]
  np.testing.assert_allclose(hand.calls(1)[:2], losses, rtol=1e-3)


def _first(trainer):
  """What the first call of a trainer brings back."""
  trainer._left = 1
  yield next(trainer._advanced)
