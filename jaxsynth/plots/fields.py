"""Regions of the plane: where each of a few functions is active."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from jaxsynth.errors import UserError
from jaxsynth.plots import style


def regions(
  ax: Axes,
  masks,
  reach: float,
  names: Sequence[str],
  *,
  points=None,
  legend: bool = True,
) -> None:
  """Shades regions of a square around the origin, over a cloud of points.

  Args:
    ax: the axes; both directions get the same scale.
    masks: [n, G, G], above 1/2 inside; rows from low to high second
      coordinate.
    reach: the masks cover [-reach, reach]^2.
    names: n names, for a legend beside the panel.
    points: [N, 2], drawn small underneath.
    legend: whether there is one.

  Raises:
    UserError: masks that are not [n, G, G], or names that do not match.
  """
  masks = np.asarray(masks, float)
  if masks.ndim != 3 or masks.shape[1] != masks.shape[2]:
    raise UserError(f'masks must be [n, G, G], got {masks.shape}')
  if len(names) != len(masks):
    raise UserError(f'{len(names)} names for {len(masks)} regions')
  if points is not None:
    ax.plot(
      *np.asarray(points, float).T, '.', color=style.MUTED, markersize=2.5,
      alpha=0.8, markeredgewidth=0,
    )  # fmt: skip
  line = np.linspace(-reach, reach, masks.shape[1])
  palette = style.colours(len(names))
  for mask, colour in zip(masks, palette):
    # A mask of one value has no contour to draw.
    if mask.min() < 0.5 < mask.max():
      ax.contourf(
        line, line, mask, levels=[0.5, 1.5], colors=[colour], alpha=0.3
      )
      ax.contour(line, line, mask, levels=[0.5], colors=[colour], linewidths=1)
    elif mask.min() > 0.5:
      ax.axhspan(-reach, reach, color=colour, alpha=0.3, linewidth=0)
  ax.set_xlim(-reach, reach)
  ax.set_ylim(-reach, reach)
  ax.set_aspect('equal')
  if legend:
    handles = [
      Patch(color=c, alpha=0.5, label=n) for c, n in zip(palette, names)
    ]
    style.legend(ax, handles=handles)
