"""Stepwise inference as graph navigation.

  jaxsynth reproduce graph_navigation --preset quick

| preset   | time            | what it decides                             |
|----------|-----------------|---------------------------------------------|
| smoke    | seconds         | nothing: that everything runs               |
| quick    | two CPU cores   | stepwise against direct; spans in training; |
|          |                 | missteps and planning; temperature; short   |
|          |                 | paths; the rule of one layer; chains of     |
|          |                 | motifs, and two that contradict each other  |
| standard | two CPU cores   | the same with more spans and larger motifs  |
| paper    | an accelerator  | the published graphs: 10 layers of 20, and  |
|          |                 | 200 nodes, p = .05, 20 % of the pairs       |

`measure.variants` holds what each training changes in this config. A variant
that names a task replaces the whole section. In `stepwise` and `direct` the
largest `max_span` admits every pair.
"""

import copy

from ml_collections import ConfigDict

from jaxsynth.config import of_preset

WARMUP = 50


def _lasting(steps: int, **train) -> dict:
  """A training of so many steps, the cosine over all of them."""
  return {
    'train': {'steps': steps, **train},
    'optimizer': {'decay_steps': steps - WARMUP},
  }


def _spans(*spans: int) -> dict:
  return {'traced': {'task': {'max_span': spans}}}


DIRECT = {'stepwise': False}
ENDS = {'snapshots': (0, 'last')}
# One layer, one head, nothing but attention: what the rule is read from.
ONE_LAYER = {'num_layers': 1, 'num_heads': 1, 'mlp_ratio': 0.0, 'bias': False}
MOTIFS = {
  'name': 'graph_motifs',
  'num_motifs': 8,
  'motif_nodes': 6,
  'num_layers': 3,
  'max_k': 4,
  'room': 6,
}
FEW_MOTIFS = {
  **MOTIFS, 'num_motifs': 6, 'motif_nodes': 4, 'num_layers': 2, 'max_k': 2,
  'room': 4,
}  # fmt: skip


def _quick() -> dict:
  steps = 1500
  return {
    'study': 'graph_navigation',
    'task': {
      'name': 'graph_navigation',
      'graph': 'hierarchical',
      'num_nodes': 72,
      'num_layers': 6,
      'p': 0.25,
      'train_share': 0.5,
    },
    'model': {
      'name': 'transformer',
      'num_layers': 2,
      'd_model': 64,
      'num_heads': 2,
      'max_len': 32,
      'activation': 'gelu_tanh',
    },
    'optimizer': {
      'peak_lr': 1e-3,
      'b2': 0.95,
      'weight_decay': 0.01,
      'clip': 1.0,
      'warmup_steps': WARMUP,
      'schedule': 'cosine',
      'decay_steps': steps - WARMUP,
    },
    'train': {
      'steps': steps,
      'batch_size': 64,
      'snapshots': 'every:50',
      'evals': 'log:8',
      'call_steps': 100,
    },
    'sweep': {'seeds': 3},
    'measure': {
      'variants': {
        'stepwise': {'sweep': _spans(2, 5)},
        'direct': {'task': DIRECT, 'sweep': _spans(2, 5), 'train': ENDS},
        'bernoulli': {
          'task': {'graph': 'bernoulli', 'num_nodes': 60, 'p': 0.1},
          **_lasting(1000, **ENDS),
        },
        'one_layer': {
          'model': ONE_LAYER,
          'optimizer': {'peak_lr': 3e-3},
          'train': ENDS,
        },
        'motifs': {
          'task': FEW_MOTIFS,
          'model': {'max_len': 48},
          'train': ENDS,
        },
      },
      # Unseen pairs that are answered greedily.
      'pairs': 800,
      # Temperatures; pairs with most paths; paths sampled of each.
      'temperatures': (0.1, 0.3, 0.5, 0.7, 0.85, 1.0, 1.25, 1.5, 2.0, 3.0),
      'many_paths': 4,
      'samples': 500,
      # Pairs whose paths' lengths are looked at; paths sampled of each.
      'length_pairs': 100,
      'length_samples': 50,
      # Chains of each number of motifs.
      'chains': 200,
    },
  }


def _smoke() -> dict:
  c = copy.deepcopy(_standard())
  c['task'] |= {'num_nodes': 12, 'num_layers': 3, 'eval_size': 8, 'p': 0.5}
  c['model'] |= {'d_model': 8, 'num_layers': 1}
  c['optimizer'] |= {'warmup_steps': 2, 'decay_steps': 6}
  c['train'] |= {
    'steps': 8, 'batch_size': 8, 'snapshots': 'every:8', 'evals': (0, 8),
    'call_steps': 4,
  }  # fmt: skip
  c['sweep'] = {'seeds': 2}
  variants = c['measure']['variants']
  for change in variants.values():
    change.get('train', {}).pop('steps', None)
    change.get('optimizer', {}).pop('decay_steps', None)
  for name in ('stepwise', 'direct'):
    variants[name]['sweep'] = _spans(1, 2)
  variants['bernoulli']['task'] |= {'num_nodes': 12, 'p': 0.3, 'max_nodes': 6}
  variants['motifs']['task'] |= {
    'num_motifs': 6, 'motif_nodes': 2, 'num_layers': 2, 'max_k': 1, 'room': 3,
    'eval_size': 8,
  }  # fmt: skip
  c['measure'] |= {
    'pairs': 16, 'temperatures': (0.5, 1.0, 2.0), 'many_paths': 2,
    'samples': 8, 'length_pairs': 8, 'length_samples': 4, 'chains': 8,
  }  # fmt: skip
  return c


def _standard() -> dict:
  c = _quick()
  c['measure'] |= {'samples': 3000}
  variants = c['measure']['variants']
  for name in ('stepwise', 'direct'):
    variants[name]['sweep'] = _spans(2, 3, 4, 5)
  variants['motifs'] = {
    'task': MOTIFS,
    'model': {'max_len': 80},
    **_lasting(8000, **ENDS),
  }
  return c


def _paper() -> dict:
  c = copy.deepcopy(_standard())
  c['task'] |= {
    'num_nodes': 200, 'num_layers': 10, 'p': 0.05, 'train_share': 0.2,
  }  # fmt: skip
  c['optimizer'] |= {'decay_steps': 10_000 - WARMUP}
  c['train'] |= {'steps': 10_000, 'batch_size': 256, 'snapshots': 'every:100'}
  variants = c['measure']['variants']
  for name in ('stepwise', 'direct'):
    variants[name]['sweep'] = _spans(2, 3, 4, 9)
  variants['bernoulli'] = {
    'task': {'graph': 'bernoulli', 'num_nodes': 200, 'max_nodes': 26},
    'train': ENDS,
  }
  variants['motifs'] |= _lasting(20_000, **ENDS)
  c['measure'] |= {'pairs': 4000, 'chains': 1000, 'length_pairs': 500}
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
