"""The figures of the study `markov_mixture`, drawn from its results."""

import xarray as xr

from jaxsynth.plots import curves, heat, points, style

NAMES = {
  'uni_ret': 'Uni-Ret',
  'uni_inf': 'Uni-Inf',
  'bi_ret': 'Bi-Ret',
  'bi_inf': 'Bi-Inf',
  'uniform': 'uniform',
}
SETS = {
  'in_distribution': 'chains of the mixture',
  'fresh': 'fresh chains',
}


def by_size(data: xr.DataArray) -> xr.DataArray:
  """Dimension run as two: the number of chains N, and the seed."""
  size = 'num_chains' if 'num_chains' in data.coords else 'task_num_chains'
  seed = 'seed' if 'seed' in data.coords else 'seed_init'
  keep = {size, seed, 'run', *data.dims}
  data = data.drop_vars([c for c in data.coords if c not in keep])
  data = data.reset_index('run', drop=True) if 'run' in data.indexes else data
  data = data.set_index(run=[size, seed]).unstack('run')
  return data.rename({size: 'N', seed: 'seed'})


def by_name(data: xr.DataArray) -> xr.DataArray:
  """The same, with N spelled out where curves are labelled."""
  data = by_size(data)
  return data.assign_coords(N=[f'N = {n}' for n in data['N'].values])


def nearest(kl: xr.DataArray) -> xr.DataArray:
  """The display name of the nearest algorithm, by the median over seeds."""
  best = by_size(kl).median('seed').idxmin('algorithm')
  names = [[NAMES.get(v, '') for v in row] for row in _rows(best)]
  return best.copy(data=names)


def _rows(matrix: xr.DataArray) -> list[list]:
  return matrix.values.tolist()


def phases(competition: xr.Dataset):
  """Which algorithm is nearest, over training and N, on both sets."""
  late = competition['kl_to'].isel(context=-1)
  fig, axes = style.grid(1, 2, width=5.4, height=3.0, titles=[*SETS.values()])
  for ax, key in zip(axes.flat, SETS):
    kl = late.sel(set=key)
    cells = nearest(kl).transpose('N', 'snapshot').rename(snapshot='step')
    heat.phase_map(ax, cells, [*NAMES.values()], title='nearest')
  return fig


def contexts(competition: xr.Dataset):
  """Which algorithm is nearest at the end, by context length and N."""
  last = competition['kl_to'].isel(snapshot=-1)
  fig, axes = style.grid(1, 2, width=5.0, height=3.0, titles=[*SETS.values()])
  for ax, key in zip(axes.flat, SETS):
    cells = nearest(last.sel(set=key)).transpose('N', 'context')
    cells = cells.rename(context='context length')
    heat.phase_map(ax, cells, [*NAMES.values()], title='nearest')
  return fig


def weights(competition: xr.Dataset):
  """Interpolation weights of the four algorithms over training, by N."""
  data = by_size(competition['weights']).rename(
    snapshot='step', blended='algorithm'
  )
  data = data.assign_coords(
    algorithm=[NAMES[a] for a in data['algorithm'].values]
  )
  sizes = data['N'].values
  chosen = [sizes[0], sizes[len(sizes) // 2], sizes[-1]]
  titles = [f'N = {n}, {t}' for t in SETS.values() for n in chosen]
  fig, axes = style.grid(
    2, len(chosen), width=3.6, height=2.4, titles=titles, share_y=True
  )
  for row, key in zip(axes, SETS):
    for ax, n in zip(row, chosen):
      part = data.sel(set=key, N=n)
      labels = 'legend' if ax is row[-1] else 'none'
      curves.curves(ax, part, hue='algorithm', labels=labels)
      ax.set_ylim(-0.03, 1.03)
  return fig


def fresh_kl(aligned: xr.Dataset):
  """KL of the implied matrix to the truth over training, by N."""
  fig, axes = style.grid(1, 2, width=5.2, height=3.4, titles=[*SETS.values()])
  for ax, key in zip(axes.flat, SETS):
    data = by_name(aligned['kl'].sel(set=key).isel(length=-1))
    curves.curves(ax, data.rename(snapshot='step'), hue='N', ordered=True)
    counted = aligned['algorithm_kl'].sel(set=key, algorithm='bi_inf')
    curves.level(ax, float(counted.isel(length=-1).median()), 'Bi-Inf')
    ax.set_ylabel('KL(model || truth), nats', fontsize=style.SMALL)
    curves.log_values(ax)
  return fig


def threshold(aligned: xr.Dataset):
  """KL on fresh chains at the end of training, every seed, by N."""
  data = by_size(aligned['kl'].sel(set='fresh').isel(length=-1))
  fig, ax = style.figure(5.4, 3.4)
  points.by_group(
    ax,
    data.isel(snapshot=-1),
    null=data.isel(snapshot=0),
    label='KL(model || truth), nats',
  )
  counted = aligned['algorithm_kl'].sel(set='fresh', algorithm='bi_inf')
  curves.level(ax, float(counted.isel(length=-1).median()), 'Bi-Inf')
  return fig


def losses(metrics: xr.Dataset):
  """Loss on chains of the mixture and on fresh ones over training, by N."""
  fig, axes = style.grid(1, 2, width=5.2, height=3.4, titles=[*SETS.values()])
  for ax, key in zip(axes.flat, SETS):
    data = by_name(metrics[key]).rename(eval_step='step')
    curves.curves(ax, data, hue='N', ordered=True)
    ax.set_ylabel('cross-entropy, nats', fontsize=style.SMALL)
  return fig


def heads(reading: xr.Dataset):
  """The strongest previous-token and induction head over training, by N."""
  titles = ['previous token, layer 1', 'same-token successors, last layer']
  fig, axes = style.grid(1, 2, width=5.2, height=3.4, titles=titles)
  parts = (
    reading['previous_token'].isel(layer=0),
    reading['induction'].isel(layer=-1),
  )
  for ax, part in zip(axes.flat, parts):
    curves.curves(ax, by_name(part.max('head')), hue='N', ordered=True)
    ax.set_ylabel('attention', fontsize=style.SMALL)
  axes[0, 1].set_ylabel('attention over uniform', fontsize=style.SMALL)
  return fig


def memory(aligned: xr.Dataset, reading: xr.Dataset):
  """Memorisation, and how far shuffling moves predictions, by N."""
  titles = ['random over training chains', 'history shuffled']
  fig, axes = style.grid(1, 2, width=5.2, height=3.4, titles=titles)
  near = by_name(aligned['memorised']).rename(snapshot='step')
  ratio = near.sel(chains='random') / near.sel(chains='training')
  moved = by_name(reading['shuffled'].sel(shuffle='history'))
  for ax, data, label in (
    (axes[0, 0], ratio, 'ratio of nearest KL'),
    (axes[0, 1], moved, 'KL of prediction, nats'),
  ):
    curves.curves(ax, data, hue='N', ordered=True)
    ax.set_ylabel(label, fontsize=style.SMALL)
  return fig


def widths(kl: xr.DataArray, transience: xr.DataArray):
  """KL on fresh chains over training by width, and its rise after the low."""
  named = kl.assign_coords(width=[f'width {w}' for w in kl['width'].values])
  fig, axes = style.grid(1, 2, width=5.2, height=3.4)
  curves.curves(axes[0, 0], named, hue='width', ordered=True)
  axes[0, 0].set_ylabel('KL(model || truth), nats', fontsize=style.SMALL)
  points.by_group(axes[0, 1], transience, label='last over least KL')
  return fig
