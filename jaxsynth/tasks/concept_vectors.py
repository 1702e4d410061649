"""Concepts as directions of a vector space, to be denoised under a condition.

The plain twin of `concept_images`: what a class looks like is linear in its
concepts, so that the best denoiser is known in closed form.

Source: Park, Okawa, Lee, Lubana and Tanaka (2024), "Emergence of Hidden
Capabilities: Exploring Learning Dynamics in Concept Space", arXiv 2406.19370,
whose code, cfpark00/concept-learning, has such a data set; sizes are ours.

Process, for n concepts with signals g and m nuisance directions:

  code ~ Uniform(codes with at most one concept on)
  v_i = g_i (code_i - 1/2 + jitter U_i),  U_i ~ Uniform(-1, 1)
  own = [v, 0] + [spread e, nuisance_spread e'],  e, e' ~ N(0, 1)
  x = own R^T,  R a random rotation of R^(n + m)

and the condition is v. With probability `masking` an example of the class 01
(second concept alone on) has 0 in place of v_1. The model reads x noised and
answers the noise; see `tasks.lib.concept_space` and `jaxsynth.diffusion`.

Evaluation sets: `in_distribution`, and `held_out`, the class with all on.

Glossary: signal g_i, how far apart a concept's classes are, its published
proxy of how strongly the data depends on the concept; push, how many times
further than its class's mean a condition puts a concept; own coordinates, x R.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsynth import diffusion
from jaxsynth.errors import UserError
from jaxsynth.tasks.lib import concept_space
from jaxsynth.types import Array, Batch, Key, Spec

SIGNALS = ('colour_signal', 'size_signal', 'shape_signal')


class Directions(NamedTuple):
  """The concepts of a run.

  Attributes:
    basis: R [d, d]; column i is the direction of concept i, for i < n.
    signals: g [n].
    masking: probability, [].
  """

  basis: Array
  signals: Array
  masking: Array


@dataclass(frozen=True)
class ConceptVectors:
  """Vectors of concepts; see the module's docstring.

  Attributes:
    concepts: n, 2 or 3: colour, size, shape, by name only.
    nuisance: m, directions that no condition tells.
    spread: deviation along concepts, given the condition.
    nuisance_spread: deviation along the others.
    jitter: how far from its class's mean a concept may be, over its signal.
      Published for colour: 1/8.
    ddpm_steps: T of discrete time; 0 is continuous time.
    eval_size: points of each evaluation set.
  """

  concepts: int = 2
  nuisance: int = 8
  spread: float = 0.05
  nuisance_spread: float = 0.5
  jitter: float = 0.125
  ddpm_steps: int = 0
  eval_size: int = 256

  def __post_init__(self):
    concept_space.check_sizes(self.concepts, self.ddpm_steps, self.eval_size)
    for name in ('spread', 'nuisance_spread'):
      if not 0 < getattr(self, name) < math.inf:
        raise UserError(f'{name} must be positive, got {getattr(self, name)}')
    if self.nuisance < 0 or not 0 <= self.jitter < 0.5:
      raise UserError(
        'nuisance must not be negative, and jitter lie in [0, 0.5): got '
        f'{self.nuisance} and {self.jitter}'
      )

  @property
  def dim(self) -> int:
    """d."""
    return self.concepts + self.nuisance

  @property
  def spec(self) -> Spec:
    """Noisy vectors [d], gamma [], condition [n] in; noise [d] out."""
    return concept_space.spec((self.dim,), self.concepts)

  def check(
    self,
    colour_signal=None,
    size_signal=None,
    shape_signal=None,
    masking=None,
  ):
    """Raises UserError unless signals are positive, masking a probability."""
    given = (colour_signal, size_signal, shape_signal)
    concept_space.check_signals(masking, **dict(zip(SIGNALS, given)))

  def init(
    self,
    key: Key,
    colour_signal: Array | float = 1.0,
    size_signal: Array | float = 1.0,
    shape_signal: Array | float = 1.0,
    masking: Array | float = 0.0,
  ) -> Directions:
    """The directions of a run.

    Args:
      key: of the rotation.
      colour_signal: g_1.
      size_signal: g_2.
      shape_signal: g_3; unused where there are two concepts.
      masking: probability that 01 loses its first concept's condition.
    """
    signals = jnp.stack(
      [
        jnp.asarray(g, jnp.float32)
        for g in (colour_signal, size_signal, shape_signal)[: self.concepts]
      ]
    )
    # Signs fixed by the diagonal of R make the rotation uniform.
    q, r = jnp.linalg.qr(jax.random.normal(key, (self.dim, self.dim)))
    basis = q * jnp.sign(jnp.diag(r))
    return Directions(basis, signals, jnp.asarray(masking, jnp.float32))

  def sample(
    self, task_params: Directions, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Points of random trained classes, by one law at every step."""
    del step
    code_key, point_key = jax.random.split(key)
    code = concept_space.draw(code_key, batch_size, self.concepts)
    return self._points(task_params, point_key, code)

  def evals(self, task_params: Directions, key: Key) -> dict[str, Batch]:
    """{'in_distribution', 'held_out'}: eval_size points each."""
    seen, unseen = jax.random.split(key)
    zero = jnp.zeros((), jnp.int32)
    code = jnp.ones((self.eval_size, self.concepts))
    return {
      'in_distribution': self.sample(task_params, seen, zero, self.eval_size),
      'held_out': self._points(task_params, unseen, code),
    }

  def condition(
    self, task_params: Directions, code: Array, push: Array | float = 1.0
  ) -> Array:
    """The condition of the mean of classes [..., n], its concepts pushed.

    Args:
      task_params: of the run.
      code: classes [..., n].
      push: factors of the distance from the middle, [..., n] or one.
    """
    return push * task_params.signals * (code - 0.5)

  def read(self, task_params: Directions, x: Array) -> Array:
    """Which concepts points [..., d] have on, by the nearest class, [..., n].

    The means of all classes form a box, so the nearest is found by axis.
    """
    own = (x @ task_params.basis)[..., : self.concepts]
    return (own > 0).astype(jnp.float32)

  def reference(
    self, task_params: Directions, batch: Batch
  ) -> dict[str, Array]:
    """The noise as two denoisers know it, [B, d].

    Returns:
      conditional: E[n | z, v], the best there is where nothing is masked;
      linear: the best linear one that reads no condition.
    """
    n, basis = self.concepts, task_params.basis
    z = batch.inputs['noisy'] @ basis
    (a, b) = (s[:, None] for s in diffusion.scales(batch.inputs['gamma']))
    own = jnp.arange(self.dim) < n
    spread = jnp.where(own, self.spread, self.nuisance_spread) ** 2
    mean = jnp.pad(batch.inputs['condition'], ((0, 0), (0, self.nuisance)))
    best = b * (z - a * mean) / (a**2 * spread + b**2)

    p, g = 1 / (n + 1), task_params.signals
    among = jnp.outer(g, g) * (p * jnp.eye(n) - p**2)
    within = jnp.square(g * self.jitter) / 3
    cov = jnp.diag(spread).at[:n, :n].add(among + jnp.diag(within))
    values, vectors = jnp.linalg.eigh(cov)
    middle = jnp.pad(g * (p - 0.5), (0, self.nuisance))
    apart = (z - a * middle) @ vectors
    blind = b * apart / (a**2 * values + b**2) @ vectors.T
    return {'conditional': best @ basis.T, 'linear': blind @ basis.T}

  def _points(self, task_params: Directions, key: Key, code: Array) -> Batch:
    jitter_key, own_key, mask_key, noise_key = jax.random.split(key, 4)
    n = self.concepts
    jitter = jax.random.uniform(jitter_key, code.shape, minval=-1.0)
    values = task_params.signals * (code - 0.5 + self.jitter * jitter)
    spread = jnp.where(
      jnp.arange(self.dim) < n, self.spread, self.nuisance_spread
    )
    own = spread * jax.random.normal(own_key, (len(code), self.dim))
    own = own.at[:, :n].add(values)
    hidden = concept_space.masked(mask_key, code, task_params.masking)
    told = values.at[:, 0].set(jnp.where(hidden, 0.0, values[:, 0]))
    return concept_space.noisy_batch(
      noise_key, own @ task_params.basis.T, told, code, self.spread,
      self.ddpm_steps,
    )  # fmt: skip


TASK = ConceptVectors
