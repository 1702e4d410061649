"""Which steps to keep, and how a training is cut into calls.

A snapshot at step s holds the state *after* s updates; step 0 is the
initialisation. Plans are sorted sets of steps, written in configs as

  'every:100'         0, 100, 200, ...
  'log:50'            0, then 50 log-spaced distinct steps up to the last
  'log:50:30'         the same from step 30 on
  'pythia'            0, 1, 2, 4, ..., 512, then every 1000
  'last'              the final step
  (0, 10, 500)        an explicit list
  ('pythia', 'every:250', 7)   the union of plans and steps

A training is cut into *calls*, each one jitted advance of at most
`call_steps` steps. Inside a call, *boundaries* are the steps where something
is kept or measured; they are traced and padded, so any plan is one compile.
"""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from jaxsynth.errors import UserError, unknown

Plan = str | int | Iterable


def _log(last: int, count: int, first: int = 1) -> list[int]:
  """`count` distinct integers, as evenly spaced in log as integers allow."""
  if not 1 <= first <= last:
    raise UserError(f'a log plan from step {first} must start in 1..{last}')
  steps = [first]
  while len(steps) < min(count, last - first + 1):
    ratio = (last / steps[-1]) ** (1 / (count - len(steps)))
    steps.append(max(steps[-1] + 1, round(steps[-1] * ratio)))
  return steps


def _pythia(last: int) -> list[int]:
  powers = [0] + [2**i for i in range(10)]
  return [s for s in [*powers, *range(1000, last + 1, 1000)] if s <= last]


_FORMS = ('every:N', 'log:COUNT', 'log:COUNT:FIRST', 'pythia', 'last')


def _named(plan: str, last: int) -> list[int]:
  name, *args = plan.split(':')
  counts = {'every': (1,), 'log': (1, 2), 'pythia': (0,), 'last': (0,)}
  if name not in counts or len(args) not in counts[name]:
    raise unknown('plan', plan, _FORMS)
  if not all(a.isdigit() and int(a) > 0 for a in args):
    raise UserError(f'plan {plan!r} needs positive whole numbers')
  numbers = [int(a) for a in args]
  if name == 'every':
    return list(range(0, last + 1, numbers[0]))
  if name == 'log':
    return [0, *_log(last, *numbers)] if last else [0]
  return _pythia(last) if name == 'pythia' else [last]


def steps_of(plan: Plan, last: int) -> np.ndarray:
  """The steps a plan names, sorted and distinct.

  Args:
    plan: a named plan, a step, or any nesting of them (see the module).
    last: the number of updates of the training.

  Returns:
    int64 array of steps within [0, last].

  Raises:
    UserError: an unknown plan, or a step beyond the last one.
  """
  if isinstance(plan, str):
    return np.unique(np.asarray(_named(plan, last), np.int64))
  if isinstance(plan, (int, np.integer)) and not isinstance(plan, bool):
    if not 0 <= plan <= last:
      raise UserError(
        f'plan names step {plan}, but the training has steps 0..{last}'
      )
    return np.asarray([plan], np.int64)
  if not isinstance(plan, Iterable):
    raise UserError(f'a plan is a name, a step or a list of them: {plan!r}')
  parts = [steps_of(p, last) for p in plan]
  return np.unique(np.concatenate([np.zeros(0, np.int64), *parts]))


@dataclasses.dataclass(frozen=True)
class Call:
  """One advance of all runs from step `start` to step `stop`.

  Boundary j runs steps up to bounds[j + 1] and then keeps a snapshot in row
  snapshot_slots[j] and an evaluation in row eval_slots[j]; -1 keeps none.

  Attributes:
    start: updates done before the call.
    stop: updates done after it.
    bounds: int32 [P + 1], padded by repeating `stop`.
    snapshot_slots: int32 [P].
    eval_slots: int32 [P].
    snapshots: steps kept in this call, in the order of their rows.
    evals: steps evaluated, likewise.
    branch: whether the full state after this call is kept for ever.
  """

  start: int
  stop: int
  bounds: np.ndarray
  snapshot_slots: np.ndarray
  eval_slots: np.ndarray
  snapshots: tuple[int, ...]
  evals: tuple[int, ...]
  branch: bool


@dataclasses.dataclass(frozen=True)
class Schedule:
  """All calls of a training, and the static sizes they share.

  Attributes:
    calls: in order, covering [first, last].
    max_steps: rows of the scalar buffer, C.
    max_snapshots: rows of the snapshot buffer.
    max_evals: rows of the evaluation buffer.
    branch_start: whether the state at step 0 is kept for ever.
  """

  calls: tuple[Call, ...]
  max_steps: int
  max_snapshots: int
  max_evals: int
  branch_start: bool


def schedule(
  last: int,
  snapshots: Plan,
  evals: Plan,
  branches: Plan = (),
  *,
  call_steps: int,
  call_snapshots: int,
  first: int = 0,
) -> Schedule:
  """Cuts the steps from `first` to `last` of a training into calls.

  Args:
    last: number of updates.
    snapshots: plan of the snapshots.
    evals: plan of the evaluations.
    branches: plan of the steps whose full state is kept; calls end there.
      The last step always is one.
    call_steps: most steps in a call.
    call_snapshots: most steps that are kept or measured in a call; `first`
      comes on top in the first.
    first: updates done before it; what is planned before is left out.

  Returns:
    The schedule: a function of these arguments, never of the clock.
  """
  snaps, measured = (
    steps[steps >= first]
    for steps in (steps_of(snapshots, last), steps_of(evals, last))
  )
  kept = set(steps_of(branches, last).tolist()) | {last}
  events = np.unique(np.concatenate([snaps, measured])).tolist()
  snap_set, eval_set = set(snaps.tolist()), set(measured.tolist())
  cuts: list[tuple[int, int, list[int]]] = []
  start, position = first, 0
  while True:
    stop = min(start + call_steps, last)
    stop = min([b for b in kept if start < b <= stop], default=stop)
    inside = []
    while position < len(events) and events[position] <= stop:
      if len(inside) >= call_snapshots and inside[-1] > start:
        stop = inside[-1]
        break
      inside.append(events[position])
      position += 1
    cuts.append((start, stop, inside))
    start = stop
    if start >= last and position == len(events):
      break
  width = max(len(inside) for *_, inside in cuts) + 1

  def call(start: int, stop: int, inside: list[int]) -> Call:
    pad = width - len(inside)
    s = [e for e in inside if e in snap_set]
    m = [e for e in inside if e in eval_set]
    slot = lambda kept: np.asarray(
      [kept.index(e) if e in kept else -1 for e in inside] + [-1] * pad,
      np.int32,
    )
    return Call(
      start=start,
      stop=stop,
      bounds=np.asarray([start, *inside] + [stop] * pad, np.int32),
      snapshot_slots=slot(s),
      eval_slots=slot(m),
      snapshots=tuple(s),
      evals=tuple(m),
      branch=stop in kept,
    )

  calls = tuple(call(*cut) for cut in cuts)
  most = lambda field: max(len(getattr(c, field)) for c in calls)
  return Schedule(
    calls=calls,
    max_steps=max(c.stop - c.start for c in calls),
    max_snapshots=most('snapshots'),
    max_evals=most('evals'),
    branch_start=first == 0 and 0 in kept and last > 0,
  )


def snapshots_per_call(snapshot_bytes: int, budget: int = 1 << 22) -> int:
  """How many snapshots of one run a call may hold (4 MiB a run, 1..256).

  It reads the size of one run, never their number, so that adding runs
  changes no compiled shape.
  """
  return max(1, min(256, math.floor(budget / max(snapshot_bytes, 1))))
