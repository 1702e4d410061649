"""Writes README's table of studies, and the verdict it shows, from results.

  python docs/results/update_readme.py

reads docs/results/STUDY-PRESET/verdict.json, as `jaxsynth reproduce` left
them, and rewrites what stands between the markers in README.
"""

import re
from pathlib import Path

from jaxsynth.studies import claim, verdict

HERE = Path(__file__).parent
README = HERE.parents[1] / 'README.md'
# The study README opens with.
SHOWN = 'markov_mixture-quick'


def results() -> list[dict]:
  """All verdicts, by study and size."""
  found = [verdict.read(p) for p in HERE.glob('*/verdict.json')]
  order = claim.PRESETS.index
  return sorted(found, key=lambda v: (v['study'], order(v['preset'])))


def studies() -> str:
  """The table of studies."""
  lines = [
    '| study | system | preset | claims | minutes | device |',
    '|---|---|---|---|---|---|',
  ]
  for v in results():
    layout = v['layout']
    lines.append(
      f'| `{v["study"]}` | {v["title"]}; {v["source"].split(",")[0]} et al. | '
      f'{v["preset"]} | {verdict.tally(v)} | {v["wall_time_s"] / 60:.0f} | '
      f'{layout["device_count"]} {layout["device_kind"]} |'
    )
  return '\n'.join(lines)


def shown() -> str:
  """The verdict of one study as the command prints it, a line a claim."""
  (v,) = (v for v in results() if f'{v["study"]}-{v["preset"]}' == SHOWN)
  rows = [
    (
      entry['name'],
      verdict.spread(entry['measured']),
      verdict.gate_text(entry),
      entry['verdict'],
    )
    for entry in v['claims']
    if entry['measured']
  ]
  rows = [('claim', 'measured', 'gate', 'verdict'), *rows]
  widths = [max(map(len, column)) for column in zip(*rows)]
  lines = [
    '  '.join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip()
    for row in rows
  ]
  return '\n'.join(['```', *lines, '```'])


def updated(text: str) -> str:
  """README with its generated parts anew."""
  for name, made in (('studies', studies()), ('verdict', shown())):
    text = re.sub(
      rf'(<!-- {name} -->\n).*?(<!-- end -->)',
      lambda m, made=made: f'{m[1]}{made}\n{m[2]}',
      text,
      flags=re.DOTALL,
    )
  return text


if __name__ == '__main__':
  README.write_text(updated(README.read_text(encoding='utf-8')))
