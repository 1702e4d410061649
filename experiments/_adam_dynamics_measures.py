"""From the trajectories of `adam_dynamics` to labelled results."""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxsynth.analysis import adam_bounds
from jaxsynth.trajectory.trajectory import Trajectory

# Steps between two norms that are kept.
EVERY = 10


def _runs(traj: Trajectory) -> dict:
  """Decays and seed of every run, as coordinates."""
  table = traj.runs
  return {
    'beta': ('run', table['optimizer.b2'].to_numpy()),
    'gamma': ('run', table['optimizer.b1'].to_numpy()),
    'seed': ('run', table['seed.init'].to_numpy()),
  }


def bounds(beta: np.ndarray, gamma: np.ndarray, count: int) -> np.ndarray:
  """The exact bound [run, count] for the float32 decays the runs had.

  Without momentum it is that of the first update, 1 / sqrt(1 - beta) times
  the correction; the formula divides by gamma, so gamma gets a tiny value.
  """
  single = lambda x: np.float32(x).astype(float)
  with jax.enable_x64(True):
    out = adam_bounds.bounds(
      single(beta), np.maximum(single(gamma), 1e-12), jnp.arange(count)
    )
  return np.asarray(out['exact'])


def growth(
  traj: Trajectory, window: tuple[int, int], stable: tuple[float, float]
) -> xr.Dataset:
  """How large updates are, and how fast they grow.

  Args:
    traj: runs that watched 'update_max'.
    window: first and last step of the fit of log max |u| by a line.
    stable: (beta, gamma) of a cell whose bound all are compared with as well.

  Returns:
    update_max [run, step] (step n + 1 for u_n), largest [run], slope [run],
    of_bound [run]: the largest ratio to the exact bound at the same n > 0, and
    of_stable_bound [run] to that of the stable cell; loss and accuracy on
    held-out points [run, eval_step]; C [run] and the rates.
  """
  metrics, coords = traj.metrics, _runs(traj)
  u = metrics['update_max'].astype(float)
  first, last = window
  inside = np.log(u.sel(step=slice(first, last)))
  centred = inside['step'] - inside['step'].mean()
  slope = (inside * centred).sum('step') / (centred**2).sum()
  beta, gamma = coords['beta'][1], coords['gamma'][1]
  bound = bounds(beta, gamma, u.sizes['step'])
  borrowed = bounds(*np.asarray(stable)[:, None], u.sizes['step'])
  # The first update is as large as its bound, one learning rate, everywhere.
  later = lambda ratio: ratio.isel(step=slice(1, None)).max('step')
  rates = adam_bounds.rates(beta, np.maximum(gamma, 1e-12))
  return xr.Dataset(
    {
      'update_max': metrics['update_max'],
      'largest': u.max('step'),
      'slope': slope,
      'of_bound': later(u / bound),
      'of_stable_bound': later(u / borrowed),
      'held_out_loss': metrics['held_out/loss'],
      'held_out_accuracy': metrics['held_out/accuracy'],
      'training_loss': metrics['loss'].isel(step=-1, drop=True),
      'C': ('run', np.asarray(rates['C'], float)),
      'published_rate': ('run', np.asarray(rates['continuous'], float)),
      'exact_rate': ('run', np.asarray(rates['exact'], float)),
    },
  ).assign_coords(coords)


def norms(traj: Trajectory) -> xr.Dataset:
  """The norm of the first hidden matrix, and what the formulas make of it.

  Args:
    traj: runs that watched 'norms', of a constant learning rate.

  Returns:
    weight, averaged, exact [run, step] at every tenth step: |W|, the moving
    average of squared updates, and the same with the inner product.
  """
  optimizer = traj.index['config']['optimizer']
  eta, decay = optimizer['peak_lr'], optimizer['weight_decay']
  name = 'norms/hidden_0/kernel/'
  read = {
    k: traj.metrics[name + k].values.astype(float)
    for k in ('weight', 'update', 'inner')
  }
  made = [
    adam_bounds.norms(w[0], eta * u, 1 - eta * decay, eta * product)
    for w, u, product in zip(read['weight'], read['update'], read['inner'])
  ]
  # Entry n of `made` is |W| before update n + 1, which `weight` has next.
  kept = slice(EVERY, None, EVERY)
  before = slice(EVERY - 1, -1, EVERY)
  stacked = lambda key: np.stack([np.asarray(m[key]) for m in made])[:, before]
  steps = traj.metrics['step'].values[kept] - 1
  dims = ('run', 'step')
  return xr.Dataset(
    {
      'weight': (dims, read['weight'][:, kept]),
      'averaged': (dims, stacked('averaged')),
      'exact': (dims, stacked('exact')),
    },
    {'step': steps, **_runs(traj)},
  )


def learning(parts: dict[tuple[str, int], Trajectory]) -> xr.Dataset:
  """Held-out loss and accuracy of k-Adam.

  Args:
    parts: trajectories by strategy and number of stages.

  Returns:
    loss, accuracy [cell, seed, eval_step], training [cell, seed]: the mean of
    the last tenth of the training losses.
  """
  each = []
  for traj in parts.values():
    full = traj.metrics
    tail = full.sizes['step'] // 10
    each.append(
      xr.Dataset(
        {
          'loss': full['held_out/loss'],
          'accuracy': full['held_out/accuracy'],
          'training': full['loss'].isel(step=slice(-tail, None)).mean('step'),
        }
      )
      .assign_coords(seed=('run', traj.runs['seed.init'].to_numpy()))
      .swap_dims(run='seed')
      .drop_vars('run')
    )
  strategies, stages = zip(*parts)
  return xr.concat(each, 'cell').assign_coords(
    strategy=('cell', list(strategies)), stages=('cell', list(stages))
  )


def transformer(traj: Trajectory) -> xr.Dataset:
  """The largest updates of the transformers: update_max [run, step]."""
  out = traj.metrics[['update_max', 'loss']]
  return out.assign_coords(_runs(traj))
