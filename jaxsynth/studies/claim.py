"""Claims, their gates, and the judging of one claim: all pure.

A claim is a checkable statement of a published system. It is measured as one
number per run, and the same pipeline gives the same number for a null (the
model at step 0, shuffled data, a random direction). Its gate asks

  op(number, threshold) for enough seeds, and not so for the null.

With k of n seeds needed ('all': k = n), the measurement passes when at least
k of its seeds do, and the null passes when at least the fraction k / n of its
own finite numbers do, so one null number stands for all seeds.

A seed whose number is not finite fails. A censored number (an onset that did
not come by step N) exceeds N: it passes '>' and '>=' when N reaches the
threshold, and never passes '<' or '<='.
"""

import dataclasses
import math
import operator
import re
from typing import Any

from jaxsynth.errors import UserError, unknown
from jaxsynth.studies.measured import Measured, measured, summary

PRESETS = ('smoke', 'quick', 'standard', 'paper')
OPS = {
  '<': operator.lt,
  '<=': operator.le,
  '>': operator.gt,
  '>=': operator.ge,
}
TESTS = ('number', 'direction')


@dataclasses.dataclass(frozen=True)
class Gate:
  """When a claim counts as reproduced.

  Attributes:
    op: '<', '<=', '>' or '>='.
    threshold: what each seed's number is compared with.
    rule: 'all' seeds, or an integer k: at least k of them.
    preset: the smallest preset at which the claim is gated; never 'smoke'.
    tests: 'number' if the threshold tests the published number, 'direction'
      if only the sign or order of the effect.

  Raises:
    UserError: on construction, if a field makes no sense.
  """

  op: str
  threshold: float
  rule: str | int = 'all'
  preset: str = 'quick'
  tests: str = 'number'

  def __post_init__(self):
    if self.op not in OPS:
      raise unknown('gate op', self.op, OPS)
    number = isinstance(self.threshold, int | float)
    if not number or isinstance(self.threshold, bool):
      raise UserError(f'gate threshold must be a number: {self.threshold!r}')
    if not math.isfinite(self.threshold):
      raise UserError(f'gate threshold must be finite: {self.threshold!r}')
    whole = isinstance(self.rule, int) and not isinstance(self.rule, bool)
    if self.rule != 'all' and not (whole and self.rule >= 1):
      raise UserError(
        f"gate rule must be 'all' or how many seeds, at least 1: {self.rule!r}"
      )
    if self.preset not in PRESETS[1:]:
      raise unknown('gate preset', self.preset, PRESETS[1:])
    if self.tests not in TESTS:
      raise unknown('gate tests', self.tests, TESTS)


@dataclasses.dataclass(frozen=True)
class Claim:
  """A checkable statement.

  Attributes:
    name: lower case words joined by '_', unique in its study.
    statement: one sentence that can be true or false.
    published: the published value or finding, as the source states it.
    where: the place in the source (figure, table, section).
    gate: when it counts as reproduced; None if it is only reported.
    null: what the null is; it goes through the same pipeline. A gated claim
      has one.
    note: why it is not gated and what was tried, or what to bear in mind. An
      ungated claim has one.

  Raises:
    UserError: on construction, if a field is missing.
  """

  name: str
  statement: str
  published: str
  where: str
  gate: Gate | None = None
  null: str = ''
  note: str = ''

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if field.name != 'gate' and not isinstance(value, str):
        raise UserError(
          f'claim {self.name!r}: {field.name} must be text, got {value!r}'
        )
    if not re.fullmatch(r'[a-z][a-z0-9_]*', self.name):
      raise UserError(
        f'claim name {self.name!r} must be lower case words joined by _'
      )
    for field in ('statement', 'published', 'where'):
      if not getattr(self, field).strip():
        raise UserError(f'claim {self.name!r} needs its {field}')
    if self.gate is not None and not isinstance(self.gate, Gate):
      raise UserError(f'claim {self.name!r}: gate must be a Gate or None')
    if self.gate is None and not self.note.strip():
      raise UserError(
        f'claim {self.name!r} is not gated: say why, and what was tried, in '
        'its note'
      )
    if self.gate is not None and not self.null.strip():
      raise UserError(
        f'claim {self.name!r} is gated: say in its null what must not pass'
      )


