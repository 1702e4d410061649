"""From the results of the study `concept_percolation` to one number a seed.

Curves are [run, step], with the seed as coordinate of run; the measures are
those of `jaxsynth.analysis.transitions`, `sharpness` and `agreement`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxsynth.analysis import agreement, percolation, sharpness, transitions

_onset = jax.jit(jax.vmap(transitions.onset, (0, None, None)))
_rise = jax.jit(jax.vmap(transitions.rise, (0, None, None, None)))
_logistic = jax.jit(jax.vmap(sharpness.logistic, (0, None)))


def curve(results: dict, name: str, task: str = 'free') -> xr.DataArray:
  """A curve [run, step] of what was written, or of where probability goes."""
  data = results['curves'][name]
  return data.sel(task=task, drop=True) if 'task' in data.dims else data


def _each(fn, data: xr.DataArray, *levels: float) -> xr.Dataset:
  """An analysis of every run's curve [run, step]."""
  data = data.transpose('run', 'step')
  out = fn(
    jnp.asarray(data.values, jnp.float32),
    jnp.asarray(data['step'].values, jnp.float32),
    *levels,
  )
  arrays = {n: ('run', np.asarray(x)) for n, x in out.items()}
  return xr.Dataset(arrays, {'run': data['run'].values})


def onset(data: xr.DataArray, level: float) -> xr.Dataset:
  """before, after, at, censored [run] of the first crossing of a level."""
  return _each(_onset, data, level)


def half_rise(data: xr.DataArray, low: float, high: float = 1.0) -> xr.Dataset:
  """before, after, half and more [run], see `transitions.rise`."""
  return _each(_rise, data, low, high)


def fitted(data: xr.DataArray) -> xr.Dataset:
  """low, high, half, width, error [run] of the nearest logistic."""
  return _each(_logistic, data)


def margin(first: xr.Dataset, second: xr.Dataset) -> xr.DataArray:
  """How many times as late the second onset came, at least: [run]."""
  ends = (first['before'], first['after'], second['before'], second['after'])
  found = agreement.precedence(*(jnp.asarray(x.values) for x in ends))
  return first['after'].copy(data=np.asarray(found['margin']))


def concordance(onsets: list[xr.DataArray]) -> float:
  """Kendall's W of the order of several metrics' onsets [run] over runs."""
  stacked = jnp.stack([jnp.asarray(x.values) for x in onsets])
  return float(agreement.concordance(stacked)['w'])


def exponents(onsets: dict[int, xr.DataArray]) -> xr.DataArray:
  """The power of |K| with which an onset grows, of every seed.

  Args:
    onsets: |K| -> steps [run], inf or NaN where it never came.

  Returns:
    [run]; NaN where some onset never came.
  """
  sizes = jnp.asarray(sorted(onsets), jnp.float32)
  table = xr.concat([onsets[int(k)] for k in sizes], 'size').transpose(
    'run', 'size'
  )
  fit = lambda y: percolation.exponent(sizes, y)['exponent']
  found = jax.vmap(fit)(jnp.asarray(table.values, jnp.float32))
  made = table.isel(size=0, drop=True).copy(data=np.asarray(found))
  return made.where(np.isfinite(table).all('size'))


def farthest(simulated: xr.Dataset, of: str = 'share') -> xr.DataArray:
  """Largest distance of mean shares from the fixed point, from 1.5 p_c on."""
  apart = abs(simulated[of].mean('draw') - simulated['solved'])
  return apart.where(apart['times'] >= 1.5).max('times')


def crossing(data: xr.DataArray, level: float) -> xr.DataArray:
  """The first step [run] where a curve [run, step] is there, or NaN."""
  there = data >= level
  first = data['step'].isel(step=there.argmax('step'))
  return xr.where(there.any('step'), first, np.nan)
