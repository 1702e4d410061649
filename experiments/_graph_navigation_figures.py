"""The figures of the study `graph_navigation`, drawn from its results."""

import numpy as np
import xarray as xr

from jaxsynth.experiments import _graph_navigation_numbers as numbers
from jaxsynth.plots import curves, heat, points, style

FORMATS = ('stepwise', 'direct')


def _seeds(data: xr.DataArray) -> xr.DataArray:
  return data.reset_coords(drop=True).rename(run='seed')


def accuracy(navigated: dict[str, xr.Dataset]):
  """Held-out accuracy of both formats, and what the span alone gives."""
  fig, ax = style.figure(4.6, 3.4)
  parts = {
    n: numbers.accuracy(navigated[n]).isel(snapshot=-1, drop=True)
    for n in FORMATS
  }
  parts['span alone'] = numbers.span_alone(navigated['stepwise'])
  named = xr.concat(list(parts.values()), xr.Variable('answer', list(parts)))
  points.by_group(ax, _seeds(named), label='right labels, unseen pairs')
  curves.level(ax, 0.5, 'chance')
  ax.set_ylim(0.45, 1.02)
  return fig


def spans(by_limit: dict[str, dict[int, xr.Dataset]]):
  """Accuracy by the span of a pair, for each longest span in training."""
  fig, axes = style.grid(
    1, 2, width=4.6, height=3.4, titles=FORMATS, share_y=True
  )
  for ax, name in zip(axes.flat, FORMATS):
    limits = by_limit[name]
    shades = style.shades(len(limits))
    lines = []
    for (limit, data), colour in zip(sorted(limits.items()), shades):
      by = numbers.of_span(data).isel(snapshot=-1).transpose('run', 'span')
      spans_of = by['span'].values
      lines.append(
        curves.band(ax, spans_of, by.values, label=f'{limit}', colour=colour)
      )
    ax.set_xticks(spans_of)
    ax.set_xlabel('span of the pair (layers)', fontsize=style.SMALL)
    curves.level(ax, 0.5, 'chance')
  axes[0, 0].set_ylabel('right labels, balanced', fontsize=style.SMALL)
  axes[0, 0].set_ylim(-0.02, 1.02)
  style.legend(axes[0, -1], title='longest span\nin training')
  return fig


def training(data: xr.Dataset):
  """How edges, plans and labels are learnt, step by step."""
  fig, axes = style.grid(
    1,
    2,
    width=5.0,
    height=3.4,
    titles=('unseen pairs with a path', 'failures'),
    share_y=True,
  )
  panels = (
    {
      'steps that are edges': numbers.edge_accuracy(data),
      'valid paths that arrive': numbers.planning_accuracy(data),
    },
    {
      'misstep': numbers.missteps(data),
      'valid, does not arrive': numbers.planning_failures(data),
    },
  )
  for ax, parts in zip(axes.flat, panels):
    for (label, value), colour in zip(parts.items(), style.PALETTE):
      steps = value['snapshot'].values
      values = value.transpose('run', 'snapshot').values
      curves.band(ax, steps, values, label=label, colour=colour)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel('step', fontsize=style.SMALL)
    ax.legend(frameon=False, fontsize=style.SMALL, loc='center right')
  axes[0, 0].set_ylabel('share', fontsize=style.SMALL)
  return fig


def temperature(tempered: xr.Dataset):
  """Valid paths, and different ones, by temperature."""
  last = tempered.isel(step=-1)
  titles = ('sampled paths that arrive', 'different valid paths found')
  fig, axes = style.grid(1, 2, width=4.6, height=3.2, titles=titles)
  for ax, of in zip(axes.flat, (numbers.success, numbers.found)):
    data = _seeds(of(last))
    curves.curves(ax, data, x='temperature', log_steps=False, labels='none')
    ax.set_ylim(-0.02, 1.02)
  axes[0, 0].set_ylabel('share', fontsize=style.SMALL)
  axes[0, 1].set_ylabel('share of all there are', fontsize=style.SMALL)
  return fig


def lengths(data: xr.Dataset):
  """Mean length of sampled paths against that of all paths, pair by pair."""
  fig, axes = style.grid(
    1,
    2,
    width=4.2,
    height=3.8,
    titles=('sampled by the network', 'drawn uniformly'),
    share_x=True,
    share_y=True,
  )
  last = data.isel(step=-1).where(data['varied'].isel(step=-1))
  most = float(np.nanmax(last['known'])) + 0.5
  for ax, what in zip(axes.flat, ('written', 'sampled')):
    for i, colour in zip(range(last.sizes['run']), style.PALETTE):
      run = last.isel(run=i)
      ax.plot(
        run['known'], run[what], 'o', color=colour, markersize=3, alpha=0.7
      )
    ax.plot([0, most], [0, most], color=style.MUTED, linewidth=1)
    ax.set_xlabel('mean edges of all paths', fontsize=style.SMALL)
  axes[0, 0].set_ylabel('mean edges of valid paths', fontsize=style.SMALL)
  return fig


def rule(data: xr.Dataset):
  """What goals say for candidates, by their layers, and how far they are."""
  last = data.isel(step=-1, run=0)
  order = np.argsort(last['rank'].values, kind='stable')
  fig, axes = style.grid(
    1,
    2,
    width=4.8,
    height=3.8,
    titles=('said for a candidate by the goal', 'edges to the goal'),
  )
  for ax, name in zip(axes.flat, ('of_goal', 'distance')):
    cells = last[name].transpose('goal', 'node').values[order][:, order]
    drawn = xr.DataArray(cells, dims=('goal', 'candidate'))
    heat.heatmap(ax, drawn, values=False, label=' ')
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel('candidate, by layer', fontsize=style.SMALL)
    ax.set_ylabel('goal, by layer', fontsize=style.SMALL)
  return fig


def motifs(followed: xr.Dataset):
  """Paths that follow the exemplars, and which of two chains they follow."""
  fig, axes = style.grid(
    1,
    2,
    width=4.6,
    height=3.4,
    titles=('one chain', 'two chains, same ends'),
    share_y=True,
  )
  last = followed.isel(step=-1)
  chains = last['follows']
  parts = {f'{s} chains': chains.sel(split=s) for s in last['split'].values}
  sides = {'shown first': last['first'], 'shown second': last['second']}
  for ax, group in zip(axes.flat, (parts, sides)):
    for (label, value), colour in zip(group.items(), style.PALETTE):
      value = value.transpose('run', ...)
      x = value[value.dims[1]].values
      line = curves.band(ax, x, value.values, label=label, colour=colour)
      if len(x) == 1:  # of one K a line shows nothing
        line.set(marker='o', markersize=10 if label == 'shown first' else 5)
    ax.set_xticks(x)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel('intermediate motifs K', fontsize=style.SMALL)
    ax.legend(frameon=False, fontsize=style.SMALL)
  axes[0, 0].set_ylabel('paths that follow it', fontsize=style.SMALL)
  return fig
