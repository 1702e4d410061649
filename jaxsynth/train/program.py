"""What the loop trains: four pure functions of one run, and nothing else.

  init(run) -> state                    the state at step 0
  step(run, state, t) -> state, scalars one update; t counts updates before it
  keep(state) -> pytree                 what a snapshot holds
  evaluate(run, state, t) -> scalars    measured on a schedule, fixed batches

plus two that hold no state:

  constants(run) -> pytree              run.constants, seen by all the others
  draw(run, t) -> pytree                run.drawn, seen by step: its batch

Constants are rebuilt from seeds and hyperparameters whenever needed and never
stored: task parameters, data sets, frozen networks. What update t draws does
not depend on the state, so the loop may draw for several steps at once. State
is any pytree of arrays: a second player, a moving average, a replay buffer;
random keys are not part of it, as they derive from `run.seeds` and `t` (see
`jaxsynth.rng`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax

from jaxsynth.errors import UserError
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
    draw: (run, t) -> pytree that `step` at t finds as `run.drawn`. There it is
      None where the loop did not draw ahead (or `step` is called by hand).
  """

  init: Callable[[Run], State]
  step: Callable[[Run, State, Array], tuple[State, Scalars]]
  keep: Callable[[State], PyTree]
  evaluate: Callable[[Run, State, Array], Scalars] = _nothing
  constants: Callable[[Run], PyTree] = lambda run: {}
  constant_streams: tuple[str, ...] = ('task', 'eval', 'task.')
  draw: Callable[[Run, Array], PyTree] = lambda run, t: None


def check_state(before: PyTree, after: PyTree) -> None:
  """Refuses a step that returns another kind of state than it is given.

  Args:
    before: the state, or its shapes.
    after: what `step` made of it.

  Raises:
    UserError: a leaf came, went, or changed its shape or dtype.
  """

  def described(tree: PyTree) -> dict[str, str]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
      jax.tree_util.keystr(path): f'{x.dtype}{list(x.shape)}'
      for path, x in leaves
    }

  given, returned = described(before), described(after)
  for name in {**given, **returned}:
    was, now = given.get(name, 'nothing'), returned.get(name, 'nothing')
    if was != now:
      raise UserError(
        f'step returns another state than it is given: {name} was {was} and '
        f'is {now}'
      )
