"""Compiles all that a training calls before it calls any of it.

The constants, the initialisation and the call are three programs of some
seconds each, and XLA compiles outside Python's lock: traced and lowered one
after the other, they compile side by side. Called later with such arguments,
the engine's jitted functions find the executables.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxsynth.train import engine as engines
from jaxsynth.train import placing
from jaxsynth.train.layout import Layout
from jaxsynth.train.sweep import RunSpec, stack
from jaxsynth.trajectory.plan import Schedule
from jaxsynth.types import PyTree

Stage = jax.stages.Traced
_RUN, _ALL = P('run'), P()


class Traced(NamedTuple):
  """The functions of an engine, traced for the runs of a training."""

  constants: Stage
  init: Stage
  call: Stage


def trace(
  engine: engines.Engine,
  specs: list[RunSpec],
  schedule: Schedule,
  layout: Layout,
  parents: PyTree = None,
) -> Traced:
  """Traces an engine; the second time it costs nothing.

  Args:
    engine: what `engines.build` made for this schedule and layout.
    specs: the runs.
    schedule: calls and what they keep.
    layout: how runs lie on devices.
    parents: states the runs start from, [R, ...], or None.
  """

  runs, everywhere = (
    lambda shape, spec=spec: NamedSharding(layout.mesh, spec)
    for spec in (_RUN, _ALL)
  )
  states = placing.states_on(layout.mesh)

  def placed(tree: PyTree, on: placing.Placed, rows: bool = False) -> PyTree:
    """Shapes on the devices, with the rows of a whole block if asked."""

    def one(x):
      shape = (layout.block, *x.shape[1:]) if rows else x.shape
      weak = getattr(x, 'weak_type', False)
      return jax.ShapeDtypeStruct(
        shape, x.dtype, sharding=on(shape), weak_type=weak
      )

    return jax.tree.map(one, tree)

  first = stack(specs[:1])
  run = placed(first, runs, rows=True)
  constants = engine.constants.trace(first if engine.shared else run)
  known = placed(constants.out_info, everywhere if engine.shared else runs)
  init = engine.init.trace(run, known, placed(parents, states, rows=True))
  state, cuts = placed(init.out_info, states), engines.cuts(schedule.calls[0])
  return Traced(constants, init, engine.call.trace(run, known, state, cuts))


def compile_all(traced: Traced) -> None:
  """Compiles all of them, the longest first."""
  with ThreadPoolExecutor(len(traced)) as threads:
    jobs = [threads.submit(fn.lower().compile) for fn in reversed(traced)]
    for job in jobs:
      job.result()
