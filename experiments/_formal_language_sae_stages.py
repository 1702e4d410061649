"""What the study `formal_language_sae` trains, and its results.

Of each language:

  language   how a model's strings are, and its loss
  recipes    of every autoencoder: the strings written with it spliced in, its
             error, active and dead latents, the best correlations
  latents    of the main recipe: correlations of latents with features, and
             what becomes of strings when a latent is clamped
  metrics    error and causal loss of the main recipe over training
"""

from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from jaxsynth import activations, build
from jaxsynth.config import plain
from jaxsynth.experiments._formal_language_sae_measures import (
  clamped,
  grammatical,
  judged,
)
from jaxsynth.studies import recipes
from jaxsynth.studies.study import Bench
from jaxsynth.trajectory.trajectory import Trajectory

# The recipe whose latents are looked at, swept over the causal loss's weight.
MAIN = 'topk'
# Of the language model's positions, those where a word is read.
MASK = 'sentence'


def autoencoders(
  config: ConfigDict, traj: Trajectory
) -> Iterator[tuple[str, ConfigDict]]:
  """The trainings on a language model's activations, one for each recipe.

  Args:
    config: of the study.
    traj: the language models, one for each seed.

  Yields:
    The recipe's name and its config; the models are one axis of its sweep.
  """
  full = plain(config)
  options = full['measure']
  seed = build.build(config).sweep.seed_list[0]
  for name, recipe in options['recipes'].items():
    found = activations.config(
      traj,
      options['site'],
      mask=MASK,
      model={**options['autoencoder']['model'], **recipe['model']},
      optimizer=options['autoencoder']['optimizer'],
      train=options['autoencoder']['train'],
      layout=full['layout'],
      sweep={'seeds': (seed,), 'traced': recipe.get('traced', {})},
    )
    yield name, build.complete(found)


def by_recipe(
  data: xr.Dataset, name: str, traj: Trajectory, seeds: np.ndarray
) -> xr.Dataset:
  """Dimension run as two: the recipe, with its swept value, and the seed.

  Args:
    data: of one training, by run.
    name: of the recipe.
    traj: the training.
    seeds: of the language models, by `task.run`.
  """
  axes = [c for c in traj.runs if c.startswith(('model.', 'optimizer.'))]
  labels = [
    ' '.join([name, *(f'{a.split(".")[-1]}={row[a]:g}' for a in axes)])
    for _, row in traj.runs.iterrows()
  ]
  return recipes.split(data, labels, seeds[traj.runs['task.run'].to_numpy()])


def language(
  bench: Bench, name: str, config: ConfigDict
) -> dict[str, xr.Dataset]:
  """Trains the models of one language and all autoencoders, and measures.

  Returns:
    The results by name, see the module's docstring.
  """
  setup = build.build(config)
  task, model, options = setup.task, setup.model, setup.measure
  traj = bench.train(name, config)
  seeds = traj.runs['seed.init'].to_numpy()
  feature = {'feature': list(task.features)}
  trained = {}
  for recipe, own in autoencoders(config, traj):
    made = bench.train(f'{name}_{recipe}', own)
    trained[recipe] = build.build(own).model, made

  def spoken() -> xr.Dataset:
    fn = grammatical(task, model, options['strings'])
    found = traj.map(fn, title=f'{name}: grammar')
    found['loss'] = traj.metrics['held_out/loss']
    return found.assign_coords(run=seeds).rename(run='seed')

  def mapped(recipe: str, fn: Callable, steps: list, **dims) -> xr.Dataset:
    made = trained[recipe][1]
    found = made.sel(steps=[made.steps[i] for i in steps]).map(
      fn, dims=dims, coords=feature, title=f'{name}: {recipe}'
    )
    return by_recipe(found, recipe, made, seeds)

  def analysis(recipe: str, make: Callable, *more: int) -> Callable:
    sae = trained[recipe][0]
    return make(task, model, sae, options['site'], options['strings'], *more)

  def recipes() -> xr.Dataset:
    own = {'best': ('feature',), 'shuffled': ('feature',)}
    parts = [mapped(r, analysis(r, judged), [0, -1], **own) for r in trained]
    steps = ['start', 'end']
    return xr.concat([p.assign_coords(step=steps) for p in parts], 'recipe')

  def latents() -> xr.Dataset:
    own = ('latent', 'feature')
    fn = analysis(MAIN, clamped, options['latents'])
    dims = {'r': own, 'effect': own, 'control': own[1:]}
    return mapped(MAIN, fn, [-1], **dims).isel(step=0, drop=True)

  def metrics() -> xr.Dataset:
    _, made = trained[MAIN]
    own = ['held_out/mse', 'held_out/causal_loss']
    found = made.metrics[[n for n in own if n in made.metrics]]
    found = found.rename({n: n.split('/')[1] for n in found})
    return by_recipe(found, MAIN, made, seeds)

  compute = {
    'language': spoken,
    'recipes': recipes,
    'latents': latents,
    'metrics': metrics,
  }
  return {n: bench.measure(f'{name}_{n}', fn) for n, fn in compute.items()}
