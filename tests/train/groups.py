"""A small program for tests of devices that share runs."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxsynth.models.base import Output
from jaxsynth.optim.optimizers import Optimizer
from jaxsynth.train.layout import Layout
from jaxsynth.train.supervised import mean_squared_error, supervised
from jaxsynth.types import Batch, Spec

BATCH, WIDTH = 8, 4


@dataclass(frozen=True)
class Weighted:
  """y = x A on examples of unequal weight; one evaluation set is odd."""

  width: int = WIDTH

  @property
  def spec(self):
    x = jax.ShapeDtypeStruct((self.width,), jnp.float32)
    return Spec(x, x, None, self.width)

  def init(self, key):
    return {'A': jax.random.normal(key, (self.width, self.width))}

  def sample(self, task_params, key, step, batch_size):
    x = jax.random.normal(key, (batch_size, self.width)) + 0.1 * step
    weights = jnp.arange(batch_size) + 1.0
    return Batch(x, x @ task_params['A'], weights, {'n': weights})

  def evals(self, task_params, key):
    few = self.sample(task_params, key, 0, 5)
    return {'few': few, 'one': jax.tree.map(lambda x: x[:1], few)}


@dataclass(frozen=True)
class Noisy:
  """x W, and a noise of its own in training."""

  def init(self, key, spec):
    return {'w': jax.random.normal(key, (*spec.inputs.shape, spec.output_size))}

  def apply(self, params, inputs, *, key=None, **_):
    out = inputs @ params['w']
    if key is not None:
      out = out + jax.random.normal(key, out.shape)
    return Output(out, {})


def program(microbatches=1, width=WIDTH):
  return supervised(
    Weighted(width),
    Noisy(),
    mean_squared_error,
    Optimizer(name='adamw', peak_lr=0.1),
    batch_size=BATCH,
    microbatches=microbatches,
  )


def on(mode, microbatches=1, data=1, devices=2):
  """A layout of the first devices, with one run a device or group."""
  some = tuple(jax.devices()[:devices])
  return Layout(mode, devices // data, microbatches, some, data)
