"""The figures of the study `concept_space`: images."""

import numpy as np
import xarray as xr

from jaxsynth.experiments import _concept_space_figures as figures
from jaxsynth.experiments import _concept_space_numbers as numbers
from jaxsynth.experiments._concept_space_figures import SIGNAL
from jaxsynth.plots import curves, style
from jaxsynth.studies.study import Bench

LABELS = {'x': 'P(colour is blue)', 'y': 'P(size is small)'}


def read(data: xr.Dataset) -> xr.DataArray:
  """Share of the held-out class over training: who reads, what is done."""
  names = {
    'steered': numbers.best(data, 'steer', numbers.SIZE),
    'by classifier': numbers.naive(data),
    'by template': data['template'].isel({'class': -1}).values,
  }
  return xr.DataArray(
    np.stack(list(names.values())),
    {
      'what': list(names),
      'seed': data['seed_init'].values,
      'step': data['step'].values,
    },
    ('what', 'seed', 'step'),
  )


def paths(data: xr.Dataset):
  """Paths by a classifier's probabilities, and how often 11 is generated."""
  titles = ['probabilities of a classifier', 'colour strongest']
  fig, axes = style.grid(1, 2, width=4.8, height=3.7, titles=titles)
  ax, beside = axes.flat
  figures.draw_paths(ax, data, SIGNAL, 'signal of colour', LABELS)
  style.legend(ax)
  curves.curves(
    beside, read(numbers.cell(data, -1, SIGNAL)), hue='what', labels='legend'
  )
  beside.set_ylim(-0.02, 1.05)
  style.tidy(beside, y='share of the held-out class')
  return fig


def grid(gallery: xr.Dataset):
  """Generations of each class over training, of one run."""
  data = gallery['generated'].transpose(
    'class', 'step', 'y', 'sample', 'x', 'channel'
  )
  data = data.isel({'class': slice(None, None, -1)})
  rows, cols = data.sizes['class'], data.sizes['step']
  wide = 0.42 * data.sizes['sample'] + 0.1
  fig, axes = style.grid(rows, cols, width=wide, height=0.62)
  for i, row in enumerate(axes):
    for j, ax in enumerate(row):
      one = data.isel({'class': i, 'step': j}).values
      side = one.shape[0]
      picture = one.reshape(side, -1, one.shape[-1])
      ax.imshow(np.clip((picture + 1) / 2, 0, 1), interpolation='nearest')
      ax.set_xticks([])
      ax.set_yticks([])
      ax.spines[:].set_visible(False)
      if i == 0:
        step = curves.step_text(data['step'].values[j])
        ax.set_title(f'step {step}', fontsize=style.SMALL, color=style.INK)
      if j == 0:
        name = str(data['class'].values[i])
        ax.set_ylabel(
          name, fontsize=style.SMALL, color=style.INK, rotation=0, ha='right',
          va='center',
        )  # fmt: skip
  return fig


def draw(bench: Bench, data: xr.Dataset, gallery: xr.Dataset) -> None:
  """Draws every figure of images."""
  bench.figure(
    'image_paths',
    paths(data),
    'Small images. Left: the path of the held-out class 11 (white), prompted '
    'for small and blue, as a classifier trained on all classes sees it: mean '
    'probability of each concept. Thick: mean over seeds, thin: single seeds, '
    'smoothed over snapshots. Right: share of its generations that are of it '
    'where colour is strongest, by the classifier and by the nearest template, '
    'and with size steered; median and range over seeds.',
  )
  bench.figure(
    'images',
    grid(gallery),
    'Generations of a small U-Net over training where colour is strongest, one '
    'run, from the same noise at every step: rows are the classes prompted '
    'for, 00 red big, 01 red small, 10 blue big, and on top 11, blue small, '
    'which it never saw.',
  )
