"""Curves over training: seed bands, a log axis with step 0, direct labels.

A band is the median over runs with the range from minimum to maximum behind
it: it shows every seed and assumes no distribution. NaN (a diverged run) is
left out of the median and range of the steps where it occurs.
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from jaxsynth.errors import UserError
from jaxsynth.plots import style


def step_text(step: float, _=None) -> str:
  """A step as a short label of three digits: 300, 3k, 25k, 1.55M."""
  for unit, name in ((1e6, 'M'), (1e3, 'k')):
    if abs(step) >= unit:
      return f'{step / unit:.3g}{name}'
  return f'{step:g}'


def step_axis(ax: Axes, steps: Sequence[int], label: str = 'step') -> None:
  """A log axis of steps on which step 0 has its place.

  The axis is linear from 0 to the first positive step and logarithmic from
  there on (symlog), with ticks at 0 and at decades.

  Args:
    ax: the axes.
    steps: the steps drawn; at least one must be positive.
    label: name of the axis.
  """
  positive = np.array([s for s in np.ravel(steps) if s > 0], float)
  if not positive.size:
    raise UserError('a step axis needs at least one step after step 0')
  first, last = positive.min(), positive.max()
  start = min(np.min(steps), first)
  ax.set_xscale('symlog', linthresh=first, linscale=0.4)
  decades = 10.0 ** np.arange(
    np.ceil(np.log10(first)), np.floor(np.log10(last)) + 1
  )
  ticks = decades if decades.size > 1 else np.unique([first, last])
  # Past seven decades of labels, every second one is enough.
  ticks = ticks[:: 1 + len(ticks) // 8]
  zero = [0.0] if start == 0 else []
  ax.xaxis.set_major_locator(FixedLocator([*zero, *ticks]))
  ax.xaxis.set_major_formatter(FuncFormatter(step_text))
  minor = np.outer(decades, np.arange(2, 10)).ravel()
  minor = minor[(minor >= first) & (minor <= last)]
  ax.xaxis.set_minor_locator(
    FixedLocator(minor) if minor.size else NullLocator()
  )
  ax.tick_params(axis='x', which='minor', length=1.5, colors=style.MUTED)
  # A single step has no extent: give it the decade it starts.
  ax.set_xlim(start, last if last > start else 10 * last)
  ax.set_xlabel(label, fontsize=style.SMALL, color=style.INK)


def band(
  ax: Axes, x: Sequence[float], values, *, label: str = '', colour: str = ''
) -> Line2D:
  """The median of runs as a line, minimum to maximum as a band.

  Args:
    ax: the axes.
    x: positions [K].
    values: [R, K], NaN where a run has no number; or [K] for one run.
    label: name of the line.
    colour: its colour; by default the first of the palette.

  Returns:
    The line.
  """
  x, values = np.asarray(x), np.atleast_2d(np.asarray(values, float))
  if values.shape[1:] != x.shape:
    raise UserError(
      f'values {values.shape} must be [runs, {x.size}]: one number per x'
    )
  with warnings.catch_warnings():
    # A step at which every run is NaN is a gap in the line.
    warnings.simplefilter('ignore', RuntimeWarning)
    middle = np.nanmedian(values, 0)
    low, high = np.nanmin(values, 0), np.nanmax(values, 0)
  colour = colour or style.PALETTE[0]
  if len(values) > 1:
    ax.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)
  (line,) = ax.plot(
    x, middle, color=colour, linewidth=1.8, label=label, clip_on=False
  )
  line.set_solid_capstyle('round')
  return line


def curves(
  ax: Axes,
  data: xr.DataArray,
  *,
  x: str = 'step',
  over: str = 'seed',
  hue: str = '',
  ordered: bool = False,
  labels: str = 'end',
  log_steps: bool = True,
) -> list[Line2D]:
  """One band per value of `hue`, labelled where each one ends.

  Args:
    ax: the axes.
    data: dims `x`, `over` if there are several runs, and `hue` if given.
    x: the dimension along the axis.
    over: the dimension the band runs over.
    hue: the dimension of colours, named by its coordinate.
    ordered: the hue is an ordered quantity: shades instead of colours.
    labels: 'end' for labels at the right ends of the lines, 'legend' for a
      legend beside the panel, 'none'.
    log_steps: whether x is a step axis (see `step_axis`).

  Returns:
    The median lines, in the order of `hue`.

  Raises:
    UserError: other dimensions than these.
  """
  wanted = [d for d in (hue, over, x) if d]
  extra = set(data.dims) - set(wanted)
  if extra or x not in data.dims or (hue and hue not in data.dims):
    raise UserError(
      f'curves over {wanted} cannot draw dims {list(data.dims)}: select or '
      'average the others'
    )
  if over not in data.dims:
    data = data.expand_dims(over)
  groups = (
    [data] if not hue else [data.isel({hue: i}) for i in range(data.sizes[hue])]
  )
  names = [str(v) for v in data[hue].values] if hue else [str(data.name or '')]
  palette = (style.shades if ordered else style.colours)(len(groups))
  steps = data[x].values
  lines = [
    band(ax, steps, group.transpose(over, x), label=name, colour=colour)
    for group, name, colour in zip(groups, names, palette)
  ]
  if log_steps:
    step_axis(ax, steps, x)
  else:
    ax.set_xlabel(x, fontsize=style.SMALL, color=style.INK)
  if labels == 'legend':
    style.legend(ax, title=hue)
  elif labels == 'end':
    end_labels(ax, lines)
  return lines


def spread_out(positions: Sequence[float], gap: float) -> np.ndarray:
  """Moves positions as little as it takes to be `gap` apart, order kept.

  The least-squares answer: subtract i * gap from the i-th smallest, pool
  neighbours that are out of order into their mean, add i * gap back.

  Args:
    positions: [n].
    gap: the smallest distance allowed.

  Returns:
    New positions [n], in the order given.
  """
  positions = np.asarray(positions, float)
  order = np.argsort(positions, kind='stable')
  shifted = positions[order] - gap * np.arange(len(order))
  pools: list[tuple[float, int]] = []
  for value in shifted:
    pools.append((value, 1))
    while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
      (b, m), (a, n) = pools.pop(), pools.pop()
      pools.append(((a * n + b * m) / (n + m), n + m))
  fitted = np.concatenate([np.full(n, v) for v, n in pools] or [[]])
  out = np.empty_like(positions)
  out[order] = fitted + gap * np.arange(len(order))
  return out


def end_labels(ax: Axes, lines: Sequence[Line2D]) -> None:
  """Names each line at its right end, in its colour, without overlaps.

  A label follows its line when the limits change afterwards; what keeps it
  from its neighbours was measured with the limits at the time of the call.
  """
  lines = [line for line in lines if np.isfinite(line.get_ydata()).any()]
  ends = []
  for line in lines:
    y = np.asarray(line.get_ydata(), float)
    ends.append(y[np.isfinite(y)][-1])
  right = ax.get_xlim()[1]
  points = 72 / ax.figure.dpi
  heights = [ax.transData.transform((right, y))[1] * points for y in ends]
  apart = spread_out(heights, 1.25 * style.SMALL)
  for line, y, shift in zip(lines, ends, apart - heights):
    ax.annotate(
      line.get_label(),
      (1, y),
      xycoords=('axes fraction', 'data'),
      xytext=(6, shift),
      textcoords='offset points',
      color=line.get_color(),
      fontsize=style.SMALL,
      va='center',
      annotation_clip=False,
    )


def log_values(ax: Axes) -> None:
  """A logarithmic value axis with plain numbers, also within one decade."""
  ax.set_yscale('log')
  low, high = ax.get_ylim()
  shown = (1, 2, 3, 5) if high / low < 30 else (1,)

  def text(value: float, _=None) -> str:
    leading = round(value / 10 ** math.floor(math.log10(value)))
    return f'{value:g}' if leading in shown else ''

  ax.yaxis.set_major_formatter(FuncFormatter(text))
  ax.yaxis.set_minor_formatter(FuncFormatter(text))
  ax.tick_params(axis='y', which='minor', labelsize=style.SMALL)


def level(ax: Axes, y: float, label: str) -> Line2D:
  """A dashed horizontal line for a known value: a floor, chance, an optimum."""
  line = ax.axhline(y, color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)))
  ax.annotate(
    label,
    (0, y),
    xycoords=('axes fraction', 'data'),
    xytext=(4, 2),
    textcoords='offset points',
    fontsize=style.SMALL,
    color=style.MUTED,
  )
  return line
