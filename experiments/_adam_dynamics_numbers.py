"""From the results of `adam_dynamics` to one number per seed."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

Cell = tuple[float, float]


def by_seed(data: xr.DataArray) -> xr.DataArray:
  """Runs named by their seed; there must be one for each."""
  return data.assign_coords(run=data['seed'].values)


def at(data: xr.DataArray, cell: Cell) -> xr.DataArray:
  """The runs at (beta, gamma), named by their seed."""
  here = (data['beta'] == cell[0]) & (data['gamma'] == cell[1])
  return by_seed(data.isel(run=np.flatnonzero(here)))


def over(data: xr.DataArray, cells: Sequence[Cell], how: str) -> xr.DataArray:
  """The largest or least number ('max', 'min') of several cells, by seed."""
  parts = xr.concat(
    [at(data, tuple(c)).drop_vars(('beta', 'gamma', 'seed')) for c in cells],
    'cell',
  )
  return getattr(parts, how)('cell')


def per_seed(data: xr.DataArray | xr.Dataset, reduce) -> dict[int, float]:
  """A number of all the runs of each seed: reduce(runs of it)."""
  seeds = data['seed'].values
  return {
    int(s): float(reduce(data.isel(run=np.flatnonzero(seeds == s))))
    for s in np.unique(seeds)
  }


def deviation(slope: xr.DataArray, rate: xr.DataArray) -> xr.DataArray:
  """|slope / rate - 1|."""
  return abs(slope / rate - 1)


def beyond_edge(growth: xr.Dataset, side: int) -> xr.Dataset:
  """Runs whose exact rate makes more than a factor e of a run's steps.

  Args:
    growth: with `exact_rate` [run] and `update_max` [run, step].
    side: 1 for the unstable side, -1 for the stable one.
  """
  total = side * growth['exact_rate'] * growth['update_max'].sizes['step']
  return growth.isel(run=np.flatnonzero((total > 1) & (growth['gamma'] > 0)))


def separation(growth: xr.Dataset, c: np.ndarray) -> dict[int, float]:
  """How well C tells where updates grow, by seed.

  Args:
    growth: with `slope` [run].
    c: C of every run [run], or other numbers in its place.

  Returns:
    The probability that the updates of a run with C < 0 grow faster than those
    of a run with C > 0, a tie counting half: one if they always do, one half
    if C says nothing.
  """

  def probability(runs: xr.Dataset) -> float:
    out = runs['slope'].values[runs['c'].values < 0][:, None]
    inside = runs['slope'].values[runs['c'].values > 0]
    return float(((out > inside) + 0.5 * (out == inside)).mean())

  named = xr.Dataset({'slope': growth['slope'], 'c': ('run', c)})
  return per_seed(named, probability)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
  """Spearman's, with ties in the order of appearance."""
  rank = lambda x: np.argsort(np.argsort(x, kind='stable'), kind='stable')
  return float(np.corrcoef(rank(a), rank(b))[0, 1])


def falls_with(loss: xr.DataArray, c: xr.DataArray) -> dict[int, float]:
  """Minus the rank correlation of loss and C [run] over cells, by seed."""
  both = xr.concat([c, loss], 'which')
  return per_seed(both, lambda pair: -rank_correlation(*pair.values))


def order(error: xr.DataArray) -> xr.DataArray:
  """The power of eta an error goes with: the slope of logs, over eta."""
  x = np.log(error['eta'])
  centred = x - x.mean()
  return (np.log(error) * centred).sum('eta') / (centred**2).sum()


def misfit(norms: xr.Dataset, gamma: float) -> xr.DataArray:
  """|averaged / weight - 1| at the last step, by seed."""
  part = norms.isel(run=np.flatnonzero(norms['gamma'] == gamma), step=-1)
  return by_seed(abs(part['averaged'] / part['weight'] - 1))


def gain(learning: xr.Dataset, strategy: str, name: str) -> xr.DataArray:
  """Two stages minus one at the end of training, by seed."""
  last = learning[name].isel(eval_step=-1)
  cell = lambda s, k: last.isel(
    cell=np.flatnonzero(
      (learning['strategy'] == s) & (learning['stages'] == k)
    )[0]
  )
  return cell(strategy, 2) - cell('uniform', 1).drop_vars(
    ('strategy', 'stages')
  )


def strategies_ahead(learning: xr.Dataset) -> xr.DataArray:
  """Under how many strategies two stages end at a lower training loss."""
  loss = learning['training']
  one = loss.isel(cell=np.flatnonzero(learning['stages'] == 1)[0])
  two = loss.isel(cell=np.flatnonzero(learning['stages'] == 2))
  return (two < one.drop_vars(('strategy', 'stages'))).sum('cell')
