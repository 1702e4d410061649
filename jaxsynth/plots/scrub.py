"""Going back and forth through something that changes: a slider, or a grid.

`scrub(draw, steps)` draws one panel at a time under a slider and a play
button, where ipywidgets is installed; without it, and in print, it draws a few
panels side by side. `draw(ax, step)` is the same either way.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from jaxsynth.errors import UserError
from jaxsynth.plots import style


def scrub(
  draw: Callable[[Axes, Any], None],
  values: Sequence,
  *,
  name: str = 'step',
  width: float = 4.0,
  height: float = 3.0,
  panels: int = 6,
  widget: bool | None = None,
) -> Any:
  """A panel for each of some values, to be gone through in a notebook.

  Args:
    draw: draw(ax, value) fills the axes for one value.
    values: in order, e.g. `traj.steps`.
    name: what the values are.
    width: of one panel, inches.
    height: of one panel, inches.
    panels: how many the grid shows, spread evenly over `values`.
    widget: a slider (True) or a grid (False); None for a slider where
      ipywidgets is installed.

  Returns:
    A widget or a figure: as the last line of a cell, either shows itself.

  Raises:
    UserError: there are no values, or no ipywidgets for `widget=True`.
  """
  values = list(values)
  if not values:
    raise UserError(f'scrubbing needs at least one {name}')
  widgets = None if widget is False else _widgets()
  if widgets is None and widget:
    raise UserError(
      "a slider needs ipywidgets: pip install 'jaxsynth[notebooks]'"
    )
  if widgets is None:
    return _grid(draw, values, name, width, height, panels)

  @functools.cache
  def image(i: int) -> bytes:
    fig, ax = style.figure(width=width, height=height)
    style.tidy(ax, title=f'{name} {values[i]}')
    draw(ax, values[i])
    return style.png(fig)

  shown = widgets.Image(value=image(0), format='png', width=round(96 * width))
  slider = widgets.SelectionSlider(
    options=[(str(v), i) for i, v in enumerate(values)],
    value=0,
    description=name,
  )
  play = widgets.Play(value=0, min=0, max=len(values) - 1, interval=400)
  widgets.link((play, 'value'), (slider, 'value'))
  slider.observe(
    lambda change: setattr(shown, 'value', image(change['new'])), 'value'
  )
  return widgets.VBox([widgets.HBox([play, slider]), shown])


def _widgets():
  """The library of sliders, if it is installed."""
  try:
    import ipywidgets
  except ImportError:
    return None
  return ipywidgets


def _grid(draw, values, name, width, height, panels) -> style.Figure:
  chosen = np.linspace(0, len(values) - 1, min(panels, len(values)))
  chosen = [values[i] for i in np.unique(chosen.round().astype(int))]
  cols = min(3, len(chosen))
  rows = -(-len(chosen) // cols)
  titles = [f'{name} {value}' for value in chosen]
  fig, axes = style.grid(
    rows, cols, width=0.8 * width, height=0.8 * height, titles=titles
  )
  for ax, value in zip(axes.flat, chosen):
    draw(ax, value)
  return fig
