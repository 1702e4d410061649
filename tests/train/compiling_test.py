"""What is compiled ahead is what a training calls; what a start imports."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax import monitoring

from jaxsynth.train import compiling, loop
from jaxsynth.train import engine as engines
from jaxsynth.train.blocks import blocks_of, initial

COMPILED = '/jax/core/compile/backend_compile_duration'


@pytest.fixture
def compiles():
  """A list that grows by one with every program compiled."""
  found = []
  listen = lambda event, seconds, **more: event == COMPILED and found.append(1)
  monitoring.register_event_duration_secs_listener(listen)
  yield found
  monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize('shared', [False, True])
@pytest.mark.parametrize('mode', ['map', 'vmap'])
def test_nothing_is_left_to_compile(lab, compiles, mode, shared):
  specs, sizes, on = lab.specs(3), lab.schedule(), lab.layout(mode)

  def step(run, state, t):
    c = run.constants
    both = jnp.concatenate([c['a'], c['none']]) * c['one']
    return lab.toy.step(run._replace(constants={'a': both}), state, t)

  def constants(run):
    odd = {'none': jnp.zeros((0, 5)), 'one': jnp.full(5, 1)}
    return {**lab.toy.constants(run), **odd}

  # Nobody compiled it; and it reads an array without elements and one whose
  # type is weak.
  program = lab.toy._replace(
    keep=lambda state: state,
    constants=constants,
    step=step,
  )
  engine = engines.build(program, on, sizes, shared)
  jax.random.key_data(jax.random.key(0))  # what the host itself compiles
  before = len(compiles)
  compiling.compile_all(compiling.trace(engine, specs, sizes, on))
  assert len(compiles) == before + 3
  blocks = blocks_of(specs, engine, on)
  states = initial(blocks, engine)
  done = loop.advance(engine, blocks, states, list(sizes.calls), lambda c: True)
  assert [d.call for d in done] == list(sizes.calls)
  assert len(compiles) == before + 3


def test_starting_a_training_imports_neither_pandas_nor_xarray():
  code = 'import sys, jaxsynth.launch; print(sorted(sys.modules))'
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert "'jaxsynth.stage'" in done.stdout
  assert "'pandas'" not in done.stdout
  assert "'xarray'" not in done.stdout
