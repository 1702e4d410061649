"""Abrupt learning in transformers: low-rank matrix completion.

  jaxsynth reproduce matrix_completion --preset quick

| preset   | time             | what it decides                              |
|----------|------------------|----------------------------------------------|
| smoke    | seconds          | nothing: that everything runs                |
| quick    | two CPU cores    | plateau and fall, copying, heads, patching,  |
|          |                  | ablations, the MLP anew, the causal variant  |
| standard | two CPU cores    | the same for longer: how far it falls; every |
|          |                  | component trained anew                       |
| paper    | an accelerator   | the published sizes: 7 x 7, rank 2, width    |
|          |                  | 768, 50,000 steps                            |

The small presets keep the process and the published rounding and shrink the
matrix, so that the drop comes within minutes: 4 x 4, rank 1, two pre-norm
layers of width 64, values read as numbers with a flag for hidden ones, larger
initial weights and a higher learning rate. `measure.components` names what is
trained anew from the final network, `measure.gpt` what the causal variant
changes; an empty one is left out.
"""

from ml_collections import ConfigDict

from jaxsynth.config import of_preset

COMPONENTS = ('attention', 'MLP', 'embedding', 'positions')


def _small() -> dict:
  return {
    'study': 'matrix_completion',
    'task': {
      'name': 'matrix_completion',
      'num_rows': 4,
      'num_columns': 4,
      'rank': 1,
      'precision': 0.01,
      'reads': 'values',
      'eval_size': 256,
    },
    'model': {
      'name': 'transformer',
      'num_layers': 2,
      'd_model': 64,
      'num_heads': 4,
      'max_len': 16,
      'causal': False,
      'init_std': 0.1,
      'activation': 'gelu_tanh',
    },
    'optimizer': {'peak_lr': 3e-3, 'warmup_steps': 100},
    'train': {
      'steps': 9000,
      'batch_size': 32,
      'loss': 'mse',
      'snapshots': 'every:200',
      'evals': 'every:100',
      'branches': 'last',
      'call_steps': 500,
    },
    'sweep': {'seeds': 3},
    'measure': {
      # The snapshot before the drop that is taken apart.
      'before': 1000,
      # What hidden entries show in the copy test.
      'shown': (0.44, -0.24),
      # Shares of hidden entries at which the convex completion is compared.
      'shares': (0.1, 0.3, 0.5),
      'matrices': 512,
      'iterations': 400,
      # Matrices that probes are fitted and scored on.
      'probe': (1024, 256),
      'components': {'names': ('MLP', 'positions'), 'steps': 600},
      'gpt': _gpt(1000, 64),
    },
  }


def _gpt(steps: int, d_model: int) -> dict:
  """What the causal variant changes."""
  return {
    'task': {'reads': 'tokens', 'answer': 'tokens', 'precision': 0.1},
    'model': {
      'causal': True, 'num_heads': 2, 'd_model': d_model, 'max_len': 32,
      'init_std': 0.02,
    },
    'optimizer': {'peak_lr': 1e-3},
    'train': {
      'steps': steps, 'loss': 'cross_entropy', 'branches': (),
    },
  }  # fmt: skip


def _smoke() -> dict:
  c = _small()
  c['task'] |= {
    'num_rows': 2, 'num_columns': 3, 'eval_size': 8, 'reads': 'tokens',
  }  # fmt: skip
  c['model'] |= {'d_model': 8, 'num_heads': 2, 'max_len': 6, 'num_layers': 1}
  c['train'] |= {
    'steps': 4, 'batch_size': 4, 'snapshots': 'every:2', 'evals': 'every:2',
    'call_steps': 4,
  }  # fmt: skip
  c['sweep'] = {'seeds': 2}
  gpt = _gpt(2, 8)
  gpt['model'] |= {'max_len': 12}
  c['measure'] |= {
    'before': 2, 'matrices': 8, 'iterations': 4, 'probe': (8, 4),
    'components': {'names': ('MLP',), 'steps': 2}, 'gpt': gpt,
  }  # fmt: skip
  return c


def _standard() -> dict:
  c = _small()
  c['train'] |= {
    'steps': 40_000, 'snapshots': 'every:500', 'evals': 'every:200',
  }  # fmt: skip
  c['measure'] |= {
    'shares': (0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    'components': {'names': COMPONENTS, 'steps': 10_000},
    'gpt': _gpt(6000, 64),
  }
  return c


def _paper() -> dict:
  c = _small()
  c['task'] |= {
    'num_rows': 7, 'num_columns': 7, 'rank': 2, 'largest': 10.0,
    'reads': 'tokens',
  }  # fmt: skip
  c['model'] |= {
    'num_layers': 4, 'd_model': 768, 'num_heads': 8, 'norm': 'post',
    'max_len': 49, 'init_std': 0.02, 'activation': 'gelu',
  }  # fmt: skip
  c['optimizer'] = {'peak_lr': 1e-4}
  c['train'] |= {
    'steps': 50_000, 'batch_size': 256, 'snapshots': 'every:1000',
    'evals': 'every:500', 'call_steps': 100,
  }  # fmt: skip
  gpt = _gpt(100_000, 256)
  # Values of -2 to 2 in steps of 0.01, hidden, a separator: 403 tokens, of
  # which the source has 405.
  gpt['task'] |= {'precision': 0.01, 'largest': 2.0}
  gpt['model'] |= {'num_layers': 2, 'max_len': 98, 'norm': 'pre'}
  gpt['optimizer'] = {'peak_lr': 1e-4}
  c['measure'] |= {
    'before': 4000,
    'shares': (0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    'matrices': 512,
    'iterations': 2000,
    'probe': (2048, 256),
    'components': {'names': COMPONENTS, 'steps': 50_000},
    'gpt': gpt,
  }
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
