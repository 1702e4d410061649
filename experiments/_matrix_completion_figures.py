"""The figures of the study `matrix_completion`, drawn from its results."""

import numpy as np
import xarray as xr

from jaxsynth.analysis.grid_attention import SETS
from jaxsynth.plots import curves, heat, points, style
from jaxsynth.studies.study import Bench


def named(data: dict[str, xr.DataArray], dim: str) -> xr.DataArray:
  """The same of several things, along a dimension of their names."""
  parts = [x.reset_coords(drop=True) for x in data.values()]
  return xr.concat(parts, xr.Variable(dim, list(data)))


def training(found: xr.Dataset):
  """Errors and the copy test over training, and every seed's own fall."""
  titles = ['error', 'hidden entries, each seed', 'hidden entries show a value']
  fig, axes = style.grid(1, 3, width=4.4, height=3.4, titles=titles)
  found = found.rename(run='seed').isel(step=slice(1, None))
  steps = found['step'].values
  shown = {
    'to what is shown': found['copied'].mean('shown'),
    'to the true entry': found['completed'].mean('shown'),
  }
  errors = {n: found[n] for n in ('hidden', 'observed')}
  each = {
    f'seed {s}': found['hidden'].sel(seed=s) for s in found['seed'].values
  }
  for ax, lines in zip(axes.flat, (errors, each, shown)):
    for (name, line), colour in zip(lines.items(), style.colours(len(lines))):
      values = line.transpose(..., 'step').values
      curves.band(ax, steps, values, label=name, colour=colour)
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize=style.SMALL)
    style.tidy(ax, x='step', y='error')
  return fig


def heads(found: xr.Dataset, before: int):
  """Attention of hidden entries, over uniform, of the first seed's heads."""
  seed, last = found['run'].values[0], int(found['step'][-1])
  titles = [f'seed {seed}, step {step}' for step in (before, last)]
  fig, axes = style.grid(1, 2, width=4.2, height=3.4, titles=titles)
  data = named({n: found[n] for n in SETS}, 'keys')
  data = data.isel(run=0, drop=True).stack(one=('layer', 'head'))
  labels = [f'{l}.{h}' for l, h in data['one'].values]
  data = data.drop_vars(('one', 'layer', 'head')).assign_coords(one=labels)
  data = data.rename(one='head').transpose('step', 'head', 'keys')
  for ax, at in zip(axes.flat, (before, last)):
    heat.heatmap(
      ax, data.sel(step=at), low=0, high=5, values=True, label='over uniform'
    )
  return fig


def interventions(patched: xr.Dataset, ablated: xr.Dataset):
  """What turns, and what is lost, by the heads that are changed."""
  titles = [
    'patched: share of the answer turned',
    'uniform attention, or positions exchanged: error',
  ]
  fig, axes = style.grid(2, 1, width=8.4, height=3.0, titles=titles)
  for ax, data in zip(axes.flat, (patched, ablated)):
    last = data.isel(step=-1, drop=True).rename(run='seed')
    parts = last['part'].values
    for name, colour in zip(('hidden', 'observed'), style.PALETTE):
      values = last[name].transpose('seed', 'part').values
      middle = np.median(values, 0)
      x = np.arange(len(parts)) + (0.12 if name == 'observed' else -0.12)
      ax.vlines(x, values.min(0), values.max(0), color=colour, linewidth=1)
      ax.plot(x, middle, 'o', color=colour, label=name, markersize=5)
    ax.set_xticks(np.arange(len(parts)), parts, rotation=40, ha='right')
    ax.set_ylim(bottom=-0.05)
    style.tidy(ax)
  axes[0, 0].legend(frameon=False, fontsize=style.SMALL, loc='upper right')
  return fig


def probed(found: xr.Dataset, before: int):
  """What probes leave unexplained, by layer, before the drop and after."""
  things = {'element': 'entry', 'row': 'row', 'vector': 'singular vector'}
  titles = list(things.values())
  fig, axes = style.grid(1, 3, width=3.8, height=3.2, titles=titles)
  for ax, name in zip(axes.flat, things):
    at = {
      f'step {step}': found[name].sel(step=step, drop=True)
      for step in (before, int(found['step'][-1]))
    }
    data = named(at, 'at').rename(run='seed')
    curves.curves(ax, data, x='layer', hue='at', log_steps=False)
    ax.set_xticks(data['layer'].values)
    ax.set_ylim(0, 1.05)
    style.tidy(ax, x='after block', y='unexplained')
  return fig


