"""From the results of the study `function_composition` to one number a seed.

Most take `composed`, accuracies [run, step, composition] with coordinates
active, swapped and ordered of the compositions, and seen [run, step,
composition]; the dimension step stays.
"""

import xarray as xr


def unseen(composed: xr.Dataset, what: str = 'letters') -> xr.DataArray:
  """Mean accuracy on compositions in order that were not in training."""
  kept = composed['ordered'] & ~composed['seen']
  return composed[what].where(kept).mean('composition')


def seen(composed: xr.Dataset, what: str = 'letters') -> xr.DataArray:
  """Mean accuracy on compositions in order that were in training."""
  return composed[what].where(composed['seen']).mean('composition')


def out_of_order(composed: xr.Dataset, what: str = 'letters') -> xr.DataArray:
  """Mean accuracy on compositions out of order."""
  return composed[what].where(~composed['ordered']).mean('composition')


def by_active(composed: xr.Dataset, what: str = 'letters') -> xr.DataArray:
  """Mean accuracy in order, by how many functions are not the identity.

  Returns:
    Dimensions run, step and functions; NaN where every such composition was
    in training.
  """
  kept = composed['ordered'] & ~composed['seen']
  values = composed[what].where(kept)
  return values.groupby('active').mean().rename(active='functions')


def deep_over_shallow(composed: xr.Dataset) -> xr.DataArray:
  """Accuracy at most functions over that at two, on unseen compositions."""
  by = by_active(composed)
  return by.isel(functions=-1, drop=True) / by.sel(functions=2, drop=True)


def mastered(composed: xr.Dataset) -> xr.DataArray:
  """Unseen compositions in order without any error, for each one trained."""
  right = (composed['exact'] == 1) & composed['ordered'] & ~composed['seen']
  return right.sum('composition') / composed['seen'].sum('composition')


def left(ablated: xr.Dataset, site: str, what: str = 'letters') -> xr.DataArray:
  """Accuracy with a site of the last layer at its mean, over the intact one.

  Args:
    ablated: letters and separators [run, step, part], see the measures.
    site: 'attn_out' or 'mlp_out'.
    what: 'letters' or 'separators'.
  """
  names = [str(p) for p in ablated['part'].values]
  last = [n for n in names if n.split()[::2] == [site, 'mean']][-1]
  intact = ablated[what].sel(part=names[0], drop=True)
  return ablated[what].sel(part=last, drop=True) / intact


def strongest(looks: xr.DataArray) -> xr.DataArray:
  """The attention of the head that looks there most, [run, step]."""
  return looks.max(('layer', 'head'))
