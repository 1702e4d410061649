"""What the study `concept_space` measures: generations at every snapshot.

At each snapshot of a run points are generated under

  naive        the condition of each class's mean
  overprompt   of the held-out class, one concept pushed beyond its mean
  steer        of the held-out class, with alpha (h(concept on) - h(none)) added
               to the embedded condition h, both prompts of trained classes
  random       the same with random directions of that length: a control
  swap         of the held-out class, the last snapshot's embedding in place

and read by the task (nearest class), images by a trained classifier.

Source: Park, Okawa, Lee, Lubana and Tanaka (2024), arXiv 2406.19370.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxsynth import build
from jaxsynth.experiments import _concept_space_judge as judges
from jaxsynth.experiments._concept_space_generation import (
  Prompts,
  Sizes,
  embedded,
  generate,
  plain,
)
from jaxsynth.studies.study import Bench
from jaxsynth.studies.variants import of_sections
from jaxsynth.tasks.lib import concept_space


def capabilities(task, sizes: Sizes, judge=None) -> Callable:
  """The analysis of all prompts and interventions.

  Args:
    task: of concepts.
    sizes: how much is generated.
    judge: classifiers that read what is generated; None has the task read it.

  Returns:
    fn(params, ctx) over 'run' -> share [K, class, concept] of generations with
    each concept on under naive prompts (of a judge, its mean probability);
    naive [K, class], the share that is of the prompted class; of the class with
    all concepts on: overprompt [K, concept, push], steer [K, concept, alpha],
    random [K, direction, concept, alpha], swap [K]. With a judge, as the task
    itself reads them: template [K, class], naive so; alike [K, class], the
    share that both read the same.
  """
  n = task.concepts
  every = jnp.asarray(concept_space.codes(n))
  single, goal = jnp.eye(n), jnp.ones(n)
  pushes, alphas = jnp.asarray(sizes.pushes), jnp.asarray(sizes.alphas)
  # One concept pushed by each factor, the others left, [n, pushes, n].
  pushed = 1 + single[:, None] * (pushes[None, :, None] - 1)
  steered = n * len(alphas)
  over, random = n * len(pushes), sizes.directions * steered
  blocks = np.cumsum([len(every), over, steered, random])

  def prompts(apply, params, last, world, key):
    target = task.condition(world, goal)
    far = task.condition(world, goal, pushed).reshape(over, -1)
    told = jnp.concatenate([task.condition(world, every), far])
    sources = task.condition(world, jnp.concatenate([0 * goal[None], single]))
    h = embedded(task, apply, params, sources)
    ways = h[1:] - h[0]  # [n, E]
    chance = jax.random.normal(key, (sizes.directions, *ways.shape))
    size = lambda x: jnp.linalg.norm(x, axis=-1, keepdims=True)
    chance = chance * size(ways) / size(chance)
    scaled = lambda x: (alphas[:, None] * x[..., None, :]).reshape(
      -1, x.shape[-1]
    )
    # The embedding is all that a condition does: the other's is put in place.
    other = embedded(task, apply, last, target[None])
    add = jnp.concatenate([scaled(ways), scaled(chance), other])
    kept = jnp.append(jnp.ones(steered + random), 0.0)
    held = jnp.broadcast_to(target, (len(add), *target.shape))
    parts = plain(told, ways.shape[-1]), Prompts(held, kept, add)
    return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)

  def measure(params, ctx):
    world = ctx.constants['task_params']
    last = jax.tree.map(lambda x: x[-1], params)
    noise_key, random_key = jax.random.split(ctx.key)
    on = lambda read: (read > 0.5).astype(jnp.float32)
    hit = lambda code, read: (on(read) == code).all(-1).mean(-1)

    def at(p):
      asked = prompts(ctx.apply, p, last, world, random_key)
      x = generate(task, ctx.apply, p, asked, noise_key, sizes)
      if judge is None:
        read, checks = task.read(world, x), {}
      else:
        read = judges.probabilities(judge, ctx.hparams, x)
        nearest = task.read(world, x[: len(every)])
        checks = {
          'template': hit(every[:, None], nearest),
          'alike': hit(nearest, read[: len(every)]),
        }
      classes, *others = jnp.split(read, blocks)
      far, steer, chance, swapped = (hit(goal, part) for part in others)
      return checks | {
        'share': classes.mean(1),
        'naive': hit(every[:, None], classes),
        'overprompt': far.reshape(n, -1),
        'steer': steer.reshape(n, -1),
        'random': chance.reshape(sizes.directions, n, -1),
        'swap': swapped[0],
      }

    return jax.lax.map(at, params)

  return measure


def excess(task) -> Callable:
  """The analysis of how near a denoiser is to the best one.

  Args:
    task: of concepts, one that knows the best denoiser.

  Returns:
    fn(params, ctx) over 'snapshot' -> excess []: E|n' - n*|^2 / E|n - n*|^2 on
    points of trained classes, n* the best answer where n is the noise.
  """

  def measure(params, ctx):
    batch = ctx.evals['in_distribution']
    best = task.reference(ctx.constants['task_params'], batch)['conditional']
    answered = ctx.apply(params, batch.inputs).prediction
    mean = lambda x: jnp.square(x).mean()
    return {'excess': mean(answered - best) / mean(batch.targets - best)}

  return measure


def grid(task, sizes: Sizes) -> Callable:
  """The analysis that keeps the generations of each class, as they are.

  Returns:
    fn(params, ctx) over 'snapshot' -> generated [class, sample, ...].
  """
  every = jnp.asarray(concept_space.codes(task.concepts))

  def measure(params, ctx):
    told = task.condition(ctx.constants['task_params'], every)
    width = embedded(task, ctx.apply, params, told).shape[-1]
    asked = plain(told, width)
    return {
      'generated': generate(task, ctx.apply, params, asked, ctx.key, sizes)
    }

  return measure


def names(concepts: int) -> list[str]:
  """The classes as '00', '01', ..."""
  rows = concept_space.codes(concepts).astype(int)
  return [''.join(map(str, row)) for row in rows]


def stage_config(config, name: str):
  """The study's config with what one of `measure.stages` changes."""
  return of_sections(config, config.measure.stages[name].to_dict())


