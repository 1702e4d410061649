"""The figures of the study `knowledge_editing`, drawn from its results."""

import numpy as np
import xarray as xr
from sklearn.manifold import Isomap

from jaxsynth.experiments import _knowledge_editing_numbers as numbers
from jaxsynth.plots import curves, points, style

METHODS = {
  'rome': 'ROME',
  'memit': 'MEMIT',
  'pmet': 'PMET',
  'alpha_edit': 'AlphaEdit',
}
KINDS = {
  'direct': 'direct',
  'logical': 'logical',
  'composed': 'composed, told',
  'compositional': 'compositional',
}
NEIGHBOURS = 5


def training(metrics: xr.Dataset):
  """Accuracy of answers over training, by kind of question."""
  fig, ax = style.figure(6.4, 3.6)
  data = metrics.to_dataarray('kind').rename(eval_step='step', run='seed')
  data = data.assign_coords(kind=[KINDS[str(k)] for k in data['kind'].values])
  curves.curves(ax, data, hue='kind')
  ax.set_ylim(-0.02, 1.02)
  ax.set_ylabel('right answers', fontsize=style.SMALL)
  return fig


def _by_distance(ax, values: dict[str, xr.DataArray], label: str):
  data = xr.concat(values.values(), xr.Variable('editor', list(values)))
  data = data.sel(distance=slice(1, None)).rename(run='seed')
  curves.curves(ax, data, x='distance', hue='editor', log_steps=False)
  ax.set_xticks(data['distance'].values)
  ax.set_xlabel('distance of the new answer', fontsize=style.SMALL)
  ax.set_ylabel(label, fontsize=style.SMALL)


def distances(edits: xr.Dataset):
  """Shattering and loss of direct facts by distance, for every method."""
  fig, axes = style.grid(1, 2, width=5.2, height=3.4)
  of = lambda fn: {METHODS[str(m)]: fn(str(m)) for m in edits['editor'].values}
  _by_distance(axes[0, 0], of(lambda m: numbers.torn(edits, m)), 'R(D*)')
  loss = lambda m: numbers.lost(edits, m).mean('order')
  _by_distance(axes[0, 1], of(loss), 'drop of direct accuracy')
  return fig


def orders(edits: xr.Dataset):
  """What ROME costs in each order and class, by distance."""
  kinds = [str(k) for k in edits['class'].values]
  titles = [KINDS[k] for k in kinds]
  fig, axes = style.grid(
    1, 3, width=4.2, height=3.4, titles=titles, share_y=True
  )
  drawn = []
  for ax, kind in zip(axes.flat, kinds):
    drop = numbers.lost(edits, kind=kind).sel(distance=slice(1, None))
    drop = drop.rename(run='seed')
    how = {'hue': 'order', 'labels': 'none', 'log_steps': False}
    drawn.append(curves.curves(ax, drop, x='distance', **how))
    ax.set_xticks(drop['distance'].values)
    ax.set_xlabel('distance of the new answer', fontsize=style.SMALL)
  for ax, lines in zip(axes.flat, drawn):
    curves.end_labels(ax, lines)  # the limits, which are shared, are final now
  axes[0, 0].set_ylabel('drop of accuracy', fontsize=style.SMALL)
  return fig


def together(edits: xr.Dataset):
  """Every edit by ROME: shattering against the drop of direct accuracy."""
  fig, ax = style.figure(5.6, 4.0)
  rome = edits.sel(editor='rome')
  torn = numbers.real(rome, 'shattering').mean('order', skipna=False)
  drop = numbers.real(rome, 'drop').sel({'class': 'direct'})
  drop = drop.mean('order', skipna=False)
  found = edits['distance'].values
  palette = [style.MUTED, *style.shades(len(found) - 1)]
  for d, colour in zip(found, palette):
    at = lambda x, d=d: x.sel(distance=d).values.ravel()
    label = f'distance {d}' if d else 'correction'
    look = {'s': 18, 'alpha': 0.8, 'label': label}
    if d:
      ax.scatter(at(torn), at(drop), color=colour, **look)
    else:
      face = {'facecolors': 'none', 'edgecolors': colour}
      ax.scatter(at(torn), at(drop), **face, **look)
  style.tidy(ax, x='R(D*)', y='drop of direct accuracy')
  style.legend(ax)
  return fig


def _plane(shape: np.ndarray) -> np.ndarray:
  """Isomap of the representations [N, D] to the plane, [N, 2]."""
  return Isomap(n_neighbors=NEIGHBOURS, n_components=2).fit_transform(shape)


def middle(edits: xr.Dataset, run: int, distance: int) -> int:
  """The edit of median shattering among those of a distance."""
  R = edits['shattering'].isel(run=run).sel(editor='rome', distance=distance)
  values = R.mean('order').values
  return int(np.argsort(values)[len(values) // 2])


def isomaps(edits: xr.Dataset, run: int = 0):
  """The ring of each order before and after edits at distances 1 and K."""
  last = int(edits['distance'].values[-1])
  orders = [str(o) for o in edits['order'].values]
  columns = {'before': edits['shape'].isel(run=run)}
  for d in (1, last):
    data = edits['new_shape'].isel(run=run).sel(distance=d)
    columns[f'after, distance {d}'] = data.isel(edit=middle(edits, run, d))
  fig, axes = style.grid(len(orders), len(columns), width=3.0, height=3.0)
  colours = style.cycle(edits.sizes['place'])
  for i, order in enumerate(orders):
    ring = edits['rings'].isel(run=run, order=i).values
    edges = np.stack([np.arange(len(ring)), np.roll(np.arange(len(ring)), -1)])
    for ax, (title, shape) in zip(axes[i], columns.items()):
      plane = _plane(shape.isel(order=i).values[ring])
      points.embedding(ax, plane, edges=edges.T, colours=colours)
      ax.set_xticks([])
      ax.set_yticks([])
      ax.spines[:].set_visible(False)
      style.tidy(ax, title=f'{order}, {title}')
  return fig


def reasons(edits: xr.Dataset):
  """How the rings wind, whom an edit reaches, and how much it writes."""
  fig, axes = style.grid(1, 3, width=4.2, height=3.4)
  spectrum = edits['windings'].rename(run='seed')
  curves.curves(axes[0, 0], spectrum, x='turn', hue='order', log_steps=False)
  axes[0, 0].set_xlabel('turns of the ring', fontsize=style.SMALL)
  axes[0, 0].set_ylabel('share of the variance', fontsize=style.SMALL)
  reach = numbers.reached(edits)
  drop = numbers.farthest(numbers.lost(edits))
  orders = [str(o) for o in edits['order'].values]
  for order, colour in zip(orders, style.colours(len(orders))):
    at = lambda x, o=order: x.sel(order=o).values
    look = {'color': colour, 's': 24, 'label': order}
    axes[0, 1].scatter(at(reach), at(drop), **look)
  last = int(edits['distance'].values[-1])
  style.tidy(
    axes[0, 1],
    x='share of an edit that other facts get',
    y=f'drop of direct accuracy, distance {last}',
  )
  style.legend(axes[0, 1])
  change = edits['change'].mean('edit').sel(distance=slice(1, None))
  found = change['distance'].values
  curves.band(axes[0, 2], found, change.transpose('run', 'distance'))
  axes[0, 2].set_xticks(found)
  axes[0, 2].set_ylim(bottom=0)
  style.tidy(
    axes[0, 2],
    x='distance of the new answer',
    y='change of the value, of its size',
  )
  return fig
