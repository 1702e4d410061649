"""The page of results, docs/benchmarks/README.md, from the JSON beside it.

  python -m benchmarks.page

A file NAME.json there holds one record; the page is a function of these files
alone, so that a test can hold the two together.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import report

FOLDER = report.ROOT / 'docs' / 'benchmarks'
_ORDER = ('tiny', 'small', 'paper')

_TOP = """\
# Benchmarks

Written by `python -m benchmarks` from the JSON files beside it; do not edit.
The three trainings (`tiny`, `small`, `paper`) and what is counted are
described in `benchmarks/configs.py`. Figures are medians; ratios are taken
within rounds of alternating windows and shown with their range.
"""


def records(folder: Path = FOLDER) -> list[dict]:
  """All records in a folder, by benchmark, then by config as it grows."""
  found = [json.loads(p.read_text()) for p in sorted(folder.glob('*.json'))]
  place = lambda c: _ORDER.index(c) if c in _ORDER else len(_ORDER)
  return sorted(found, key=lambda r: (r['benchmark'], place(r['config'])))


def _of(made: Sequence[dict], name: str) -> list[dict]:
  return [r for r in made if r['benchmark'] == name]


def _range(spread: dict) -> str:
  low, high = report.cell(spread['min']), report.cell(spread['max'])
  return f'{report.cell(spread["median"])} ({low} to {high})'


def _mib(count: float) -> str:
  return f'{count / 2**20:,.0f} MiB'


def _machines(made: Sequence[dict]) -> str:
  rows = []
  for r in made:
    m, v = r['machine'], r['versions']
    packages = ', '.join(f'{n} {x}' for n, x in v.items() if x)
    rows.append(
      (
        r['benchmark'], r['config'], r['device'], m['processor'], m['cores'],
        f'{m["memory_gib"]} GiB', r['busy_before'], packages, r['source'],
        r['date'],
      )
    )  # fmt: skip
  columns = (
    'benchmark', 'config', 'device', 'processor', 'cores', 'memory',
    'cores busy before', 'versions', 'source', 'date',
  )  # fmt: skip
  return report.table(columns, rows)


def _targets(made: Sequence[dict]) -> str:
  rows = []
  for r in made:
    for t in r.get('targets', ()):
      low = 'at_least' in t
      bound = f'{"≥" if low else "≤"} {t["at_least" if low else "at_most"]}'
      name = f'{r["benchmark"]} {r["config"]}'
      noisy = ' (noisy)' if (r['busy_before'] or 0) > report.NOISY else ''
      met = report.cell(t['met']) + noisy
      rows.append((name, t['name'], t['measured'], bound, met))
  return report.table(('where', 'what', 'measured', 'target', 'met'), rows)


def _throughput(made: Sequence[dict]) -> str:
  rows = [
    (
      r['config'], r['runs'], r['layout'], r['run_steps_per_s'],
      r['tokens_per_s'], r['flops_per_s'] / 1e9, r['share_of_peak'],
      r['floor'], r['of_floor'], r['compile_seconds'],
      _mib(r['peak_memory_bytes']),
    )
    for r in made
    if 'run_steps_per_s' in r
  ]  # fmt: skip
  columns = (
    'config', 'runs', 'layout', 'run-steps/s', 'tokens/s', 'GFLOP/s',
    'of matrix-product peak', 'floor, run-steps/s', 'times the floor',
    'compile, s', 'peak memory',
  )  # fmt: skip
  return report.table(columns, rows)


def _peers(made: Sequence[dict]) -> str:
  rows, tried = [], []
  for r in made:
    for name, p in r.get('peers', {}).items():
      rate, ratio = p['run_steps_per_s'], _range(p['ratio'])
      rows.append((r['config'], name, p['mode'], p['processes'], rate, ratio))
      tried += [(r['config'], m, x) for m, x in p.get('modes', {}).items()]
  columns = (
    'config',
    'peer',
    'mode',
    'processes',
    'run-steps/s',
    'ours / peer',
  )
  modes = report.table(('config', 'mode tried', 'run-steps/s, alone'), tried)
  return f'{report.table(columns, rows)}\n\n{modes}'


def _by_runs(made: Sequence[dict]) -> str:
  rows = [
    (r['config'], x['runs'], x['run_steps_per_s'], _mib(x['peak_memory_bytes']))
    for r in made
    for x in r.get('by_runs', ())
  ]
  return report.table(('config', 'runs', 'run-steps/s', 'peak memory'), rows)


def _shares(made: Sequence[dict]) -> str:
  rows = []
  for r in made:
    if 'shares' in r:
      step, whole = r['shares']['of_a_step'], r['shares']['of_a_training']
      files = (r['shares']['through_files'] or {}).get('of_bare_rate')
      rest = whole['evaluation'], whole['snapshots'], files
      rows.append((r['config'], *step.values(), *rest))
  columns = (
    'config', 'data', 'data, left out', 'forward and backward', 'optimizer',
    'metrics', 'evaluation, of a training', 'snapshots, of a training',
    'rate with files, of the bare one',
  )  # fmt: skip
  return report.table(columns, rows)


def _start(made: Sequence[dict]) -> str:
  rows = [(r['config'], r['cold_seconds'], r['warm_seconds']) for r in made]
  return report.table(('config', 'cold, s', 'warm, s'), rows)


def _sweep(made: Sequence[dict]) -> str:
  growth = [
    (
      r['config'], x['runs'], x['run_steps_per_s'], x['step_seconds'],
      x['marginal_share'], x['ready_seconds'],
    )
    for r in made
    for x in r['growth']
  ]  # fmt: skip
  columns = (
    'config', 'runs', 'run-steps/s', 'seconds a step of all',
    'one more run, of a single one', 'ready after, s',
  )  # fmt: skip
  jobs = [
    (
      r['config'], r['values'], r['steps'], state,
      r['jobs'][f'one_job_{state}_seconds'],
      r['jobs'][f'separate_jobs_{state}_seconds'], r['jobs'][f'gain_{state}'],
    )
    for r in made
    for state in ('cold', 'warm')
  ]  # fmt: skip
  heads = ('config', 'values', 'steps', 'programs', 'one job, s', 'separate, s',
           'gain')  # fmt: skip
  return f'{report.table(columns, growth)}\n\n{report.table(heads, jobs)}'


def _scaling(made: Sequence[dict]) -> str:
  rows = [
    (
      r['config'], r['runs_per_device'], x['how'], x['count'],
      x['run_steps_per_s'], _range(x['efficiency']), _range(x['of_ideal']),
    )
    for r in made
    for x in r['rows']
  ]  # fmt: skip
  columns = (
    'config', 'runs a device', 'what', 'how many', 'run-steps/s',
    'of so many times one device', 'of processes apart on as many cores',
  )  # fmt: skip
  return report.table(columns, rows)


def _generators(made: Sequence[dict]) -> str:
  rows = [
    (
      r['config'], x['task'], x['batch'], x['seconds']['ours'] * 1e6,
      x.get('times_numpy'), x['times_bits'], x['times_write'],
      r['share_of_step'] if i == 0 else None,
    )
    for r in made
    for i, x in enumerate(r['tasks'])
  ]  # fmt: skip
  columns = (
    'config', 'task', 'batch', 'a batch, µs', 'times numpy',
    'times drawing its bits', 'times writing it', 'of the step it feeds',
  )  # fmt: skip
  return report.table(columns, rows)


def _studies(made: Sequence[dict]) -> str:
  rows = [
    (
      r['config'], x['study'], x['training'], x['task'], x['batch'],
      x['seconds']['ours'] * 1e6, x['times_numpy'], x['seconds_of_step'] * 1e3,
      x['share_of_step'],
    )
    for r in made
    for x in r['trainings']
  ]  # fmt: skip
  columns = (
    'preset', 'study', 'training', 'task', 'batch', 'a batch, µs',
    'times numpy', 'a step, ms', 'of the step it feeds',
  )  # fmt: skip
  return report.table(columns, rows)


def _regression(made: Sequence[dict]) -> str:
  rows = [
    (config, *count.values())
    for r in made
    for config, counts in r['counts'].items()
    for count in counts
  ]
  ratios = [
    (config, _range(x['times_the_bare_rate']))
    for r in made
    for config, x in r.get('ratio', {}).items()
  ]
  columns = ('config', 'count', 'found', 'reference', 'verdict')
  heads = ('config', 'ours / a bare hand-written loop')
  return f'{report.table(columns, rows)}\n\n{report.table(heads, ratios)}'


def _trajectory(made: Sequence[dict]) -> str:
  rows = [
    (
      r['config'], r['runs'], r['snapshot_mb'], place, name,
      x['write_ms_per_snapshot'], x['bytes_over_arrays'],
      *(
        1e3 * x[f'{what}_{state}_s'] if f'{what}_{state}_s' in x else None
        for what in ('matrix', 'tree', 'tree_all_runs')
        for state in ('cold', 'warm')
      ),
      x['map']['mb_per_second'] if 'map' in x else None,
    )
    for r in made
    for place, by in r['places'].items()
    for name, x in by.items()
  ]  # fmt: skip
  reads = ('one matrix', 'a tree of one run', 'a tree of all runs')
  columns = (
    'config', 'runs', 'a snapshot, MB', 'on', 'store', 'write a snapshot, ms',
    'bytes, of the arrays',
    *(f'{read}, {state}, ms' for read in reads for state in ('cold', 'warm')),
    'map, MB/s',
  )  # fmt: skip
  return report.table(columns, rows)


def _capture(made: Sequence[dict]) -> str:
  parts = ('waited', 'joining', 'writing')
  rows = [
    (
      r['training'], r['wall_seconds'], r['megabytes'],
      *(r.get(f'{part}_seconds', 0.0) for part in parts),
      r['targets'][0]['measured'],
    )
    for r in made
  ]  # fmt: skip
  columns = (
    'training', 'wall, s', 'on disk, MB', 'waited for the writer, s',
    'put together, s', 'written, s', 'of wall time',
  )  # fmt: skip
  return report.table(columns, rows)


def _other(made: Sequence[dict]) -> str:
  """Any benchmark without a section: its plain figures."""
  known = ('benchmark', 'config', 'device', 'source', 'date')
  rows = [
    (r['config'], name, value)
    for r in made
    for name, value in r.items()
    if name not in known and isinstance(value, (int, float, str))
  ]
  return report.table(('config', 'figure', 'value'), rows)


_SECTIONS: tuple[tuple[str, str, Callable], ...] = (
  ('Throughput', 'throughput', _throughput),
  ('Against PyTorch', 'throughput', _peers),
  ('Number of runs', 'throughput', _by_runs),
  ('Where the time of a step goes', 'throughput', _shares),
  ('Time to the first step', 'start', _start),
  ('One more run, one more hyperparameter', 'sweep', _sweep),
  ('More devices, more processes', 'scaling', _scaling),
  ('Data generators', 'generators', _generators),
  ('Data of the studies', 'studies', _studies),
  ('Trajectories on disk', 'trajectory', _trajectory),
  ('What keeping a history costs a training', 'capture', _capture),
  ('Counts that do not depend on the clock', 'regression', _regression),
)


def render(folder: Path = FOLDER) -> str:
  """The page for the records in a folder."""
  made = records(folder)
  parts = [_TOP, '## Targets', _targets(made)]
  for title, name, section in _SECTIONS:
    text = section(_of(made, name)) if _of(made, name) else ''
    if text.count('\n') > 1:  # more than a heading: it was measured
      parts += [f'## {title}', text]
  shown = {name for _, name, _ in _SECTIONS}
  for name in sorted({r['benchmark'] for r in made} - shown):
    parts += [f'## {name.capitalize()}', _other(_of(made, name))]
  parts += ['## On what', _machines(made)]
  return '\n\n'.join(p.strip() for p in parts) + '\n'


def write(folder: Path = FOLDER) -> Path:
  """Writes the page; returns where."""
  path = folder / 'README.md'
  path.write_text(render(folder), encoding='utf-8')
  return path


if __name__ == '__main__':
  report.say(f'written to {write()}')
