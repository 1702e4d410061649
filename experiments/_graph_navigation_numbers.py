"""From the results of the study `graph_navigation` to one number a seed.

`navigated` holds answers [run, snapshot, pair] to unseen pairs, half of them
with a path; see the measures. What is said of paths is said of those.
"""

import numpy as np
import xarray as xr


def by_seed(data: xr.Dataset, **hparams: float) -> xr.Dataset:
  """The runs with these traced values of the task, named by their seeds."""
  kept = np.ones(data.sizes['run'], bool)
  for name, value in hparams.items():
    kept &= data[f'task_{name}'].values == value
  part = data.isel(run=kept)
  named = part.assign_coords(run=part['seed_init'].values)
  table = [c for c in named.coords if named[c].dims == ('run',) and c != 'run']
  return named.drop_vars(table)


def accuracy(navigated: xr.Dataset) -> xr.DataArray:
  """Share of right labels, [run, snapshot]."""
  return navigated['right'].mean('pair')


def span_alone(navigated: xr.Dataset) -> xr.DataArray:
  """Share of labels that the span alone gets right, [run]."""
  return navigated['right_by_span'].mean('pair')


def of_span(navigated: xr.Dataset) -> xr.DataArray:
  """Share of right labels by span, half of it for each label.

  Returns:
    [run, snapshot, span]; NaN where a label does not occur.
  """
  right, path = navigated['right'], navigated['path']
  spans = np.unique(navigated['span'].values)
  parts = []
  for span in spans:
    here = navigated['span'] == span
    both = [right.where(here & (path == p)).mean('pair') for p in (0, 1)]
    parts.append(sum(both) / 2)
  return xr.concat(parts, xr.Variable('span', spans))


def edge_accuracy(navigated: xr.Dataset) -> xr.DataArray:
  """Share of the written steps that are edges, [run, snapshot]."""
  of = lambda name: navigated[name].where(navigated['path']).sum('pair')
  return of('edges') / of('steps')


def planning_accuracy(navigated: xr.Dataset) -> xr.DataArray:
  """Share of the valid paths that reach the goal, 0 without any."""
  valid = navigated['valid'] & navigated['path']
  arrives = (valid & navigated['arrives']).sum('pair')
  return arrives / np.maximum(valid.sum('pair'), 1)


def missteps(navigated: xr.Dataset) -> xr.DataArray:
  """Share of paths with a step that is no edge, [run, snapshot]."""
  return (~navigated['valid']).where(navigated['path']).mean('pair')


def planning_failures(navigated: xr.Dataset) -> xr.DataArray:
  """Share of paths that are valid and do not reach the goal."""
  failed = navigated['valid'] & ~navigated['arrives']
  return failed.where(navigated['path']).mean('pair')


def onset(curve: xr.DataArray, level: float) -> xr.DataArray:
  """The first snapshot at which a curve is at least at a level, [run]; +inf."""
  there = curve >= level
  first = curve['snapshot'].isel(snapshot=there.argmax('snapshot'))
  return first.where(there.any('snapshot'), np.inf).drop_vars('snapshot')


def success(tempered: xr.Dataset) -> xr.DataArray:
  """Share of sampled paths that are valid and arrive, [run, step, X]."""
  return tempered['success'].mean('of_pair')


def found(tempered: xr.Dataset) -> xr.DataArray:
  """Different valid paths sampled, as a share of all there are."""
  every = tempered['paths'].sum('of_pair')
  return tempered['different_valid'].sum('of_pair') / every


def peak(curve: xr.DataArray) -> xr.DataArray:
  """The most between the ends of `temperature`, over the more at the ends."""
  inner = curve.isel(temperature=slice(1, -1)).max('temperature')
  ends = curve.isel(temperature=[0, -1]).max('temperature')
  return inner / np.maximum(ends, 1e-9)


def fall(curve: xr.DataArray) -> xr.DataArray:
  """What is lost from the lowest to the highest temperature."""
  first, last = (curve.isel(temperature=i, drop=True) for i in (0, -1))
  return first - last


def rise(curve: xr.DataArray) -> xr.DataArray:
  """The largest gain from one temperature to the next."""
  return curve.diff('temperature').max('temperature')


def shorter(lengths: xr.Dataset, what: str = 'written') -> xr.DataArray:
  """Share of pairs whose paths are shorter than the mean of all.

  Pairs whose paths all have one length, and those none of whose paths
  arrives, do not count.

  Args:
    lengths: written, greedy, sampled, known, varied [run, step, of_pair].
    what: 'written' by the network, 'greedy', or 'sampled' uniformly.
  """
  counted = lengths['varied'] & np.isfinite(lengths[what])
  less = lengths[what] < lengths['known']
  return less.where(counted).mean('of_pair')


def bias(lengths: xr.Dataset, what: str = 'written') -> xr.DataArray:
  """Mean length less the mean of all paths, in edges, over the same pairs."""
  counted = lengths['varied'] & np.isfinite(lengths[what])
  return (lengths[what] - lengths['known']).where(counted).mean('of_pair')


def nearness(rule: xr.Dataset) -> xr.DataArray:
  """Correlation of what a goal says for a node with its distance to the goal.

  Returns:
    Pearson's, over all pairs with a path, [run, step].
  """
  there = np.isfinite(rule['distance'])
  said = rule['of_goal'].where(there)
  return xr.corr(said, rule['distance'], ('goal', 'node'))
