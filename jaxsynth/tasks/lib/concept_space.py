"""Concept spaces: classes that are binary codes, one concept an axis.

With n concepts a class is a code in {0, 1}^n. Trained are the codes with at
most one concept on: for n = 2 these are 00, 01 and 10, and 11 is held out; all
its concepts were seen, never together.

A batch is one of noisy points: the model reads the point, how noisy it is and
a condition, and is to answer the noise (`jaxsynth.diffusion`).

Source: Park, Okawa, Lee, Lubana and Tanaka (2024), "Emergence of Hidden
Capabilities: Exploring Learning Dynamics in Concept Space", arXiv 2406.19370.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth import diffusion
from jaxsynth.errors import UserError
from jaxsynth.types import Array, Batch, Key, Spec


def codes(concepts: int) -> np.ndarray:
  """All classes in the order of binary numbers, float32 [2^n, n]."""
  rows = itertools.product((0.0, 1.0), repeat=concepts)
  return np.asarray(list(rows), np.float32)


def trained(concepts: int) -> np.ndarray:
  """The classes with at most one concept on, in that order, [n + 1, n]."""
  every = codes(concepts)
  return every[every.sum(1) <= 1]


def draw(key: Key, count: int, concepts: int) -> Array:
  """Codes of random trained classes, [count, n]."""
  row = jax.random.randint(key, (count,), 0, concepts + 1)
  return jnp.asarray(trained(concepts))[row]


def masked(key: Key, code: Array, masking: Array) -> Array:
  """Which examples lose the first concept in their condition, bool [B].

  Underspecification: those of the class in which the second concept alone is
  on ('red small'), each with the probability `masking`.
  """
  alone = jnp.zeros(code.shape[-1]).at[1].set(1.0)
  drawn = jax.random.uniform(key, code.shape[:1]) < masking
  return drawn & (code == alone).all(-1)


def noisy_batch(
  key: Key,
  clean: Array,
  condition: Array,
  code: Array,
  resolution: float,
  steps: int,
) -> Batch:
  """Points with noise, whose noise is the target.

  Args:
    key: of times and noise.
    clean: the points, [B, ...].
    condition: what the model is told of them, [B, c].
    code: their classes, [B, n].
    resolution: the deviation of their own noise, for the bound.
    steps: of DDPM; 0 is continuous time, gamma from diffusion.START to END.

  Returns:
    inputs: noisy [B, ...], gamma [B], condition [B, c]; targets: the noise
    [B, ...]; weights one; info: clean, time [B], code, resolution [B].
  """
  count = len(clean)
  time_key, noise_key = jax.random.split(key)
  time = diffusion.antithetic(time_key, count)
  if steps:
    table = jnp.asarray(diffusion.ddpm(steps), jnp.float32)
    gamma = table[jnp.minimum((time * steps).astype(jnp.int32), steps - 1)]
  else:
    gamma = diffusion.linear(diffusion.START, diffusion.END, time)
  noise = jax.random.normal(noise_key, clean.shape)
  inputs = {
    'noisy': diffusion.noised(clean, gamma, noise),
    'gamma': gamma,
    'condition': condition,
  }
  info = {
    'clean': clean,
    'time': time,
    'code': code,
    'resolution': jnp.full(count, resolution),
  }
  # One weight an example, for losses of every entry and of whole examples.
  weights = jnp.ones((count, *[1] * (clean.ndim - 2)))
  return Batch(inputs, noise, weights, info)


def spec(point: tuple[int, ...], condition: int) -> Spec:
  """What a denoiser reads and answers, for points of this shape."""
  shaped = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)
  inputs = {
    'noisy': shaped(*point), 'gamma': shaped(), 'condition': shaped(condition),
  }  # fmt: skip
  return Spec(inputs, shaped(*point), None, point[-1])


def check_signals(masking=None, **signals) -> None:
  """Raises UserError unless signals are positive and masking a probability."""
  for name, value in signals.items():
    if value is not None and not 0 < value < math.inf:
      raise UserError(f'{name} must be positive, got {value}')
  if masking is not None and not 0 <= masking <= 1:
    raise UserError(f'masking is a probability, got {masking}')


def check_sizes(concepts: int, ddpm_steps: int, eval_size: int) -> None:
  """Raises UserError for sizes that no concept space has."""
  if concepts not in (2, 3):
    raise UserError(f'there are 2 or 3 concepts, not {concepts}')
  if ddpm_steps < 0 or 0 < ddpm_steps < diffusion.LEAST_STEPS:
    raise UserError(
      'ddpm_steps is 0 (continuous time) or at least '
      f'{diffusion.LEAST_STEPS}, got {ddpm_steps}'
    )
  if eval_size < 1:
    raise UserError(f'eval_size must be at least 1, got {eval_size}')
