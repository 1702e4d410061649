"""Adam in continuous time: its bound, its stable region, k-Adam.

  jaxsynth reproduce adam_dynamics --preset quick

| preset   | time             | what it decides                              |
|----------|------------------|----------------------------------------------|
| smoke    | seconds          | nothing: that everything runs                |
| quick    | 2 min, two cores | bound, stable region and growth rates over   |
|          |                  | 264 cells, Adam's flow, norms of weights     |
| standard | 10 min, likewise | the same claims with ten seeds; k-Adam with  |
|          | (not measured)   | up to five stages; a transformer (reported)  |
| paper    | an accelerator   | a larger transformer, k up to ten (reported) |

Decays are named as in optax: b1 is the source's gamma, b2 its beta.
"""

from ml_collections import ConfigDict

from jaxsynth.config import of_preset

GAMMAS = (
  0.0, 0.5, 0.7, 0.8, 0.84, 0.86, 0.88, 0.9, 0.91, 0.92, 0.93, 0.94, 0.95,
  0.955, 0.96, 0.965, 0.97, 0.975, 0.98, 0.983, 0.986, 0.99, 0.993, 0.995,
)  # fmt: skip
BETAS = (0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 0.999)


def _small() -> dict:
  return {
    'study': 'adam_dynamics',
    'task': {'name': 'linear_teacher'},
    'model': {'name': 'normalised_mlp', 'num_layers': 1, 'd_model': 32},
    # An eps above zero only for the sake of gradients that are exactly zero.
    'optimizer': {'name': 'k_adam', 'peak_lr': 0.1, 'eps': 1e-30},
    # The whole set is one batch: gradients vanish as the points are learnt.
    'train': {
      'steps': 500,
      'batch_size': 128,
      'snapshots': (0, 500),
      'evals': (0, 30, 100, 500),
      'call_steps': 500,
      'watch': ('update_max',),
    },
    # On seeds 0 to 2 a gate failed and was replaced: see the claim growth_rate.
    'sweep': {
      'seeds': 3,
      'first_seed': 3,
      'traced': {'optimizer': {'b2': BETAS, 'b1': GAMMAS}},
    },
    'measure': {
      # First and last step between which the growth of updates is fitted.
      'window': (300, 500),
      # (beta, gamma) at which growth is compared with the law, and at which
      # updates must stay small.
      'unstable': ((0.9, 0.96), (0.9, 0.98), (0.9, 0.99), (0.8, 0.97)),
      'stable': ((0.999, 0.9), (0.9, 0.93)),
      # Sequences of random gradients, for the bound.
      'sequences': 16,
      # Adam's flow: eta n is the horizon for every eta.
      'flow': {
        'seeds': 5,
        'horizon': 0.5,
        'etas': (0.02, 0.01, 0.005, 0.0025),
        'decays': (0.999, 0.9, 0.0),
        'tolerance': 1e-6,
      },
      # Noisy gradients and weight decay: how the norm of a weight settles.
      'norms': {
        'steps': 2000,
        'batch_size': 16,
        'label_noise': 0.3,
        'peak_lr': 0.01,
        'weight_decay': 0.1,
        'gammas': (0.0, 0.5, 0.9),
        'seeds': 5,
      },
      'k_adam': {
        'steps': 400,
        'batch_size': 32,
        'peak_lr': 0.003,
        'stages': (2,),
        'seeds': 5,
      },
      # Updates of a transformer; no steps, no transformer.
      'transformer': {'steps': 0, 'd_model': 32, 'peak_lr': 1e-3},
    },
  }


def _smoke() -> dict:
  c = _small()
  c['task'] |= {'num_points': 16, 'eval_size': 16, 'num_inputs': 4}
  c['model'] |= {'d_model': 8}
  c['train'] |= {
    'steps': 60, 'batch_size': 16, 'snapshots': (0, 60), 'evals': (0, 30, 60),
    'call_steps': 60,
  }  # fmt: skip
  c['sweep'] = {
    'seeds': 2,
    'traced': {'optimizer': {'b2': (0.8, 0.999), 'b1': (0.9, 0.97)}},
  }
  m = c['measure']
  m |= {
    'window': (40, 60),
    'unstable': ((0.8, 0.97),),
    'stable': ((0.999, 0.9),),
    'sequences': 2,
  }
  m['flow'] |= {'seeds': 2, 'horizon': 0.4, 'etas': (0.04, 0.02)}
  m['norms'] |= {'steps': 40, 'batch_size': 4, 'seeds': 2, 'gammas': (0.0, 0.9)}
  m['k_adam'] |= {'steps': 20, 'batch_size': 8, 'seeds': 2}
  m['transformer'] |= {'steps': 12, 'd_model': 8}
  return c


def _standard() -> dict:
  c = _small()
  c['sweep']['seeds'] = 10
  m = c['measure']
  m['flow'] |= {'seeds': 10}
  m['norms'] |= {'seeds': 10}
  m['k_adam'] |= {'stages': (2, 3, 5), 'seeds': 10}
  m['transformer'] |= {'steps': 500}
  return c


def _paper() -> dict:
  c = _standard()
  m = c['measure']
  m['k_adam'] |= {'stages': tuple(range(2, 11))}
  m['transformer'] |= {'steps': 1500, 'd_model': 128}
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
