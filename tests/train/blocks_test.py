"""The constants of one run, by the program that trains."""

import jax
import numpy as np
import pytest

from jaxsynth.train import blocks, sweep


@pytest.mark.parametrize('shared', [False, True])
def test_constants_of_a_run_are_those_it_trains_with(lab, shared):
  fixed = {'task': 5} if shared else {}
  specs, on = lab.specs(seeds=3, **fixed), lab.layout()
  engine = lab.memo(lab.toy, on, lab.schedule(), shared)
  held = blocks.blocks_of(specs, engine, on)
  of = blocks.constants_of(engine, on)
  rows = sweep.stack(specs)
  for i in range(3):
    got = of(jax.tree.map(lambda x, i=i: x[i], rows))['a']
    block = held[i // 2].constants['a']
    np.testing.assert_array_equal(got, block if shared else block[i % 2])
    assert got.shape == (5, 5)


def test_a_program_of_many_runs_is_not_asked_for_one(lab):
  on = lab.layout('vmap', 4)
  engine = lab.memo(lab.toy, on, lab.schedule(), False)
  assert blocks.constants_of(engine, on) is None
