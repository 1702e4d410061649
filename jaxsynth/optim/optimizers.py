"""Optimizers as optax chains whose numbers may be traced.

A sweep varies learning rate, weight decay and the like inside one compiled
program, so an optimizer is built *from* its hyperparameters, inside the
traced step: `Optimizer(...).build(hparams)` returns an
`optax.GradientTransformation` whose state does not depend on their values.
Schedules have peak 1 and multiply the peak (optax's own warm-up schedules
branch in Python on the peak, which a traced value cannot).

  lr(t) = peak_lr * schedule(t),  t = 0 at the first update
"""

import dataclasses
import math
from collections.abc import Callable

import jax.numpy as jnp
import optax

from jaxsynth.errors import UserError, unknown
from jaxsynth.optim.k_adam import STRATEGIES, scale_by_k_adam
from jaxsynth.types import Array

Schedule = Callable[[Array], Array]

# The fields that stay structure; every other field is a number a sweep may
# trace.
_STATIC = (
  'name', 'schedule', 'warmup_steps', 'decay_steps', 'clip', 'flat',
  'momentum', 'stages', 'strategy',
)  # fmt: skip


def _constant(t: Array, decay_steps: int) -> Array:
  del decay_steps
  return jnp.ones_like(t)


def _cosine(t: Array, decay_steps: int) -> Array:
  return 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(t / decay_steps, 0, 1)))


def _linear(t: Array, decay_steps: int) -> Array:
  return 1 - jnp.clip(t / decay_steps, 0, 1)


SCHEDULES = {'constant': _constant, 'cosine': _cosine, 'linear': _linear}


def _adam(h: dict) -> optax.GradientTransformation:
  return optax.scale_by_adam(b1=h['b1'], b2=h['b2'], eps=h['eps'])


def _sgd(h: dict) -> optax.GradientTransformation:
  return optax.trace(decay=h['b1']) if h['momentum'] else optax.identity()


def _k_adam(h: dict) -> optax.GradientTransformation:
  decays = STRATEGIES[h['strategy']](
    jnp.asarray(h['b2']), jnp.asarray(h['b1']), h['stages']
  )
  return scale_by_k_adam(*decays, h['eps'])


OPTIMIZERS = {'adamw': _adam, 'sgd': _sgd, 'k_adam': _k_adam}


@dataclasses.dataclass(frozen=True)
class Optimizer:
  """An optimizer by name, with the values its hyperparameters default to.

  Attributes:
    name: 'adamw' (Adam with decoupled weight decay; weight_decay=0 is Adam),
      'sgd' (momentum `b1` when `momentum`), or 'k_adam' (`stages` Adams
      in a row, then the decay).
    peak_lr: learning rate at the top of the schedule.
    weight_decay: decoupled decay, applied to every parameter.
    b1: decay of the first moment, or the momentum of sgd.
    b2: decay of the second moment.
    eps: Adam's epsilon.
    momentum: whether sgd keeps a momentum buffer.
    stages: k of k_adam; one is Adam.
    strategy: how k_adam's stages share out b1 and b2, of
      `k_adam.STRATEGIES`.
    schedule: 'constant', 'cosine' or 'linear', after the warm-up.
    warmup_steps: steps of linear warm-up: update t has t + 1 parts of them.
    decay_steps: length of the decay after the warm-up; required unless
      constant.
    clip: clip the gradient to this global norm; 0 clips nothing.
    flat: keep the optimizer state as one flat vector: fewer, larger
      operations, which is faster for very small models.

  Raises:
    UserError: on an unknown name or an impossible number.
  """

  name: str = 'adamw'
  peak_lr: float = 1e-3
  weight_decay: float = 0.0
  b1: float = 0.9
  b2: float = 0.999
  eps: float = 1e-8
  momentum: bool = False
  stages: int = 1
  strategy: str = 'uniform'
  schedule: str = 'constant'
  warmup_steps: int = 0
  decay_steps: int = 0
  clip: float = 0.0
  flat: bool = False

  def __post_init__(self):
    if self.name not in OPTIMIZERS:
      raise unknown('optimizer', self.name, OPTIMIZERS)
    if self.schedule not in SCHEDULES:
      raise unknown('schedule', self.schedule, SCHEDULES)
    if self.strategy not in STRATEGIES:
      raise unknown('strategy', self.strategy, STRATEGIES)
    if self.stages < 1:
      raise UserError(f'optimizer.stages must be at least 1: {self.stages}')
    if self.schedule != 'constant' and self.decay_steps <= 0:
      raise UserError(
        f'optimizer.decay_steps must be positive with a {self.schedule} '
        f'schedule, got {self.decay_steps}'
      )
    for field in ('peak_lr', 'weight_decay', 'eps', 'clip', 'warmup_steps'):
      value = getattr(self, field)
      if not (math.isfinite(value) and value >= 0):
        raise UserError(f'optimizer.{field} must be >= 0, got {value}')
    for field in ('b1', 'b2'):
      if not 0 <= getattr(self, field) < 1:
        raise UserError(
          f'optimizer.{field} must lie in [0, 1), got {getattr(self, field)}'
        )

  @property
  def hparams(self) -> dict[str, float]:
    """The numbers a sweep may trace, with this optimizer's values."""
    return {
      f.name: getattr(self, f.name)
      for f in dataclasses.fields(self)
      if f.name not in _STATIC
    }

  def lr(self, hparams: dict, t: Array) -> Array:
    """The learning rate at update t (t = 0 at the first)."""
    t = jnp.asarray(t, jnp.float32)
    after = jnp.maximum(t - self.warmup_steps, 0)
    scale = SCHEDULES[self.schedule](after, self.decay_steps)
    if self.warmup_steps:
      scale = jnp.where(
        t < self.warmup_steps, (t + 1) / self.warmup_steps, scale
      )
    return hparams['peak_lr'] * scale

  def build(
    self, traced: dict[str, Array] | None = None
  ) -> optax.GradientTransformation:
    """The optax chain for these (possibly traced) hyperparameters.

    Args:
      traced: values that replace this optimizer's own, by name.

    Returns:
      A gradient transformation; its state is the same for all values.
    """
    h = {**dataclasses.asdict(self), **(traced or {})}
    chain = optax.chain(
      optax.clip_by_global_norm(self.clip) if self.clip else optax.identity(),
      OPTIMIZERS[self.name](h),
      optax.add_decayed_weights(h['weight_decay']),
      optax.scale_by_learning_rate(lambda t: self.lr(h, t)),
    )
    return optax.flatten(chain) if self.flat else chain
