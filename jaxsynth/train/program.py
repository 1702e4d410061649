"""What the loop trains: four pure functions of one run, and nothing else.

  init(run) -> state                    the state at step 0
  step(run, state, t) -> state, scalars one update; t counts updates before it
  keep(state) -> pytree                 what a snapshot holds
  evaluate(run, state, t) -> scalars    measured on a schedule, fixed batches

plus `constants(run)`, rebuilt from seeds and hyperparameters whenever needed
and never stored: task parameters, data sets, frozen networks. They reach the
four functions as `run.constants`. State is any pytree of arrays: a second
player, a moving average, a replay buffer; random keys are not part of it, as
they derive from `run.seeds` and `t` (see `jaxsynth.rng`).
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxsynth.types import Array, PyTree, Run, Scalars

State = PyTree


def _nothing(run: Run, state: State, t: Array) -> Scalars:
  del run, state, t
  return {}


class Program(NamedTuple):
  """The pure functions of one run that the loop needs.

  Attributes:
    init: run -> state.
    step: (run, state, t) -> (state, scalars): scalars are float scalars by
      name; a scalar named 'loss' marks a run as diverged once not finite.
    keep: state -> pytree stored in each snapshot.
    evaluate: (run, state, t) -> scalars, or arrays of fixed shape, by name.
    constants: run -> pytree, seen by the others as `run.constants`.
    constant_streams: the seed streams `constants` reads, and (with a dot) the
      hyperparameter prefixes. Where a sweep holds all of them fixed, its runs
      share one copy.
  """

  init: Callable[[Run], State]
  step: Callable[[Run, State, Array], tuple[State, Scalars]]
  keep: Callable[[State], PyTree]
  evaluate: Callable[[Run, State, Array], Scalars] = _nothing
  constants: Callable[[Run], PyTree] = lambda run: {}
  constant_streams: tuple[str, ...] = ('task', 'eval', 'task.')
