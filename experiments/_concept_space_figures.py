"""The figures of the study `concept_space`: vectors."""

import numpy as np
import xarray as xr

from jaxsynth.analysis import concept_paths
from jaxsynth.experiments import _concept_space_numbers as numbers
from jaxsynth.plots import curves, style
from jaxsynth.studies.study import Bench

SIGNAL, MASKING = 'task_colour_signal', 'task_masking'
LABELS = {'x': 'share with colour of 11', 'y': 'share with size of 11'}


def smoothed(path: np.ndarray) -> np.ndarray:
  """A path [K, 2], or a mean of some, as the numbers see it."""
  return np.asarray(concept_paths.smoothed(path, numbers.PATH))


def corners(ax, labels: dict[str, str] = LABELS) -> None:
  """The unit square with its four classes and the diagonal."""
  ax.plot([0, 1], [0, 1], ':', color=style.MUTED, linewidth=1)
  for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
    held = x == y == 1
    ax.plot(
      x, y, 's', markersize=9, markeredgecolor=style.INK, clip_on=False,
      color='white' if held else style.INK, zorder=3,
    )  # fmt: skip
    ax.annotate(
      f'{x}{y}', (x, y), textcoords='offset points',
      xytext=(10 if x == 0 else -24, 8 if y == 0 else -14),
      fontsize=style.SMALL, color=style.MUTED,
    )  # fmt: skip
  ax.set_xlim(-0.03, 1.03)
  ax.set_ylim(-0.03, 1.03)
  ax.set_aspect('equal')
  style.tidy(ax, **labels)


def draw_paths(
  ax, data: xr.Dataset, axis: str, what: str, labels: dict[str, str] = LABELS
) -> None:
  """Mean path of each cell, those of single seeds faint behind it."""
  values = numbers.values_of(data, axis)
  for i, (value, colour) in enumerate(zip(values, style.shades(len(values)))):
    each = numbers.share(numbers.cell(data, i, axis))[..., :2]
    for path in each:
      ax.plot(*smoothed(path).T, color=colour, linewidth=0.7, alpha=0.35)
    ax.plot(
      *smoothed(each.mean(0)).T, color=colour, linewidth=2,
      label=f'{what} = {value:g}',
    )  # fmt: skip
  corners(ax, labels)


def paths(data: xr.Dataset, ddpm: xr.Dataset):
  """Paths of the held-out class by colour signal, in both kinds of time."""
  titles = ['continuous time, variational', 'discrete time, DDPM']
  fig, axes = style.grid(1, 2, width=4.6, height=3.9, titles=titles)
  for ax, one in zip(axes.flat, (data, ddpm)):
    draw_paths(ax, one, SIGNAL, 'colour signal')
    style.legend(ax)
  return fig


def speeds(data: xr.Dataset):
  """Learning times of both concepts against the signal of colour."""
  fig, ax = style.figure(5.4, 3.6)
  found = {}
  for concept, name in ((numbers.COLOUR, 'colour'), (numbers.SIZE, 'size')):
    seeds, values, table = numbers.learning(data, concept, SIGNAL)
    found[name] = table
  table = xr.DataArray(
    np.stack(list(found.values())),
    {'concept': list(found), 'seed': seeds, 'signal': values},
    ('concept', 'seed', 'signal'),
  )
  curves.curves(ax, table, x='signal', hue='concept', log_steps=False)
  ax.set_xscale('log')
  ax.set_xticks(values, [f'{v:g}' for v in values])
  ax.minorticks_off()
  curves.log_values(ax)
  style.tidy(
    ax, x="signal of colour (size's is the same in all)",
    y='learned at step',
  )  # fmt: skip
  return fig


def accuracies(strong: xr.Dataset, concept: int) -> xr.DataArray:
  """Share of the held-out class under each intervention on a concept."""
  best = lambda what: numbers.best(strong, what, concept)
  names = {
    'steered': best('steer'),
    'overprompted': best('overprompt'),
    'last embedding': strong['swap'].values,
    'plain prompt': numbers.naive(strong),
    'random direction': best('random'),
  }
  return xr.DataArray(
    np.stack(list(names.values())),
    {
      'what': list(names),
      'seed': strong['seed_init'].values,
      'step': strong['step'].values,
    },
    ('what', 'seed', 'step'),
  )


