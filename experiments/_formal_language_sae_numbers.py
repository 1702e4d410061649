"""From the results of `formal_language_sae` to one number per seed.

Recipes are named by what their sweep changes: 'topk causal=0', 'l1
sparsity=0.1'. Results have the dimensions recipe and seed; `step` is 'start',
the autoencoder before any update, or 'end'.
"""

from typing import TypeVar

import numpy as np
import xarray as xr

# A latent and a feature belong together from this correlation on; published.
TOGETHER = 0.5
# And it tells the feature from this one on; from the spec of the study.
TELLS = 0.8
# A statistic of strings that moves by less than this many of its deviations
# between strings has not moved.
SHIFT = 0.5


Data = TypeVar('Data', xr.DataArray, xr.Dataset)


def of(data: Data, name: str) -> Data:
  """The recipes of one name, in the order of what was swept."""
  labels = data['recipe'].values
  found = data.isel(recipe=[str(n).split()[0] == name for n in labels])
  if not found.sizes['recipe']:
    raise KeyError(name)
  return found


def first(data: Data, name: str) -> Data:
  """The recipe of a name with the first of the values that were swept."""
  return of(data, name).isel(recipe=0, drop=True)


def last(data: Data, name: str) -> Data:
  """The recipe of a name with the last of the values that were swept."""
  return of(data, name).isel(recipe=-1, drop=True)


def idle(r: xr.DataArray, effect: xr.DataArray) -> xr.DataArray:
  """Of the latents that belong to a feature, the share without effect on it.

  Args:
    r: correlations with the feature, dimensions latent and seed; also feature,
      then of all pairs that belong together.
    effect: of clamping the latent on the feature, likewise.
  """
  pairs = [d for d in r.dims if d != 'seed']
  together = np.abs(r) >= TOGETHER
  still = together & (np.abs(effect) < SHIFT)
  return still.sum(pairs) / together.sum(pairs)


def moved(effect: xr.DataArray) -> xr.DataArray:
  """The same of a control that is one thing: 1 without effect, else 0."""
  return (np.abs(effect) < SHIFT).astype(float)


def told(best: xr.DataArray) -> xr.DataArray:
  """The share of features that some latent tells, by its correlation.

  Args:
    best: largest |r| with each feature, dimensions feature and seed.
  """
  return (best >= TELLS).mean('feature')


def over(data: xr.DataArray, name: str) -> xr.DataArray:
  """What the last recipe of a name has, over what the first one has."""
  return last(data, name) / first(data, name)
