"""Emergence as percolation: a context-sensitive formal language.

  jaxsynth reproduce concept_percolation --preset quick

| preset   | time           | what it decides                                |
|----------|----------------|------------------------------------------------|
| smoke    | seconds        | nothing: that everything runs                  |
| quick    | two CPU cores  | grammar before types; unseen pairs; percolation|
|          |                | simulated and solved; two sizes |K|, reported  |
| standard | two CPU cores  | also how transitions scale with |K|, and the   |
|          |                | narrow tasks                                   |
| paper    | an accelerator | the published sizes and sweep                  |

The small presets keep the published process and shrink it: four classes of 20
entities, no private names, no modifiers, sentences of eight words at most, and
properties of ten values, of which an entity has two: with one, as a density of
0.1 would have it, entities share all values or none, and no pairs percolate.
"""

from ml_collections import ConfigDict

from jaxsynth.config import of_preset


def _small() -> dict:
  return {
    'study': 'concept_percolation',
    'task': {
      'name': 'concept_percolation',
      'classes': 4,
      # One becomes the names: |K| is ten times the others.
      'max_properties': 17,
      'values': 10,
      'generic': 20,
      'verbs': 4,
      'density': 0.2,
      'seq_len': 24,
      'eval_size': 128,
    },
    'model': {
      'name': 'transformer',
      'num_layers': 2,
      'd_model': 64,
      'num_heads': 2,
      'max_len': 24,
      'tied': True,
      'bias': False,
    },
    'optimizer': {
      'peak_lr': 3e-3,
      'b2': 0.95,
      'weight_decay': 1e-4,
      'clip': 1.0,
      'warmup_steps': 50,
    },
    'train': {
      'steps': 1000,
      'batch_size': 64,
      'snapshots': 'log:26:40',
      'evals': 'log:12',
      'call_steps': 50,
    },
    'sweep': {'seeds': 3},
    'measure': {
      # Other numbers of properties, each trained for so many steps.
      'sweep': {'properties': (5,), 'steps': 300},
      # Batches of the training whose pairs are looked at.
      'shown': 48,
      'percolation': {
        'entities': 300,
        'values': 1200,
        # Multiples of the critical number of pairs; the null is the share at
        # one of them against the fixed point at twice as much.
        'times': (0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
        'null': 1.5,
        'draws': 20,
        'scaling': (150, 300, 600, 1200, 2400),
        'scaling_draws': 5,
      },
    },
  }


def _smoke() -> dict:
  c = _small()
  c['task'] |= {
    'max_properties': 3, 'generic': 4, 'verbs': 2, 'seq_len': 18,
    'eval_size': 8,
  }  # fmt: skip
  c['model'] |= {'d_model': 8, 'num_heads': 1, 'num_layers': 1}
  c['optimizer'] |= {'warmup_steps': 2}
  c['train'] |= {
    'steps': 12, 'batch_size': 4, 'snapshots': 'log:5', 'evals': 'log:3',
    'call_steps': 6,
  }  # fmt: skip
  c['sweep'] = {'seeds': 2}
  c['measure'] |= {'sweep': {'properties': (2,), 'steps': 12}, 'shown': 16}
  c['measure']['percolation'] |= {
    'entities': 30, 'values': 60, 'draws': 2, 'scaling': (30, 60),
    'scaling_draws': 2,
  }  # fmt: skip
  return c


def _standard() -> dict:
  c = _small()
  c['task'] |= {'max_properties': 33}
  c['train'] |= {'steps': 2000, 'snapshots': 'log:40:40'}
  c['measure']['sweep'] = {'properties': (5, 9, 17), 'steps': 2000}
  return c


def _paper() -> dict:
  c = _small()
  c['task'] |= {
    'classes': 10, 'max_properties': 46, 'values': 40, 'generic': 80,
    'private': 20, 'verbs': 20, 'modifiers': 20, 'density': 0.1,
    'seq_len': 128,
  }  # fmt: skip
  c['model'] |= {'d_model': 128, 'max_len': 256, 'dtype': 'bfloat16'}
  c['optimizer'] |= {'peak_lr': 1e-3, 'warmup_steps': 200}
  # The source measures every 100 steps, at a thousand pairs to be reached.
  c['train'] |= {
    'steps': 100_000, 'batch_size': 128, 'snapshots': 'log:100:50',
    'evals': 'log:30', 'call_steps': 100,
  }  # fmt: skip
  c['measure']['sweep'] = {
    'properties': (10, 14, 18, 22, 26, 30, 34, 38, 42), 'steps': 100_000,
  }  # fmt: skip
  return c


PRESETS = {
  'smoke': _smoke,
  'quick': _small,
  'standard': _standard,
  'paper': _paper,
}


def get_config(preset: str = 'quick') -> ConfigDict:
  """The config of a preset: 'smoke', 'quick', 'standard' or 'paper'."""
  return of_preset(PRESETS, preset)
