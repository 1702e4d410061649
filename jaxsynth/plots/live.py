"""Curves that redraw themselves while a training goes on, in a notebook.

  launch.train(config, 'runs/mine', observers=[live.Live('loss')])

is told of every call of the loop, and puts a new figure in the place of the
last one: the mean of the scalar over the steps of each call, one thin curve a
run, coloured by the first swept hyperparameter. Outside a notebook nothing is
drawn, and `figure` holds what would have been shown.
"""

import time
from typing import TYPE_CHECKING

import numpy as np

from jaxsynth import progress
from jaxsynth.errors import unknown
from jaxsynth.plots import curves, style

if TYPE_CHECKING:
  from jaxsynth.train.loop import Event

# Seconds between two figures: one takes some tenths of a second to draw.
EVERY = 1.0


class Live:
  """An observer that draws a scalar of every run.

  Args:
    name: of the scalar, as in `traj.metrics`: 'loss', or 'fresh/loss' for an
      evaluation.
    log: whether its axis is logarithmic.

  Raises:
    UserError: on the first call, if there is no such scalar.
  """

  def __init__(self, name: str = 'loss', log: bool = False):
    self._name, self._log = name, log
    self._show = progress.cell()
    self._steps: list[float] = []
    self._rows: list[np.ndarray] = []
    self._drawn = -EVERY
    self._hparams: tuple = ()
    self._last = 1

  def __call__(self, event: 'Event') -> None:
    """Takes what a call brought; draws, unless it has just drawn."""
    if self._steps and event.step <= self._steps[-1]:  # another group begins
      self._steps, self._rows = [], []
    known = {**event.scalars, **event.evals}
    if self._name not in known:
      raise unknown('scalar', self._name, known)
    rows = np.asarray(known[self._name], float)
    self._hparams, self._last = event.hparams, event.last
    if rows.shape[1]:  # no evaluation may fall into a call
      self._steps.append(event.step)
      self._rows.append(rows.mean(1))
    last = event.step == event.last
    now = time.monotonic()
    if self._show and self._rows and (last or now - self._drawn >= EVERY):
      self._drawn = now
      data, size = self.figure._repr_png_()
      self._show({'image/png': data}, {'image/png': size})

  @property
  def figure(self) -> style.Figure:
    """The curves up to now."""
    fig, ax = style.figure(width=6.5, height=3.2)
    values, name = self._groups()
    palette = style.shades(len(np.unique(values)))
    colours = dict(zip(np.unique(values).tolist(), palette))
    rows = np.stack(self._rows, 1)
    named = set()
    for value, row in zip(values, rows):
      label = '_' if value in named or not name else f'{value:g}'
      named.add(value)
      ax.plot(
        self._steps, row, color=colours[value], linewidth=1.2, label=label
      )
    ax.set_xlim(0, self._last)
    style.tidy(ax, x='step', y=self._name)
    if self._log:
      curves.log_values(ax)
    if name:
      style.legend(ax, title=name)
    return fig

  def _groups(self) -> tuple[list[float], str]:
    """The first swept value of each run, and what it is; zeros if none is."""
    for path in self._hparams[0] if self._hparams else ():
      values = [run[path] for run in self._hparams]
      if len(set(values)) > 1:
        return values, path.rpartition('.')[2]
    return [0.0] * len(self._rows[0]), ''