def sizes_of(m) -> Sizes:
  """What the section `measure` of a config says."""
  return Sizes(
    m.samples, m.sampler_steps, tuple(m.pushes), tuple(m.alphas), m.directions
  )


def states(bench: Bench, name: str, config, judge=None) -> xr.Dataset:
  """Trains a stage and measures all its snapshots.

  Args:
    bench: the bench.
    name: of the stage.
    config: what it trains.
    judge: reads what is generated; None has the task read it.

  Returns:
    `capabilities` by (run, step).
  """
  traj = bench.train(name, config)
  task, sizes = build.build(config).task, sizes_of(config.measure)
  dims = {
    'share': ('step', 'class', 'concept'),
    'naive': ('step', 'class'),
    'overprompt': ('step', 'concept', 'push'),
    'steer': ('step', 'concept', 'alpha'),
    'random': ('step', 'direction', 'concept', 'alpha'),
    'swap': ('step',),
    'template': ('step', 'class'),
    'alike': ('step', 'class'),
  }
  coords = {
    'step': traj.steps,
    'class': names(task.concepts),
    'concept': ['colour', 'size', 'third'][: task.concepts],
    'push': list(sizes.pushes),
    'alpha': list(sizes.alphas),
  }
  return bench.measure(
    f'{name}_states',
    lambda: traj.map(
      capabilities(task, sizes, judge), over='run', dims=dims, coords=coords,
      title=name,
    ),
  )  # fmt: skip


def nearness(bench: Bench, name: str, config) -> xr.Dataset:
  """`excess` of every snapshot of a trained stage, by (run, step)."""
  traj = bench.train(name, config)
  task = build.build(config).task
  return bench.measure(
    f'{name}_excess', lambda: traj.map(excess(task), title='excess')
  )


def gallery(bench: Bench, name: str, config) -> xr.Dataset:
  """Generations of the last run of a stage of images, at some snapshots.

  The last run is one of the largest signals.

  Args:
    bench: the bench; `measure.gallery` of its config says how many samples of
      each class, at how many snapshots.
    name: of the stage.
    config: what it trains.

  Returns:
    generated (step, class, sample, y, x, channel), in [-1, 1].
  """
  traj = bench.train(name, config)
  task, m = build.build(config).task, config.measure
  sizes = sizes_of(m)._replace(samples=m.gallery.samples)
  shown = np.linspace(0, len(traj.steps) - 1, m.gallery.snapshots)
  steps = [int(traj.steps[i]) for i in np.unique(shown.round().astype(int))]
  dims = {'generated': ('class', 'sample', 'y', 'x', 'channel')}
  return bench.measure(
    f'{name}_gallery',
    lambda: traj.sel(steps=steps, run=[len(traj.runs) - 1])
    .map(
      grid(task, sizes), dims=dims, coords={'class': names(task.concepts)},
      title='gallery',
    )
    .isel(run=0, drop=True),
  )  # fmt: skip
