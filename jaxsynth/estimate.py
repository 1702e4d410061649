"""What a training will take, measured before anything is written."""

import math
import time

import jax
import numpy as np
from rich.filesize import decimal

from jaxsynth import build, stage
from jaxsynth.train import engine as engines
from jaxsynth.train.blocks import blocks_of, initial
from jaxsynth.train.program import Program


def measure(setup: build.Setup, program: Program | None = None) -> dict:
  """What a training will cost, measured on one block and a few steps.

  Returns:
    runs, blocks, calls, bytes on disk (arrays alone) and of one state,
    temporary device memory of a call, seconds to compile, and seconds in all.
  """
  whole = program or setup.program()
  program = stage.program_of(setup, program)
  specs = setup.sweep.runs()
  layout = stage.layout_of(setup)
  sizes = stage.schedule_of(setup, program)
  shared = setup.sweep.shares(program.constant_streams)
  engine = engines.build(program, layout, sizes, shared)
  blocks = blocks_of(specs[: layout.block], engine, layout)
  state = initial(blocks, engine)[0]
  block = blocks[0]
  call = sizes.calls[0]

  def cut(steps: int) -> engines.Cuts:
    cuts = engines.cuts(call)
    bounds = np.full_like(cuts.bounds, steps)
    bounds[0] = 0
    none = np.full_like(cuts.snapshot_slots, -1)
    return engines.Cuts(bounds, none, none)

  began = time.perf_counter()
  args = (block.run, block.constants, state, cut(1))
  compiled = engine.call.lower(*args).compile()
  compile_seconds = time.perf_counter() - began

  def seconds(steps: int) -> float:
    nonlocal state
    began = time.perf_counter()
    state, _ = compiled(block.run, block.constants, state, cut(steps))
    jax.block_until_ready(state)
    return time.perf_counter() - began

  seconds(1)
  several = int(np.clip(1 / seconds(1), 1, sizes.max_steps))
  step_seconds = seconds(several) / several
  one = stage.abstract_state(program, specs[0])
  snapshots = sum(len(c.snapshots) for c in sizes.calls)
  count = math.ceil(len(specs) / layout.block)
  memory = compiled.memory_analysis()
  return {
    'runs': len(specs),
    'steps': setup.train.steps,
    'blocks': count,
    'layout': f'{layout.mode}, {layout.block} runs a block, '
    f'{len(layout.devices)} {layout.devices[0].platform} devices'
    + (f', {layout.data} to a run' if layout.data > 1 else ''),
    'calls': len(sizes.calls),
    'snapshots': snapshots,
    'parameters': sum(
      math.prod(x.shape)
      for x in jax.tree.leaves(jax.eval_shape(whole.keep, one))
    ),
    'state_bytes': stage.bytes_of(one) * len(specs),
    'temporary_bytes': int(getattr(memory, 'temp_size_in_bytes', 0)),
    'disk_bytes': stage.bytes_of(jax.eval_shape(program.keep, one))
    * snapshots
    * len(specs),
    'compile_seconds': compile_seconds,
    'train_seconds': step_seconds * setup.train.steps * count,
  }


def lines(plan: dict) -> list[str]:
  """An estimate as lines to read."""

  def duration(seconds: float) -> str:
    if seconds < 120:
      return f'{seconds:.0f} s'
    minutes = seconds / 60
    return f'{minutes:.0f} min' if minutes < 120 else f'{minutes / 60:.1f} h'

  return [
    f'  runs            {plan["runs"]} x {plan["steps"]} steps, '
    f'{plan["parameters"]} parameters each',
    f'  layout          {plan["layout"]}, {plan["blocks"]} blocks',
    f'  device memory   {decimal(plan["state_bytes"])} of states, '
    f'{decimal(plan["temporary_bytes"])} for a call',
    f'  disk            {decimal(plan["disk_bytes"])}: '
    f'{plan["snapshots"]} snapshots of each run',
    f'  time            about {duration(plan["train_seconds"])} of training, '
    f'{duration(plan["compile_seconds"])} to compile (timed here)',
  ]
