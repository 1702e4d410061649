"""Would a commit make training slower? What a clock need not decide.

  python -m benchmarks.regression --config=tiny

counts what the compiled step consists of and compares it with what is kept
in benchmarks/references.json. The counts are the same on a noisy machine:

  equations      of the step's program before compilation, loops counted once
  flops, bytes   XLA's own analysis of the compiled call, loops counted once
  instructions, fusions, loops    in the compiled call
  temporary_bytes                 that it needs on top of states and buffers

The last four depend on the compiler's version and on the processor, so they
are compared only where both are those of the reference. A count above its
tolerance fails; one below it asks for a new reference (--update), so that
what was won is kept.

  python -m benchmarks.regression --config=small --ratio

also times our loop against a bare one written by hand for this one case
(benchmarks.bare), in alternating windows of one process.
"""

import dataclasses
import json
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from jax.extend import core

from benchmarks import bare, configs, ours, report
from jaxsynth.errors import UserError
from jaxsynth.train import engine as engines
from jaxsynth.train import layout as layouts
from jaxsynth.train import sweep

REFERENCES = Path(__file__).parent / 'references.json'
# How far a count may lie above its reference. Compiled counts jump a little
# when a fusion falls otherwise; the program itself does not.
TOLERANCE = {
  'equations': 0.02,
  'flops': 0.02,
  'bytes': 0.05,
  'instructions': 0.05,
  'fusions': 0.10,
  'loops': 0.0,
  'temporary_bytes': 0.10,
}


def equations(jaxpr: Any) -> int:
  """Equations of a program and of all programs inside it."""
  inner = [e for eqn in jaxpr.eqns for e in core.jaxprs_in_params(eqn.params)]
  return len(jaxpr.eqns) + sum(equations(getattr(j, 'jaxpr', j)) for j in inner)


def counts(config: str) -> dict[str, int]:
  """The counts of a config's training, one run a device."""
  setup = ours.setup_of(config, len(jax.local_devices()))
  # Training alone: evaluation, a hundred times rarer, would drown it.
  train = dataclasses.replace(
    setup.train, steps=setup.train.call_steps, snapshots=(), evals=()
  )
  setup = dataclasses.replace(setup, train=train)
  program = setup.program()
  _, engine, specs, call = ours.parts_of(setup, program, events=True)
  one = sweep.one(specs[0])
  one = one._replace(constants=jax.eval_shape(program.constants, one))
  state = jax.eval_shape(program.init, one)
  step = jax.make_jaxpr(program.step)(one, state, 0)
  # Shapes are enough to compile a block: nothing is drawn or initialised.
  block = sweep.stack(specs)
  constants = jax.eval_shape(engine.constants, block)
  states = jax.eval_shape(engine.init, block, constants, None)
  cuts = engines.cuts(call)
  compiled = engine.call.lower(block, constants, states, cuts).compile()
  cost = compiled.cost_analysis()
  text = compiled.as_text()
  count = lambda pattern: len(re.findall(pattern, text, re.MULTILINE))
  return {
    'equations': equations(step.jaxpr),
    'flops': round(cost['flops']),
    'bytes': round(cost['bytes accessed']),
    'instructions': count(r'^\s+(ROOT )?%?[\w.-]+ = '),
    'fusions': count(r' fusion\('),
    'loops': count(r' while\('),
    'temporary_bytes': compiled.memory_analysis().temp_size_in_bytes,
  }


def conditions() -> dict[str, str]:
  """What the compiled counts depend on besides the code."""
  return {
    'jaxlib': report.versions()['jaxlib'],
    'device': report.device(),
    'processor': report.machine()['processor'],
    'features': report.processor_features(),
  }


def compare(
  found: Mapping[str, int], reference: Mapping[str, Any], here: Mapping
) -> list[dict]:
  """Each count beside its reference, and a verdict.

  Args:
    found: counts.
    reference: {'counts', 'conditions'}.
    here: the conditions of `found`.

  Returns:
    One {'name', 'found', 'reference', 'verdict'} a count: 'same', 'worse',
    'better', or 'not compared' where the conditions differ.
  """
  alike = reference['conditions'] == dict(here)
  out = []
  for name, tolerance in TOLERANCE.items():
    was, now = reference['counts'][name], found[name]
    verdict = 'same'
    if name != 'equations' and not alike:
      verdict = 'not compared'
    elif now > was * (1 + tolerance):
      verdict = 'worse'
    elif now < was * (1 - tolerance):
      verdict = 'better'
    row = {'name': name, 'found': now, 'reference': was, 'verdict': verdict}
    out.append(row)
  return out


def ratio(config: str, rounds: int = 7, seconds: float = 2.0) -> dict:
  """Our rate over the bare loop's, round by round."""
  setup = ours.setup_of(config)
  own = ours.Trainer(setup)
  hand = bare.Bare(setup, own.steps)

  def timed(calls, count: int) -> float:
    began = time.perf_counter()
    calls(count)
    return time.perf_counter() - began

  for calls in (own.calls, hand.calls):
    calls(1)
  count = max(1, round(seconds / timed(own.calls, 1)))
  ratios = []
  for i in range(rounds):
    order = (own.calls, hand.calls)[:: 1 if i % 2 == 0 else -1]
    took = {calls: timed(calls, count) for calls in order}
    ratios.append(took[hand.calls] / took[own.calls])
  return {
    'times_the_bare_rate': report.spread(ratios),
    'bare_compile': 'one scan over steps, one run a device',
  }


def main() -> dict:
  parser = report.parser(
    'benchmarks.regression', __doc__, ['--config=tiny', '--update']
  )
  add = parser.add_argument
  add('--config', default='', help='tiny, small or paper; default: all')
  add('--update', action='store_true', help='keep the counts as references')
  add('--ratio', action='store_true', help='also time a bare loop')
  args = parser.parse_args()
  layouts.configure()
  names = [args.config] if args.config else list(configs.SIZES)
  references = json.loads(REFERENCES.read_text()) if REFERENCES.exists() else {}
  made: dict[str, Any] = {'counts': {}, 'targets': []}
  for name in names:
    configs.size(name)
    found = counts(name)
    if args.update:
      references[name] = {'counts': found, 'conditions': conditions()}
    if name not in references:
      raise UserError(f'no reference for {name}: make one with --update')
    rows = compare(found, references[name], conditions())
    made['counts'][name] = rows
    columns = ('count', 'found', 'reference', 'verdict')
    report.say(f'{name}\n' + report.table(columns, [r.values() for r in rows]))
    worse = sum(r['verdict'] == 'worse' for r in rows)
    made['targets'].append(
      report.target(f'{name}: counts that got worse', worse, at_most=0)
    )
    if args.ratio:
      made.setdefault('ratio', {})[name] = ratio(name)
  if args.update:
    REFERENCES.write_text(json.dumps(references, indent=1) + '\n')
  return report.record('regression', ','.join(names), report.device(), **made)


if __name__ == '__main__':
  sys.exit(report.run(main))
