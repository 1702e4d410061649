"""Coloured shapes of two or three concepts, to be denoised under a condition.

Source: Park, Okawa, Lee, Lubana and Tanaka (2024), "Emergence of Hidden
Capabilities: Exploring Learning Dynamics in Concept Space", arXiv 2406.19370;
its code, cfpark00/concept-learning, for the sizes.

Process, with signals D (colour), S (size) and, where there is a third, G:

  code        ~ Uniform(codes with at most one concept on)
  colour      each channel Uniform within D / 8 of its class's mean, half of
              (1 + D, 1 - D, 1 - D) (red) or (1 - D, 1 - D, 1 + D) (blue)
  size        Uniform within 3 S / 8 of .45 + S / 2 (big) or .45 - S / 2
              (small), at least .1
  shape       a circle, or, where it is a concept and on, a triangle
  background  each channel Uniform within .1 of .9, or, where it is a concept
              and on, of .9 - G; in [0, 1]
  centre      Uniform in [-.5, .5]^2
  x           2 image - 1, image = render(...) + N(0, .001^2), clipped to [0, 1]

The condition has eleven numbers: shape (2, one-hot), centre (2), colour (3),
size (1), background (3), zero where it is no concept. With probability
`masking` an example of the class 01 ('red small') has zeros in place of its
colour. The model reads x noised and answers the noise; see
`tasks.lib.concept_space` and `jaxsynth.diffusion`. Where the source draws 2048
images of each class once, every batch here is new.

Evaluation sets: `in_distribution`, and `held_out`, the class with all on.

Glossary: signal, how far apart the classes of a concept are; push, how many
times its signal a condition is made with; template, the image of a class's
mean at one of a grid of centres.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth import diffusion
from jaxsynth.errors import UserError, unknown
from jaxsynth.tasks.lib import concept_space, shapes
from jaxsynth.types import Array, Batch, Key, Spec

SIGNALS = ('colour_signal', 'size_signal', 'background_signal')
THIRDS = ('', 'shape', 'background')
# In the middle of what was published, or all of it.
COLOUR, SIZE, BACKGROUND = 0.5, 0.4, 0.8
CONDITION = 11
PIXEL_NOISE = 1e-3
LEAST_SIZE = 0.1
# Centres of templates along each axis of [-1/2, 1/2].
CENTRES = 7


class Looks(NamedTuple):
  """The signals of a run.

  Attributes:
    signals: D, S and G, [3].
    masking: probability, [].
  """

  signals: Array
  masking: Array


class Latents(NamedTuple):
  """What an image is drawn from; leading axes are examples."""

  triangle: Array  # [...]
  centre: Array  # [..., 2]
  colour: Array  # [..., 3]
  size: Array  # [...]
  background: Array  # [..., 3]


@dataclass(frozen=True)
class ConceptImages:
  """Images of concepts; see the module's docstring.

  Attributes:
    side: pixels along each side. Published: 32.
    third: the third concept: '' (none), 'shape' or 'background'.
    blur: deviation of the Gaussian, in pixels. Published: 1.
    ddpm_steps: T of discrete time; 0 is continuous time.
    eval_size: images of each evaluation set.
  """

  side: int = 12
  third: str = ''
  blur: float = 1.0
  ddpm_steps: int = 0
  eval_size: int = 32

  def __post_init__(self):
    if self.third not in THIRDS:
      raise unknown('third concept', self.third, THIRDS)
    concept_space.check_sizes(self.concepts, self.ddpm_steps, self.eval_size)
    if self.side < 2 or not 0 <= self.blur < self.side:
      raise UserError(
        f'side must be at least 2 and blur in [0, side): got {self.side} and '
        f'{self.blur}'
      )

  @property
  def concepts(self) -> int:
    """n."""
    return 3 if self.third else 2

  @property
  def spec(self) -> Spec:
    """Noisy images [side, side, 3], gamma [], condition [11]; noise out."""
    return concept_space.spec((self.side, self.side, 3), CONDITION)

  def check(
    self,
    colour_signal=None,
    size_signal=None,
    background_signal=None,
    masking=None,
  ):
    """Raises UserError unless signals are positive, masking a probability."""
    given = (colour_signal, size_signal, background_signal)
    concept_space.check_signals(masking, **dict(zip(SIGNALS, given)))

  def init(
    self,
    key: Key,
    colour_signal: Array | float = COLOUR,
    size_signal: Array | float = SIZE,
    background_signal: Array | float = BACKGROUND,
    masking: Array | float = 0.0,
  ) -> Looks:
    """The signals of a run; nothing is drawn.

    Args:
      key: unused.
      colour_signal: D. Published: .1 to .8.
      size_signal: S. Published: .2 to .4.
      background_signal: G; used where that is a concept. Published: .8.
      masking: probability that 01 loses its colour's condition.
    """
    del key
    given = (colour_signal, size_signal, background_signal)
    signals = jnp.stack([jnp.asarray(g, jnp.float32) for g in given])
    return Looks(signals, jnp.asarray(masking, jnp.float32))

  def sample(
    self, task_params: Looks, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Images of random trained classes, by one law at every step."""
    del step
    code_key, image_key = jax.random.split(key)
    code = concept_space.draw(code_key, batch_size, self.concepts)
    return self._images(task_params, image_key, code)

  def evals(self, task_params: Looks, key: Key) -> dict[str, Batch]:
    """{'in_distribution', 'held_out'}: eval_size images each."""
    seen, unseen = jax.random.split(key)
    zero = jnp.zeros((), jnp.int32)
    code = jnp.ones((self.eval_size, self.concepts))
    return {
      'in_distribution': self.sample(task_params, seen, zero, self.eval_size),
      'held_out': self._images(task_params, unseen, code),
    }

  def means(
    self, task_params: Looks, code: Array, push: Array | float = 1.0
  ) -> Latents:
    """The means of classes, in the middle of the image.

    Args:
      task_params: of the run.
      code: classes [..., n].
      push: factors of the signals, [..., n] or one.
    """
    n = self.concepts
    push = jnp.asarray(push, jnp.float32)
    shape = jnp.broadcast_shapes(code.shape, push.shape)
    code, push = jnp.broadcast_to(code, shape), jnp.broadcast_to(push, shape)
    d, s = (task_params.signals[i] * push[..., i] for i in range(2))
    on = lambda i: code[..., i]
    rest = (1 - d) / 2
    red, blue = rest + d * (1 - on(0)), rest + d * on(0)
    third = on(2) if n == 3 else jnp.zeros_like(d)
    far = third * (push[..., 2] if n == 3 else 1.0)
    far = far * task_params.signals[2] * (self.third == 'background')
    return Latents(
      triangle=third * (self.third == 'shape'),
      centre=jnp.zeros((*d.shape, 2)),
      colour=jnp.stack([red, rest, blue], -1),
      size=0.45 + s * (0.5 - on(1)),
      background=jnp.repeat(0.9 - far[..., None], 3, -1),
    )

  def condition(
    self, task_params: Looks, code: Array, push: Array | float = 1.0
  ) -> Array:
    """The condition of the mean of classes [..., n], [..., 11].

    Args:
      task_params: of the run.
      code: classes [..., n].
      push: factors of the signals, [..., n] or one; a shape cannot be pushed.
    """
    return self._told(self.means(task_params, code, push))

  def draw(self, latents: Latents) -> Array:
    """The image of one example's latents, without noise, x [side, side, 3]."""
    image = shapes.render(
      self.side, self.blur, latents.centre, latents.size, latents.triangle,
      latents.colour, latents.background,
    )  # fmt: skip
    return 2 * jnp.clip(image, 0.0, 1.0) - 1

  def latents(self, task_params: Looks, key: Key, code: Array) -> Latents:
    """What random images of classes [B, n] are drawn from."""
    mean, count = self.means(task_params, code), len(code)
    d, s = task_params.signals[0], task_params.signals[1]
    keys = iter(jax.random.split(key, 4))
    even = lambda *shape: jax.random.uniform(next(keys), shape, minval=-1.0)
    return mean._replace(
      centre=0.5 * even(count, 2),
      colour=mean.colour + d / 8 * even(count, 3),
      size=jnp.maximum(mean.size + 3 * s / 8 * even(count), LEAST_SIZE),
      background=jnp.clip(mean.background + 0.1 * even(count, 3), 0.0, 1.0),
    )

  def photographs(self, latents: Latents, key: Key) -> Array:
    """The images of B examples' latents, with noise, x [B, side, side, 3]."""
    drawn = jax.vmap(self.draw)(latents)
    noise = 2 * PIXEL_NOISE * jax.random.normal(key, drawn.shape)
    return jnp.clip(drawn + noise, -1.0, 1.0)

  def templates(self, task_params: Looks) -> Array:
    """Means of classes at a grid of centres, [2^n, centres, side, side, 3]."""
    line = np.linspace(-0.5, 0.5, CENTRES)
    centres = jnp.asarray(list(itertools.product(line, line)), jnp.float32)
    looks = self.means(
      task_params, jnp.asarray(concept_space.codes(self.concepts))
    )
    at_all = lambda look: jax.vmap(
      lambda centre: self.draw(look._replace(centre=centre))
    )(centres)
    return jax.vmap(at_all)(looks)

  def read(self, task_params: Looks, x: Array) -> Array:
    """Which concepts images have on, by the nearest template, [..., n].

    Args:
      task_params: of the run.
      x: images [..., side, side, 3].
    """
    every = jnp.asarray(concept_space.codes(self.concepts))
    templates = self.templates(task_params)
    flat = templates.reshape(-1, self.side**2 * 3)
    points = x.reshape(-1, flat.shape[1])
    far = jnp.square(flat).sum(-1) - 2 * points @ flat.T
    nearest = far.argmin(-1) // templates.shape[1]
    return every[nearest].reshape(*x.shape[:-3], self.concepts)

  def reference(self, task_params: Looks, batch: Batch) -> dict[str, Array]:
    """The noise as a plain denoiser knows it, [B, side, side, 3].

    Returns:
      white: the best for pixels N(0, 1), b z: what knows nothing of images.
    """
    del task_params
    _, b = diffusion.scales(batch.inputs['gamma'])
    return {'white': b[:, None, None, None] * batch.inputs['noisy']}

  def _told(self, latents: Latents) -> Array:
    """The condition [..., 11] of latents."""
    lead = latents.size.shape
    shape = jnp.stack([1 - latents.triangle, latents.triangle], -1)
    parts = [
      shape * (self.third == 'shape'),
      jnp.zeros((*lead, 2)),
      latents.colour,
      latents.size[..., None],
      latents.background * (self.third == 'background'),
    ]
    return jnp.concatenate(parts, -1).astype(jnp.float32)

  def _images(self, task_params: Looks, key: Key, code: Array) -> Batch:
    latent_key, pixel_key, mask_key, noise_key = jax.random.split(key, 4)
    latents = self.latents(task_params, latent_key, code)
    x = self.photographs(latents, pixel_key)
    hidden = concept_space.masked(mask_key, code, task_params.masking)
    told = self._told(latents)
    told = told.at[:, 4:7].set(jnp.where(hidden[:, None], 0.0, told[:, 4:7]))
    return concept_space.noisy_batch(
      noise_key, x, told, code, 2 * PIXEL_NOISE, self.ddpm_steps
    )


TASK = ConceptImages
