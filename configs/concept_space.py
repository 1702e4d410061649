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
the one of a U-Net, whose images are judged by what `measure.classifier` trains.
Small U-Nets need a learning rate that falls to settle; published is a constant
one, as in `paper`.
"""

from ml_collections import ConfigDict

from jaxsynth.config import of_preset

# Between the ends of the sweep of signals: the one equal to size's.
SIGNALS = (0.35, 0.6, 1.0, 1.7, 2.8)
MASKING = (0.0, 0.02, 0.05, 0.25)
# Seeds 0 to 4 were seen in a shorter training, in which two gates failed; the
# longer one, chosen on pilot seeds 1003 to 1007, is put to seeds not seen.
FIRST_SEED = 5
# Classifiers have other seeds than what they judge: this one is the first.
CLASSIFIER_SEEDS = 100


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
  return {'seeds': seeds, 'first_seed': FIRST_SEED, 'traced': {'task': task}}


def _vectors(seeds: int, signals=SIGNALS, masking=MASKING) -> dict:
  """Everything on vectors, at the length of quick."""
  main, longer = _length(1500, 4, 40), _length(1000, 4, 30)
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
  """A stage of images; shapes are blurred by as much of them as published."""
  return {
    'task': {'name': 'concept_images', 'side': side, 'blur': side / 32},
    'model': {
      'name': 'unet', 'channels': channels, 'blocks': blocks,
      'groups': groups, 'embed_dim': embed_dim,
    },
    'optimizer': {
      'peak_lr': 4e-3, 'schedule': 'cosine', 'decay_steps': length['steps'],
      'flat': False,
    },
    'train': {'batch_size': batch_size, 'call_steps': 20, **length},
    'sweep': sweep,
    'measure': {
      'samples': 16, 'sampler_steps': 24, 'pushes': (2.0, 4.0),
      'alphas': (1.0, 2.0), 'directions': 1,
    },
  }  # fmt: skip


def _classifier(
  images: dict, channels: tuple[int, ...], batch_size: int, steps: int
) -> dict:
  """What judges a stage of images: networks with seeds of their own."""
  sweep = images['sweep']
  return {
    'task': {**images['task'], 'name': 'concept_labels', 'noise': 0.3},
    'model': {'name': 'convnet', 'channels': channels},
    'optimizer': {
      'peak_lr': 1e-2, 'schedule': 'cosine', 'decay_steps': steps,
      'weight_decay': 0.0, 'flat': False,
    },
    'train': {
      'loss': 'cross_entropy', 'batch_size': batch_size, 'steps': steps,
      'snapshots': (0, steps), 'evals': (0, steps), 'call_steps': 100,
    },
    'sweep': {**sweep, 'first_seed': CLASSIFIER_SEEDS},
  }  # fmt: skip


def _quick() -> dict:
  c = _vectors(5)
  images = _images(
    12, (8, 16), 16, _length(2000, 25, 16), _sweep(3, colour_signal=(0.8,))
  )
  c['measure']['stages']['images'] = images
  c['measure']['classifier'] = _classifier(images, (16, 32), 64, 800)
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
  images = _images(
    4, (4,), 4, tiny, _sweep(1, colour_signal=(0.5,)), embed_dim=4, groups=2
  )
  images['measure'] |= {'samples': 4, 'sampler_steps': 2, 'alphas': (1.0,)}
  stages['images'] = images
  c['measure']['classifier'] = _classifier(images, (4,), 4, 6)
  return c


def _standard() -> dict:
  c = _vectors(5)
  c['model']['widths'] = (128, 128, 128)
  c['train'] |= {'batch_size': 256, **_length(3000, 8, 60)}
  c['measure'] |= {'samples': 64, 'sampler_steps': 50}
  for stage in c['measure']['stages'].values():
    stage['train'] |= _length(4000, 8, 50)
  images = _images(
    16, (16, 32), 32, _length(6000, 100, 30),
    _sweep(3, colour_signal=(0.2, 0.5, 0.8)),
  )  # fmt: skip
  c['measure']['stages']['images'] = images
  c['measure']['classifier'] = _classifier(images, (16, 32), 64, 2000)
  return c


def _paper() -> dict:
  c = _standard()
  signals = tuple(round(0.1 + 0.7 * i / 19, 4) for i in range(20))
  images = _images(
    32, (64, 128, 256), 64, _length(20_000, 500, 60),
    _sweep(5, colour_signal=signals, size_signal=(0.2, 0.3, 0.4)),
    blocks=2, embed_dim=256, groups=8,
  )  # fmt: skip
  images['optimizer'] = {'peak_lr': 1e-3, 'flat': False}
  images['measure'] |= {'samples': 32, 'sampler_steps': 50}
  c['measure']['stages']['images'] = images
  c['measure']['classifier'] = _classifier(images, (16, 32, 64), 64, 5000)
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
