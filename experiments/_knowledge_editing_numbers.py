"""From the results of the study `knowledge_editing` to one number a seed.

All take `edits`, of many single edits: shattering [run, distance, edit,
editor, order], drop [.., order, class] of accuracy, taken [run, distance,
edit, editor], accuracy [run, order, class] before, corrections [run]; and of
what the network is and what is written: windings [run, order, turn], change,
mistake [run, distance, edit] and reach [.., order]. Distance 0 stands for
corrections, of which the first `corrections` are real.
"""

import numpy as np
import xarray as xr

# A drop of accuracy below one point counts as one.
POINT = 0.01
# A ring that was learned winds in few ways.
TURNS = 3


def real(edits: xr.Dataset, what: str) -> xr.DataArray:
  """A variable without the corrections of what was right already."""
  number = xr.DataArray(np.arange(edits.sizes['edit']), dims='edit')
  kept = (edits['distance'] > 0) | (number < edits['corrections'])
  return edits[what].where(kept)


def torn(edits: xr.Dataset, method: str = 'rome') -> xr.DataArray:
  """Mean shattering over edits and orders, [run, distance]."""
  data = real(edits, 'shattering').sel(editor=method, drop=True)
  return data.mean(('edit', 'order'))


def lost(
  edits: xr.Dataset, method: str = 'rome', kind: str = 'direct'
) -> xr.DataArray:
  """Mean drop of accuracy of a class over edits, [run, distance, order]."""
  data = real(edits, 'drop').sel(editor=method, drop=True)
  return data.sel({'class': kind}, drop=True).mean('edit')


def farthest(data: xr.DataArray) -> xr.DataArray:
  """At the largest distance."""
  return data.isel(distance=-1, drop=True)


def nearest(data: xr.DataArray) -> xr.DataArray:
  """At distance 1."""
  return data.sel(distance=1, drop=True)


def least_rise(edits: xr.Dataset) -> xr.DataArray:
  """The least rise of shattering from one distance to the next, over R(1)."""
  R = torn(edits).sel(distance=slice(1, None))
  return R.diff('distance').min('distance') / nearest(R)


def times_torn(edits: xr.Dataset, method: str = 'rome') -> xr.DataArray:
  """Shattering at the largest distance over that at 1."""
  R = torn(edits, method)
  return farthest(R) / nearest(R)


def times_lost(edits: xr.Dataset) -> xr.DataArray:
  """Drop of direct accuracy at the largest distance over that at 1."""
  drop = lost(edits).mean('order')
  return farthest(drop) / np.maximum(nearest(drop), POINT)


def explained(edits: xr.Dataset, method: str = 'rome') -> xr.DataArray:
  """r^2 of shattering and drop of direct accuracy, over all edits."""
  changed = edits.sel(distance=slice(1, None), editor=method)
  R = changed['shattering'].mean('order')
  drop = changed['drop'].sel({'class': 'direct'}).mean('order')
  return xr.corr(R, drop, ('distance', 'edit')) ** 2


def as_far(edits: xr.Dataset) -> xr.DataArray:
  """How alike the drops of all orders are at the largest distance.

  Returns:
    The least of the ratios, either way, of the other orders to the edited
    one, [run]; 1 where all lose as much, 0 where one loses nothing.
  """
  drop = np.maximum(farthest(lost(edits)), 0.0)
  own, others = drop.isel(order=0, drop=True), drop.isel(order=slice(1, None))
  ratio = np.minimum(others / own, own / others)
  return ratio.fillna(0.0).min('order')


def correction(edits: xr.Dataset) -> xr.DataArray:
  """Shattering by corrections over that at the largest distance."""
  R = torn(edits)
  return R.isel(distance=0, drop=True) / farthest(R)


def taken(edits: xr.Dataset) -> xr.DataArray:
  """The least share of counterfactual edits that a method makes hold."""
  share = edits['taken'].sel(distance=slice(1, None)).mean(('edit', 'distance'))
  return share.min('editor')


def others_times_torn(edits: xr.Dataset) -> xr.DataArray:
  """The least `times_torn` of the methods other than ROME."""
  methods = [str(m) for m in edits['editor'].values if m != 'rome']
  return xr.concat([times_torn(edits, m) for m in methods], 'editor').min(
    'editor'
  )


def known(edits: xr.Dataset, kind: str) -> xr.DataArray:
  """Accuracy of a class before any edit, mean over orders."""
  return edits['accuracy'].sel({'class': kind}, drop=True).mean('order')


def ringed(edits: xr.Dataset) -> xr.DataArray:
  """The share of the commonest `TURNS` numbers of turns, [run, order]."""
  turns = edits['windings'].transpose(..., 'turn')
  most = np.sort(turns.values, -1)[..., -TURNS:].sum(-1)
  return turns.isel(turn=0, drop=True).copy(data=most)


def turned(edits: xr.Dataset) -> xr.DataArray:
  """Degrees between neighbours on the commonest circle, [run]."""
  turns = edits['windings'].idxmax('turn').mean('order')
  return turns * 360 / edits.sizes['place']


def reached(edits: xr.Dataset) -> xr.DataArray:
  """What facts of each order get of a change for another, [run, order]."""
  return edits['reach'].sel(distance=slice(1, None)).mean(('edit', 'distance'))


def times_changed(edits: xr.Dataset) -> xr.DataArray:
  """Size of the change of value at the largest distance over that at 1."""
  change = edits['change'].mean('edit')
  return farthest(change) / nearest(change)


def mistaken(edits: xr.Dataset) -> xr.DataArray:
  """Steps from the answer to the right one of facts to be corrected, [run]."""
  wrong = real(edits, 'mistake').sel(distance=0, drop=True)
  return wrong.mean('edit')
