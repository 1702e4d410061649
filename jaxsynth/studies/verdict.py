"""The verdict of a study: assembled from its judged claims, written, printed.

`verdict.json` is strictly valid JSON. Numbers that JSON lacks are the strings
'nan', 'inf' and '-inf', which `float()` reads back. Everything in it but
`wall_time_s` and `date` follows from code, config, seeds and layout.
"""

import dataclasses
import importlib.metadata
import json
import math
import pathlib
import platform
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import rich.box
import rich.console
import rich.table
import rich.text

from jaxsynth.studies import files
from jaxsynth.studies.measured import shown

LIBRARIES = (
  'jaxsynth',
  'jax',
  'jaxlib',
  'flax',
  'optax',
  'orbax-checkpoint',
  'numpy',
  'xarray',
)
COLOURS = {'passed': 'green', 'failed': 'bold red', 'reported': 'blue'}


@dataclasses.dataclass(frozen=True)
class Facts:
  """Where the numbers of a study came from.

  Attributes:
    config_text: the whole config as text, for the report.
    config_hash: its hash.
    source_digest: the digest of the code that ran.
    layout: everything that can change a bit: backend, devices, mesh, ...
    command: what to type to get the same study again.
  """

  config_text: str
  config_hash: str
  source_digest: str
  layout: Mapping[str, Any]
  command: str


def versions() -> dict[str, str]:
  """The versions of Python and of the libraries a number depends on."""
  found = {'python': platform.python_version()}
  for library in LIBRARIES:
    try:
      found[library] = importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
      found[library] = 'not installed'
  return found


def assemble(
  name: str,
  title: str,
  source: str,
  preset: str,
  entries: Iterable[dict],
  facts: Facts,
  *,
  wall_time_s: float,
  date: str,
) -> dict:
  """The verdict of a study.

  Args:
    name: the study's module name.
    title: its title.
    source: the publication it reproduces.
    preset: the preset that ran.
    entries: one per claim, from `claim.judge`.
    facts: where the numbers came from.
    wall_time_s: seconds this invocation took; results read from disk count
      as the time it took to read them.
    date: when it ended, ISO 8601.

  Returns:
    The content of verdict.json; `passed` is True if no gated claim failed.
  """
  entries = list(entries)
  return {
    'study': name,
    'title': title,
    'source': source,
    'preset': preset,
    'passed': all(entry['verdict'] != 'failed' for entry in entries),
    'claims': entries,
    'command': facts.command,
    'config_hash': facts.config_hash,
    'source_digest': facts.source_digest,
    'layout': dict(facts.layout),
    'versions': versions(),
    'wall_time_s': round(float(wall_time_s), 1),
    'date': date,
  }