def convex(found: xr.Dataset):
  """Errors and nuclear norms of the network and of the convex completion."""
  titles = ['error, all entries', 'mean nuclear norm']
  fig, axes = style.grid(1, 2, width=4.8, height=3.4, titles=titles)
  names = {'network': 'network', 'convex': 'least nuclear norm'}
  data = named({t: found[n] for n, t in names.items()}, 'by')
  norms = {t: found[f'{n}_norm'] for n, t in names.items()}
  norms['true matrix'] = found['true_norm']
  for ax, part in zip(axes.flat, (data, named(norms, 'by'))):
    part = part.rename(run='seed')
    curves.curves(ax, part, x='share', hue='by', log_steps=False)
    style.tidy(ax, x='share of entries hidden')
    ax.set_ylim(bottom=0)
  return fig


def stitches(found: xr.Dataset):
  """Errors of the network before the drop with parts of that after it."""
  titles = ['hidden entries', 'observed entries']
  fig, axes = style.grid(1, 2, width=5.0, height=3.6, titles=titles)
  for ax, name in zip(axes.flat, ('hidden', 'observed')):
    points.by_group(ax, found[name].rename(run='seed'), label='error')
    ax.tick_params(axis='x', rotation=30)
    if name == 'hidden':
      curves.level(ax, 1, 'writing 0')
  return fig


def components(found: dict[str, xr.Dataset]):
  """Error at hidden entries of each component trained anew, the rest final."""
  fig, ax = style.figure(6.0, 3.6)
  colours = style.colours(len(found))
  for (name, data), colour in zip(found.items(), colours):
    values = data['hidden'].transpose('run', 'eval_step').values
    curves.band(ax, data['eval_step'].values, values, label=name, colour=colour)
  ax.legend(frameon=False, fontsize=style.SMALL)
  style.tidy(ax, x='step', y='error, hidden entries')
  ax.set_ylim(bottom=0)
  return fig


def causal(found: xr.Dataset):
  """Accuracy of the causal network's tokens over training."""
  fig, ax = style.figure(6.0, 3.6)
  names = {'observed': 'observed entries', 'hidden': 'hidden entries'}
  for (name, label), colour in zip(names.items(), style.PALETTE):
    values = found[name].transpose('run', 'eval_step').values
    steps = found['eval_step'].values
    curves.band(ax, steps, values, label=label, colour=colour)
  ax.legend(frameon=False, fontsize=style.SMALL)
  style.tidy(ax, x='step', y='right tokens')
  ax.set_ylim(-0.02, 1.03)
  return fig


def draw(
  bench: Bench,
  found: dict[str, xr.Dataset],
  alone: dict[str, xr.Dataset],
  tokens: xr.Dataset | None,
) -> None:
  """Draws the figures.

  Args:
    bench: the bench.
    found: results of the main training, by name.
    alone: errors of each component trained anew.
    tokens: accuracies of the causal network, if there is one.
  """
  before = bench.config.measure.before
  bench.figure(
    'training',
    training(found['curves']),
    'Errors of what is written at hidden and at observed entries, over the '
    'mean square of the true ones; and, where hidden entries show a value '
    'instead, the error to that value and to the true one. Median and range '
    'over seeds.',
  )
  bench.figure(
    'heads',
    heads(found['curves'], before),
    'Attention of hidden entries to themselves, their row, their column and '
    'the rest, over that of uniform attention, by layer and head, before the '
    'drop and at the end. One seed: heads of two networks have no order in '
    'common.',
  )
  bench.figure(
    'interventions',
    interventions(found['patched'], found['ablated']),
    'Above: the share of the answer that turns when what the named heads write '
    'comes from the run on the negative matrix. Below: errors when the named '
    'heads look everywhere alike, or positions change places. End of training, '
    'median and range over seeds.',
  )
  bench.figure(
    'probes',
    probed(found['probes'], before),
    'What linear probes leave unexplained of the own entry, the own row as it '
    'is seen, and the first left singular vector; 0 is what enters the first '
    'block. Median and range over seeds.',
  )
  bench.figure(
    'convex',
    convex(found['beyond'].isel(step=-1, drop=True)),
    'Errors over all entries, and nuclear norms, of the network at the end and '
    'of the completion of least nuclear norm; trained at 0.3. Median and range '
    'over seeds.',
  )
  bench.figure(
    'stitches',
    stitches(found['stitched']),
    'Errors of the network before the drop with the named parts of the network '
    'at the end; one dot a seed, bar: median.',
  )
  if alone:
    bench.figure(
      'components',
      components(alone),
      'Error at hidden entries while one component is trained from scratch and '
      'all others stay as they were at the end; median and range over seeds.',
    )
  if tokens is not None:
    bench.figure(
      'causal',
      causal(tokens),
      'Share of right tokens of the full matrix, written after the hidden one, '
      'at entries that were observed and at those that were hidden; median and '
      'range over seeds.',
    )
