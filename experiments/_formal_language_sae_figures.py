"""The figures of the study `formal_language_sae`, drawn from its results."""

import numpy as np
import xarray as xr

from jaxsynth.experiments import _formal_language_sae_numbers as numbers
from jaxsynth.plots import curves, points, style

NAMES = {
  'topk': 'TopK',
  'topk_input': 'TopK, input',
  'topk_input_reconstruction': 'TopK, input and\nreconstruction',
  'topk_drawn': 'TopK, β = 1,\ndrawn steps',
  'topk_kl': 'TopK, β = 1,\ndivergence',
  'topk_ramp': 'TopK, β to 0.5',
  'l1': 'L1',
  'l1_input': 'L1, input',
  'sparsemax': 'sparsemax',
  'jumprelu': 'JumpReLU',
  'spade': 'SpaDE',
}
LETTERS = {'causal': 'β', 'sparsity': 'α'}


def shown(recipe: str) -> str:
  """'l1 sparsity=0.1' as people read it."""
  name, *swept = recipe.split()
  pairs = [item.split('=') for item in swept]
  values = [f'{LETTERS.get(k, k)} = {v}' for k, v in pairs]
  return ', '.join([NAMES.get(name, name), *values])


def named(data: numbers.Data) -> numbers.Data:
  """The same with recipes as people read them, in the order of `NAMES`."""
  known = [*NAMES, *(str(r).split()[0] for r in data['recipe'].values)]
  order = sorted(
    data['recipe'].values, key=lambda r: known.index(str(r).split()[0])
  )
  data = data.sel(recipe=order)
  return data.assign_coords(
    recipe=[shown(str(r)) for r in data['recipe'].values]
  )


def training(spoken: dict[str, xr.Dataset]):
  """Grammaticality and loss of the language models over training."""
  fig, axes = style.grid(
    1, 2, width=4.6, height=3.3,
    titles=['sentences among written strings', 'loss on new sentences'],
  )  # fmt: skip
  for ax, key, x in zip(axes.flat, ('valid', 'loss'), ('step', 'eval_step')):
    for (name, data), colour in zip(spoken.items(), style.colours(len(spoken))):
      values = data[key].transpose('seed', x).values
      curves.band(ax, data[x].values, values, label=name, colour=colour)
    longest = max((d[x].values for d in spoken.values()), key=lambda s: s[-1])
    curves.step_axis(ax, longest)
    if len(spoken) > 1:
      curves.end_labels(ax, ax.lines)
  axes[0, 0].set_ylim(-0.02, 1.05)
  axes[0, 1].set_ylabel('nats a token', fontsize=style.SMALL)
  return fig


def recipes(data: xr.Dataset, spoken: xr.Dataset):
  """Validity, length of spliced strings and error of all recipes and seeds."""
  panels = {
    'valid': 'sentences among strings',
    'longer_valid': 'the same, of two words and more',
    'length': 'words of a string',
    'error': 'error over variance',
  }
  fig, axes = style.grid(2, 2, width=5.4, height=4.2, titles=[*panels.values()])
  start, end = (named(data.sel(step=s, drop=True)) for s in ('start', 'end'))
  for ax, key in zip(axes.flat, panels):
    points.by_group(ax, end[key], null=start[key])
    if key in spoken:
      intact = spoken[key].isel(step=-1).median().item()
      curves.level(ax, intact, '')
    labels = [t.get_text() for t in ax.get_xticklabels()]
    ax.set_xticks(ax.get_xticks(), labels, rotation=60, ha='right')
    ax.set_xlabel('')
  for ax in axes[0]:
    ax.set_ylim(-0.03, 1.08)
  axes[1, 1].set_yscale('log')
  return fig


def features(judged: dict[str, xr.Dataset]):
  """The best correlation of a latent with each feature, each seed.

  Args:
    judged: of one recipe, by language: best and shuffled, dimensions step,
      feature, seed.
  """
  nulls = 'before training', 'features of other words'
  titles = [f'{name}; null: {null}' for null in nulls for name in judged]
  fig, axes = style.grid(
    2, len(judged), width=4.2, height=3.0, share_y=True, titles=titles
  )
  for column, data in zip(axes.T, judged.values()):
    end = data.sel(step='end', drop=True)
    start = data['best'].sel(step='start', drop=True)
    for ax, null in zip(column, (start, end['shuffled'])):
      points.by_group(ax, end['best'], null=null)
      ax.set_ylim(0, 1.05)
      ax.set_xlabel('')
  for ax in axes[:, 0]:
    ax.set_ylabel('|r| of the best latent', fontsize=style.SMALL)
  return fig


def clamps(data: xr.Dataset):
  """Every latent and feature: correlation against effect of a clamp.

  Args:
    data: r and effect, dimensions seed, latent, feature; control, seed and
      feature.
  """
  fig, ax = style.figure(6.4, 4.0)
  names = [str(f) for f in data['feature'].values]
  for name, colour in zip(names, style.colours(len(names))):
    one = np.abs(data.sel(feature=name))
    r, effect = (one[k].values.ravel() for k in ('r', 'effect'))
    ax.scatter(r, effect, s=12, alpha=0.7, color=colour, label=name)
    far = one['control'].values
    ax.plot([1.08] * len(far), far, '>', color=colour)
  ax.axvline(numbers.TOGETHER, color=style.MUTED, linewidth=1)
  curves.level(ax, numbers.SHIFT, 'counts as moved')
  ax.set_yscale('symlog', linthresh=0.1)
  ax.set_ylim(bottom=-0.005)
  ax.set_xlim(0, 1.14)
  ticks = np.arange(0, 1.1, 0.2)
  labels = [f'{t:.1f}' for t in ticks]
  ax.set_xticks([*ticks, 1.08], [*labels, '\ncontrol'])
  style.tidy(
    ax,
    x='correlation of the latent with the feature, |r|',
    y='effect of the clamp, deviations',
  )
  style.legend(ax)
  return fig


def causal(metrics: xr.Dataset):
  """Causal loss and error over training, with and without the causal loss."""
  metrics = named(metrics).rename(eval_step='step')
  titles = ['causal loss', 'mean squared error']
  fig, axes = style.grid(1, 2, width=4.8, height=3.3, titles=titles)
  for ax, key in zip(axes.flat, ('causal_loss', 'mse')):
    curves.curves(ax, metrics[key], hue='recipe')
    curves.log_values(ax)
  return fig
