"""The report of a study: one page that holds everything and loads nothing.

A pure function of the verdict, the figures and the config. Every text that
comes from outside is escaped.
"""

import base64
import html
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxsynth.studies import verdict as verdict_lib
from jaxsynth.studies.report_template import PAGE, STYLE

SIGNS = {'<=': '≤', '>=': '≥'}
WIDTH, HEIGHT, MARGIN = 150, 16, 5


class Figure(NamedTuple):
  """A saved figure.

  Attributes:
    name: unique in the study.
    caption: what is shown and what to see in it.
    alt: what it looks like, for those who do not see it.
    path: the PNG file.
  """

  name: str
  caption: str
  alt: str
  path: pathlib.Path


def _text(value: Any) -> str:
  return html.escape(str(value))


def _small(text: str) -> str:
  return f'<small>{_text(text)}</small>' if text else ''


def _numbers(table: Mapping | None) -> list[float]:
  """The finite numbers of a table, bounds of censored ones aside."""
  rows = table['per_seed'] if table else ()
  values = [float(row['value']) for row in rows if not row['censored']]
  return [v for v in values if math.isfinite(v)]


def strip(entry: Mapping) -> str:
  """The seeds of a claim, its null and its threshold on one small axis.

  Returns:
    An SVG, or nothing if fewer than two finite numbers could be compared.
  """
  seeds = _numbers(entry['measured'])
  nulls = _numbers(entry['null_measured'])
  gate = [entry['gate']['threshold']] if entry['gate'] else []
  everything = seeds + nulls + gate
  if not seeds or len(set(everything)) < 2:
    return ''
  low, high = min(everything), max(everything)

  def x(value: float) -> str:
    # Halved first, so that numbers near the largest float do not overflow.
    share = (value / 2 - low / 2) / (high / 2 - low / 2)
    return f'{MARGIN + share * (WIDTH - 2 * MARGIN):.1f}'

  middle = HEIGHT / 2
  marks = [
    f'<line class="axis" x1="0" x2="{WIDTH}" y1="{middle}" y2="{middle}"/>'
  ]
  marks += [
    f'<line class="gate" x1="{x(g)}" x2="{x(g)}" y1="0" y2="{HEIGHT}"/>'
    for g in gate
  ]
  marks += [
    f'<circle class="null" cx="{x(v)}" cy="{middle}" r="3.2"/>' for v in nulls
  ]
  marks += [
    f'<circle class="seed" cx="{x(v)}" cy="{middle}" r="3.6"/>' for v in seeds
  ]
  return (
    f'<svg class="strip" width="{WIDTH}" height="{HEIGHT}" '
    f'aria-hidden="true">{"".join(marks)}</svg>'
  )


def _row(entry: Mapping) -> str:
  """One claim as a table row."""
  gate, null = entry['gate'], entry['null_measured']
  limit = verdict_lib.gate_text(entry)
  if gate is not None:
    limit = limit.replace(gate['op'], SIGNS.get(gate['op'], gate['op']), 1)
  null_line = f'null {verdict_lib.spread(null)}' if null else ''
  word = entry['verdict']
  cells = {
    'claim': _text(entry['statement'])
    + f'<small class="name">{_text(entry["name"])}</small>'
    + _small(entry['note']),
    'published': _text(entry['published']) + _small(entry['where']),
    'measured': _text(verdict_lib.spread(entry['measured']))
    + strip(entry)
    + _small(null_line),
    'gate': _text(limit)
    + _small(f'from preset {gate["preset"]}' if gate else '')
    + _small(f'null: {entry["null"]}' if entry['null'] else ''),
    'verdict': f'<span class="word {word}">{word}</span>'
    + _small(entry['reason']),
  }
  inside = ''.join(f'<td class="{k}">{v}</td>' for k, v in cells.items())
  return f'<tr>{inside}</tr>'


def _figure(figure: Figure) -> str:
  data = base64.b64encode(figure.path.read_bytes()).decode('ascii')
  return (
    f'<figure id="{_text(figure.name)}"><img alt="{_text(figure.alt)}" '
    f'src="data:image/png;base64,{data}">'
    f'<figcaption>{_text(figure.caption)}</figcaption></figure>'
  )


def _lead(verdict: Mapping) -> str:
  """One line: how many claims passed, failed, were reported, at what size."""
  parts = [
    f'<span class="word {word}">{n} {word}</span>'
    for word, n in verdict_lib.counts(verdict).items()
    if n
  ]
  n = len(verdict['claims'])
  claims = f'{n} claim' + ('s' if n != 1 else '')
  return f'{claims} at preset {_text(verdict["preset"])}: {", ".join(parts)}.'


def _facts(verdict: Mapping) -> str:
  """Everything the numbers depend on, as a definition list."""
  rows = {
    'config hash': verdict['config_hash'],
    'source digest': verdict['source_digest'],
    **{f'layout: {k}': v for k, v in verdict['layout'].items()},
    **verdict['versions'],
  }
  return '\n'.join(
    f'<dt>{_text(k)}</dt><dd>{_text(v)}</dd>' for k, v in rows.items()
  )


def render(
  verdict: Mapping, figures: Sequence[Figure], config_text: str
) -> str:
  """The report as HTML.

  Args:
    verdict: as assembled, or as read from verdict.json.
    figures: in the order shown; their files are read and put into the page.
    config_text: the whole config.
  """
  drawn = '\n'.join(map(_figure, figures))
  minutes = float(verdict['wall_time_s']) / 60
  return PAGE.substitute(
    style=STYLE,
    title=_text(verdict['title']),
    source=_text(verdict['source']),
    lead=_lead(verdict),
    rows='\n'.join(map(_row, verdict['claims'])),
    figures=f'<h2>Figures</h2>\n{drawn}' if figures else '',
    command=_text(verdict['command']),
    facts=_facts(verdict),
    config=_text(config_text),
    footer=_text(
      f'Study {verdict["study"]}, {verdict["date"]}, {minutes:.1f} minutes.'
    ),
  )
