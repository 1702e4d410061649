"""The look of every figure, and saving one.

Figures are made with matplotlib's object interface on the Agg canvas: no
pyplot, no global state, no display; as the last line of a notebook's cell a
figure shows itself. Colours are the eight that Okabe and Ito
chose to be told apart with any colour vision ("Color universal design",
2008), in an order that keeps neighbours apart; ordered quantities take shades
of viridis instead.
"""

import io
import pathlib
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as _Figure

from jaxsynth.errors import UserError

PALETTE = (
  '#0072B2',  # blue
  '#D55E00',  # vermilion
  '#009E73',  # green
  '#CC79A7',  # pink
  '#E69F00',  # orange
  '#56B4E9',  # sky
  '#333333',  # near black
  '#B8A800',  # yellow, darkened to be seen on white
)
INK = '#222222'
MUTED = '#6B6B6B'
FAINT = '#E4E4E4'
SEQUENTIAL = 'viridis'
CYCLIC = 'twilight_shifted'
DIVERGING = 'RdBu_r'
TEXT, SMALL = 10.0, 8.5
DPI = 150
# Pixels an inch has in a browser, which draws a figure at its own size.
_CSS_DPI = 96


class Figure(_Figure):
  """A figure of matplotlib's that a notebook shows without pyplot."""

  def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
    """The PNG and its size on a page, as IPython asks for them."""
    width, height = (round(_CSS_DPI * x) for x in self.get_size_inches())
    return png(self), {'width': width, 'height': height}


def colours(n: int) -> list[str]:
  """The first n colours of the palette, for unordered things.

  Raises:
    UserError: more than the palette holds.
  """
  if n > len(PALETTE):
    raise UserError(
      f'{n} unordered colours cannot be told apart (at most {len(PALETTE)}): '
      'draw fewer curves, or use shades for an ordered quantity'
    )
  return list(PALETTE[:n])


def shades(n: int) -> list[str]:
  """n colours from dark to light, for an ordered quantity."""
  points = np.linspace(0.05, 0.85, n) if n > 1 else [0.05]
  colormap = matplotlib.colormaps[SEQUENTIAL]
  return [matplotlib.colors.to_hex(colormap(p)) for p in points]


def cycle(n: int) -> list[str]:
  """n colours that come round, for places on a ring."""
  colormap = matplotlib.colormaps[CYCLIC]
  return [matplotlib.colors.to_hex(colormap(i / n)) for i in range(n)]


def ink_on(colour) -> str:
  """Black or white, whichever reads better on a colour (WCAG contrast)."""
  rgb = np.array(matplotlib.colors.to_rgb(colour))
  linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
  luminance = linear @ [0.2126, 0.7152, 0.0722]
  return INK if (luminance + 0.05) ** 2 > 0.05 * 1.05 else 'white'


def tidy(ax: Axes, *, title: str = '', x: str = '', y: str = '') -> Axes:
  """Takes the frame away, sets sizes; writes title and names if given."""
  ax.spines[['top', 'right']].set_visible(False)
  ax.spines[['left', 'bottom']].set_color(MUTED)
  ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=SMALL, length=3)
  ax.set_axisbelow(True)
  if title:
    ax.set_title(title, fontsize=TEXT, color=INK, loc='left')
  if x:
    ax.set_xlabel(x, fontsize=SMALL, color=INK)
  if y:
    ax.set_ylabel(y, fontsize=SMALL, color=INK)
  return ax


def grid(
  rows: int = 1,
  cols: int = 1,
  *,
  width: float = 5.0,
  height: float = 3.2,
  titles: Sequence[str] = (),
  share_x: bool = False,
  share_y: bool = False,
) -> tuple[Figure, np.ndarray]:
  """A figure of rows x cols panels.

  Args:
    rows: rows of panels.
    cols: columns of panels.
    width: of one panel, inches.
    height: of one panel, inches.
    titles: panel titles in reading order; panels beyond them, if there are
      any titles, are removed.
    share_x: one x axis for all panels.
    share_y: one y axis for all panels.

  Returns:
    The figure and its axes, an object array [rows, cols].

  Raises:
    UserError: more titles than panels.
  """
  if len(titles) > rows * cols:
    raise UserError(
      f'{len(titles)} titles for {rows} x {cols} panels: make more panels'
    )
  fig = Figure(figsize=(width * cols, height * rows), layout='constrained')
  FigureCanvasAgg(fig)
  axes = fig.subplots(rows, cols, squeeze=False, sharex=share_x, sharey=share_y)
  for i, ax in enumerate(axes.flat):
    tidy(ax, title=titles[i] if i < len(titles) else '')
    if titles and i >= len(titles):
      ax.remove()
  return fig, axes


def figure(width: float = 6.0, height: float = 3.6) -> tuple[Figure, Axes]:
  """A figure of one panel, sizes in inches."""
  fig, axes = grid(width=width, height=height)
  return fig, axes[0, 0]


def legend(ax: Axes, title: str = '', handles: list | None = None) -> None:
  """A legend to the right of the panel, where it hides no data."""
  handles = handles or ax.get_legend_handles_labels()[0]
  ax.legend(
    handles=handles,
    title=title or None,
    loc='upper left',
    bbox_to_anchor=(1.01, 1.0),
    borderaxespad=0.0,
    frameon=False,
    fontsize=SMALL,
    title_fontsize=SMALL,
    alignment='left',
  )


def png(fig: Figure) -> bytes:
  """A figure as the bytes of its PNG file."""
  out = io.BytesIO()
  save(fig, out)
  return out.getvalue()


def save(fig: Figure, path: pathlib.Path | str | io.BytesIO) -> None:
  """Writes a figure as PNG; the same figure gives the same bytes.

  Neither date nor software is written into the file, so the bytes depend only
  on what is drawn and on the versions of the drawing libraries.
  """
  fig.savefig(
    path, format='png', dpi=DPI, facecolor='white', metadata={'Software': None}
  )
