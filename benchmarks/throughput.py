"""How fast runs train: run-steps per second, and how far that is from ideal.

  python -m benchmarks.throughput --config=small --against=torch-eager

A run-step is one update of one run, its data included. What is timed is what
`stage.train` runs (see `benchmarks.ours`), in windows that alternate with the
peers', all of them alive throughout; ratios are taken within a round.

  --against   torch-eager   PyTorch as its users run it (benchmarks.peers)
              torch-best    the fastest way to use PyTorch that was found
  --measure   race          the rates, one number of runs
              runs          rates at other numbers of runs (--runs)
              shares        where a step's time goes (benchmarks.shares)

The floor is nominal arithmetic at the speed of a 2048^3 matrix product
measured beside it; on an accelerator also memory traffic at the speed of a
copy, whichever takes longer (benchmarks.configs says what is counted).
"""

import importlib.util
import os
import sys
import tempfile
from collections.abc import Sequence

from benchmarks import configs, ours, report, windows
from benchmarks.peers import modes
from jaxsynth.errors import UserError, unknown

PEERS = ('torch-eager', 'torch-best')
MEASURES = ('race', 'runs', 'shares')
RATIOS = {
  'torch-eager': {'tiny': 4.0, 'small': 1.35, 'paper': 1.5},
  'torch-best': {'tiny': 1.3, 'small': 1.1, 'paper': 1.1},
}
OF_PEAK = {'small': 0.45, 'paper': 0.45}


def entrant(
  config: str, runs: int, layout: str, overrides: Sequence[str]
) -> windows.Contestant:
  """Our training of so many runs, in a process of its own."""
  payload = {
    'config': config, 'runs': runs, 'layout': layout,
    'overrides': list(overrides),
  }  # fmt: skip
  return windows.Contestant('benchmarks.ours', [payload])


def torch_eager(config: str, runs: int) -> windows.Contestant:
  payload = {'config': config, 'runs': runs}
  return windows.Contestant('benchmarks.peers.torch_eager', [payload])


