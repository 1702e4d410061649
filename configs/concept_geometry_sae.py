"""Sparse autoencoders and the geometry of concepts they presume.

  jaxsynth reproduce concept_geometry_sae --preset quick

| preset   | time            | what it decides                               |
|----------|-----------------|-----------------------------------------------|
| smoke    | seconds         | nothing: that everything runs                 |
| quick    | minutes         | F1 on concepts that nothing linear separates; |
|          |                 | L0 against intrinsic dimension; co-occurrence |
| standard | not timed       | the same, longer, wider where dimensions are  |
|          |                 | unequal, on finer grids of sparsity           |
| paper    | an accelerator  | published widths, batches, examples and grids |

`measure` holds, for each process, what differs from the sections above and its
recipes: for each kind of autoencoder the sparsities of one sweep, or for topk
the numbers of active latents, one training each.
"""

from ml_collections import ConfigDict

from jaxsynth.config import of_preset

# A cosine over D steps is at 1 % of its peak after T where cos(pi T / D) is
# -0.98: the published schedule ends there, at 1e-4 from 1e-2.
COSINE_STRETCH = 1.0681


def _schedule(steps: int) -> dict:
  return {
    'peak_lr': 1e-2,
    'schedule': 'cosine',
    'decay_steps': round(COSINE_STRETCH * steps),
    'clip': 1.0,
  }


def _process(
  width: int, batch_size: int, steps: int, recipes: dict, **more: int
) -> dict:
  """What a process is trained with."""
  return {
    'width': width,
    'batch_size': batch_size,
    'steps': steps,
    'recipes': recipes,
    **more,
  }


def _config(separability: dict, heterogeneity: dict, **train) -> dict:
  steps = separability['steps']
  sparsities = separability['recipes']['spade']
  return {
    'study': 'concept_geometry_sae',
    'task': {
      'name': 'concept_geometry_sae',
      'process': 'separability',
      'eval_size': 1000,
    },
    'model': {'name': 'sae', 'kind': 'spade', 'width': separability['width']},
    'optimizer': _schedule(steps),
    'train': {
      'loss': 'own',
      'steps': steps,
      'batch_size': separability['batch_size'],
      'snapshots': 'log:12',
      'evals': 'log:12',
      'call_steps': 200,
      **train,
    },
    'sweep': {'seeds': 3, 'traced': {'model': {'sparsity': sparsities}}},
    'measure': {
      # Points of each concept, and of the plane along each side of its mesh.
      'mesh': {'points': 81, 'reach': 3.0},
      'processes': {
        'separability': separability,
        'heterogeneity': heterogeneity,
      },
    },
  }


def _quick() -> dict:
  return _config(
    _process(
      128, 512, 3000,
      {
        'relu': (1e-4, 1e-3, 1e-2),
        'jumprelu': (1e-4, 1e-3, 1e-2),
        'topk': (12, 18),
        'spade': (1e-4, 1e-3, 1e-2),
      },
    ),
    _process(
      256, 512, 1500,
      {'relu': (1.0,), 'jumprelu': (1e-2,), 'topk': (32,), 'spade': (0.1,)},
    ),
  )  # fmt: skip


def _smoke() -> dict:
  recipes = {
    'relu': (1e-3, 1e-2), 'jumprelu': (1e-3,), 'topk': (4,), 'spade': (1e-3,),
  }  # fmt: skip
  c = _config(
    _process(16, 32, 20, recipes),
    _process(16, 32, 20, {k: v for k, v in recipes.items() if k != 'jumprelu'}),
    snapshots='log:4',
    evals='log:4',
    call_steps=10,
  )
  c['task'] |= {'eval_size': 16, 'size': 16, 'intrinsic': (2, 4, 8)}
  c['sweep']['seeds'] = 2
  c['measure']['mesh']['points'] = 11
  return c


def _standard() -> dict:
  return _config(
    _process(
      128, 512, 8200,
      {
        'relu': (1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
        'jumprelu': (1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
        'topk': (2, 6, 12, 18),
        'spade': (1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
      },
    ),
    _process(
      512, 512, 3000,
      {
        'relu': (0.1, 1.0),
        'jumprelu': (1e-3, 1e-2),
        'topk': (16, 64),
        'spade': (0.01, 0.1, 1.0),
      },
    ),
  )  # fmt: skip


def _paper() -> dict:
  grid = tuple(10.0**e for e in range(-6, 1))
  wide = tuple(10.0**e for e in range(-3, 2))
  # One pass over 70 % of 1e6 points of six concepts, 6.4e6 of five.
  return _config(
    _process(
      128, 512, 8203,
      {
        'relu': grid,
        'jumprelu': grid,
        'topk': tuple(range(2, 21, 2)),
        'spade': grid,
      },
    ),
    _process(
      512, 2048, 10_937,
      {
        'relu': (*wide, 50.0),
        'jumprelu': (*wide, 50.0),
        'topk': (4, 8, 16, 32, 64, 128, 256),
        'spade': (*wide, 50.0),
      },
    ),
  )  # fmt: skip


PRESETS = {
  'smoke': _smoke,
  'quick': _quick,
  'standard': _standard,
  'paper': _paper,
}


def get_config(preset: str = 'quick') -> ConfigDict:
  """The config of a preset: 'smoke', 'quick', 'standard' or 'paper'."""
  return of_preset(PRESETS, preset)
