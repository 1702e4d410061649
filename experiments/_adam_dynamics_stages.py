"""The configs of the stages of `adam_dynamics`, from the study's own."""

from ml_collections import ConfigDict

from jaxsynth.build import complete
from jaxsynth.optim.k_adam import STRATEGIES
from jaxsynth.studies.variants import of_paths


def norms(config: ConfigDict) -> ConfigDict:
  """Small batches and wrong labels, so that gradients stay noisy."""
  m = config.measure.norms
  return of_paths(
    config,
    {
      'train.steps': m.steps,
      'train.call_steps': m.steps,
      'train.batch_size': m.batch_size,
      'train.snapshots': (0, m.steps),
      'train.evals': (0, m.steps),
      'train.watch': ('norms',),
      'task.label_noise': m.label_noise,
      'optimizer.peak_lr': m.peak_lr,
      'optimizer.weight_decay': m.weight_decay,
      'optimizer.eps': 1e-8,
      'sweep.seeds': m.seeds,
      'sweep.traced.optimizer.b2': (0.999,),
      'sweep.traced.optimizer.b1': tuple(m.gammas),
    },
  )


def k_adam(config: ConfigDict) -> dict[tuple[str, int], ConfigDict]:
  """One stage per strategy and number of stages; a single stage is Adam."""
  m = config.measure.k_adam
  cells = [('uniform', 1)]
  cells += [(name, k) for name in STRATEGIES for k in m.stages]
  shared = {
    'train.steps': m.steps,
    'train.call_steps': m.steps,
    'train.batch_size': m.batch_size,
    'train.snapshots': (0, m.steps),
    'train.evals': 'log:12',
    'train.watch': (),
    'optimizer.peak_lr': m.peak_lr,
    'optimizer.eps': 1e-8,
    'sweep.seeds': m.seeds,
    'sweep.traced.optimizer.b2': (0.999,),
    'sweep.traced.optimizer.b1': (0.9,),
  }
  return {
    (name, k): of_paths(
      config, {**shared, 'optimizer.strategy': name, 'optimizer.stages': k}
    )
    for name, k in cells
  }


def transformer(config: ConfigDict) -> ConfigDict:
  """A small transformer on Markov chains, at the two decays of the claim."""
  m = config.measure.transformer
  return complete({
    'study': config.study,
    'preset': config.preset,
    'task': {'name': 'markov_mixture'},
    'model': {
      'name': 'transformer', 'num_layers': 2, 'd_model': m.d_model,
      'num_heads': 2, 'max_len': 64,
    },
    'optimizer': {'name': 'k_adam', 'peak_lr': m.peak_lr, 'eps': 1e-30},
    'train': {
      'steps': m.steps, 'batch_size': 16, 'snapshots': (0, m.steps),
      'evals': (0, m.steps), 'watch': ('update_max',),
    },
    'sweep': {
      'seeds': config.sweep.seeds,
      'first_seed': config.sweep.first_seed,
      'traced': {'optimizer': {'b2': (0.999, 0.9), 'b1': (0.9, 0.98)}},
    },
  })  # fmt: skip
