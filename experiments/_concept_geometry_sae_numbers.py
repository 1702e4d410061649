"""From the results of `concept_geometry_sae` to one number per seed.

Each function takes labelled results with the dimensions recipe and seed, and
reduces them to the number a claim is judged on, dimension seed.
"""

import numpy as np
import xarray as xr

# Kinds that the paper finds wanting where concepts are not separable.
OTHERS = ('relu', 'jumprelu', 'topk')
INNER, OUTER = 1, 0


def of(data: xr.DataArray, *kinds: str) -> xr.DataArray:
  """The recipes of some kinds of autoencoder."""
  names = data['recipe'].values
  return data.isel(recipe=[n.split()[0] in kinds for n in names])


def ring(f1: xr.DataArray, parity: int) -> xr.DataArray:
  """The mean over the inner (odd) or outer (even) concepts."""
  return f1.isel(concept=slice(parity, None, 2)).mean('concept')


def gap_at_best(
  inner: xr.DataArray, outer: xr.DataArray, kind: str
) -> xr.DataArray:
  """Outer less inner, in the recipe of a kind whose outer is the largest."""
  inner, outer = of(inner, kind), of(outer, kind)
  best = outer.argmax('recipe')
  gap = (outer - inner).isel(recipe=best)
  return gap.drop_vars('recipe')


def steps_up(l0: xr.DataArray) -> xr.DataArray:
  """The least ratio of L0 between concepts of successive dimensions."""
  after, before = l0.isel(concept=slice(1, None)), l0.isel(concept=slice(-1))
  ratio = after.drop_vars(['concept', 'dimension'], errors='ignore')
  before = before.drop_vars(['concept', 'dimension'], errors='ignore')
  return (ratio / before).min('concept')


def ends_ratio(values: xr.DataArray) -> xr.DataArray:
  """The value at the largest dimension over that at the smallest."""
  last, first = values.isel(concept=-1), values.isel(concept=0)
  names = ['concept', 'dimension']
  return last.drop_vars(names, errors='ignore') / first.drop_vars(
    names, errors='ignore'
  )


def spread(l0: xr.DataArray) -> xr.DataArray:
  """The largest less the smallest over concepts."""
  return l0.max('concept') - l0.min('concept')


def seeds_of(data: xr.DataArray) -> dict[int, float]:
  """One number per seed, as claims take them."""
  data = data.squeeze(drop=True) if data.ndim > 1 else data
  values = np.atleast_1d(data.values).tolist()
  return dict(zip(data['seed'].values.tolist(), values))
