"""Weak scaling: the same work for each device, on more and more of them.

  python -m benchmarks.scaling                  1, 2 and 4 devices, processes
  python -m benchmarks.scaling --counts=1,2 --config=small

Every device has --runs runs. Timed are

  devices-N    one process with N CPU devices of one thread each, N x --runs
               runs
  processes-N  N processes of one device, a team that agrees between calls,
               N x --runs runs
  group-N      N devices that share each of --runs runs (layout.data = N), with
               batches N times as large: as many examples a device as alone. A
               step of such a batch counts as N run-steps
  apart-M      M processes of one device that know nothing of each other: what
               the machine does where nothing is shared

by the loop that trains, files left out, in windows that alternate; all are
alive throughout, and every ratio is taken within a round:

  efficiency   rate / (N x rate of one device)
  of_ideal     rate / rate of `apart-M`, M the smaller of N and the cores

What to expect. Devices beyond the number of cores take turns, so that their
efficiency falls as cores / N whatever the program does: 0.5 for 4 devices on 2
cores. Two hardware threads of one core count as two cores here and do less than
twice the work of one (a half more, if both compute all the time), so that
efficiency is well below 1 even at N = 2, for `apart` as for the others. So
neither is a fault of ours, and neither is judged: of_ideal compares with what
this machine does in the same minute on the same number of busy threads. It is 1
where sharing a program (devices), agreeing (processes) or adding up gradients
(groups) costs nothing; a group waits for its slowest device several times a
step, which costs most where the devices take turns.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence

from benchmarks import configs, ours, report, windows
from jaxsynth import peers, spawn, stage
from jaxsynth.errors import UserError
from jaxsynth.train import engine as engines
from jaxsynth.train import layout as layouts

ONE = 'devices-1'
# Seconds after which a contestant that has not answered is ended.
SILENCE_S = 120.0
# Steps in a call of a group, which on a CPU is slow: a window is a call at
# least. As many as are drawn together, or fewer where the config has fewer.
GROUP_STEPS = engines.AHEAD_STEPS


class Member(ours.Trainer):
  """What one process of a team trains: its own runs, in step with the rest.

  Attributes:
    held: run-steps of a batch of usual size in one step of its runs.
  """

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
  team, data = payload.get('team'), payload['data']
  peers.start(peers.Cluster(**(team or {})))
  size = configs.size(payload['config'])
  overrides = [
    f'layout.data={data}',
    f'train.batch_size={data * size.batch}',
    f'train.call_steps={payload.get("call_steps", size.call_steps)}',
  ]
  setup = ours.setup_of(payload['config'], payload['runs'], 'map', overrides)
  trainer = Member(setup)
  trainer.held = data * len(stage.layout_of(setup).held(trainer.runs))
  trainer.calls(1)
  windows.serve({**ours.facts_of(trainer), 'held': trainer.held}, trainer.work)
  peers.leave(crashed=False)


def ideal(count: int, cores: int) -> str:
  """The contestant whose rate is the most that so many devices can have."""
  busy = min(count, cores)
  return ONE if busy == 1 else f'apart-{busy}'


def entrants(
  config: str, runs: int, counts: Sequence[int], cores: int
) -> dict[str, windows.Contestant]:
  """All contestants, by name; those that can share compiled programs first.

  Args:
    config: of `benchmarks.configs`.
    runs: of a device.
    counts: numbers of devices and of processes.
    cores: of the machine.
  """
  one = {'config': config, 'runs': runs, 'devices': 1, 'data': 1}

  def start(*payloads: Mapping) -> windows.Contestant:
    return windows.Contestant('benchmarks.scaling', payloads, silence=SILENCE_S)

  def team(count: int) -> windows.Contestant:
    at = f'127.0.0.1:{spawn.free_port()}'
    whole = {**one, 'runs': runs * count}
    ids = [
      {'coordinator': at, 'process_id': i, 'process_count': count}
      for i in range(count)
    ]
    return start(*({**whole, 'team': own} for own in ids))

  out = {ONE: start(one)}
  for busy in sorted({min(n, cores) for n in counts} - {1}):
    out[f'apart-{busy}'] = start(*[one] * busy)
  for n in counts[1:]:
    out[f'devices-{n}'] = start({**one, 'runs': runs * n, 'devices': n})
    out[f'processes-{n}'] = team(n)
    steps = min(GROUP_STEPS, configs.size(config).call_steps)
    group = {**one, 'devices': n, 'data': n, 'call_steps': steps}
    out[f'group-{n}'] = start(group)
  return out


def rows_of(rates: Mapping[str, Sequence[float]], cores: int) -> list[dict]:
  """The table: a row a contestant, its ratios taken within rounds.

  Args:
    rates: run-steps per second by name, round by round.
    cores: of the machine.

  Returns:
    For each `how`, `count`, `run_steps_per_s`, and spreads of `efficiency` and
    `of_ideal`.
  """

  def over(name: str, base: str, times: int = 1) -> dict:
    pairs = zip(rates[name], rates[base])
    return report.spread([a / (times * b) for a, b in pairs])

  def row(name: str) -> dict:
    how, _, count = name.partition('-')
    return {
      'how': how,
      'count': int(count),
      'run_steps_per_s': report.spread(rates[name])['median'],
      'efficiency': over(name, ONE, int(count)),
      'of_ideal': over(name, ideal(int(count), cores)),
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
  add('--rounds', type=int, default=5, help='windows each, at least 5')
  add('--seconds', type=float, default=1.5, help='of one window')
  args = parser.parse_args()
  configs.size(args.config)
  counts = _counts(args.counts)
  if args.runs < 1 or args.rounds < 1 or args.seconds <= 0:
    raise UserError(
      '--runs, --rounds and --seconds count from 1, got '
      f'{args.runs}, {args.rounds} and {args.seconds:g}'
    )
  cores = report.machine()['cores']
  with tempfile.TemporaryDirectory() as cache:
    os.environ['JAX_COMPILATION_CACHE_DIR'] = cache
    found = entrants(args.config, args.runs, counts, cores)
    rates, facts = windows.race(found, args.rounds, args.seconds)
  rows = rows_of(rates, cores)
  return report.record(
    'scaling',
    args.config,
    facts[ONE][0]['device'],
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
