"""The figures of the study `identity_mapping`: dots are trained, lines theory.

Time is learning rate times steps throughout.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxsynth.analysis import linear_flow
from jaxsynth.experiments import _identity_mapping_numbers as numbers
from jaxsynth.plots import curves, points, style
from jaxsynth.studies.study import Bench

DOTS = {'linestyle': 'none', 'marker': 'o', 'markersize': 3.2, 'alpha': 0.8}
DASHED = (0, (4, 3))


def _pair(ax, time, dots, line, colour, label='_') -> None:
  """Trained dots, thinned, over a line of theory."""
  every = max(1, len(time) // 40)
  ax.plot(time, line, color=colour, linewidth=1.4, label=label)
  ax.plot(time[::every], dots[::every], color=colour, **DOTS)


def examples(data: xr.Dataset) -> list[int]:
  """Runs with the largest swing, one in the middle of those that have any,
  and the one of the most negative first correlation."""
  rise = numbers.swing(numbers.composed(data)).values
  order = np.argsort(rise)
  middle = order[len(order) * 7 // 8]
  return [
    int(order[-1]), int(middle), int(numbers.correlation(data).values.argmin()),
  ]  # fmt: skip


def theory(one_layer: xr.Dataset, tied: xr.Dataset, flow: xr.Dataset):
  """Outputs and losses of trained networks on the curves of the theory."""
  true = flow.sel(speed='true')
  titles = [
    'one layer: output over mean',
    'tied: output, largest swing',
    'tied: loss of the composition',
    'tied: distance from each flow',
  ]
  fig, axes = style.grid(2, 2, width=5.2, height=3.4, titles=titles)

  ax, time = axes[0, 0], one_layer['time'].values
  cell = (one_layer['task_first_mean'] == 1) & (
    one_layer['seed_init'] == one_layer['seed_init'].min()
  )
  exact = numbers.closed_form(one_layer)
  rows = np.flatnonzero(cell.values)
  for row, colour in zip(rows, style.colours(len(rows))):
    sigma = float(one_layer['task_first_deviation'][row])
    dots = one_layer['output'].isel(run=row).transpose('step', 'concept').values
    name = rf'concept 1, $\sigma_1$ = {sigma:.3g}'
    _pair(ax, time, dots[:, 0], exact[row, :, 0], colour, name)
  row = rows[0]
  dots = one_layer['output'].isel(run=row).sel(concept=2).values / 2
  _pair(ax, time, dots, exact[row, :, 1] / 2, style.INK, 'concept 2')
  ax.legend(frameon=False, fontsize=style.SMALL, loc='lower right')

  time, chosen = tied['time'].values, examples(tied)
  for k, colour in zip((1, 2), style.PALETTE):
    one = lambda d, k=k: d['output'].isel(run=chosen[0]).sel(concept=k).values
    _pair(axes[0, 1], time, one(tied), one(true), colour, f'concept {k}')
  axes[0, 1].legend(frameon=False, fontsize=style.SMALL, loc='lower right')

  ax = axes[1, 0]
  first = numbers.correlation(tied).values
  for run, colour in zip(chosen, style.PALETTE):
    one = lambda d, run=run: d['losses'].isel(run=run, composition=-1).values
    name = f'correlation at start {first[run]:+.2f}'
    _pair(ax, time, one(tied), one(true), colour, name)
  slow = flow['losses'].sel(speed='published')
  slow = slow.isel(run=chosen[0], composition=-1).values
  ax.plot(
    time, slow, color=style.PALETTE[0], linestyle=DASHED, linewidth=1,
    label='the same, published time',
  )  # fmt: skip
  ax.legend(frameon=False, fontsize=style.SMALL, loc='upper right')

  both = [numbers.flow_error(tied, flow, s) for s in ('true', 'published')]
  each = xr.concat(both, xr.Variable('normalisation', ['true', 'published']))
  points.by_group(
    axes[1, 1], each.rename(run='seed'), label='largest distance over |mu|'
  )
  curves.log_values(axes[1, 1])
  for ax in axes.flat[:3]:
    ax.set_xlabel('time', fontsize=style.SMALL)
  return fig


def swing(tied: xr.Dataset, flow: xr.Dataset):
  """Paths of the output, and the swing against the first correlation."""
  true = flow.sel(speed='true')
  titles = ['output at the composition', 'rise of its loss']
  fig, axes = style.grid(1, 2, width=5.2, height=3.8, titles=titles)
  ax, first = axes[0, 0], numbers.correlation(tied).values
  for run, colour in zip(examples(tied), style.PALETTE):
    path = lambda d, run=run: (
      d['output'].isel(run=run).transpose('concept', ...)
    )
    ax.plot(*path(true).values, color=colour, linewidth=1.4,
            label=f'correlation at start {first[run]:+.2f}')  # fmt: skip
    ax.plot(*path(tied).values, color=colour, **DOTS)
  ax.plot(*tied['means'].isel(run=0).values, marker='*', color=style.INK,
          markersize=11, linestyle='none', label='target')  # fmt: skip
  ax.legend(frameon=False, fontsize=style.SMALL, loc='lower right')
  style.tidy(ax, x='concept 1', y='concept 2')
  ax = axes[0, 1]
  for data, look, label in (
    (true, {'marker': 'o', 'mfc': 'none', 'color': style.INK}, 'flow'),
    (tied, {'marker': '.', 'color': style.PALETTE[1]}, 'gradient descent'),
  ):
    rise = numbers.swing(numbers.composed(data)).values
    ax.plot(first, rise, linestyle='none', label=label, **look)
  ax.legend(frameon=False, fontsize=style.SMALL, loc='upper left')
  style.tidy(
    ax, x='correlation of w_12 at step 0', y='rise over the first loss'
  )
  return fig


def order(one_layer: xr.Dataset):
  """Half times against moments, and the exponential end."""
  titles = ['order of two concepts', 'residual of concept 1']
  fig, axes = style.grid(1, 2, width=5.2, height=3.8, titles=titles)
  ax = axes[0, 0]
  t, a = numbers.half_times(one_layer), one_layer['moments'].values
  ratio = a[:, 1] / a[:, 0]
  ends = np.array([ratio.min() * 0.8, ratio.max() * 1.25])
  ax.plot(ends, ends, color=style.MUTED, linewidth=1, label='closed form')
  means = one_layer['task_first_mean'].values
  for mean, colour in zip(np.unique(means), style.PALETTE):
    rows = means == mean
    name = rf'$\mu_1$ = {mean:g}, $\mu_2$ = 2'
    ax.plot(ratio[rows], (t[:, 0] / t[:, 1])[rows], color=colour, label=name,
            **DOTS)  # fmt: skip
  ax.axhline(1, color=style.FAINT, linewidth=1, zorder=0)
  ax.set_xscale('log')
  ax.set_xticks([0.25, 0.5, 1, 2, 4], ['0.25', '0.5', '1', '2', '4'])
  ax.set_xticks([], minor=True)
  curves.log_values(ax)
  style.tidy(ax, x='moments a_2 / a_1', y='half times t_1 / t_2')
  ax.legend(frameon=False, fontsize=style.SMALL, loc='upper left')
  ax, time = axes[0, 1], one_layer['time'].values
  seed = one_layer['seed_init'] == one_layer['seed_init'].min()
  rows = np.flatnonzero(seed.values)
  rows = rows[np.argsort(a[rows, 0])][::2]
  residual = 1 - one_layer['output'] / one_layer['means']
  for row, colour in zip(rows, style.shades(len(rows))):
    dots = residual.isel(run=row).sel(concept=1).values
    shown = dots > 3e-3
    line = np.exp(-a[row, 0] * time)
    _pair(ax, time[shown], dots[shown], line[shown], colour,
          f'$a_1$ = {a[row, 0]:.2f}')  # fmt: skip
  ax.set_yscale('log')
  style.tidy(ax, x='time', y='1 - output over mean')
  style.legend(ax)
  return fig


def entries(tied: xr.Dataset, flow: xr.Dataset, relu: xr.Dataset):
  """The matrix entries in the largest swing, and what moves w_12."""
  run, time = examples(tied)[0], tied['time'].values
  order = ('step', 'out', 'into')
  w = flow['jacobian'].sel(speed='true').isel(run=run).transpose(*order).values
  dots = tied['jacobian'].isel(run=run).transpose(*order).values
  titles = [
    'entries of W, largest swing',
    'what moves w_12',
    'ReLU, 64 inputs: Jacobian',
  ]
  fig, axes = style.grid(1, 3, width=4.2, height=3.4, titles=titles)
  for (i, j), colour in zip(((0, 0), (1, 1), (0, 1)), style.PALETTE):
    kind = 'major' if i == j else 'minor'
    name = f'w_{i + 1}{j + 1} ({kind})'
    _pair(axes[0, 0], time, dots[:, i, j], w[:, i, j], colour, name)
  a = jnp.asarray(tied['moments'].isel(run=run).values)
  terms = jax.vmap(lambda w: linear_flow.tied_terms(w, a))(jnp.asarray(w))
  for name, colour in zip(('growth', 'suppression'), style.PALETTE[3:]):
    rate = linear_flow.TRUE * np.asarray(terms[name][:, 0, 1])
    axes[0, 1].plot(time, rate, color=colour, label=name)
  for name, colour in zip(('major', 'minor', 'irrelevant'), style.PALETTE):
    values = relu[name].transpose('run', 'step').values
    curves.band(
      axes[0, 2], relu['time'].values, values, label=name, colour=colour
    )
  labels = ('entry', 'change per time', 'root mean square')
  for ax, label in zip(axes.flat, labels):
    ax.legend(frameon=False, fontsize=style.SMALL)
    style.tidy(ax, x='time', y=label)
  return fig


def compositions(relu: xr.Dataset, linear: xr.Dataset):
  """Losses at every composition over training, shaded by how many concepts."""
  titles = ['two-layer ReLU', 'two-layer linear']
  fig, axes = style.grid(1, 2, width=5.0, height=3.6, titles=titles)
  for ax, data in zip(axes.flat, (relu, linear)):
    losses = data['losses'].isel(composition=slice(1, None)).median('run')
    counts = [name.count('1') for name in losses['composition'].values]
    palette = style.shades(max(counts))
    for i, n in enumerate(counts):
      label = str(n) if n not in counts[:i] else '_'
      y = losses.isel(composition=i).values
      ax.plot(data['step'], y, color=palette[n - 1], label=label)
    ax.set_yscale('log')
    style.tidy(ax, x='step', y='loss, median over seeds')
  style.legend(axes[0, 1], title='concepts')
  return fig


def descents(found: dict[str, xr.Dataset], triple: xr.Dataset):
  """The flows with most descents, and the one that ends highest."""
  titles = [
    'three concepts: most descents',
    'four concepts: most descents',
    'a weak concept: highest ends',
  ]
  fig, axes = style.grid(1, 3, width=3.8, height=3.2, titles=titles)
  score = lambda name: found[name]['descents'].sum('prominence').values
  flows = found['triple'].set_index(start='start')
  loss, time = numbers.composed(triple), 2 * triple['time'].values
  seeds = triple['seed_init'].values
  for row, colour in zip(range(len(seeds)), style.PALETTE):
    curve = flows['curve'].sel(start=seeds[row])
    axes[0, 0].plot(curve['time'], curve, color=colour, label=str(seeds[row]))
    every = slice(None, None, 2)
    axes[0, 0].plot(
      time[every], loss.isel(run=row).values[every], color=colour, **DOTS
    )
  for ax, name, order in (
    (axes[0, 1], 'quadruple', score('quadruple')),
    (axes[0, 2], 'stuck', found['stuck']['end'].values),
  ):
    for start, colour in zip(np.argsort(-order)[:4], style.PALETTE):
      curve = found[name]['curve'].isel(start=int(start))
      ax.plot(curve['time'], curve, color=colour)
  for ax in axes.flat:
    ax.set_yscale('log')
    ax.set_ylim(1e-3, 1.5)
    ax.set_xlim(0, float(found['triple']['time'][-1]))
    style.tidy(ax, x='published time', y='loss over its first')
  axes[0, 0].legend(
    frameon=False, fontsize=style.SMALL, title='start, by seed',
    title_fontsize=style.SMALL,
  )  # fmt: skip
  return fig


def draw(bench: Bench, data: dict, flow: xr.Dataset, found: dict) -> None:
  """Draws every figure of the study."""
  tied, one_layer = data['train'], data['one_layer']
  bench.figure(
    'theory',
    theory(one_layer, tied, flow),
    'Gradient descent (dots) on the exact solutions (lines) from the same '
    'start, none of them fitted. Above left: one layer, mean 1 against 2; '
    'with a larger deviation the weaker concept is learned first. Above '
    'right and below left: tied two-layer networks; the loss of the '
    'composition swings by where the minor entries start positive. Below '
    'right: the largest distance from the flow of the stated loss, and from '
    'the published equation, one dot a seed.',
  )
  bench.figure(
    'swing',
    swing(tied, flow),
    'Left: the output at the composition on its way to the target. Right: '
    'how far the loss there rises above its running minimum, against the '
    'correlation w_12 / sqrt(w_11 w_22) of the start, one mark a seed.',
  )
  bench.figure(
    'order',
    order(one_layer),
    'Left: times at which two concepts are half learned, against the ratio '
    'of their second moments; every seed of every pair of mean and '
    'deviation. Right: the residual falls exponentially with rate a_1.',
  )
  bench.figure(
    'entries',
    entries(tied, flow, data['relu']),
    'Left: the entries of W in the run that swings most. Middle: growth and '
    'suppression of its minor entry along the flow; with two concepts there '
    'is no third term. Right: entries of the Jacobian of a ReLU network at '
    'the composition of four concepts; irrelevant: neither in a row nor in a '
    'column of a concept; band: range over seeds.',
  )
  bench.figure(
    'compositions',
    compositions(data['relu'], data['linear']),
    'Loss at every composition of four concepts over five epochs of 156 '
    'steps, medians over seeds, shaded by how many concepts it has.',
  )
  bench.figure(
    'descents',
    descents(found, data['triple']),
    'Loss of the composition along the tied flow from the starts of many '
    'seeds. Left and middle: the four that descend most clearly, with '
    'trained networks (dots) on the left. Right: the four that end highest; '
    'one concept has not been learned.',
  )
