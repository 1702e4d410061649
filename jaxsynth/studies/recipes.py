"""Results by run as results by recipe and seed, where runs differ by both."""

from collections.abc import Sequence

import numpy as np
import xarray as xr


def split(
  data: xr.Dataset, recipes: Sequence[str], seeds: Sequence[int]
) -> xr.Dataset:
  """Dimension run as two: the recipe and the seed.

  Args:
    data: of one training, by run; its table of runs is left out.
    recipes: of each run [R], any names.
    seeds: of each run [R].

  Returns:
    Dimensions recipe, in order of appearance, and seed in place of run;
    missing where a recipe was not trained on a seed.
  """
  recipes, seeds = np.asarray(recipes), np.asarray(seeds)
  bare = data.drop_vars([c for c in data.coords if 'run' in data[c].dims])
  parts = [
    bare.isel(run=np.flatnonzero(recipes == recipe))
    .rename(run='seed')
    .assign_coords(seed=seeds[recipes == recipe])
    .expand_dims(recipe=[recipe])
    for recipe in dict.fromkeys(recipes.tolist())
  ]
  return xr.concat(parts, 'recipe', join='outer')
