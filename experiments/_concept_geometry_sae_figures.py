"""The figures of the study `concept_geometry_sae`, drawn from its results."""

import numpy as np
import xarray as xr

from jaxsynth.experiments import _concept_geometry_sae_numbers as numbers
from jaxsynth.plots import curves, fields, heat, points, style
from jaxsynth.studies.study import Bench

KINDS = ('relu', 'jumprelu', 'topk', 'spade')
NAMES = {
  'relu': 'ReLU',
  'jumprelu': 'JumpReLU',
  'topk': 'TopK',
  'spade': 'SpaDE',
}


def shown(recipe: str) -> str:
  """'relu 0.001' as people read it."""
  kind, value = recipe.split()
  letter = 'k' if kind == 'topk' else 'γ'
  return f'{NAMES[kind]}, {letter} = {value}'


def named(data: xr.DataArray) -> xr.DataArray:
  """The same with recipes as people read them, kinds in their order."""
  order = [numbers.of(data, kind)['recipe'].values for kind in kinds(data)]
  data = data.sel(recipe=np.concatenate(order))
  return data.assign_coords(recipe=[shown(r) for r in data['recipe'].values])


def kinds(data: xr.DataArray) -> list[str]:
  """The kinds there are, in their order."""
  return [k for k in KINDS if numbers.of(data, k).sizes['recipe']]


def chosen(f1: xr.DataArray) -> list[str]:
  """The recipe of each kind with the largest inner F1 at the end.

  Args:
    f1: dimensions recipe, seed, step, concept; the median over seeds counts.
  """
  inner = numbers.ring(f1.isel(step=-1), numbers.INNER).median('seed')
  best = lambda kind: numbers.of(inner, kind).idxmax('recipe').item()
  return [best(kind) for kind in kinds(inner)]


def scores(geometry: xr.Dataset):
  """F1 on inner and outer concepts, every recipe and seed."""
  titles = ['inner concepts', 'outer concepts']
  fig, axes = style.grid(1, 2, width=5.2, height=3.8, titles=titles)
  for ax, parity in zip(axes.flat, (numbers.INNER, numbers.OUTER)):
    data = named(numbers.ring(geometry['f1'], parity))
    points.by_group(
      ax,
      data.isel(step=-1),
      null=data.isel(step=0),
      label='F1, mean of the best 5 latents',
    )
    ax.set_xticks(
      ax.get_xticks(), data['recipe'].values, rotation=60, ha='right'
    )
    ax.set_xlabel('')
    ax.set_ylim(0, 1.05)
  return fig


def receptive(plane: xr.Dataset, f1: xr.DataArray, reach: float):
  """Receptive fields of the best latents of three concepts, by kind."""
  recipes = chosen(f1)
  titles = [shown(r) for r in recipes]
  fig, axes = style.grid(1, len(recipes), width=3.2, height=3.0, titles=titles)
  shown_concepts = {0: 'outer', 1: 'inner', 3: 'inner, another'}
  for ax, recipe in zip(axes.flat, recipes):
    one = plane.sel(recipe=recipe).isel(seed=0)
    fields.regions(
      ax,
      one['field'].sel(concept=list(shown_concepts)).values,
      reach,
      [f'best latent for\n{name} concept' for name in shown_concepts.values()],
      points=one['points'].values,
      legend=recipe == recipes[-1],
    )
  return fig


def dimensions(geometry: xr.Dataset):
  """L0, error and dimension of what is rebuilt, against the true dimension."""
  panels = {
    'l0': 'active latents (L0)',
    'nmse': 'error over variance (NMSE)',
    'rebuilt': 'dimension of reconstructions',
  }
  fig, axes = style.grid(1, 3, width=4.4, height=3.4, titles=[*panels.values()])
  last = geometry.isel(step=-1).swap_dims(concept='dimension')
  last = last.drop_vars('concept')
  dims = last['dimension'].values
  for ax, name in zip(axes.flat, panels):
    curves.curves(
      ax,
      named(last[name]),
      x='dimension',
      hue='recipe',
      labels='none',
      log_steps=False,
    )
    ax.set_xscale('log')
    ax.set_xticks(dims, [str(d) for d in dims])
    ax.minorticks_off()
    ax.set_xlabel('intrinsic dimension of the concept', fontsize=style.SMALL)
  cloud = last['spans'].median(['recipe', 'seed'])
  axes[0, 2].plot(dims, cloud, '--', color=style.MUTED, label='the points')
  style.legend(axes[0, 2])
  curves.log_values(axes[0, 0])
  curves.log_values(axes[0, 2])
  return fig


def training(planar: xr.Dataset, wide: xr.Dataset):
  """Over training: F1 on inner concepts, and L0 at the ends of dimension."""
  titles = ['F1 on inner concepts', 'L0: largest over smallest dimension']
  fig, axes = style.grid(1, 2, width=5.4, height=3.4, titles=titles)
  recipes = chosen(planar['f1'])
  inner = numbers.ring(planar['f1'].sel(recipe=recipes), numbers.INNER)
  curves.curves(axes[0, 0], named(inner), hue='recipe')
  ratio = numbers.ends_ratio(wide['l0'])
  first = [numbers.of(ratio, k)['recipe'].values[0] for k in kinds(ratio)]
  curves.curves(axes[0, 1], named(ratio.sel(recipe=first)), hue='recipe')
  return fig


def together(plane: xr.Dataset, f1: xr.DataArray):
  """Cosines between latents, sorted by concept, by kind."""
  recipes = chosen(f1)
  titles = [shown(r) for r in recipes]
  fig, axes = style.grid(1, len(recipes), width=3.5, height=3.0, titles=titles)
  for ax, recipe in zip(axes.flat, recipes):
    one = plane['similar'].sel(recipe=recipe).isel(seed=0)
    one = one.rename(latent='latent, by concept', other='latent')
    heat.heatmap(ax, one, low=0, high=1, values=False, label='cosine')
    ax.set_aspect('equal')
  return fig


def draw(bench: Bench, planar: dict, wide: dict) -> None:
  """Draws every figure of the study."""
  f1, plane = planar['geometry']['f1'], planar['plane']
  reach = bench.config.measure.mesh.reach
  bench.figure(
    'f1',
    scores(planar['geometry']),
    'How well single latents tell a concept from the others, one dot a seed, '
    'bar: median; hollow: before training. Inner concepts lie between outer '
    'ones, so that no line separates them from the rest.',
  )
  bench.figure(
    'fields',
    receptive(plane, f1, reach),
    'Where the best latents for three concepts are active (first seed, the '
    'recipe of each kind with the best F1 on inner concepts); dots: data.',
  )
  bench.figure(
    'dimensions',
    dimensions(wide['geometry']),
    'Active latents, reconstruction error and dimension of the reconstructions '
    '(participation ratio) of each concept against its intrinsic dimension; '
    'line: median over seeds, band: range. Where L0 is near the width, as for '
    'JumpReLU here, the codes are not sparse at all.',
  )
  bench.figure(
    'training',
    training(planar['geometry'], wide['geometry']),
    'The same over training. Left: the recipe of each kind with the best F1 at '
    'the end; SpaDE starts high. Right: above one, more latents are spent on '
    'the concept of the largest dimension than on that of the smallest.',
  )
  bench.figure(
    'together',
    together(plane, f1),
    'Which latents are active together: cosines of their codes over points of '
    'the plane, sorted by concept (first seed, same recipes as above). Blocks '
    'on the diagonal mean that latents of different concepts do not mix.',
  )
