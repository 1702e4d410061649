"""What more steps mean for a config: what carries on, and what cannot.

Two things in a config can be tied to the length of a training. A schedule
that has decayed to zero makes every further update nothing. A plan such as
'log:50' spreads its steps over the whole length, so that a longer training
would have kept other steps than those on disk.
"""

import copy
from typing import Any

import numpy as np

from jaxsynth import build
from jaxsynth.errors import UserError
from jaxsynth.trajectory import plan

PLANS = ('snapshots', 'evals', 'branches')


def decayed(config: dict[str, Any]) -> int | None:
  """The first update that no longer learns, if there ever is one."""
  o = config['optimizer']
  if o['schedule'] == 'constant':
    return None
  return o['warmup_steps'] + o['decay_steps']


def tied_schedule(config: dict[str, Any]) -> str | None:
  """Why the schedule allows no more steps, or None."""
  o, steps, end = config['optimizer'], config['train']['steps'], decayed(config)
  if end is None or end > steps:
    return None
  return (
    f'the learning rate ({o["schedule"]}, warmup_steps={o["warmup_steps"]}, '
    f'decay_steps={o["decay_steps"]}) is 0 from step {end} on: steps after '
    f'{steps} would learn nothing'
  )


def _steps(value: plan.Plan, last: int) -> list[int]:
  return plan.steps_of(value, last).tolist()


def longer_plan(
  old: plan.Plan, last: int, new_last: int, then: plan.Plan | None
) -> plan.Plan | None:
  """A plan for more steps that names the steps on disk and no others there.

  Args:
    old: the plan so far.
    last: the length so far.
    new_last: the new length.
    then: the plan of the new steps; by default the old one goes on.

  Returns:
    The old plan where it says the same of the old steps, else an explicit
    list; None if the old plan would have kept other steps, see the module.
  """
  kept = _steps(old, last)
  later = lambda p: [s for s in _steps(p, new_last) if s > last]
  if then is not None:
    return [*kept, *later(then)]
  again = [s for s in _steps(old, new_last) if s <= last]
  if again == kept:
    return old
  return [*kept, *later(old)] if set(again) <= set(kept) else None


def longer(
  config: dict[str, Any],
  steps: int,
  plans: dict[str, plan.Plan | None],
) -> dict[str, Any]:
  """The complete config of a training that goes on to `steps`.

  Args:
    config: complete.
    steps: the new length.
    plans: plans of the new steps, by the names in PLANS; None goes on with
      the old one.

  Raises:
    UserError: something is tied to the length so far; the message says what
      to do instead.
  """
  train = config['train']
  last = train['steps']
  if steps <= last:
    raise UserError(
      f'it has {last} steps: --steps is the new length, more than that, got '
      f'{steps}'
    )
  fork = 'train it anew to the new length with --fork=NEWDIR'
  tied = tied_schedule(config)
  if tied:
    raise UserError(f'{tied}; {fork}, which stretches the decay')
  out = copy.deepcopy(config)
  out['train']['steps'] = steps
  for name in PLANS:
    new = longer_plan(train[name], last, steps, plans.get(name))
    if new is None:
      raise UserError(
        f'train.{name}={train[name]!r} would have kept other steps in a '
        f'training of {steps}: keep those there are and name those to come, '
        f'as in --{name}=every:{_round((steps - last) / 50)}, or {fork}'
      )
    out['train'][name] = new
  # The cut between what was and what comes: a call and a full state end here.
  if last not in _steps(out['train']['branches'], steps):
    out['train']['branches'] = [*listed(out['train']['branches']), last]
  return build.build(out).config


def listed(value: plan.Plan) -> list:
  return list(value) if isinstance(value, (list, tuple)) else [value]


def _round(value: float) -> int:
  """A step count for an example: one leading digit."""
  size = 10 ** max(0, int(np.log10(max(value, 1))))
  return max(1, round(value / size) * size)


def stretched(
  config: dict[str, Any], steps: int, plans: dict[str, plan.Plan | None]
) -> dict[str, Any]:
  """The config of a fork: `steps` long from the start.

  A decay is stretched so that it ends as long before the end as it did. Plans
  are those given, or the old ones over the new length.
  """
  out = copy.deepcopy(config)
  more = steps - config['train']['steps']
  if more <= 0:
    raise UserError(
      f'it has {config["train"]["steps"]} steps: a fork is longer, got {steps}'
    )
  out['train']['steps'] = steps
  out['train'] |= {k: v for k, v in plans.items() if v is not None}
  if tied_schedule(config):
    out['optimizer']['decay_steps'] += more
  return build.build(out).config


def common(old: dict[str, Any], new: dict[str, Any]) -> int:
  """How many updates a training and its fork have in common.

  Until the warm-up ends the schedules agree, and the first update of a decay
  is still at the peak.
  """
  last = old['train']['steps']
  if old['optimizer'] == new['optimizer']:
    return last
  return min(last, old['optimizer']['warmup_steps'] + 1)


def agree(old: dict[str, Any], new: dict[str, Any]) -> int:
  """The last step up to which both plan the same snapshots and evaluations."""
  last, new_last = old['train']['steps'], new['train']['steps']
  until = last
  for name in ('snapshots', 'evals'):
    a = set(_steps(old['train'][name], last))
    b = set(_steps(new['train'][name], new_last))
    odd = [s for s in a ^ b if s <= last]
    until = min([until, *(s - 1 for s in odd)])
  return until
