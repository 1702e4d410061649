"""Results by run, taken apart."""

import numpy as np
import xarray as xr

from jaxsynth.studies import recipes


def test_every_run_is_found_at_its_recipe_and_seed():
  data = xr.Dataset(
    {'loss': ('run', np.arange(5.0)), 'rest': (('run', 'x'), np.eye(5, 3))},
    coords={'rate': ('run', np.ones(5)), 'run': list('abcde')},
  )
  names, seeds = ['top', 'l1', 'top', 'l1', 'other'], [3, 3, 0, 0, 7]
  got = recipes.split(data, names, seeds)
  assert got.recipe.values.tolist() == ['top', 'l1', 'other']
  assert set(got.coords) == {'recipe', 'seed'}
  for run, (name, seed) in enumerate(zip(names, seeds)):
    cell = got.sel(recipe=name, seed=seed)
    assert cell.loss == run
    assert (cell.rest.values == np.eye(5, 3)[run]).all()
  assert np.isnan(got.loss.sel(recipe='other', seed=3))
