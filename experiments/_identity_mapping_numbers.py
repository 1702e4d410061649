"""From the results of the study `identity_mapping` to one number per seed.

Every function takes what `_identity_mapping_measures` returns, dimension
`run` first, and reduces the rest.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxsynth.analysis import descents, linear_flow, transitions
from jaxsynth.experiments._identity_mapping_measures import PROMINENCES

# Residuals 1 - f_k / mu_k between which the terminal speed is measured.
TAIL = (0.5, 0.02)


def by_seed(data: xr.DataArray) -> xr.DataArray:
  """Dimension run named by seed; there must be one run a seed."""
  return data.assign_coords(run=data['seed_init'].values)


def worst(values: np.ndarray, runs: xr.Dataset) -> dict[int, float]:
  """The largest of values [R] by seed, over the cells of the sweep."""
  seeds = runs['seed_init'].values
  return {int(s): float(values[seeds == s].max()) for s in np.unique(seeds)}


def half_times(data: xr.Dataset) -> np.ndarray:
  """When each concept of the output reaches half its mean, steps [R, s]."""
  share = data['output'] / data['means']
  share = jnp.asarray(share.transpose('run', 'concept', 'step').values)
  steps = jnp.asarray(data['step'].values)
  at = lambda curve: transitions.onset(curve, steps, 0.5)['at']
  return np.asarray(jax.vmap(jax.vmap(at))(share))


def order_error(data: xr.Dataset, swapped: bool = False) -> np.ndarray:
  """|t_1 / t_2 over a_2 / a_1, less one| of every run [R].

  Args:
    data: of two concepts.
    swapped: the null: as if the two had each other's moments.
  """
  times, a = half_times(data), data['moments'].values
  a = a[:, ::-1] if swapped else a
  return np.abs(times[:, 0] / times[:, 1] / (a[:, 1] / a[:, 0]) - 1)


def reversal(data: xr.Dataset, widened: bool) -> dict[int, float]:
  """How clearly a larger deviation reverses the order of the two concepts.

  Args:
    data: of two concepts, with several first means and deviations.
    widened: False for the null: the smallest deviation both times.

  Returns:
    By seed, for the smallest first mean: the lesser of log(t_1 / t_2) at the
    smallest first deviation and log(t_2 / t_1) at the largest; positive if
    the order reverses.
  """
  times = half_times(data)
  lead = np.log(times[:, 0] / times[:, 1])
  mean, sigma = data['task_first_mean'], data['task_first_deviation']
  other = sigma.max() if widened else sigma.min()
  pick = lambda s: lead[((mean == mean.min()) & (sigma == s)).values]
  seeds = np.unique(data['seed_init'].values).tolist()
  return dict(zip(seeds, np.minimum(pick(sigma.min()), -pick(other)).tolist()))


def tail_rates(data: xr.Dataset) -> np.ndarray:
  """Rate at which each concept's residual decays at the end, 1 / time [R, s].

  Slope of -log(1 - f_k / mu_k) against time by least squares, between the
  residuals TAIL.
  """
  residual = 1 - data['output'] / data['means']
  residual = residual.transpose('run', 'concept', 'step').values
  time = data['time'].values
  rates = np.full(residual.shape[:2], np.nan)
  for index in np.ndindex(*rates.shape):
    r = residual[index]
    used = (r < TAIL[0]) & (r > TAIL[1])
    if used.sum() > 1:
      rates[index] = -np.polyfit(time[used], np.log(r[used]), 1)[0]
  return rates


def closed_form(data: xr.Dataset, swapped: bool = False) -> np.ndarray:
  """The output of one layer by its closed form, [R, K, s].

  Args:
    data: of a one-layer network; its Jacobian at step 0 is where the closed
      form starts.
    swapped: the null: moments in reversed order.
  """
  start = jnp.asarray(data['jacobian'].isel(step=0).values)
  a = data['moments'].values
  a = jnp.asarray(a[:, ::-1] if swapped else a)
  time = jnp.asarray(data['time'].values, jnp.float32)
  w = jax.vmap(linear_flow.one_layer, (0, 0, None))(start, a, time)
  return np.einsum('rkij,rj->rki', w, data['means'].values)


def closed_form_error(data: xr.Dataset, swapped: bool = False) -> np.ndarray:
  """Largest |f_k - closed form| / mu_k over training and concepts, [R]."""
  output = data['output'].transpose('run', 'step', 'concept').values
  error = np.abs(output - closed_form(data, swapped))
  return (error / data['means'].values[:, None]).max((1, 2))


def flow_error(data: xr.Dataset, flow: xr.Dataset, speed: str) -> xr.DataArray:
  """Largest distance of the output from the flow over |mu|, [R]."""
  apart = data['output'] - flow['output'].sel(speed=speed)
  distance = np.sqrt((apart**2).sum('concept')).max('step')
  size = np.sqrt((data['means'] ** 2).sum('concept'))
  return by_seed(distance / size)


def composed(data: xr.Dataset) -> xr.DataArray:
  """Loss at the composition of all concepts over its value at step 0."""
  loss = data['losses'].isel(composition=-1, drop=True)
  return loss / loss.isel(step=0, drop=True)


def trained(data: xr.Dataset) -> xr.DataArray:
  """Loss on the clusters over its value at step 0."""
  return data['training'] / data['training'].isel(step=0, drop=True)


def swing(curve: xr.DataArray) -> xr.DataArray:
  """The largest rise above the running minimum, [R] or more."""
  rows = curve.transpose(..., 'step')
  flat = jnp.asarray(rows.values.reshape(-1, rows.shape[-1]))
  rise = jax.vmap(lambda c: descents.swing(c)['rise'])(flat)
  out = rows.isel(step=0, drop=True)
  return out.copy(data=np.asarray(rise).reshape(out.shape))


def correlation(data: xr.Dataset) -> xr.DataArray:
  """w_12 over the root of w_11 w_22 at step 0, [R]."""
  w = data['jacobian'].isel(step=0, drop=True)
  entry = lambda i, j: w.isel(out=i, into=j)
  return entry(0, 1) / np.sqrt(entry(0, 0) * entry(1, 1))


def _groups(seeds: np.ndarray, most: int) -> dict[str, np.ndarray]:
  """Positions of consecutive seeds by the name of their group.

  There are at most `most` groups, fewer if they had less than four seeds.
  """
  count = max(1, min(most, len(seeds) // 4))
  parts = np.array_split(np.arange(len(seeds)), count)
  return {f'seeds {seeds[p[0]]}-{seeds[p[-1]]}': p for p in parts}


def swing_where(
  first: xr.DataArray, rise: xr.DataArray, groups: int, positive: bool
) -> dict[str, float]:
  """The largest rise among runs of one kind, in groups of consecutive seeds.

  Args:
    first: correlation at step 0, [R].
    rise: [R].
    groups: how many at most.
    positive: among correlations of 0.5 and above (the null), else of 0 and
      below. A group without any gives 0.
  """
  kind = (first >= 0.5) if positive else (first <= 0)
  kept = np.where(kind.values, rise.values, 0.0)
  parts = _groups(first['seed_init'].values, groups)
  return {name: float(kept[p].max()) for name, p in parts.items()}


def most(values: xr.DataArray, groups: int) -> dict[str, float]:
  """The largest value within groups of consecutive starts."""
  parts = _groups(values['start'].values, groups)
  return {n: float(values.values[p].max()) for n, p in parts.items()}


def descents_of(curve: xr.DataArray) -> xr.DataArray:
  """How often a loss over its first value descends, [R]."""
  rows = jnp.asarray(curve.transpose('run', 'step').values)
  least = jnp.asarray(PROMINENCES[0])
  count = jax.vmap(lambda c: descents.descents(c, least))(rows)
  out = curve.isel(step=0, drop=True)
  return by_seed(out.copy(data=np.asarray(count)))


def ordered(
  data: xr.Dataset,
  steps: Sequence[int],
  relative: bool = False,
  shuffled: bool = False,
) -> xr.DataArray:
  """The least share, over steps, of pairs of compositions in order, [R].

  The origin is left out.

  Args:
    data: with losses by composition.
    steps: where they are compared.
    relative: of the losses over their values for an output of zero.
    shuffled: the null: losses dealt out to the compositions at random.
  """
  losses = data['losses'].sel(step=list(steps))
  losses = losses.isel(composition=slice(1, None))
  names = losses['composition'].values
  codes = jnp.asarray([[int(c) for c in name] for name in names])
  values = losses.transpose('run', 'step', 'composition').values
  if relative:
    size = np.square(data['means'].values[:, None] * np.asarray(codes)).sum(-1)
    values = values / (0.5 * size[:, None])
  if shuffled:
    values = np.random.default_rng(0).permuted(values, axis=-1)
  share = jax.vmap(jax.vmap(lambda v: descents.ordered_share(v, codes)))
  least = np.asarray(share(jnp.asarray(values))).min(1)
  out = losses.isel(step=0, composition=0, drop=True)
  return by_seed(out.copy(data=least))
