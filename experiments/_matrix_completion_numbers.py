"""From the results of the study `matrix_completion` to one number per seed."""

import numpy as np
import xarray as xr

# A plateau: hidden entries no better than 0, observed ones copied.
PLATEAU, COPIED = 0.9, 0.05
# A fall passes from the plateau to this.
HALF = 0.5


def on_plateau(hidden: xr.DataArray, observed: xr.DataArray) -> xr.DataArray:
  """Share of the snapshots on the plateau; dimension step."""
  return ((hidden >= PLATEAU) & (observed <= COPIED)).mean('step')


def first(found: xr.DataArray) -> xr.DataArray:
  """The first step at which something is found, inf if it never is."""
  steps = xr.where(found, found['step'], np.inf)
  return steps.min('step')


def onset(hidden: xr.DataArray) -> xr.DataArray:
  """The first snapshot after the last one on the plateau; inf if none is.

  A snapshot on the plateau has an error of at least PLATEAU.
  """
  last = xr.where(hidden >= PLATEAU, hidden['step'], -1).max('step')
  return first(hidden['step'] > last)


def fall(hidden: xr.DataArray) -> xr.DataArray:
  """Length of the fall from PLATEAU to HALF over the steps until it ended.

  Between the last snapshot above PLATEAU and the first below HALF; a fall that
  never ends is inf.
  """
  end = first(hidden < HALF)
  before = hidden['step'].where(hidden['step'] < end)
  start = before.where(hidden >= PLATEAU).max('step')
  return ((end - start) / end).where(np.isfinite(end), np.inf)


def steepest(hidden: xr.DataArray, part: float = 0.05) -> xr.DataArray:
  """The largest share of the whole fall that came within a part of the steps.

  Args:
    hidden: errors; dimension step, evenly spaced, step 0 the initialisation.
    part: of all steps; at least one interval between snapshots.

  Returns:
    The largest decrease over a window of that length, over that from the first
    snapshot on the plateau to the end. An even fall has the length of its
    window.
  """
  trained = hidden.isel(step=slice(1, None))
  window = max(1, int(part * (hidden.sizes['step'] - 1)))
  before = trained.isel(step=slice(None, -window)).drop_vars('step')
  after = trained.isel(step=slice(window, None)).drop_vars('step')
  whole = 1 - trained.isel(step=-1, drop=True)
  return (before - after).max('step') / whole


def straight(hidden: xr.DataArray) -> xr.DataArray:
  """A curve that falls evenly from 1 to where this one ends."""
  step = hidden['step'] / hidden['step'].max()
  return 1 - (1 - hidden.isel(step=-1, drop=True)) * step


def best_ratio(curves: xr.Dataset) -> xr.DataArray:
  """The largest attention of a head to the own row or column, over uniform."""
  both = np.maximum(curves['row'], curves['column'])
  return both.max(('layer', 'head'))


def copied(curves: xr.Dataset) -> xr.DataArray:
  """The larger error, over the values shown, to what is shown."""
  return curves['copied'].max('shown')