def hidden(data: xr.Dataset):
  """Interventions over training where colour is strongest and weakest."""
  titles = [
    'colour strongest: interventions on size',
    'colour weakest: interventions on colour',
  ]
  fig, axes = style.grid(1, 2, width=5.0, height=3.4, titles=titles)
  shown = ((-1, numbers.SIZE, 'none'), (0, numbers.COLOUR, 'legend'))
  for ax, (where, concept, labels) in zip(axes.flat, shown):
    table = accuracies(numbers.cell(data, where, SIGNAL), concept)
    curves.curves(ax, table, hue='what', labels=labels)
    ax.set_ylim(-0.02, 1.05)
    style.tidy(ax, y='share of the held-out class')
  return fig


def masked(data: xr.Dataset):
  """Drift under masked prompts, and what interventions still give."""
  titles = ['plain prompt for the held-out class', 'in the end']
  fig, axes = style.grid(1, 2, width=5.0, height=3.4, titles=titles)
  values = numbers.values_of(data, MASKING)
  cells = [numbers.cell(data, i, MASKING) for i in range(len(values))]
  share = [numbers.share(c)[..., numbers.COLOUR] for c in cells]
  table = xr.DataArray(
    np.stack(share),
    {
      'masked': [f'{v:g}' for v in values],
      'seed': cells[0]['seed_init'].values,
      'step': data['step'].values,
    },
    ('masked', 'seed', 'step'),
  )
  curves.curves(axes[0, 0], table, hue='masked', ordered=True)
  style.tidy(axes[0, 0], y='share with its colour')
  ends = {
    'steered': lambda c: numbers.best(c, 'steer', numbers.COLOUR),
    'overprompted': lambda c: numbers.best(c, 'overprompt', numbers.COLOUR),
    'plain prompt': numbers.naive,
    'random direction': lambda c: numbers.best(c, 'random', numbers.COLOUR),
  }
  last = np.stack([
    [f(c)[:, -3:].mean(1) for c in cells] for f in ends.values()
  ])  # fmt: skip
  table = xr.DataArray(
    last,
    {'what': list(ends), 'place': np.arange(len(values)),
     'seed': cells[0]['seed_init'].values},
    ('what', 'place', 'seed'),
  )  # fmt: skip
  ax = axes[0, 1]
  curves.curves(ax, table, x='place', hue='what', labels='legend',
                log_steps=False)  # fmt: skip
  ax.set_xticks(table['place'].values, [f'{v:g}' for v in values])
  style.tidy(ax, x='share masked', y='share of the held-out class')
  for one in axes.flat:
    one.set_ylim(-0.02, 1.05)
  return fig


def triple(data: xr.Dataset):
  """Three concepts: the share of the held-out class with each."""
  fig, ax = style.figure(5.2, 3.4)
  table = xr.DataArray(
    numbers.share(data),
    {
      'seed': data['seed_init'].values,
      'step': data['step'].values,
      'concept': ['strong', 'middle', 'weak'],
    },
    ('seed', 'step', 'concept'),
  )
  curves.curves(ax, table, hue='concept')
  ax.set_ylim(-0.02, 1.05)
  style.tidy(ax, y='share with the concept, prompted for all three')
  return fig


def draw(bench: Bench, results: dict[str, xr.Dataset]) -> None:
  """Draws every figure of vectors."""
  data = results['train']
  bench.figure(
    'paths',
    paths(data, results['ddpm']),
    'Paths of the held-out class 11 (white) through concept space over '
    'training; its neighbours 10 and 01 (black) are trained classes. The '
    'signal of size is 1: below it colour is the weaker concept, and paths '
    'make for 01 first; above it, for 10. Thick: mean over seeds, thin: single '
    'seeds, smoothed over snapshots.',
  )
  bench.figure(
    'speeds',
    speeds(data),
    'When each concept of the held-out class is learned (accuracy above 0.9), '
    "by the signal of colour; median and range over seeds. Colour's own signal "
    'makes it faster; size, whose signal never changes, becomes slower.',
  )
  bench.figure(
    'hidden',
    hidden(data),
    'Share of generations of the held-out class over training, for the plain '
    'prompt and under interventions on the weaker concept, the best strength '
    'of each: a direction added to the embedded condition, a pushed prompt, '
    'the embedding of the last snapshot; random directions as a control. '
    'Median and range over seeds.',
  )
  bench.figure(
    'masked',
    masked(results['masked']),
    'Where a share of the small red points have no colour in their prompt. '
    'Left: prompted for small and blue, the colour is first learned, then '
    'lost. Right: what the prompt and interventions on colour give in the end.',
  )
  bench.figure(
    'triple',
    triple(results['triple']),
    'Three concepts, trained with at most one of them on: share of generations '
    'with each when prompted for all three; median and range over seeds.',
  )