def torch_best(config: str, runs: int, mode: str) -> windows.Contestant:
  """One process a core, the runs shared out between them."""
  cores = report.machine()['cores']
  payload = {'config': config, 'runs': max(1, runs // cores), 'mode': mode}
  env = {'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'}
  module = 'benchmarks.peers.torch_best'
  return windows.Contestant(module, [payload] * cores, env)


def scout(
  config: str, runs: int, names: Sequence[str], seconds: float
) -> dict[str, float | None]:
  """The rate of each mode of PyTorch, timed one after another.

  A mode that does not work has the rate None.
  """
  rates: dict[str, float | None] = {}
  for mode in names:
    try:
      with torch_best(config, runs, mode) as contestant:
        contestant.rate(min(seconds, 1.0))
        rates[mode] = max(contestant.rate(seconds) for _ in range(2))
    except RuntimeError as e:
      report.say(f'torch {mode}: {e}')
      rates[mode] = None
    report.say(f'torch {mode}: {rates[mode]} run-steps/s')
  return rates


def floor_of(size: configs.Size, facts: dict) -> dict:
  """Run-steps per second at the speed of light of the device measured."""
  arithmetic = size.flops / facts['matmul_flops_per_s']
  memory = size.bytes / facts['memory_bytes_per_s']
  if facts['platform'] == 'cpu':  # activations of a part stay in its cache
    memory = 0.0
  return {
    'floor': 1 / max(arithmetic, memory),
    'floor_bound': 'arithmetic' if arithmetic >= memory else 'memory',
  }


def rates_of(size: configs.Size, rate: float, facts: dict) -> dict:
  """A rate in every unit, and its distance to the floor."""
  floor = floor_of(size, facts)
  flops = rate * size.flops
  return {
    'run_steps_per_s': rate,
    'tokens_per_s': rate * size.tokens,
    'flops_per_s': flops,
    'share_of_peak': flops / facts['matmul_flops_per_s'],
    **floor,
    'of_floor': floor['floor'] / rate,
    **facts,
  }


def race(args, overrides: Sequence[str]) -> dict:
  """Our rate, the peers' rates in alternating windows, and the ratios."""
  size = configs.size(args.config)
  entrants = {'ours': entrant(args.config, size.runs, args.layout, overrides)}
  tried: dict[str, float | None] = {}
  for name in args.against:
    if name == 'torch-eager':
      entrants[name] = torch_eager(args.config, size.runs)
    else:
      tried = scout(args.config, size.runs, args.modes, args.seconds)
      working = {m: r for m, r in tried.items() if r}
      if not working:
        raise UserError('no mode of PyTorch works here, see above')
      best = max(working, key=working.get)
      entrants[name] = torch_best(args.config, size.runs, best)
  rates, facts = windows.race(entrants, args.rounds, args.seconds)
  made = rates_of(
    size, report.spread(rates['ours'])['median'], facts['ours'][0]
  )
  made['rounds'] = rates
  made['targets'] = []
  if args.config in OF_PEAK:
    made['targets'].append(
      report.target(
        'share of the matrix-product peak',
        made['share_of_peak'],
        at_least=OF_PEAK[args.config],
      )
    )
  made['peers'] = {}
  for name in args.against:
    ratio = report.spread([a / b for a, b in zip(rates['ours'], rates[name])])
    made['peers'][name] = {
      'mode': facts[name][0]['mode'],
      'processes': len(facts[name]),
      'run_steps_per_s': report.spread(rates[name])['median'],
      'ratio': ratio,
      'facts': facts[name][0],
      **({'modes': tried} if name == 'torch-best' else {}),
    }
    made['targets'].append(
      report.target(
        f'times as fast as {name}',
        ratio['median'],
        at_least=RATIOS[name][args.config],
      )
    )
  return made


def by_runs(args, overrides: Sequence[str]) -> list[dict]:
  """Rate and memory at each number of runs, one process each."""
  out = []
  for runs in args.runs:
    one = entrant(args.config, runs, args.layout, overrides)
    rates, facts = windows.race({'ours': one}, 3, args.seconds)
    out.append(
      {
        'runs': runs,
        'run_steps_per_s': report.spread(rates['ours'])['median'],
        'peak_memory_bytes': facts['ours'][0]['peak_memory_bytes'],
        'temporary_bytes': facts['ours'][0]['temporary_bytes'],
      }
    )
  return out


def _listed(known: Sequence[str], kind: str):
  def parse(text: str) -> list[str]:
    out = [x for x in text.split(',') if x]
    for x in out:
      if x not in known:
        raise unknown(kind, x, known)
    return out

  return parse


def _arguments() -> tuple:
  parser = report.parser(
    'benchmarks.throughput',
    __doc__,
    [
      '--config=tiny --measure=race',
      '--config=small --against=torch-eager,torch-best',
      '--config=small --measure=race --config.layout.microbatches=1',
      '--config=paper --against=torch-best --modes=eager-mb8,compile-mb8',
    ],
  )
  add = parser.add_argument
  add('--config', default='small', help='tiny, small or paper')
  add('--layout', default='auto', help='map, vmap or auto')
  add('--against', default='', help=','.join(PEERS))
  add('--modes', default='', help='of torch-best, see benchmarks.peers.modes')
  add('--measure', default=','.join(MEASURES), help='all by default')
  add('--runs', default='1,2,8,64', help='numbers of runs to time')
  add('--rounds', type=int, default=7, help='windows each, at least 5')
  add('--seconds', type=float, default=3.0, help='of one window')
  args, rest = parser.parse_known_args()
  args.against = _listed(PEERS, 'peer')(args.against)
  args.measure = _listed(MEASURES, 'measure')(args.measure)
  try:
    args.runs = [int(r) for r in args.runs.split(',') if r]
  except ValueError:
    raise UserError(f'--runs is a list of numbers, got {args.runs}') from None
  overrides = report.overrides(rest)
  if args.against and importlib.util.find_spec('torch') is None:
    raise UserError(
      '--against needs PyTorch, an extra: '
      "pip install -c constraints.txt -e '.[bench]'"
    )
  # What is wrong with the config is said here, before any process starts.
  ours.setup_of(args.config, 0, args.layout, overrides)
  given = [m for m in args.modes.split(',') if m]
  args.modes = given or modes.CANDIDATES[args.config]
  for mode in args.modes:
    modes.Mode.parse(mode)
  return args, overrides


def main() -> dict:
  args, overrides = _arguments()
  made: dict = {'layout': args.layout, 'overrides': overrides, 'targets': []}
  with tempfile.TemporaryDirectory() as cache:
    # An empty folder of compiled programs, so that the first compile counts.
    os.environ['JAX_COMPILATION_CACHE_DIR'] = cache
    if 'race' in args.measure:
      made |= race(args, overrides)
    if 'runs' in args.measure:
      made['by_runs'] = by_runs(args, overrides)
    if 'shares' in args.measure:
      values = [f'--config.{item}' for item in overrides]
      options = [f'--config={args.config}', f'--layout={args.layout}']
      made['shares'] = report.child('benchmarks.shares', *options, *values)
      made['targets'] += made['shares'].pop('targets')
  on = made.pop('device', None) or made.get('shares', {}).get('device', '')
  return report.record('throughput', args.config, on, **made)


if __name__ == '__main__':
  sys.exit(report.run(main))
