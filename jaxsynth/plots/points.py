"""Points: one per seed by group, and representations with their graph."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke

from jaxsynth.errors import UserError
from jaxsynth.plots import style


def by_group(
  ax: Axes,
  data: xr.DataArray,
  *,
  over: str = 'seed',
  null: xr.DataArray | float | None = None,
  label: str = '',
) -> None:
  """Every seed of every group as a dot, the median as a bar, null hollow.

  Args:
    ax: the axes.
    data: dims (group, `over`) in any order, groups named by the coordinate.
    over: the dimension of the dots.
    null: the same for the null, or one number per group, or one number.
    label: what is measured.

  Raises:
    UserError: other dimensions than these.
  """
  if data.ndim != 2 or over not in data.dims:
    raise UserError(f'by_group needs a group and {over!r}, got {data.dims}')
  (group,) = set(data.dims) - {over}
  names = [str(v) for v in data[group].values]
  values = data.transpose(group, over).values.astype(float)
  if isinstance(null, xr.DataArray):
    keep = [d for d in (group, over) if d in null.dims]
    null = null.transpose(*keep).values.reshape(len(names), -1)
  elif null is not None:
    null = np.full((len(names), 1), float(null))
  for i, row in enumerate(values):
    _dots(ax, i, row, marker='o', color=style.PALETTE[0], alpha=0.75)
    row = row[np.isfinite(row)]
    if row.size:
      ax.plot(
        [i - 0.22, i + 0.22],
        [np.median(row)] * 2,
        color=style.INK,
        linewidth=1.6,
      )
    if null is not None:
      _dots(ax, i, null[i], marker='o', mfc='none', color=style.MUTED)
  if null is not None and np.isfinite(null[-1]).any():
    ax.annotate(
      'null',
      (len(names) - 1, np.nanmax(null[-1])),
      xytext=(0, 6),
      textcoords='offset points',
      ha='center',
      fontsize=style.SMALL,
      color=style.MUTED,
    )
  ax.set_xticks(range(len(names)), names)
  ax.set_xlim(-0.6, len(names) - 0.4)
  ax.set_xlabel(group, fontsize=style.SMALL, color=style.INK)
  ax.set_ylabel(label, fontsize=style.SMALL, color=style.INK)


def _dots(ax: Axes, i: int, row: np.ndarray, **look) -> None:
  """One dot per number, side by side so that equal ones stay visible."""
  x = i + (np.arange(len(row)) - (len(row) - 1) / 2) * min(0.08, 0.4 / len(row))
  ax.plot(x, row, linestyle='none', markersize=5, **look)


def embedding(
  ax: Axes,
  points,
  labels: Sequence[str] = (),
  *,
  edges: Sequence[tuple[int, int]] = (),
  colours: Sequence[str] | None = None,
) -> None:
  """Points in the plane, named, with the graph they should respect.

  Args:
    ax: the axes; both directions get the same scale.
    points: [n, 2], e.g. the two leading principal components.
    labels: n names, written beside the points.
    edges: pairs of positions to connect.
    colours: n colours.

  Raises:
    UserError: points that are not [n, 2], or labels that do not match.
  """
  points = np.asarray(points, float)
  if points.ndim != 2 or points.shape[1] != 2:
    raise UserError(f'points must be [n, 2], got {points.shape}: project first')
  if len(labels) not in (0, len(points)):
    raise UserError(f'{len(labels)} labels for {len(points)} points')
  if len(edges):
    lines = points[np.asarray(edges, int)]
    ax.add_collection(
      LineCollection(lines, colors=style.MUTED, linewidths=0.8, zorder=1)
    )
  ax.scatter(*points.T, s=28, c=list(colours or [style.PALETTE[0]]), zorder=2)
  for point, label in zip(points, labels):
    ax.annotate(
      label,
      point,
      xytext=(4, 4),
      textcoords='offset points',
      fontsize=style.SMALL,
      color=style.INK,
      # A white rim keeps a name readable where an edge runs under it.
      path_effects=[withStroke(linewidth=2, foreground='white')],
    )
  ax.set_aspect('equal', adjustable='datalim')


def paths(
  ax: Axes,
  data: xr.DataArray,
  *,
  x: str,
  y: str,
  along: str = 'step',
  dim: str = 'coordinate',
  labels: Sequence[str] = (),
) -> None:
  """Trajectories through a plane, from a hollow start to a filled end.

  Args:
    ax: the axes.
    data: dims (`along`, `dim`) and at most one more, one path per entry.
    x: the entry of `dim` on the horizontal axis.
    y: the entry of `dim` on the vertical axis.
    along: the dimension of time.
    dim: the dimension of coordinates.
    labels: names of the paths, for a legend beside the panel.

  Raises:
    UserError: other dimensions than these.
  """
  many = [d for d in data.dims if d not in (along, dim)]
  if len(many) > 1 or along not in data.dims or dim not in data.dims:
    raise UserError(
      f'paths need {along!r}, {dim!r} and at most one more dimension, got '
      f'{data.dims}'
    )
  if not many:
    data, many = data.expand_dims('path'), ['path']
  n = data.sizes[many[0]]
  # Named paths are told apart; unnamed ones (seeds) are one cloud.
  palette = style.colours(n) if len(labels) else [style.PALETTE[0]] * n
  for i, colour in enumerate(palette):
    path = data.isel({many[0]: i}).transpose(along, dim)
    px, py = path.sel({dim: x}).values, path.sel({dim: y}).values
    name = labels[i] if len(labels) else '_'
    ax.plot(px, py, color=colour, linewidth=1.5, alpha=0.9, label=name)
    ax.plot(px[:1], py[:1], 'o', mfc='white', color=colour, markersize=5)
    ax.plot(px[-1:], py[-1:], 'o', color=colour, markersize=5)
  ax.set_xlabel(x, fontsize=style.SMALL, color=style.INK)
  ax.set_ylabel(y, fontsize=style.SMALL, color=style.INK)
  if len(labels):
    style.legend(ax)
