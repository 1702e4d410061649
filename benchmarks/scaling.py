"""Weak scaling: the same work for each device, on more and more of them.

  python -m benchmarks.scaling                  1, 2 and 4 devices, processes
  python -m benchmarks.scaling --counts=1,2 --config=small

Every device has --runs runs, so n devices have n times the runs and, were
nothing shared, n times the run-steps per second. Timed are

  devices-N    one process with N CPU devices of one thread each
  processes-N  N processes of one device, a team that agrees between calls
  group-N      N devices that share each run (layout.data = N), N x --runs runs
  apart        as many processes as cores, of one device, that know nothing of
               each other: what this machine does at most

by the loop that trains, files left out, in windows that alternate; all are
alive throughout, and every ratio is taken within a round:

  efficiency   rate / (N x rate of one device). Beyond the number of cores it
               must fall as cores / N: the devices take turns.
  of_machine   rate / rate of `apart`, both with all cores at work; the rest is
               what sharing a program, agreeing, or exchanging costs.

Two hardware threads of one core are two cores here, and do less than twice the
work of one: where `machine` says so, judge by of_machine.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence

from benchmarks import configs, ours, report, windows
from jaxsynth import peers, spawn, stage
from jaxsynth.errors import UserError
from jaxsynth.train import layout as layouts

ONE, APART = 'devices-1', 'apart'


class Member(ours.Trainer):
  """What one process of a team trains: its own runs, in step with the rest."""

  def _ends(self) -> bool:
    for _ in range(2):  # the loop agrees twice a call
      peers.anywhere(False)
    return super()._ends()

  def work(self, seconds: float) -> int:
    """As a trainer's; process 0 says how many calls it takes."""
    if self._seconds is None:
      self.calls(1)
    count = peers.first(lambda: max(1, round(seconds / self._seconds)))
    self.calls(count)
    return count * self.steps * self.held


def main_of_member(payload: Mapping) -> None:
  """A contestant: `config`, `runs`, `devices`, `data` and, of a team, `team`.

  `runs` is of all processes together, `devices` of this one.
  """
  layouts.configure(payload['devices'])
  team = payload.get('team')
  peers.start(peers.Cluster(**(team or {})))
  setup = ours.setup_of(
    payload['config'],
    payload['runs'],
    'map',
    [f'layout.data={payload["data"]}'],
  )
  trainer = Member(setup)
  trainer.held = len(stage.layout_of(setup).held(trainer.runs))
  trainer.calls(1)
  windows.serve({**ours.facts_of(trainer), 'held': trainer.held}, trainer.work)
  peers.leave(crashed=False)


def entrants(
  config: str, runs: int, counts: Sequence[int], cores: int
) -> dict[str, windows.Contestant]:
  """All contestants, by name.

  Args:
    config: of `benchmarks.configs`.
    runs: of a device.
    counts: numbers of devices and of processes.
    cores: processes of `apart`.
  """
  one = {'config': config, 'runs': runs, 'devices': 1, 'data': 1}

  def start(*payloads: Mapping) -> windows.Contestant:
    return windows.Contestant('benchmarks.scaling', payloads)

  def team(count: int) -> windows.Contestant:
    at = f'127.0.0.1:{spawn.free_port()}'
    whole = {**one, 'runs': runs * count}
    ids = [
      {'coordinator': at, 'process_id': i, 'process_count': count}
      for i in range(count)
    ]
    return start(*({**whole, 'team': own} for own in ids))

  out = {APART: start(*[one] * cores)}
  for n in counts:
    whole = {**one, 'runs': runs * n, 'devices': n}
    out[f'devices-{n}'] = start(whole)
    if n > 1:
      out[f'processes-{n}'] = team(n)
      out[f'group-{n}'] = start({**whole, 'data': n})
  return out


def rows_of(rates: Mapping[str, Sequence[float]], cores: int) -> list[dict]:
  """The table: a row a contestant, its ratios taken within rounds.

  Args:
    rates: run-steps per second by name, round by round.
    cores: of the machine.

  Returns:
    For each `how`, `count`, `run_steps_per_s`, and spreads of `efficiency`
    and, where all cores are at work, of `of_machine` (else None).
  """

  def over(name: str, base: str, times: int = 1) -> dict:
    pairs = zip(rates[name], rates[base])
    return report.spread([a / (times * b) for a, b in pairs])

  def row(name: str) -> dict:
    how, _, number = name.partition('-')
    count = int(number or cores)
    return {
      'how': how,
      'count': count,
      'run_steps_per_s': report.spread(rates[name])['median'],
      'efficiency': over(name, ONE, count),
      'of_machine': over(name, APART) if count >= cores else None,
    }

  return [row(name) for name in rates]


def _counts(text: str) -> list[int]:
  try:
    counts = [int(n) for n in text.split(',')]
  except ValueError:
    counts = []
  if not counts or counts[0] != 1 or sorted(set(counts)) != counts:
    raise UserError(f'--counts grow from 1, as in 1,2,4; got {text}')
  return counts


def main() -> dict:
  parser = report.parser(
    'benchmarks.scaling', __doc__, ['', '--config=small --runs=1']
  )
  add = parser.add_argument
  add('--config', default='tiny', help='tiny, small or paper')
  add('--runs', type=int, default=4, help='of each device')
  add('--counts', default='1,2,4', help='of devices, and of processes')
  add('--rounds', type=int, default=7, help='windows each, at least 5')
  add('--seconds', type=float, default=2.0, help='of one window')
  args = parser.parse_args()
  configs.size(args.config)
  counts = _counts(args.counts)
  for n in counts[1:]:  # refused here, before any process starts
    ours.setup_of(args.config, 0, 'map', [f'layout.data={n}'])
  if args.runs < 1:
    raise UserError(f'--runs is a count, got {args.runs}')
  cores = report.machine()['cores']
  with tempfile.TemporaryDirectory() as cache:
    os.environ['JAX_COMPILATION_CACHE_DIR'] = cache
    found = entrants(args.config, args.runs, counts, cores)
    rates, facts = windows.race(found, args.rounds, args.seconds)
  rows = rows_of(rates, cores)
  return report.record(
    'scaling',
    args.config,
    report.device(),
    run_steps_per_s=max(r['run_steps_per_s'] for r in rows),
    runs_per_device=args.runs,
    rows=rows,
    rounds=rates,
    compile_seconds={n: f[0]['compile_seconds'] for n, f in facts.items()},
  )


if __name__ == '__main__':
  if sys.argv[1:] and sys.argv[1].startswith('{'):
    main_of_member(json.loads(sys.argv[1]))
    sys.exit()
  sys.exit(report.run(main))
