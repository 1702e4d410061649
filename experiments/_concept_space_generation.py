"""Generating points under prompts and edits, for the study `concept_space`.

A prompt is a condition, and what is added to its embedding on the way. All
prompts of a run, at all snapshots, start from the same noise: they differ by
model and prompt alone.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsynth import diffusion
from jaxsynth.models.base import Edit
from jaxsynth.types import Array, Key, PyTree

SITE = 'embed.condition'


class Sizes(NamedTuple):
  """How much is generated.

  Attributes:
    samples: generations for each prompt.
    steps: of the sampler.
    pushes: how many times its mean's distance a concept is pushed.
    alphas: strengths of the intervention on the embedding.
    directions: random ones, of each length.
  """

  samples: int
  steps: int
  pushes: tuple[float, ...]
  alphas: tuple[float, ...]
  directions: int


def gammas(task, params: PyTree, steps: int) -> Array:
  """The noise levels the sampler visits, decreasing, [S].

  Of the learned schedule `steps`, of discrete time all there are.
  """
  if task.ddpm_steps:
    return jnp.asarray(diffusion.ddpm(task.ddpm_steps)[::-1], jnp.float32)
  ends = params['schedule']
  time = jnp.linspace(1.0, 0.0, steps)
  return diffusion.linear(ends['start'], ends['end'], time)


class Prompts(NamedTuple):
  """P prompts: h -> keep h + add is done to the embedded condition h.

  Attributes:
    condition: [P, c].
    keep: [P].
    add: [P, E].
  """

  condition: Array
  keep: Array
  add: Array


def plain(condition: Array, width: int) -> Prompts:
  """Conditions [P, c] as they are; `width` is that of their embedding."""
  count = len(condition)
  return Prompts(condition, jnp.ones(count), jnp.zeros((count, width)))


def generate(
  task, apply: Callable, params: PyTree, prompts: Prompts, key: Key,
  sizes: Sizes,
) -> Array:  # fmt: skip
  """Points under prompts, [P, N, ...], each from the same noise.

  Args:
    task: of concepts.
    apply: the model's.
    params: the model's.
    prompts: P of them.
    key: of the noise.
    sizes: how many, and how.
  """
  count = sizes.samples
  shape = (count, *task.spec.inputs['noisy'].shape)
  levels = gammas(task, params, sizes.steps)

  def one(prompt):
    told = jnp.broadcast_to(prompt.condition, (count, len(prompt.condition)))
    edit = {SITE: Edit(keep=prompt.keep, add=prompt.add)}

    def denoise(z, gamma):
      level = jnp.full(count, gamma)
      inputs = {'noisy': z, 'gamma': level, 'condition': told}
      return apply(params, inputs, edit=edit).prediction

    return diffusion.sample(denoise, levels, key, shape)

  return jax.vmap(one)(prompts)


def embedded(task, apply: Callable, params: PyTree, condition: Array) -> Array:
  """The embedded conditions [P, E] of prompts [P, c]."""
  count = len(condition)
  noisy = jnp.zeros((count, *task.spec.inputs['noisy'].shape))
  inputs = {'noisy': noisy, 'gamma': jnp.zeros(count), 'condition': condition}
  return apply(params, inputs).acts[SITE]
