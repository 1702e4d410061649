"""What judges the images of the study `concept_space`: trained classifiers.

A network with a head for each concept is trained on images of all classes,
those that no denoiser sees among them, and says of a generation with which
probability each concept is on. It is a training of its own, with seeds of its
own, some for every cell of signals; a run's images are judged by the mean of
those that were trained on its signals, since on pale shapes, which no real
image has, one classifier leans to red and another to blue. Nearest templates,
which need no training, read the same images as a check.

Source: Park, Okawa, Lee, Lubana and Tanaka (2024), arXiv 2406.19370.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import xarray as xr

from jaxsynth import build
from jaxsynth.studies.study import Bench
from jaxsynth.studies.variants import of_sections
from jaxsynth.tasks.lib import concept_space
from jaxsynth.trajectory.trajectory import Trajectory
from jaxsynth.types import Array, PyTree

STAGE = 'classifier'


class Judge(NamedTuple):
  """J trained classifiers.

  Attributes:
    apply: the classifier's.
    params: of each, [J, ...].
    hparams: what each was trained with, config path -> [J].
  """

  apply: Callable
  params: PyTree
  hparams: dict[str, Array]


def probabilities(judge: Judge, hparams: dict[str, Array], x: Array) -> Array:
  """With which probability images have each concept on, [..., n].

  Args:
    judge: the classifiers; those whose signals are nearest read, and their
      mean is taken.
    hparams: of the run that the images come from.
    x: images [..., side, side, 3].
  """
  far = sum(abs(v - hparams[k]) for k, v in judge.hparams.items())
  near = far == far.min()
  flat = x.reshape(-1, *x.shape[-3:])
  logits = jax.vmap(lambda p: judge.apply(p, flat).prediction)(judge.params)
  chance = jnp.einsum(
    'j,jbn->bn', near / near.sum(), jax.nn.softmax(logits)[..., 1]
  )
  return chance.reshape(*x.shape[:-3], -1)


def stage_config(config):
  """The study's config with what trains the classifiers."""
  return of_sections(config, config.measure.classifier.to_dict())


def of(traj: Trajectory) -> Judge:
  """The classifiers as they are after their last step."""
  table = traj.runs
  names = [name for name in table if name.startswith('task.')]
  return Judge(
    apply=traj.apply,
    params=jax.tree.map(jnp.asarray, traj.params(int(traj.steps[-1]))),
    hparams={name: jnp.asarray(table[name].to_numpy()) for name in names},
  )


def reading(task) -> Callable:
  """The analysis of how well a classifier reads, and templates beside it.

  Args:
    task: `concept_labels`.

  Returns:
    fn(params, ctx) over 'snapshot' -> the shares of images whose concepts are
    all read as they are: seen [], of new images of all classes; all_on [], of
    the class that denoisers never see; noiseless [], of the templates
    themselves; template [], by the nearest template, of new images of all
    classes; and alike [], of these read the same by both.
  """
  every = jnp.asarray(concept_space.codes(task.images.concepts))
  share = lambda read, told: (read == told).all(-1).mean()

  def measure(params, ctx):
    read = lambda x: ctx.apply(params, x).prediction.argmax(-1)
    world = ctx.constants['task_params']
    seen, all_on = ctx.evals['in_distribution'], ctx.evals['all_on']
    drawn = task.images.templates(world)
    told = jnp.repeat(every, drawn.shape[1], 0)
    answer = read(seen.inputs)
    nearest = task.images.read(world, seen.inputs)
    return {
      'seen': share(answer, seen.targets),
      'all_on': share(read(all_on.inputs), all_on.targets),
      'noiseless': share(read(drawn.reshape(-1, *drawn.shape[2:])), told),
      'template': share(nearest, seen.targets),
      'alike': share(nearest, answer),
    }

  return measure


def judge(bench: Bench, config) -> tuple[Judge, xr.Dataset]:
  """Trains the classifiers and measures how well they read.

  Args:
    bench: the bench.
    config: of the study; its `measure.classifier` says what is trained.

  Returns:
    The classifiers, and `reading` by (run, step).
  """
  changed = stage_config(config)
  traj = bench.train(STAGE, changed)
  task = build.build(changed).task
  measured = bench.measure(
    f'{STAGE}_reading', lambda: traj.map(reading(task), title='reading')
  )
  return of(traj), measured
