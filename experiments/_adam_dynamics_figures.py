"""The figures of the study `adam_dynamics`, drawn from its results."""

import numpy as np
import xarray as xr

from jaxsynth.plots import curves, heat, points, style


def by_cell(data: xr.DataArray) -> xr.DataArray:
  """Dimension run as beta, gamma and seed."""
  keep = {'beta', 'gamma', 'seed', *data.dims}
  data = data.drop_vars([c for c in data.coords if c not in keep])
  data = data.drop_vars('run', errors='ignore')
  return data.set_index(run=['beta', 'gamma', 'seed']).unstack('run')


def _edge(ax, gammas, betas, at, look: str, label: str) -> None:
  """A line through the cells where gamma = at(beta), in cell coordinates."""
  fine = np.linspace(min(betas), max(betas), 200)
  rows = np.interp(fine, betas, np.arange(len(betas)) + 0.5)
  edge = np.asarray([at(b) for b in fine])
  columns = np.interp(edge, gammas, np.arange(len(gammas)) + 0.5)
  inside = (edge >= min(gammas)) & (edge <= max(gammas))
  ax.plot(columns[inside], rows[inside], look, color='white', label=label)


def region(growth: xr.Dataset):
  """The largest update over the plane of decays, and the edges."""
  cells = np.log10(by_cell(growth['largest']).median('seed'))
  cells = cells.transpose('beta', 'gamma')
  fig, ax = style.figure(9.0, 4.2)
  heat.heatmap(ax, cells, values=False, label='log10 of the largest update')
  betas, gammas = cells['beta'].values, cells['gamma'].values
  _edge(ax, gammas, betas, lambda b: 2 * b / (1 + b), '-', 'C = 0')
  _edge(ax, gammas, betas, np.sqrt, '--', 'gamma = sqrt(beta)')
  ax.legend(
    loc='upper left', fontsize=style.SMALL, facecolor=style.MUTED,
    labelcolor='white', framealpha=0.9,
  )  # fmt: skip
  return fig


def growth(found: xr.Dataset, window: tuple[int, int]):
  """Slopes of the log of the largest update against both laws."""
  fig, axes = style.grid(
    1, 2, width=4.6, height=3.8, share_y=True,
    titles=['exact: ln gamma - ln(beta) / 2', 'published: |C| / 2, signed'],
  )  # fmt: skip
  keep = found.isel(run=np.flatnonzero(found['gamma'] >= 0.8))
  for ax, name in zip(axes.flat, ('exact_rate', 'published_rate')):
    x, y = keep[name].values, keep['slope'].values
    out = x > 0
    for mask, colour, label in (
      (~out, style.PALETTE[5], 'stable'), (out, style.PALETTE[1], 'unstable'),
    ):  # fmt: skip
      ax.plot(
        x[mask], y[mask], 'o', color=colour, markersize=3.5, alpha=0.6,
        label=label,
      )  # fmt: skip
    ends = np.asarray([0.0, x.max()])
    ax.plot(ends, ends, '--', color=style.INK, linewidth=1, label='equal')
    ax.set_xlabel('predicted rate per step', fontsize=style.SMALL)
  axes[0, 0].set_ylabel(
    f'fitted rate, steps {window[0]} to {window[1]}', fontsize=style.SMALL
  )
  style.legend(axes[0, 1])
  return fig


def updates(found: xr.Dataset):
  """The largest update over steps, at the beta with most on both sides."""
  betas = np.unique(found['beta'])
  sides = [
    min((here > 0).sum(), (here < 0).sum())
    for here in (found['C'].values[found['beta'] == b] for b in betas)
  ]
  beta = betas[int(np.argmax(sides))]
  data = by_cell(found['update_max']).sel(beta=beta)
  gammas = data['gamma'].values[data['gamma'].values > 0]
  count = min(8, len(gammas))
  chosen = gammas[np.linspace(0, len(gammas) - 1, count).round().astype(int)]
  edge = 2 * beta / (1 + beta)
  data = data.sel(gamma=chosen).isel(step=slice(0, None, 5))
  data = data.assign_coords(gamma=[f'gamma = {g:g}' for g in chosen])
  fig, ax = style.figure(6.6, 4.0)
  ax.set_yscale('log')
  curves.curves(ax, data, hue='gamma', ordered=True, log_steps=False)
  ax.set_ylabel('largest update, learning rates', fontsize=style.SMALL)
  ax.set_title(
    f'beta = {beta:g}: C = 0 at gamma = {edge:.3f}', fontsize=style.TEXT,
    loc='left',
  )  # fmt: skip
  return fig


def bounds(found: xr.Dataset):
  """The published bound over the exact one, by the rate of the cell."""
  fig, ax = style.figure(5.6, 3.6)
  x, ratio = found['exact_rate'].values, found['published'].values
  keep = x > -0.3
  ax.plot(x[keep], ratio[keep], 'o', color=style.PALETTE[0], markersize=4)
  curves.level(ax, 1.0, 'equal')
  ax.axvline(0, color=style.MUTED, linewidth=0.8)
  curves.log_values(ax)
  ax.set_xlabel('exact growth rate of the bound per step', fontsize=style.SMALL)
  ax.set_ylabel('published over exact bound', fontsize=style.SMALL)
  return fig


