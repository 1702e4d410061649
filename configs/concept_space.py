"""Learning dynamics in concept space, and capabilities hidden from prompts.

  jaxsynth reproduce concept_space --preset quick

| preset   | time            | what it decides                               |
|----------|-----------------|-----------------------------------------------|
| smoke    | seconds         | nothing: that everything runs                 |
| quick    | minutes         | order and speed of concepts by their signals, |
|          |                 | turns, interventions before behaviour,        |
|          |                 | underspecified prompts, DDPM, three concepts, |
|          |                 | on vectors; a small U-Net on small images     |
| standard | not timed       | the same, longer and wider, with images of     |
|          |                 | 16 x 16 in three colour signals               |
| paper    | an accelerator  | published images, U-Net, batches and steps    |

The first training sweeps the colour signal (on vectors, a name only). Each of
`measure.stages` is another one, of the sections that it changes; `images` is
the one of a U-Net.
"""

from ml_collections import ConfigDict

from jaxsynth.config import of_preset

# Between the ends of the sweep of signals: the one equal to size's.
SIGNALS = (0.35, 0.6, 1.0, 1.7, 2.8)
MASKING = (0.0, 0.02, 0.05, 0.25)


def _roots(steps: int, first: int, count: int) -> tuple[int, ...]:
  """Step 0, then `count` steps evenly spaced in sqrt(step), as published."""
  low, high = first**0.5, steps**0.5
  grid = [low + (high - low) * i / (count - 1) for i in range(count)]
  return (0, *sorted({round(x * x) for x in grid}))


def _length(steps: int, first: int, count: int) -> dict:
  """A training's steps, and what is kept of it."""
  kept = _roots(steps, first, count)
  return {'steps': steps, 'snapshots': kept, 'evals': kept}


def _sweep(seeds: int, **task: tuple[float, ...]) -> dict:
  return {'seeds': seeds, 'traced': {'task': task}}


def _vectors(seeds: int, signals=SIGNALS, masking=MASKING) -> dict:
  """Everything on vectors, at the length of quick."""
  main, longer = _length(900, 4, 40), _length(1000, 4, 30)
  discrete = {
    'loss': 'mse',
    # Where nothing teaches the schedule it stays as it is.
    'trainable': ('time.*', 'condition.*', 'layers_*', 'embed_*', 'output.*'),
    **longer,
  }
  return {
    'study': 'concept_space',
    'task': {'name': 'concept_vectors', 'size_signal': 1.0},
    'model': {'name': 'denoiser_mlp', 'widths': (64, 64), 'embed_dim': 32},
    'optimizer': {'peak_lr': 1e-3, 'weight_decay': 0.01, 'flat': True},
    'train': {
      'loss': 'variational', 'batch_size': 128, 'call_steps': 300, **main,
    },
    'sweep': _sweep(seeds, colour_signal=signals),
    'measure': {
      'samples': 32,
      'sampler_steps': 24,
      'pushes': (2.0, 3.0, 4.0),
      'alphas': (1.0, 2.0, 4.0),
      'directions': 3,
      'gallery': {'samples': 3, 'snapshots': 6},
      'stages': {
        'masked': {
          'train': longer,
          'sweep': _sweep(seeds, masking=masking),
        },
        'ddpm': {
          'task': {'ddpm_steps': 50},
          'train': discrete,
          'sweep': _sweep(seeds, colour_signal=(signals[0], signals[-1])),
        },
        'triple': {
          'task': {'concepts': 3, 'shape_signal': 0.6},
          'train': longer,
          'sweep': _sweep(seeds, colour_signal=(1.7,)),
        },
      },
    },
  }  # fmt: skip


def _images(
  side: int, channels: tuple[int, ...], batch_size: int, length: dict,
  sweep: dict, *, blocks: int = 1, embed_dim: int = 32, groups: int = 4,
) -> dict:  # fmt: skip
  """A stage of images."""
  return {
    'task': {'name': 'concept_images', 'side': side},
    'model': {
      'name': 'unet', 'channels': channels, 'blocks': blocks,
      'groups': groups, 'embed_dim': embed_dim,
    },
    'optimizer': {'peak_lr': 2e-3, 'flat': False},
    'train': {'batch_size': batch_size, 'call_steps': 20, **length},
    'sweep': sweep,
    'measure': {
      'samples': 8, 'sampler_steps': 16, 'pushes': (2.0, 4.0), 'directions': 1,
    },
  }  # fmt: skip


def _quick() -> dict:
  c = _vectors(5)
  c['measure']['stages']['images'] = _images(
    12, (8, 16), 16, _length(2000, 50, 8), _sweep(1, colour_signal=(0.5,))
  )
  return c


def _smoke() -> dict:
  c = _vectors(2, SIGNALS[::2], MASKING[::3])
  tiny = _length(6, 2, 3)
  c['task'] |= {'eval_size': 8, 'nuisance': 1}
  c['model'] |= {'widths': (8,), 'embed_dim': 4}
  c['train'] |= {**tiny, 'batch_size': 16, 'call_steps': 6}
  c['measure'] |= {
    'samples': 4, 'sampler_steps': 2, 'pushes': (2.0,), 'alphas': (1.0,),
    'directions': 1, 'gallery': {'samples': 1, 'snapshots': 2},
  }  # fmt: skip
  stages = c['measure']['stages']
  for stage in stages.values():
    stage['train'] |= tiny
  stages['images'] = _images(
    4, (4,), 4, tiny, _sweep(1, colour_signal=(0.5,)), embed_dim=4, groups=2
  )
  return c


def _standard() -> dict:
  c = _vectors(5)
  c['model']['widths'] = (128, 128, 128)
  c['train'] |= {'batch_size': 256, **_length(3000, 8, 60)}
  c['measure'] |= {'samples': 64, 'sampler_steps': 50}
  for stage in c['measure']['stages'].values():
    stage['train'] |= _length(4000, 8, 50)
  c['measure']['stages']['images'] = _images(
    16, (16, 32), 32, _length(6000, 100, 30),
    _sweep(3, colour_signal=(0.2, 0.5, 0.8)),
  )  # fmt: skip
  return c


def _paper() -> dict:
  c = _standard()
  signals = tuple(round(0.1 + 0.7 * i / 19, 4) for i in range(20))
  c['measure']['stages']['images'] = _images(
    32, (64, 128, 256), 64, _length(20_000, 500, 60),
    _sweep(5, colour_signal=signals, size_signal=(0.2, 0.3, 0.4)),
    blocks=2, embed_dim=256, groups=8,
  )  # fmt: skip
  c['measure']['stages']['images']['optimizer']['peak_lr'] = 1e-3
  return c


PRESETS = {
  'smoke': _smoke,
  'quick': _quick,
  'standard': _standard,
  'paper': _paper,
}


def get_config(preset: str = 'quick') -> ConfigDict:
  """The config of a preset: 'smoke', 'quick', 'standard' or 'paper'."""
  return of_preset(PRESETS, preset)
