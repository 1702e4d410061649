"""Competition of in-context algorithms on mixtures of Markov chains.

  jaxsynth reproduce markov_mixture --preset quick

| preset   | time             | what it decides                              |
|----------|------------------|----------------------------------------------|
| smoke    | seconds          | nothing: that everything runs                |
| quick    | 5 min, two cores | unigram before bigram; retrieval at small N, |
|          |                  | inference at large N; context length         |
| standard | 1 h, two cores   | also transience, and what width does to it   |
| paper    | an accelerator   | the published sizes, over all published N    |

The small presets keep the published process and shrink it: k = 5 states and
64 tokens, uniform prior, two layers of width 32.
"""

from ml_collections import ConfigDict

from jaxsynth.config import of_preset


def _small() -> dict:
  return {
    'study': 'markov_mixture',
    'task': {
      'name': 'markov_mixture',
      'num_states': 5,
      'seq_len': 64,
      'max_chains': 256,
      'weights': 'uniform',
      'eval_size': 64,
      'aligned_reps': 20,
    },
    'model': {
      'name': 'transformer',
      'num_layers': 2,
      'd_model': 32,
      'num_heads': 2,
      'max_len': 64,
      'activation': 'gelu_tanh',
    },
    'optimizer': {'peak_lr': 1e-3, 'b2': 0.95, 'weight_decay': 0.01},
    'train': {
      'steps': 2000,
      'batch_size': 32,
      'snapshots': 'log:24',
      'evals': 'log:24',
      'call_steps': 50,
    },
    'sweep': {
      'seeds': 4,
      'traced': {'task': {'num_chains': (2, 16, 64, 256)}},
    },
    'measure': {
      # Lengths of the aligned contexts in tokens, the longest last.
      'lengths': (1, 4, 16, 63),
      # A longer training of one intermediate N, once per width.
      'long': {'num_chains': 32, 'steps': 24_000, 'widths': ()},
    },
  }


def _smoke() -> dict:
  c = _small()
  c['task'] |= {
    'num_states': 3, 'seq_len': 16, 'max_chains': 16, 'eval_size': 8,
    'aligned_reps': 4,
  }  # fmt: skip
  c['model'] |= {'d_model': 16, 'max_len': 16}
  c['train'] |= {
    'steps': 24, 'batch_size': 8, 'snapshots': 'log:5', 'evals': 'log:5',
    'call_steps': 12,
  }  # fmt: skip
  c['sweep'] = {'seeds': 2, 'traced': {'task': {'num_chains': (2, 16)}}}
  c['measure'] = {
    'lengths': (1, 4, 15),
    'long': {'num_chains': 4, 'steps': 36, 'widths': (8, 16)},
  }
  return c


def _standard() -> dict:
  c = _small()
  c['task'] |= {'max_chains': 512}
  c['train'] |= {
    'steps': 6000, 'snapshots': 'log:30', 'evals': 'log:30',
  }  # fmt: skip
  sizes = (2, 4, 8, 16, 32, 64, 128, 256, 512)
  c['sweep']['traced'] = {'task': {'num_chains': sizes}}
  c['measure']['long'] |= {'widths': (16, 32)}
  return c


def _paper() -> dict:
  c = _small()
  c['task'] |= {
    'num_states': 10, 'seq_len': 512, 'max_chains': 2048, 'vocab_size': 676,
    'weights': 'random', 'chains': 'published', 'eval_size': 128,
    'aligned_length': 400, 'aligned_reps': 30,
  }  # fmt: skip
  c['model'] |= {
    'd_model': 64, 'num_heads': 4, 'max_len': 1024, 'tied': True,
    'activation': 'gelu',
  }  # fmt: skip
  # The released configuration clips the gradient norm at 0.01.
  c['optimizer'] = {
    'peak_lr': 6e-4, 'b2': 0.95, 'weight_decay': 0.1, 'clip': 0.01,
  }  # fmt: skip
  c['train'] |= {
    'steps': 107_979, 'batch_size': 128, 'snapshots': (0, 'log:50:30'),
    'evals': (0, 'log:50:30'), 'call_steps': 100,
  }  # fmt: skip
  sizes = tuple(2**i for i in range(2, 12))
  c['sweep']['traced'] = {'task': {'num_chains': sizes}}
  c['measure'] = {
    'lengths': (1, 10, *range(40, 401, 30)),
    'long': {'num_chains': 64, 'steps': 107_979, 'widths': (32, 64, 128)},
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