def gated(gate: Gate | None, preset: str) -> bool:
  """Whether a claim with this gate is gated at `preset`.

  Raises:
    UserError: unknown preset.
  """
  if preset not in PRESETS:
    raise unknown('preset', preset, PRESETS)
  return gate is not None and PRESETS.index(preset) >= PRESETS.index(
    gate.preset
  )


def holds(gate: Gate, value: float, censored: bool = False) -> bool:
  """Whether one seed's number passes the gate."""
  if not math.isfinite(value):
    return False
  if censored:
    return gate.op in ('>', '>=') and value >= gate.threshold
  return OPS[gate.op](value, gate.threshold)


def _passes(gate: Gate, numbers: Measured) -> list[bool]:
  return [holds(gate, v, c) for v, c in zip(numbers.values, numbers.censored)]


def _named(seeds: list) -> str:
  return ('seed ' if len(seeds) == 1 else 'seeds ') + ', '.join(map(str, seeds))


def _missing(numbers: Measured) -> str:
  """'; seed 3 diverged; seed 4 never got there', or nothing."""
  rows = list(zip(*numbers))
  lost = [s for s, v, c in rows if not (c or math.isfinite(v))]
  never = [s for s, _, c in rows if c]
  return (f'; {_named(lost)} not finite' if lost else '') + (
    f'; {_named(never)} never got there' if never else ''
  )


def _decide(
  gate: Gate, numbers: Measured, null: Measured | None
) -> tuple[bool, str]:
  """Whether a measured claim passes its gate, and why, in one line."""
  n = len(numbers.values)
  need = n if gate.rule == 'all' else gate.rule
  if need > n:
    return False, f'the rule needs {need} seeds, {n} measured'
  good = sum(_passes(gate, numbers))
  count = f'{good} of {n} seeds pass'
  if good < need:
    return False, f'{count}, {need} needed{_missing(numbers)}'
  if null is None:
    return False, f'{count}, but the null was not measured'
  rows = zip(null.values, null.censored)
  known = sum(c or math.isfinite(v) for v, c in rows)
  if not known:
    return False, f'{count}, but the null is not finite and excludes nothing'
  if sum(_passes(gate, null)) * n >= need * known:
    return False, 'the null passes too'
  return True, f'{count}, the null does not{_missing(numbers)}'


def _table(numbers: Measured | None, gate: Gate | None) -> dict | None:
  """Statistics and per-seed rows, ready for verdict.json."""
  if numbers is None:
    return None
  rows = [
    {
      'seed': seed,
      'value': value,
      'censored': censored,
      'passed': None if gate is None else holds(gate, value, censored),
    }
    for seed, value, censored in zip(*numbers)
  ]
  return summary(numbers) | {'per_seed': rows}


def judge(claim: Claim, numbers: Any, null: Any, preset: str) -> dict:
  """Judges one claim.

  Args:
    claim: what is claimed.
    numbers: one number per seed, in any form `measured` takes; None if the
      study did not measure it, which fails a gated claim.
    null: the same number for the null, per seed or once; None if missing,
      which fails a gated claim.
    preset: the preset that ran.

  Returns:
    The claim's entry in verdict.json: name, statement, published, where,
    note; gate (dict or None); measured and null_measured (the `summary` and
    per_seed rows of seed, value, censored, passed; None if not measured);
    null (what it is); seeds_passed and seeds_needed (None without a gate);
    verdict: 'passed', 'failed' or 'reported'; reason.

  Raises:
    UserError: unknown preset, or not one number per seed.
  """
  gate = claim.gate
  is_gated = gated(gate, preset)
  numbers = None if numbers is None else measured(numbers)
  null = None if null is None else measured(null)
  if gate is None:
    verdict, reason = 'reported', 'not gated'
  elif not is_gated:
    verdict, reason = 'reported', f'gated from preset {gate.preset} on'
  elif numbers is None:
    verdict, reason = 'failed', 'not measured'
  else:
    passed, reason = _decide(gate, numbers, null)
    verdict = 'passed' if passed else 'failed'
  if verdict == 'reported' and numbers is None:
    reason += '; not measured'
  entry = dataclasses.asdict(claim) | {
    'measured': _table(numbers, gate),
    'null_measured': _table(null, gate),
    'seeds_passed': None,
    'seeds_needed': None,
    'verdict': verdict,
    'reason': reason,
  }
  if gate is not None and numbers is not None:
    n = len(numbers.values)
    entry['seeds_passed'] = sum(_passes(gate, numbers))
    entry['seeds_needed'] = n if gate.rule == 'all' else gate.rule
  return entry
