"""From the results of the study `concept_space` to one number a seed.

All take `capabilities` by (run, step), whose runs are cells of signals x seeds,
and reduce them along the snapshots. The held-out class is the last one. A path
is smoothed by a Gaussian over snapshots of 2, an accuracy by 1.5, as published.
"""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr

from jaxsynth.analysis import concept_paths

PATH, ACCURACY = 2.0, 1.5
LEVEL = 0.9  # of an accuracy that counts as learned, published
FAILS = 0.5  # below this the plain prompt does not give the held-out class
COLOUR, SIZE = 0, 1


def seeds_of(data: xr.Dataset, values) -> dict[int, float]:
  """One number per run, named by its seed."""
  seeds = data['seed_init'].values.tolist()
  return dict(zip(seeds, np.asarray(values, float).tolist()))


def cell(data: xr.Dataset, where: int, axis: str) -> xr.Dataset:
  """The runs at the where-th smallest value of a swept axis."""
  value = np.unique(data[axis].values)[where]
  return data.isel(run=np.flatnonzero(data[axis].values == value))


def values_of(data: xr.Dataset, axis: str) -> np.ndarray:
  """The values of a swept axis, increasing."""
  return np.unique(data[axis].values)


def share(data: xr.Dataset) -> np.ndarray:
  """Generations of the held-out class with each concept on, [R, K, n]."""
  return data['share'].isel({'class': -1}).values


def naive(data: xr.Dataset) -> np.ndarray:
  """Generations of the held-out class that are of it, [R, K]."""
  return data['naive'].isel({'class': -1}).values


def best(data: xr.Dataset, what: str, concept: int) -> np.ndarray:
  """The same under the best strength of an intervention, [R, K].

  Args:
    data: of the stage.
    what: 'overprompt', 'steer', or 'random', the mean over directions.
    concept: the one that is pushed.
  """
  found = data[what].isel(concept=concept)
  found = found.max('push' if what == 'overprompt' else 'alpha')
  if what == 'random':
    found = found.mean('direction')
  return found.transpose('run', 'step').values


def times(data: xr.Dataset, curves: np.ndarray, level: float = LEVEL):
  """Learning times of accuracies [R, K]: steps [R], and whether found [R]."""
  steps = jnp.asarray(data['step'].values, float)
  found = [
    concept_paths.learned(
      concept_paths.smoothed(jnp.asarray(c), ACCURACY), steps, level
    )
    for c in curves
  ]
  return tuple(np.array([f[k] for f in found]) for k in ('at', 'found'))


def paths(data: xr.Dataset) -> list[dict[str, float]]:
  """`concept_paths.departure` of each run's path, smoothed."""
  smooth = lambda s: concept_paths.smoothed(jnp.asarray(s[:, :2]), PATH)
  return [
    {k: float(v) for k, v in concept_paths.departure(smooth(s)).items()}
    for s in share(data)
  ]


def departures(data: xr.Dataset) -> np.ndarray:
  """Signed distances from the diagonal, where largest, [R]."""
  return np.array([path['farthest'] for path in paths(data)])


def turns(data: xr.Dataset) -> np.ndarray:
  """The angle of each path at its farthest point, degrees, [R]."""
  return np.array([path['turn'] for path in paths(data)])


def learning(data: xr.Dataset, concept: int, axis: str, level: float = LEVEL):
  """Learning times of a concept of the held-out class by cell.

  Returns:
    seeds [S], values of the axis [V], and times [S, V], the last step where
    the concept is not learned.
  """
  at, _ = times(data, share(data)[..., concept], level)
  seeds = np.unique(data['seed_init'].values)
  values = values_of(data, axis)
  table = np.full((len(seeds), len(values)), np.nan)
  rows = np.searchsorted(seeds, data['seed_init'].values)
  table[rows, np.searchsorted(values, data[axis].values)] = at
  return seeds, values, table


def follows(
  data: xr.Dataset, concept: int, axis: str, level: float = LEVEL
) -> dict[int, float]:
  """Rank correlation of a concept's learning time and the axis, by seed.

  Where all times are one there is no order: 0.
  """
  seeds, values, table = learning(data, concept, axis, level)
  found = pd.DataFrame(table.T, values).reset_index().corr('spearman')
  rank = found['index'].drop('index').fillna(0.0)
  return dict(zip(seeds.tolist(), rank.tolist()))


def leaning(data: xr.Dataset, axis: str) -> dict[int, float]:
  """How far paths lean to the stronger concept, at both ends of the axis.

  The lesser of the departure towards size at the smallest signal of colour and
  of that towards colour at the largest.
  """
  low, high = cell(data, 0, axis), cell(data, -1, axis)
  both = np.minimum(departures(low), -departures(high))
  return seeds_of(low, both)


def hidden(data: xr.Dataset, curves: np.ndarray) -> dict[int, float]:
  """The best accuracy [R, K] while the plain prompt fails, by seed; 0 if never.

  Args:
    data: of one cell.
    curves: accuracies on the held-out class under an intervention.
  """
  fails = naive(data) <= FAILS
  return seeds_of(data, np.where(fails, curves, 0.0).max(1))


def earlier(data: xr.Dataset, curves: np.ndarray) -> dict[int, float]:
  """How many times later than the intervention the plain prompt works.

  A prompt that never does counts as the last step.
  """
  after, _ = times(data, naive(data))
  before, _ = times(data, curves)
  return seeds_of(data, after / np.maximum(before, 1))


def last(data: xr.Dataset, curves: np.ndarray, count: int = 3):
  """The mean over the last snapshots, by seed."""
  return seeds_of(data, curves[:, -count:].mean(1))


def in_order(data: xr.Dataset) -> dict[int, float]:
  """The least ratio of the learning times of successive concepts, by seed."""
  table = np.stack(
    [times(data, share(data)[..., i])[0] for i in range(data.sizes['concept'])]
  )
  ratio = table[1:] / np.maximum(table[:-1], 1)
  return seeds_of(data, ratio.min(0))
