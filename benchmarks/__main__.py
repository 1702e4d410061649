"""All benchmarks, their table, and the page of results.

  python -m benchmarks                       everything
  python -m benchmarks --only=throughput --configs=tiny
  python -m benchmarks --folder=elsewhere    leave docs/benchmarks as it is

Each benchmark runs in a process of its own, its record goes to
docs/benchmarks/BENCHMARK-CONFIG.json as soon as it is made, and the page is
written anew (see `benchmarks.page`). One that fails is named and leaves the
others be. Run it on a quiet machine.
"""

import importlib.util
import json
import sys
from pathlib import Path

from benchmarks import configs, page, report
from jaxsynth.errors import UserError, unknown

# Benchmark -> its arguments besides the config, and the configs it is run on.
_AGAINST = '--against=torch-eager,torch-best'
_SIZES = tuple(configs.SIZES)
ALL: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
  'throughput': ((_AGAINST,), _SIZES),
  'start': ((), _SIZES),
  'sweep': ((), ('tiny',)),
  'scaling': ((), ('tiny',)),
  'generators': ((), _SIZES),
  'studies': ((), ('quick',)),
  'grammars': ((), ('dyck', 'english', 'expr')),
  'generation': ((), ('tiny', 'small')),
  'regression': (('--ratio',), _SIZES),
  'trajectory': ((), ('small', 'big')),
  'capture': ((), ('quick', 'wide')),
}
# What fits into minutes on a CPU.
_EXTRA = {
  ('throughput', 'paper'): ('--measure=race',),
  # As many a step as in quick.
  ('capture', 'wide'): ('--snapshots=20',),
  ('trajectory', 'big'): ('--snapshots=40', '--step-folders=8'),
}


def main() -> dict:
  parser = report.parser('benchmarks', __doc__, ['--only=generators'])
  add = parser.add_argument
  add('--only', default='', help=','.join(ALL))
  add('--configs', default=','.join(configs.SIZES), help='all by default')
  add('--folder', default=str(page.FOLDER), help='of the records and the page')
  args = parser.parse_args()
  names = [n for n in args.only.split(',') if n] or list(ALL)
  for name in names:
    if name not in ALL:
      raise unknown('benchmark', name, ALL)
  wanted = args.configs.split(',')
  for config in wanted:
    configs.size(config)
  folder, failed = Path(args.folder), []
  folder.mkdir(parents=True, exist_ok=True)
  for name in names:
    if importlib.util.find_spec(f'benchmarks.{name}') is None:
      report.say(f'{name}: not here')
      continue
    options, on = ALL[name]
    for config in [c for c in on if c in wanted or c not in _SIZES]:
      extra = _EXTRA.get((name, config), ())
      arguments = (f'--config={config}', *options, *extra)
      report.say(f'{name} {" ".join(arguments)}')
      try:
        made = report.child(f'benchmarks.{name}', *arguments)
      except UserError as e:
        report.say(str(e))
        failed.append(f'{name}-{config}')
        continue
      path = folder / f'{name}-{config}.json'
      path.write_text(json.dumps(made, indent=1) + '\n')
      page.write(folder)
  made = page.records(folder)
  print(page.render(folder))
  targets = [t for r in made for t in r.get('targets', ())]
  return report.record(
    'all',
    ','.join(wanted),
    made[0]['device'] if made else '',
    targets_met=sum(t['met'] is True for t in targets),
    targets_missed=[t['name'] for t in targets if t['met'] is False],
    failed=failed,
  )


if __name__ == '__main__':
  sys.exit(report.run(main))
