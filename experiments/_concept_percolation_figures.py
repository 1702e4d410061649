"""The figures of the study `concept_percolation`, drawn from its results."""

import numpy as np
import xarray as xr

from jaxsynth.experiments import _concept_percolation_numbers as numbers
from jaxsynth.plots import curves, style

RULES = {
  'grammatical': 'grammatical',
  'relative': 'relative types',
  'descriptive': 'descriptive types',
  'allowed': 'allowed values',
}
SETS = {
  'free': 'of the language',
  'uniform': 'any value of the class',
  'adversarial': 'values never shown',
  'random_words': 'words of any class',
  'shuffled': 'words out of order',
}
NARROW = {
  'accuracy': 'unscrambled tokens',
  'exact': 'unscrambled sentences',
  'conditioned': 'conditioned sentences',
}


def named(parts: dict[str, xr.DataArray], dim: str) -> xr.DataArray:
  """The curves of several things along a dimension of their names."""
  kept = [x.reset_coords(drop=True) for x in parts.values()]
  out = xr.concat(kept, xr.Variable(dim, list(parts)))
  return out.rename(run='seed')


def phases(main: dict, chance: float):
  """What is right of what the network writes, over training."""
  titles = ['free generation', 'narrow tasks']
  fig, axes = style.grid(1, 2, width=5.2, height=3.6, titles=titles)
  for ax, names in zip(axes.flat, (RULES, NARROW)):
    parts = {v: numbers.curve(main, k) for k, v in names.items()}
    curves.curves(ax, named(parts, 'rule'), hue='rule')
    ax.set_ylim(-0.03, 1.05)
  axes[0, 0].set_ylabel('share that is right', fontsize=style.SMALL)
  curves.level(axes[0, 0], chance, 'any class')
  return fig


def losses(main: dict, known: xr.Dataset):
  """Loss of sentences over training, and of three who know the language."""
  fig, ax = style.figure(6.0, 3.6)
  data = main['curves']['loss'].reset_coords(drop=True).rename(run='seed')
  curves.curves(ax, data, labels='none')
  ax.set_ylabel('nats for each token of a sentence', fontsize=style.SMALL)
  curves.log_values(ax)
  for level in known['level'].values:
    value = float(known['loss'].sel(level=level).median())
    curves.level(ax, value, f'knows {level}')
  return fig


def priors(main: dict):
  """Losses of sequences whose words or order are not the language's."""
  fig, ax = style.figure(6.4, 3.6)
  parts = {v: main['metrics'][k] for k, v in SETS.items()}
  curves.curves(ax, named(parts, 'sentences'), hue='sentences')
  ax.set_ylabel('nats for each token', fontsize=style.SMALL)
  return fig


def unseen(main: dict):
  """Probability of values that an entity has, and of others of its class."""
  titles = ['probability of a value', 'unseen pairs reached']
  fig, axes = style.grid(1, 2, width=5.2, height=3.4, titles=titles)
  told = main['curves']
  pairs = {'allowed pairs': told['seen'], 'pairs never shown': told['unseen']}
  curves.curves(axes[0, 0], named(pairs, 'pairs'), hue='pairs')
  axes[0, 0].set_ylabel('times 1 / |K|', fontsize=style.SMALL)
  curves.log_values(axes[0, 0])
  curves.level(axes[0, 0], 1.0, 'all values alike')
  ways = {
    'freely': told['reached'],
    'unscrambling': told['reached_unscramble'],
  }
  curves.curves(axes[0, 1], named(ways, 'prompt'), hue='prompt')
  axes[0, 1].set_ylabel('value in the first 1.5 |K|', fontsize=style.SMALL)
  axes[0, 1].set_ylim(-0.03, 1.05)
  return fig


def percolation(simulated: xr.Dataset, theory: xr.DataArray):
  """The giant component, simulated and solved; and pairs it takes, by |K|.

  Args:
    simulated: share [run, times, draw], pairs and theory [run, size].
    theory: the solved share of entities, [times], finely.
  """
  titles = ['largest component', 'pairs until it has half of E']
  fig, axes = style.grid(1, 2, width=5.0, height=3.4, titles=titles)
  left, right = axes.flat
  colour, ink = style.PALETTE[0], style.INK
  left.plot(theory['times'], theory, color=ink, label='fixed point')
  share = simulated['share'].stack(one=('run', 'draw'))
  for i, t in enumerate(simulated['times'].values):
    dots = share.isel(times=i).values
    x = np.full(len(dots), t)
    left.plot(x, dots, 'o', color=colour, markersize=3, alpha=0.35)
  left.plot([], [], 'o', color=colour, markersize=3, label='simulated')
  left.set_xlabel('pairs seen / critical number', fontsize=style.SMALL)
  left.set_ylabel('share of entities', fontsize=style.SMALL)
  sizes = simulated['size'].values
  right.plot(
    sizes, simulated['theory'].isel(run=0), color=ink, label='fixed point'
  )
  for row in simulated['pairs'].values:
    right.plot(sizes, row, 'o', color=colour, markersize=4, alpha=0.6)
  right.plot([], [], 'o', color=colour, markersize=4, label='simulated')
  right.set_xscale('log')
  right.set_xticks(sizes, [str(size) for size in sizes])
  right.set_xticks([], minor=True)
  curves.log_values(right)
  right.set_xlabel('values |K|', fontsize=style.SMALL)
  right.set_ylabel('distinct pairs', fontsize=style.SMALL)
  for ax in (left, right):
    style.legend(ax)
  return fig


def scaling(by_size: dict[int, dict], seen: xr.Dataset, chance: float):
  """The rise of descriptive types by |K|, and the percolation of its pairs."""
  titles = ['values of the right class', 'steps scaled by |K|^(1/2)']
  fig, axes = style.grid(1, 2, width=5.2, height=3.6, titles=titles)
  sizes = sorted(by_size)
  colours = style.shades(len(sizes))
  largest = sizes[-1]
  last = int(by_size[largest]['curves']['step'].max())
  for size, colour in zip(sizes, colours):
    data = by_size[size]['curves']['values'].transpose('run', 'step')
    steps = data['step'].values
    for ax, x in zip(axes.flat, (steps, steps * np.sqrt(largest / size))):
      curves.band(ax, x, data.values, label=f'|K| = {size}', colour=colour)
  curves.band(
    axes[0, 0],
    seen['step'].values,
    seen['inferable'].transpose('run', 'step').values,
    label='pairs connected',
    colour=style.MUTED,
  )
  for ax, label in zip(
    axes.flat, ('step', f'step times ({largest} / |K|)^0.5')
  ):
    curves.step_axis(ax, [0, 1, last], label)
    curves.level(ax, chance, 'any class')
    ax.set_ylim(-0.03, 1.05)
  axes[0, 0].set_ylabel(
    'share of probability, or of pairs', fontsize=style.SMALL
  )
  style.legend(axes[0, 0])
  return fig
