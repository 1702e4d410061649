"""Sparse autoencoders on language models of formal languages.

  jaxsynth reproduce formal_language_sae --preset quick

| preset   | time            | what it decides                               |
|----------|-----------------|-----------------------------------------------|
| smoke    | seconds         | nothing: that everything runs                 |
| quick    | two CPU cores   | all claims: on Expr six recipes, clamps, the  |
|          |                 | causal loss; on Dyck and English three        |
|          |                 | recipes, features, clamps                     |
| standard | not timed       | the same, longer; all recipes on all three    |
|          |                 | languages, SpaDE and variants of the causal   |
|          |                 | loss among them                               |
| paper    | an accelerator  | published sizes: width 128, sentences of up   |
|          |                 | to 110 words, 1,000,000 of them, the grid of  |
|          |                 | k, expansion, sparsity and norms              |

`measure` says at which `site` of the language model autoencoders are trained,
how many `strings` are written for each number, how many `latents` are clamped;
what each of the `languages` changes of the sections above; what all
autoencoders share, and their `recipes`: what each changes of the model, and
what its sweep traces.
"""

from ml_collections import ConfigDict

from jaxsynth.config import of_preset
from jaxsynth.tasks.formal_language import PUBLISHED

WARMUP = 100


def _topk(k: int = 16, **model) -> dict:
  return {'model': {'kind': 'topk', 'k': k, **model}}


def _causal(*weights: float, **model) -> dict:
  """TopK whose sweep traces the weight of the causal loss."""
  made = _topk(reach=0.2, **model)
  return {**made, 'traced': {'model': {'causal': weights}}}


def _sparse(kind: str, *sparsities: float, **model) -> dict:
  traced = {'model': {'sparsity': sparsities}}
  return {'model': {'kind': kind, **model}, 'traced': traced}


def _jump(*sparsities: float, **model) -> dict:
  """JumpReLU; its thresholds move little, so they start where it is sparse."""
  more = {'name': 'sae', 'threshold': 0.3, 'bandwidth': 0.3, **model}
  return _sparse('jumprelu', *sparsities, **more)


def _variants(steps: int, **model) -> dict:
  """The other published causal losses, of trainings of so many steps."""
  return {
    'topk_drawn': _topk(reach=1.0, drawn=True, causal=1.0, **model),
    'topk_kl': _topk(reach=0.2, distance='kl', causal=1.0, **model),
    'topk_ramp': _topk(reach=0.02, causal=0.5, ramp=steps, **model),
  }


QUICK = {
  'topk': _causal(0.0, 1.0),
  'topk_input': _topk(normalise=('input',)),
  'topk_input_reconstruction': _topk(normalise=('input', 'reconstruction')),
  'l1': _sparse('relu', 1e-2, 1e-1, 0.3, 1.0),
  'sparsemax': _sparse('sparsemax', 0.0),
  'jumprelu': _jump(1e-3, 10.0),
}
# Of languages that are looked at for validity and features only.
FEWER = {
  'topk': _topk(),
  'topk_input_reconstruction': QUICK['topk_input_reconstruction'],
  'l1': _sparse('relu', 1e-2, 1.0),
}
STANDARD = {
  'topk': _causal(0.0, 1.0, 100.0),
  'topk_input': _topk(normalise=('input',)),
  'topk_input_decoder_bias': _topk(normalise=('input', 'decoder'), bias=True),
  'topk_input_reconstruction': _topk(normalise=('input', 'reconstruction')),
  'l1': _sparse('relu', 1e-3, 1e-2, 1e-1, 1.0),
  'l1_input': _sparse('relu', 1e-3, 1e-2, 1e-1, 1.0, normalise=('input',)),
  'sparsemax': _sparse('sparsemax', 0.0),
  'jumprelu': _jump(1e-3, 1e-1, 10.0),
  'spade': _sparse('spade', 1e-3, 1e-2, 1e-1, name='sae'),
  **_variants(5000),
}


def _published() -> dict:
  """The grid of the released code, by expansion and norm."""
  both = ('input', 'reconstruction')
  norms = {'': (), '_input': ('input',), '_input_reconstruction': both}
  # There |z|_1 is a sum over a batch: of 128 sentences of 5.1 words.
  sparsities = [10.0**e * 653 for e in range(-3, 3)]
  wide = {'width': 256}
  recipes = {
    'topk': _causal(0.0, 1.0, 100.0, **wide),
    'topk_input_reconstruction': _topk(normalise=both, **wide),
    'l1': _sparse('relu', *sparsities, **wide),
    # Not among the published recipes.
    'jumprelu': _jump(1e-3, 1e-1, 10.0, **wide),
    **_variants(5000, **wide),
  }
  for times in (1, 2, 4, 8):
    for name, normalise in norms.items():
      more = {'normalise': normalise, 'width': times * 128}
      recipes[f'l1{name}_x{times}'] = _sparse('relu', *sparsities, **more)
      for k in (8, 16, 32, 64, 128):
        recipes[f'topk{name}_{k}_x{times}'] = _topk(k, **more)
    more = {'normalise': ('input', 'decoder'), 'bias': True}
    more['width'] = times * 128
    for k in (8, 16, 32, 64, 128):
      recipes[f'topk_input_decoder_bias_{k}_x{times}'] = _topk(k, **more)
  return recipes


