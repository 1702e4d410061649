"""The training that the tests kill: 24 steps, nine calls, five segments.

The toy program of tests/conftest.py takes the network's place unless a test
says otherwise, and needs only the sweep and the plan.
"""

from ml_collections import ConfigDict


def get_config():
  return ConfigDict(
    {
      'task': {
        'name': 'markov_mixture', 'num_states': 3, 'seq_len': 9,
        'max_chains': 4, 'eval_size': 8, 'aligned_reps': 0,
      },
      'model': {
        'name': 'transformer', 'num_layers': 1, 'd_model': 8, 'num_heads': 2,
        'max_len': 8,
      },
      'train': {
        'steps': 24, 'batch_size': 4, 'snapshots': 'every:2',
        'evals': (0, 8, 16, 24), 'branches': (0, 20), 'call_steps': 3,
        'checkpoint_calls': 2,
      },
      'sweep': {'seeds': 3},
    }
  )  # fmt: skip
