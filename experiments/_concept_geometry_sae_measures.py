"""What the study `concept_geometry_sae` measures at every snapshot.

  geometry   F1, L0 and error by concept; co-occurrence, stable rank, growth
  plane      receptive fields of trained autoencoders of points in the plane

Recipes of one process are put side by side: dimensions recipe, seed, step,
concept.

Source: Hindupur, Lubana, Fel and Ba (2025), arXiv 2503.01822.
"""

from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from jaxsynth import build
from jaxsynth.analysis import codes, receptive_fields
from jaxsynth.build import Setup, complete
from jaxsynth.config import override
from jaxsynth.models.sae import ACTIVE
from jaxsynth.studies import recipes
from jaxsynth.studies.study import Bench
from jaxsynth.tasks.concept_geometry_sae import ConceptGeometry

# Latents whose F1 makes a concept's score; published.
BEST = 5
# Inputs are scaled by this to see whether a reconstruction follows.
FAR = 4.0
SPARSITY = 'sweep.traced.model.sparsity'


def setups(config, process: str) -> Iterator[tuple[str, ConfigDict, Setup]]:
  """The trainings of a process.

  Args:
    config: of the study, complete.
    process: one of `config.measure.processes`.

  Yields:
    The name of the stage, its config, and that, built.
  """
  own = config.measure.processes[process]
  stretch = config.optimizer.decay_steps / config.train.steps
  shared = {
    'task.process': process,
    'model.width': own.width,
    'train.steps': own.steps,
    'train.batch_size': own.batch_size,
    'optimizer.decay_steps': round(own.steps * stretch),
  }
  for kind, values in own.recipes.items():
    stages = {f'{process}_{kind}': {SPARSITY: tuple(values)}}
    if kind == 'topk':
      stages = {f'{process}_topk_{k}': {'model.k': k} for k in values}
    for name, changes in stages.items():
      new = complete(config)
      new.sweep.traced = {}
      for path, value in {**shared, 'model.kind': kind, **changes}.items():
        override(new, path, str(value))
      yield name, new, build.build(new)


def geometry(task: ConceptGeometry) -> Callable:
  """The analysis of what codes say of the concepts.

  Returns:
    fn(params, ctx) over 'snapshot', on the held-out points -> f1, l0, nmse
    [C]; spans, rebuilt [C]: the participation ratios of each concept's points
    and of their reconstructions; crossing, stable_rank []; growth []: the
    largest reconstruction of the points times FAR over the largest of the
    points.
  """
  count = task.num_concepts

  def measure(params, ctx):
    batch = ctx.evals['held_out']
    concept = batch.info['concept']
    out = ctx.apply(params, batch.inputs)
    far = ctx.apply(params, FAR * batch.inputs).prediction
    largest = lambda x: jnp.sqrt(jnp.square(x).sum(-1).max())
    z = out.acts['sae.codes']
    return {
      'f1': codes.best_f1(z, concept, count, BEST),
      'l0': codes.l0(z, concept, count),
      'nmse': codes.nmse(batch.inputs, out.prediction, concept, count),
      'spans': codes.participation(batch.inputs, concept, count),
      'rebuilt': codes.participation(out.prediction, concept, count),
      'crossing': codes.crossing(z, concept, count),
      'stable_rank': codes.stable_rank(z),
      'growth': largest(far) / largest(out.prediction),
    }

  return measure


def plane(task: ConceptGeometry, points: int, reach: float) -> Callable:
  """The analysis of receptive fields over [-reach, reach]^2.

  Returns:
    fn(params, ctx) over 'snapshot' -> local []: the share of local fields;
    field [C, G, G]: 1 where the latent with the best F1 for a concept is
    active; similar [L, L]: cosines of latents, sorted by concept; points
    [N, 2], the held-out ones.
  """
  count = task.num_concepts
  line = jnp.linspace(-reach, reach, points)
  mesh = jnp.stack(jnp.meshgrid(line, line), -1)

  def measure(params, ctx):
    batch = ctx.evals['held_out']
    concept = batch.info['concept']
    z = ctx.apply(params, batch.inputs).acts['sae.codes']
    over = ctx.apply(params, mesh).acts['sae.codes']  # [G, G, L]
    best = codes.f1(z, concept, count).argmax(-1)
    members = concept[:, None] == jnp.arange(count)
    order = jnp.argsort((members.T @ z).argmax(0))
    active = over[..., best] > ACTIVE
    return {
      'local': receptive_fields.local_share(over),
      'field': jnp.moveaxis(active, -1, 0).astype(jnp.float32),
      'similar': codes.cosines(z.T[order]),
      'points': batch.inputs,
    }

  return measure


def by_recipe(data: xr.Dataset, kind: str, k: int) -> xr.Dataset:
  """Dimension run as two: the recipe, named 'relu 0.001' or so, and the seed.

  Args:
    data: of one training, with the table of runs as coordinates.
    kind: of autoencoder.
    k: active latents, where the kind has them in place of a sparsity.
  """
  runs = data.sizes['run']
  if 'model_sparsity' in data.coords:
    value = data['model_sparsity'].values
  else:
    value = np.full(runs, k)
  names = [f'{kind} {v:g}' for v in value]
  return recipes.split(data, names, data['seed_init'].values)


def measure(bench: Bench, process: str) -> dict[str, xr.Dataset]:
  """Trains all recipes of a process and computes its results.

  Returns:
    'geometry'; and for separability 'plane', of the last snapshots.
  """
  trained = [
    (setup, bench.train(name, config))
    for name, config, setup in setups(bench.config, process)
  ]
  task = trained[0][0].task
  concept = {
    'concept': np.arange(task.num_concepts),
    'dimension': ('concept', list(task.dims)),
  }

  def everything(fn: Callable, dims: dict, last: bool) -> xr.Dataset:
    parts = []
    for setup, traj in trained:
      kind = setup.model.kind
      view = traj.sel(steps=traj.steps[-1]) if last else traj
      found = view.map(fn, dims=dims, title=f'{process} {kind}')
      found = found.isel(step=0, drop=True) if last else found
      parts.append(by_recipe(found, kind, setup.model.k))
    return xr.concat(parts, 'recipe').assign_coords(concept)

  names = ('f1', 'l0', 'nmse', 'spans', 'rebuilt')
  by_concept = {name: ('concept',) for name in names}
  results = {
    'geometry': bench.measure(
      f'{process}_geometry',
      lambda: everything(geometry(task), by_concept, last=False),
    )
  }
  if process == 'separability':
    size = bench.config.measure.mesh
    dims = {
      'field': ('concept', 'y', 'x'),
      'similar': ('latent', 'other'),
      'points': ('point', 'axis'),
    }
    fn = plane(task, size.points, size.reach)
    results['plane'] = bench.measure(
      f'{process}_plane', lambda: everything(fn, dims, last=True)
    )
  return results
