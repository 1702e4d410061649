"""Labelled matrices: values as colours, and maps of phases as categories."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.patches import Patch

from jaxsynth.errors import UserError
from jaxsynth.plots import style
from jaxsynth.plots.curves import step_text

MISSING = '#CFCFCF'


def _labels(data: xr.DataArray, dim: str) -> list[str]:
  """The coordinate of a dimension as text; positions where it has none."""
  values = data[dim].values
  if dim == 'step':
    return [step_text(v) for v in values]
  if values.dtype.kind == 'f':
    return [f'{v:.4g}' for v in values]
  return [str(v) for v in values]


def _name_cells(ax: Axes, data: xr.DataArray, most: int = 12) -> None:
  """Ticks in the middle of cells, at most about `most` per axis."""
  for axis, dim in ((ax.yaxis, data.dims[0]), (ax.xaxis, data.dims[1])):
    labels = _labels(data, dim)
    every = -(-len(labels) // most)
    at = np.arange(0, len(labels), every)
    axis.set_ticks(at + 0.5, [labels[i] for i in at])
    axis.set_label_text(dim, fontsize=style.SMALL, color=style.INK)
  ax.tick_params(length=0, labelsize=style.SMALL)
  ax.spines[:].set_visible(False)


def _matrix(data: xr.DataArray) -> xr.DataArray:
  if not isinstance(data, xr.DataArray) or data.ndim != 2:
    raise UserError('a labelled matrix is a DataArray with two dimensions')
  return data


def heatmap(
  ax: Axes,
  data: xr.DataArray,
  *,
  low: float | None = None,
  high: float | None = None,
  centre: float | None = None,
  values: bool | None = None,
  label: str = '',
) -> QuadMesh:
  """A matrix as colours, first row on top, missing numbers in grey.

  Args:
    ax: the axes.
    data: [rows, columns], named by its dims and coordinates.
    low: the value of the darkest colour; by default the smallest.
    high: the value of the lightest colour; by default the largest.
    centre: a value that means nothing (0 for a difference): colours then
      diverge from white, equally far to both sides; low and high are unused.
    values: whether each cell shows its number; by default up to 150 cells.
    label: what the colours mean.
  """
  data = _matrix(data)
  numbers = np.ma.masked_invalid(np.asarray(data.values, float))
  if centre is not None:
    reach = float(np.abs(numbers - centre).max() or 1.0)
    low, high = centre - reach, centre + reach
  elif numbers.count():
    low = float(numbers.min()) if low is None else low
    high = float(numbers.max()) if high is None else high
  name = style.SEQUENTIAL if centre is None else style.DIVERGING
  colormap = matplotlib.colormaps[name].with_extremes(bad=MISSING)
  norm = Normalize(low, high)
  mesh = ax.pcolormesh(numbers, cmap=colormap, norm=norm, linewidth=0)
  ax.invert_yaxis()
  _name_cells(ax, data)
  if values if values is not None else data.size <= 150:
    for (i, j), number in np.ndenumerate(numbers.filled(np.nan)):
      if np.isfinite(number):
        ink = style.ink_on(colormap(norm(number)))
        _write(ax, i, j, f'{number:.2g}', ink)
  bar = ax.figure.colorbar(mesh, ax=ax, fraction=0.05, pad=0.02)
  bar.set_label(label or str(data.name or ''), fontsize=style.SMALL)
  bar.ax.tick_params(labelsize=style.SMALL, length=2, colors=style.MUTED)
  bar.outline.set_visible(False)
  return mesh


def _write(ax: Axes, i: int, j: int, text: str, ink: str) -> None:
  ax.text(
    j + 0.5,
    i + 0.5,
    text,
    color=ink,
    ha='center',
    va='center',
    fontsize=style.SMALL - 1,
  )


def phase_map(
  ax: Axes,
  data: xr.DataArray,
  names: Sequence[str] | None = None,
  *,
  title: str = '',
) -> QuadMesh:
  """Which of a few things holds in each cell, e.g. the nearest algorithm.

  Distances to several algorithms, dims (algorithm, N, step), become its input
  by `distances.idxmin('algorithm')`. The first row of `data` is at the bottom;
  each column is one snapshot, all equally wide, so log-spaced steps read as a
  log axis and step 0 has its cell.

  Args:
    ax: the axes.
    data: names [rows, columns]; anything else, e.g. NaN, is drawn as none.
    names: all names in the order of colours, whether they occur or not: give
      it when several maps share colours. By default those that occur.
    title: title of the legend.

  Raises:
    UserError: not a matrix, or no names in it.
  """
  data = _matrix(data)
  found = sorted({v for v in data.values.ravel() if isinstance(v, str) and v})
  names = found if names is None else list(names)
  if not names or set(found) - set(names):
    raise UserError(
      f'a phase map of {names} cannot draw {found or "a matrix of no names"}: '
      'list every name that occurs'
    )
  palette = style.colours(len(names))
  place = {name: i for i, name in enumerate(names)}
  codes = np.ma.masked_equal(
    [[place.get(v, -1) for v in row] for row in data.values], -1
  )
  colormap = ListedColormap(palette).with_extremes(bad=MISSING)
  mesh = ax.pcolormesh(
    codes,
    cmap=colormap,
    vmin=-0.5,
    vmax=len(names) - 0.5,
    edgecolors='white',
    linewidth=0.4,
  )
  _name_cells(ax, data, most=9)
  handles = [Patch(color=c, label=n) for n, c in zip(names, palette)]
  if codes.mask.any():
    handles.append(Patch(color=MISSING, label='none'))
  style.legend(ax, title=title, handles=handles)
  return mesh