def loss(calm: xr.Dataset):
  """Held-out loss against C, early and late."""
  steps = calm['eval_step'].values
  titles = [f'after {steps[i]} steps' for i in (1, -1)]
  fig, axes = style.grid(1, 2, width=4.6, height=3.4, titles=titles)
  for ax, i in zip(axes.flat, (1, -1)):
    ax.plot(
      calm['C'], calm['held_out_loss'].isel(eval_step=i), 'o',
      color=style.PALETTE[0], markersize=3, alpha=0.5,
    )  # fmt: skip
    ax.set_xscale('log')
    curves.log_values(ax)
    ax.set_xlabel('C', fontsize=style.SMALL)
    ax.set_ylabel('held-out loss, nats', fontsize=style.SMALL)
  return fig


def flow(found: xr.Dataset):
  """Distance of Adam and its flow by eta."""
  names = {1: "without theta'' / 2", 2: "with theta'' / 2 (published)"}
  fig, ax = style.figure(6.2, 3.6)
  eta = found['eta'].values
  lines = [
    curves.band(
      ax, eta, found['error'].sel(order=o).transpose('seed', 'eta'),
      label=names[o], colour=colour,
    )
    for o, colour in zip(found['order'].values, style.PALETTE)
  ]  # fmt: skip
  middle = found['error'].sel(order=2).median('seed').values
  guide = ax.plot(
    eta, middle[0] * eta / eta[0], '--', color=style.MUTED, linewidth=1,
    label='proportional to eta',
  )  # fmt: skip
  ax.set_xscale('log')
  ax.set_xticks(eta, [f'{e:g}' for e in eta])
  ax.minorticks_off()
  curves.log_values(ax)
  ax.set_xlabel('learning rate eta', fontsize=style.SMALL)
  ax.set_ylabel('distance over distance moved', fontsize=style.SMALL)
  style.legend(ax, handles=[*lines, *guide])
  return fig


def norms(found: xr.Dataset):
  """The norm of the hidden weights and its formula, by gamma."""
  gammas = np.unique(found['gamma'])
  fig, axes = style.grid(
    1, len(gammas), width=3.6, height=3.0, share_y=True,
    titles=[f'gamma = {g:g}' for g in gammas],
  )  # fmt: skip
  named = {'weight': 'weight', 'averaged': 'moving average of updates'}
  for ax, gamma in zip(axes.flat, gammas):
    part = found.isel(run=np.flatnonzero(found['gamma'] == gamma))
    for (key, label), colour in zip(named.items(), style.PALETTE):
      values = part[key].transpose('run', 'step')
      curves.band(ax, part['step'].values, values, label=label, colour=colour)
    ax.set_xlabel('step', fontsize=style.SMALL)
    ax.set_ylim(bottom=0)
  axes[0, 0].set_ylabel('norm of the hidden weights', fontsize=style.SMALL)
  style.legend(axes[0, -1])
  return fig


def k_adam(learning: xr.Dataset):
  """Held-out accuracy and training loss, by strategy and stages."""
  short = {
    'uniform': 'uniform',
    'exponential': 'exp',
    'inverse_exponential': 'inv. exp',
    'matched_prefactor': 'matched',
  }
  pairs = zip(learning['strategy'].values, learning['stages'].values)
  names = ['Adam' if k == 1 else f'{short[s]}\nk = {k}' for s, k in pairs]
  wide = max(5.0, 0.75 * len(names))
  fig, axes = style.grid(1, 2, width=wide, height=3.4)
  for ax, data, label in (
    (
      axes[0, 0],
      learning['accuracy'].isel(eval_step=-1),
      'held-out accuracy at the end',
    ),
    (axes[0, 1], learning['training'], 'training loss at the end, nats'),
  ):
    keep = {'cell', 'seed'}
    data = data.drop_vars([c for c in data.coords if c not in keep])
    points.by_group(ax, data.assign_coords(cell=names), label=label)
    ax.set_xlabel('')
  return fig


def transformer(found: xr.Dataset):
  """The largest update of a transformer over training, by cell."""
  data = by_cell(found['update_max'])
  fig, ax = style.figure(6.2, 3.6)
  lines, palette = [], iter(style.PALETTE)
  for beta in data['beta'].values:
    for gamma in data['gamma'].values:
      part = data.sel(beta=beta, gamma=gamma).transpose('seed', 'step')
      lines.append(
        curves.band(
          ax, data['step'].values, part,
          label=f'beta = {beta:g}, gamma = {gamma:g}', colour=next(palette),
        )
      )  # fmt: skip
  curves.log_values(ax)
  ax.set_xlabel('step', fontsize=style.SMALL)
  ax.set_ylabel('largest update, learning rates', fontsize=style.SMALL)
  style.legend(ax, handles=lines)
  return fig