def _steps(steps: int) -> dict:
  """A training of so many steps, the cosine over all of them."""
  return {
    'train': {'steps': steps},
    'optimizer': {'decay_steps': steps - WARMUP},
  }


def _autoencoder(steps: int, batch_size: int, width: int, rate: float) -> dict:
  """What all autoencoders share."""
  return {
    'model': {'name': 'causal_sae', 'width': width},
    'optimizer': {'peak_lr': rate},
    'train': {
      'steps': steps,
      'batch_size': batch_size,
      'snapshots': (0, steps),
      'evals': 'log:12',
      'call_steps': 100,
    },
  }


def _small() -> dict:
  steps = 1500
  fewer = {'measure': {'recipes': FEWER, 'latents': 12}}
  return {
    'study': 'formal_language_sae',
    'task': {
      'name': 'formal_language',
      'language': 'expr',
      'max_words': 24,
      'eval_size': 256,
    },
    'model': {
      'name': 'transformer',
      'num_layers': 2,
      'd_model': 64,
      'num_heads': 2,
      'max_len': 25,
      'bias': False,
      'activation': 'gelu_tanh',
    },
    'optimizer': {
      'peak_lr': 2e-3,
      'b2': 0.95,
      'weight_decay': 1e-4,
      'clip': 1.0,
      'warmup_steps': WARMUP,
      'schedule': 'cosine',
      'decay_steps': steps - WARMUP,
    },
    'train': {
      'steps': steps,
      'batch_size': 32,
      'snapshots': 'log:8',
      'evals': 'log:16',
      'call_steps': 100,
    },
    'sweep': {'seeds': 3},
    'measure': {
      'site': 'blocks.0.resid_post',
      'strings': 256,
      'latents': 32,
      'languages': {
        'expr': {},
        'dyck': {
          'task': {'language': 'dyck', 'nesting': 0.3, 'max_words': 16},
          **fewer,
        },
        'english': {'task': {'language': 'english', 'max_words': 16}, **fewer},
      },
      'autoencoder': _autoencoder(1500, 16, 128, 1e-3),
      'recipes': QUICK,
    },
  }


def _smoke() -> dict:
  c = _small()
  c['task'] |= {'max_words': 5, 'eval_size': 8}
  c['model'] |= {'num_layers': 1, 'd_model': 8, 'num_heads': 1, 'max_len': 6}
  c['optimizer'] |= {'warmup_steps': 2, 'decay_steps': 4}
  c['train'] |= {
    'steps': 6, 'batch_size': 4, 'snapshots': (0, 6), 'evals': (0, 6),
    'call_steps': 6,
  }  # fmt: skip
  c['sweep'] = {'seeds': 2}
  saes = _autoencoder(4, 4, 20, 1e-3)
  saes['train'] |= {'evals': (0, 4), 'call_steps': 4}
  c['measure'] |= {
    'strings': 4,
    'latents': 2,
    'autoencoder': saes,
    'languages': {
      'expr': {},
      'dyck': {'task': {'language': 'dyck'}, 'measure': {'recipes': FEWER}},
      'english': {
        'task': {'language': 'english'}, 'measure': {'recipes': FEWER},
      },
    },
    'recipes': {
      'topk': QUICK['topk'],
      'topk_input_reconstruction': QUICK['topk_input_reconstruction'],
      'l1': FEWER['l1'],
      'jumprelu': QUICK['jumprelu'],
    },
  }  # fmt: skip
  return c


def _standard() -> dict:
  c, steps = _small(), _steps(6000)
  c['train'] |= steps['train']
  c['optimizer'] |= steps['optimizer']
  c['sweep'] = {'seeds': 4}
  c['measure'] |= {
    'strings': 640,
    'latents': 64,
    'languages': {
      'expr': {},
      'dyck': {
        'task': {'language': 'dyck', 'max_words': 62},
        'model': {'max_len': 63},
      },
      'english': {'task': {'language': 'english'}},
    },
    'autoencoder': _autoencoder(5000, 16, 128, 1e-3),
    'recipes': STANDARD,
  }
  return c


def _paper() -> dict:
  c, steps = _small(), 7812
  words = {'max_words': 110, 'prefix': PUBLISHED}
  c['task'] |= {**words, 'eval_size': 512}
  c['model'] |= {'d_model': 128, 'max_len': 256, 'activation': 'gelu'}
  # The published cosine goes from 1e-3 to 9e-4 only.
  c['optimizer'] |= {
    'peak_lr': 1e-3, 'warmup_steps': 200, 'schedule': 'constant',
  }  # fmt: skip
  c['train'] |= {'steps': steps, 'batch_size': 128}
  c['measure'] |= {
    'strings': 640,
    'latents': 128,
    'languages': {
      'expr': {},
      'dyck': {'task': {'language': 'dyck'}},
      'dyck3': {'task': {'language': 'dyck', 'nesting': 0.3}},
      'english': {'task': {'language': 'english'}},
    },
    'autoencoder': _autoencoder(5000, 128, 256, 1e-5),
    'recipes': _published(),
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