def _strict(value: Any) -> Any:
  """The value with only what strict JSON holds."""
  if isinstance(value, Mapping):
    return {str(k): _strict(v) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return [_strict(v) for v in value]
  if isinstance(value, np.ndarray | np.generic):
    return _strict(value.tolist())
  if isinstance(value, float) and not math.isfinite(value):
    return shown(value).lower()
  if value is None or isinstance(value, str | int | float):
    return value
  return str(value)


def encode(verdict: Mapping) -> str:
  """The verdict as the text of verdict.json."""
  text = json.dumps(
    _strict(verdict), indent=2, ensure_ascii=False, allow_nan=False
  )
  return text + '\n'


def write(verdict: Mapping, path: pathlib.Path) -> None:
  """Writes verdict.json, whole or not at all."""
  with files.replacing(path) as beside:
    beside.write_text(encode(verdict), encoding='utf-8')


def read(path: pathlib.Path) -> dict:
  """The verdict at `path`, non-finite numbers as the strings written."""
  return json.loads(pathlib.Path(path).read_text(encoding='utf-8'))


def counts(verdict: Mapping) -> dict[str, int]:
  """How many claims passed, failed and were only reported, in this order."""
  found = [entry['verdict'] for entry in verdict['claims']]
  return {word: found.count(word) for word in COLOURS}


def tally(verdict: Mapping) -> str:
  """'3 passed, 1 failed, 2 reported': every count that is not zero."""
  parts = [f'{n} {word}' for word, n in counts(verdict).items() if n]
  return ', '.join(parts) or 'no claims'


def spread(table: Mapping | None) -> str:
  """Median and range over seeds as one line: '0.93 [0.9, 0.95], 5 seeds'."""
  if table is None:
    return 'not measured'
  rows = table['per_seed']
  bounds = [float(r['value']) for r in rows if r['censored']]
  bound = min(bounds) if bounds else None

  def number(key: str) -> str:
    value = float(table[key])
    if value == math.inf and bound is not None:
      return shown(bound, censored=True)
    return shown(value)

  n, never = table['n'], table['censored']
  line, low, high = number('median'), number('min'), number('max')
  if low != high:
    line += f' [{low}, {high}]'
  if n > 1:
    line += f', {n} seeds'
  if table['diverged']:
    line += f', {table["diverged"]} not finite'
  if 0 < never < n:
    line += f', {never} never there'
  return line


def gate_text(entry: Mapping) -> str:
  """The gate in words: '>= 0.8 on all seeds'."""
  gate = entry['gate']
  if gate is None:
    return 'none'
  rule = gate['rule']
  if rule == 'all':
    seeds = 'all seeds'
  else:
    seeds = f'at least {rule} seed' + ('s' if rule > 1 else '')
  aim = '' if gate['tests'] == 'number' else ' (direction only)'
  return f'{gate["op"]} {shown(gate["threshold"])} on {seeds}{aim}'


def _cells(entry: Mapping) -> tuple[str, ...]:
  """claim, published, measured, gate, verdict."""
  null = entry['null_measured']
  found = spread(entry['measured'])
  if null is not None:
    found += f'\nnull {spread(null)}'
  verdict = entry['verdict']
  if verdict == 'failed':
    verdict += f': {entry["reason"]}'
  return (
    entry['name'],
    entry['published'],
    found,
    gate_text(entry),
    verdict,
  )


def table(verdict: Mapping) -> rich.table.Table:
  """The claims as a table for a terminal."""
  out = rich.table.Table(
    title=rich.text.Text(f'{verdict["title"]} · preset {verdict["preset"]}'),
    box=rich.box.SIMPLE_HEAD,
    title_justify='left',
    padding=(0, 1),
  )
  for heading in ('claim', 'published', 'measured', 'gate', 'verdict'):
    out.add_column(heading, overflow='fold')
  for entry in verdict['claims']:
    *cells, word = map(rich.text.Text, _cells(entry))
    word.stylize(COLOURS[entry['verdict']])
    out.add_row(*cells, word)
  return out


def plain(verdict: Mapping) -> str:
  """The same as text without colour or width, for logs and pipes."""
  headings = ('', 'published', 'measured', 'gate', 'verdict')
  lines = [f'{verdict["title"]}, preset {verdict["preset"]}']
  for entry in verdict['claims']:
    lines.append(f'  {entry["name"]}')
    for heading, cell in list(zip(headings, _cells(entry)))[1:]:
      lines.append(f'    {heading:<10}' + cell.replace('\n', '; '))
  return '\n'.join(lines)


def show(
  verdict: Mapping,
  workdir: pathlib.Path,
  console: rich.console.Console | None = None,
) -> None:
  """Prints the verdict: a table in a terminal, plain text elsewhere."""
  console = console or rich.console.Console()
  where = f'report, verdict, figures and results are in {workdir}'
  if console.is_terminal:
    console.print(table(verdict))
    console.print(rich.text.Text(f'{tally(verdict)}; {where}'))
  else:
    text = f'{plain(verdict)}\n{tally(verdict)}; {where}\n'
    console.file.write(text)
