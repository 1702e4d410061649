"""The figures of the study `function_composition`, drawn from its results."""

import numpy as np
import xarray as xr

from jaxsynth.experiments import _function_composition_numbers as numbers
from jaxsynth.plots import curves, heat, points, style

NAMES = {
  'random': '50 random',
  'direct': '50 random, direct',
  'base': 'base only',
  'combos': 'with out of order',
  'biased': 'biased',
  'lstm': 'LSTM, 50 random',
  'commuting': 'commuting, direct',
}
SETS = {'seen': 'seen', 'unseen': 'unseen', 'out_of_order': 'out of order'}
CHANCE = 'chance'


def named(data: dict[str, xr.DataArray], dim: str = 'training') -> xr.DataArray:
  """The same of every variant, along a dimension named by its display name."""
  parts = [x.reset_coords(drop=True) for x in data.values()]
  labels = [NAMES.get(n, n) for n in data]
  out = xr.concat(parts, xr.Variable(dim, labels))
  return out.rename(run='seed')


def alike(results: dict[str, dict]) -> dict[str, xr.Dataset]:
  """`composed` of the variants that share the first one's compositions."""
  composed = {n: r['composed'] for n, r in results.items()}
  size = next(iter(composed.values())).sizes['composition']
  return {n: c for n, c in composed.items() if c.sizes['composition'] == size}


def functions(results: dict[str, dict], num_letters: int):
  """Accuracy on unseen compositions by how many functions they compose."""
  last = {
    n: numbers.by_active(c).isel(step=-1, drop=True)
    for n, c in alike(results).items()
  }
  fig, ax = style.figure(6.4, 3.6)
  data = named(last)
  curves.curves(ax, data, x='functions', hue='training', log_steps=False)
  ax.set_xticks(data['functions'].values)
  ax.set_xlabel('functions composed', fontsize=style.SMALL)
  ax.set_ylabel('right letters, unseen', fontsize=style.SMALL)
  ax.set_ylim(0, 1.03)
  curves.level(ax, 1 / num_letters, CHANCE)
  return fig


def sets(results: dict[str, dict], num_letters: int):
  """Accuracy of every variant on every kind of composition, each seed."""
  fig, axes = style.grid(
    1, 3, width=4.0, height=3.8, titles=[*SETS.values()], share_y=True
  )
  for ax, key in zip(axes.flat, SETS):
    values = {
      n: getattr(numbers, key)(r['composed']) for n, r in results.items()
    }
    at = lambda i, v=values: named(
      {n: x.isel(step=i, drop=True) for n, x in v.items()}
    )
    points.by_group(
      ax,
      at(-1),
      null=at(0),
      label='right letters of the result' if key == 'seen' else '',
    )
    ax.set_ylim(-0.03, 1.05)
    ax.tick_params(axis='x', rotation=30)
    curves.level(ax, 1 / num_letters, CHANCE)
  return fig


def training(results: dict[str, dict]):
  """Accuracy of answers given the right beginning, over training."""
  fig, axes = style.grid(
    1, 3, width=4.6, height=3.4, titles=[*SETS.values()], share_y=True
  )
  colours = dict(zip(results, style.colours(len(results))))
  plans = [r['metrics']['eval_step'].values for r in results.values()]
  longest = max(plans, key=lambda steps: steps[-1])
  for ax, key in zip(axes.flat, SETS):
    for name, colour in colours.items():
      data = results[name]['metrics'][key]
      steps, label = data['eval_step'].values, NAMES.get(name, name)
      values = data.transpose('run', 'eval_step').values
      curves.band(ax, steps, values, label=label, colour=colour)
    curves.step_axis(ax, longest)
    ax.set_ylim(-0.03, 1.05)
  style.legend(axes[0, -1], title='training')
  axes[0, 0].set_ylabel('right tokens of the answer', fontsize=style.SMALL)
  return fig


def ablations(ablated: xr.Dataset):
  """What is left of the letters' accuracy without each part."""
  last = ablated['letters'].isel(step=-1).median('run')
  words = [str(p).split() for p in last['part'].values]
  rows = sorted({(layer, site) for site, layer, _ in words if layer != ''})
  rows = [(s, i) for i, s in rows if s != 'attn.pattern']
  kinds = ('zero', 'mean', 'uniform')
  lookup = {tuple(w): float(v) for w, v in zip(words, last.values)}
  titles = {'attn_out': 'attention', 'mlp_out': 'MLP', 'attn.z': 'head'}

  def value(site, layer, kind):
    site = 'attn.pattern' if (site, kind) == ('attn.z', 'uniform') else site
    return lookup.get((site, layer, kind), np.nan)

  cells = xr.DataArray(
    [[value(s, i, k) for k in kinds] for s, i in rows],
    dims=('part', 'replaced by'),
    coords={
      'part': [f'{titles[s]} {i}' for s, i in rows],
      'replaced by': list(kinds),
    },
  )
  fig, ax = style.figure(5.4, 4.2)
  heat.heatmap(ax, cells, low=0, high=1, label='right letters')
  style.tidy(ax, title=f'intact network: {float(last[0]):.2f}')
  return fig


def heads(looks: xr.Dataset):
  """Where every head looks when it writes a letter, trained and not."""
  titles = ['the name of its function', 'the letter before']
  fig, axes = style.grid(1, 2, width=5.0, height=3.2, titles=titles)
  for ax, key in zip(axes.flat, ('function', 'letter')):
    data = looks[key].stack(place=('layer', 'head'))
    names = [f'layer {i}\nhead {h}' for i, h in data['place'].values]
    data = data.drop_vars(['place', 'layer', 'head']).reset_coords(drop=True)
    data = data.assign_coords(place=names).rename(place='head', run='seed')
    points.by_group(
      ax,
      data.isel(step=-1, drop=True),
      null=data.isel(step=0, drop=True),
      label='attention',
    )
    ax.set_ylim(-0.03, 1.03)
  return fig
