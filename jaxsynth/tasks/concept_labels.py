"""Which concepts an image has: the images of `concept_images`, to be labelled.

Source: Park, Okawa, Lee, Lubana and Tanaka (2024), "Emergence of Hidden
Capabilities: Exploring Learning Dynamics in Concept Space", arXiv 2406.19370:
what a denoiser generates is judged by a classifier with a head for each
concept, trained on images of all classes, the one no denoiser sees among them.

Process, with the signals of `concept_images`:

  code  ~ Uniform({0, 1}^n)
  x     an image of that class, as there, + s e: s ~ Uniform(0, noise) of each
        image, e ~ N(0, 1) of each pixel
  y     = code: concept i is on (1) or off (0)

The noise makes a classifier that bears with what denoisers leave undone; 0 is
as published.

Evaluation sets, without such noise: `in_distribution`, of all classes;
`all_on`, of the class that denoisers never see.

Glossary: code, label: which concepts an image has on.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError
from jaxsynth.tasks import concept_images
from jaxsynth.tasks.concept_images import ConceptImages, Looks
from jaxsynth.tasks.lib import concept_space
from jaxsynth.types import Array, Batch, Key, Spec


@dataclass(frozen=True)
class ConceptLabels:
  """Images and their concepts; see the module's docstring.

  Attributes:
    side: see `ConceptImages`, as all others but eval_size.
    third: the third concept, if any.
    blur: deviation of the Gaussian, in pixels.
    noise: the largest deviation of pixels added to training images.
    eval_size: images of each evaluation set.
  """

  side: int = ConceptImages.side
  third: str = ConceptImages.third
  blur: float = ConceptImages.blur
  noise: float = 0.0
  eval_size: int = 256

  def __post_init__(self):
    if not 0 <= self.noise < math.inf:
      raise UserError(f'noise must not be negative, got {self.noise}')
    concept_space.check_sizes(self.images.concepts, 0, self.eval_size)

  @property
  def images(self) -> ConceptImages:
    """The task whose images these are."""
    return ConceptImages(self.side, self.third, self.blur)

  @property
  def spec(self) -> Spec:
    """Images [side, side, 3] in; a label [n] of each concept out."""
    return Spec(
      jax.ShapeDtypeStruct((self.side, self.side, 3), jnp.float32),
      jax.ShapeDtypeStruct((self.images.concepts,), jnp.int32),
      None,
      2,
    )

  def check(self, colour_signal=None, size_signal=None, background_signal=None):
    """Raises UserError unless signals are positive."""
    self.images.check(colour_signal, size_signal, background_signal)

  def init(
    self,
    key: Key,
    colour_signal: Array | float = concept_images.COLOUR,
    size_signal: Array | float = concept_images.SIZE,
    background_signal: Array | float = concept_images.BACKGROUND,
  ) -> Looks:
    """The signals of a run; nothing is drawn.

    Args:
      key: unused.
      colour_signal: see `ConceptImages.init`, as all others.
      size_signal: of size.
      background_signal: of the background.
    """
    return self.images.init(key, colour_signal, size_signal, background_signal)

  def sample(
    self, task_params: Looks, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Images of random classes, all of them, by one law at every step."""
    del step
    clean_key, size_key, noise_key = jax.random.split(key, 3)
    batch = self._random(task_params, clean_key, batch_size)
    x = batch.inputs
    size = jax.random.uniform(size_key, (batch_size, 1, 1, 1))
    noise = self.noise * size * jax.random.normal(noise_key, x.shape)
    return batch._replace(inputs=x + noise)

  def evals(self, task_params: Looks, key: Key) -> dict[str, Batch]:
    """{'in_distribution', 'all_on'}: eval_size images each."""
    first, second = jax.random.split(key)
    code = jnp.ones((self.eval_size, self.images.concepts), jnp.int32)
    return {
      'in_distribution': self._random(task_params, first, self.eval_size),
      'all_on': self._labelled(task_params, second, code),
    }

  def reference(self, task_params: Looks, batch: Batch) -> dict[str, Array]:
    """Labels as they are found without training, [B, n, 2].

    Returns:
      template: 1 for the label of the nearest template, see
      `ConceptImages.read`.
    """
    read = self.images.read(task_params, batch.inputs)
    return {'template': jnp.stack([1 - read, read], -1)}

  def _random(self, task_params: Looks, key: Key, count: int) -> Batch:
    code_key, image_key = jax.random.split(key)
    shape = (count, self.images.concepts)
    code = jax.random.bernoulli(code_key, shape=shape).astype(jnp.int32)
    return self._labelled(task_params, image_key, code)

  def _labelled(self, task_params: Looks, key: Key, code: Array) -> Batch:
    latent_key, pixel_key = jax.random.split(key)
    task = self.images
    latents = task.latents(task_params, latent_key, code)
    x = task.photographs(latents, pixel_key)
    return Batch(x, code, jnp.ones(code.shape), {'size': latents.size})


TASK = ConceptLabels
