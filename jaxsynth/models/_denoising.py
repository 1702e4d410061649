"""What denoisers share: the check, the schedule, and their embeddings.

A denoiser reads {'noisy': z, 'gamma': log of noise over signal, 'condition': c}
and answers the noise in z. Its schedule, `start` and `end` of gamma, are two
parameters: they place gamma in [0, 1] for the network, and a variational loss
learns them (`jaxsynth.train.denoising`). The embeddings are networks of their
own, so that one may be swapped or edited apart from the rest:

  time        u = (gamma - start) / (end - start); sin and cos of pi 2^k u,
              k = 0..FREQUENCIES - 1; dense, act, dense
  condition   c; dense, act, dense

Source: Kingma, Salimans, Poole and Ho (2021), arXiv 2107.00630, for reading
the noise level by gamma; Fourier features after Vaswani et al. (2017).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxsynth import diffusion
from jaxsynth.errors import UserError
from jaxsynth.types import Array, Spec

INPUTS = {'noisy', 'gamma', 'condition'}
FREQUENCIES = 4

# Exact, as published.
act = lambda x: jax.nn.gelu(x, approximate=False)


def check(spec: Spec, axes: int, model: str) -> None:
  """Refuses a task that is not one of noisy points.

  Args:
    spec: of the task.
    axes: of a point, without the batch: 1 for a vector, 3 for an image.
    model: what refuses, for the message.

  Raises:
    UserError: other inputs, or points with other axes.
  """
  inputs = spec.inputs
  if not isinstance(inputs, dict) or set(inputs) != INPUTS:
    raise UserError(
      f'{model} reads noisy points (tasks concept_vectors, concept_images), '
      'not what this task offers: choose another model'
    )
  if len(inputs['noisy'].shape) != axes:
    raise UserError(
      f'{model} reads points with {axes} axes, the task has some of shape '
      f'{inputs["noisy"].shape}: choose the other denoiser'
    )


def zeros(spec: Spec) -> dict[str, Array]:
  """Inputs of one example, to initialise with."""
  return jax.tree.map(lambda s: jnp.zeros((1, *s.shape), s.dtype), spec.inputs)


class Schedule(nn.Module):
  """Where gamma [B] lies between the schedule's ends, [B]."""

  @nn.compact
  def __call__(self, gamma):
    constant = nn.initializers.constant
    start = self.param('start', constant(diffusion.START), ())
    end = self.param('end', constant(diffusion.END), ())
    return (gamma - start) / (end - start)


class Embedding(nn.Module):
  """A network of one hidden layer, [B, n] -> [B, width]."""

  width: int

  @nn.compact
  def __call__(self, x):
    return nn.Dense(self.width, name='out')(
      act(nn.Dense(self.width, name='in')(x))
    )


def embeddings(inputs: dict[str, Array], width: int, site) -> Array:
  """Both embeddings in their sites, joined, [B, 2 width].

  Called within a network's `__call__`: parameters schedule, time, condition.

  Args:
    inputs: what the denoiser reads.
    width: of each embedding.
    site: taps an activation by name.
  """
  u = Schedule(name='schedule')(inputs['gamma'])
  phase = jnp.pi * 2.0 ** jnp.arange(FREQUENCIES) * u[:, None]
  waves = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], -1)
  time = Embedding(width, name='time')(waves)
  condition = Embedding(width, name='condition')(inputs['condition'])
  return jnp.concatenate(
    [site('embed.time', time), site('embed.condition', condition)], -1
  )
