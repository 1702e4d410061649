"""The variance-preserving diffusion: noising, its bound, and its way back.

A point x becomes, at the log of noise over signal gamma,

  z = a x + b n,   a^2 = sigmoid(-gamma),  b^2 = sigmoid(gamma),  n ~ N(0, 1)

so that a^2 + b^2 = 1 and the signal-to-noise ratio is exp(-gamma). A denoiser
answers the noise, n' = f(z, gamma); what is clean is then x' = (z - b n') / a.

In continuous time gamma(u) is linear from `start` at u = 0 to `end` at u = 1,
and -log p(x) is at most, in nats,

  (end - start) / 2 E_u |n - n'|^2                          diffusion
  + KL(N(a x, b^2) | N(0, 1)) at `end`                      prior
  + E[-log N(x; z / a, resolution^2)] at `start`            reconstruction

where the last two are sums over entries with closed forms. In discrete time
the steps are those of DDPM, a^2 = prod(1 - beta), with beta linear.

The way back from gamma to a smaller gamma', with c = 1 - exp(gamma' - gamma):

  z' = a'/a (z - b c n') + b' sqrt(c) e,   e ~ N(0, 1)

which is the posterior of z' given z and x = x'; it serves both kinds of time,
and at gamma' = -inf it is what is clean.

Source: Kingma, Salimans, Poole and Ho (2021), "Variational Diffusion Models",
arXiv 2107.00630, sections 3 and 4 and appendix A; Ho, Jain and Abbeel (2020),
"Denoising Diffusion Probabilistic Models", arXiv 2006.11239, for discrete time.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.types import Array, Key

# Where the learned schedule begins, as in the code of Park et al. (2024),
# arXiv 2406.19370, cfpark00/concept-learning.
START, END = -5.0, 10.0
# Beta of the first and the last of 1000 steps, as published.
BETAS = 1e-4, 0.02
# Of fewer steps, the last beta would be 1 or more.
LEAST_STEPS = 21


def scales(gamma: Array) -> tuple[Array, Array]:
  """The scale a of the signal and b of the noise, shaped as gamma."""
  return jnp.sqrt(jax.nn.sigmoid(-gamma)), jnp.sqrt(jax.nn.sigmoid(gamma))


def _scales_over(gamma: Array, x: Array) -> tuple[Array, Array]:
  """a and b of gamma [B] or [], to be multiplied with x [B, ...]."""
  a, b = scales(gamma)
  axes = [1] * (x.ndim - a.ndim)
  return a.reshape(*a.shape, *axes), b.reshape(*b.shape, *axes)


def noised(x: Array, gamma: Array, noise: Array) -> Array:
  """z of points [B, ...] at gamma [B] or [], with noise [B, ...]."""
  a, b = _scales_over(gamma, x)
  return a * x + b * noise


def clean(z: Array, gamma: Array, noise: Array) -> Array:
  """The points whose z [B, ...] has this noise at gamma [B] or []."""
  a, b = _scales_over(gamma, z)
  return (z - b * noise) / a


def linear(start: Array, end: Array, time: Array) -> Array:
  """gamma at times in [0, 1], shaped as these."""
  return start + (end - start) * time


def antithetic(key: Key, count: int) -> Array:
  """Times in [0, 1), evenly spaced from a random first one, [count]."""
  return (jax.random.uniform(key) + jnp.arange(count) / count) % 1.0


def ddpm(steps: int) -> np.ndarray:
  """gamma after 1, ..., `steps` steps of DDPM, increasing, [steps].

  The published betas are those of 1000 steps; of fewer, each is larger by as
  much as there are fewer, so that they end at about the same amount of noise:
  at least LEAST_STEPS.
  """
  first, last = (beta * 1000 / steps for beta in BETAS)
  kept = np.cumprod(1 - np.linspace(first, last, steps))
  return np.log1p(-kept) - np.log(kept)


def _per_example(values: Array) -> Array:
  """Sums over all axes but the first."""
  return values.reshape(len(values), -1).sum(-1)


def diffusion_loss(
  start: Array, end: Array, noise: Array, answered: Array
) -> Array:
  """The diffusion term of each example at its random time, nats [B].

  Args:
    start: gamma at time 0.
    end: gamma at time 1.
    noise: [B, ...].
    answered: what the denoiser says it is, [B, ...].
  """
  return 0.5 * (end - start) * _per_example(jnp.square(noise - answered))


def prior_loss(x: Array, end: Array) -> Array:
  """KL of what is left of points [B, ...] at the end from N(0, 1), nats [B]."""
  a, b = scales(end)
  return 0.5 * _per_example(
    jnp.square(a * x) + b**2 - 1 - jax.nn.log_sigmoid(end)
  )


def reconstruction_loss(size: int, start: Array, resolution: Array) -> Array:
  """E[-log N(x; z / a, resolution^2)] at the start, nats shaped as resolution.

  z / a is x with noise of variance exp(start), so this is the same for all x.

  Args:
    size: entries of a point.
    start: gamma at time 0.
    resolution: deviation down to which points are told apart.
  """
  ratio = jnp.exp(start) / jnp.square(resolution)
  return 0.5 * size * (jnp.log(2 * jnp.pi) + 2 * jnp.log(resolution) + ratio)


def back(z: Array, now: Array, then: Array, noise: Array, fresh: Array):
  """z at the smaller gamma `then`, drawn given z at `now` and its noise.

  Args:
    z: [B, ...].
    now: gamma of z, [].
    then: a smaller one, [].
    noise: of z as the denoiser answers it, [B, ...].
    fresh: standard normal, [B, ...].
  """
  (a, b), (a_then, b_then) = scales(now), scales(then)
  c = -jnp.expm1(then - now)
  return a_then / a * (z - b * c * noise) + b_then * jnp.sqrt(c) * fresh


def sample(
  denoise: Callable[[Array, Array], Array],
  gammas: Array,
  key: Key,
  shape: Sequence[int],
) -> Array:
  """Points from noise, by the ancestral sampler.

  Args:
    denoise: (z [B, ...], gamma []) -> its noise [B, ...].
    gammas: decreasing, [S]: where it starts and what it visits; from the last
      one it leads to what is clean.
    key: of all randomness.
    shape: of the points, [B, ...].
  """
  first_key, step_key = jax.random.split(key)

  def step(z, at):
    number, now, then = at
    fresh = jax.random.normal(jax.random.fold_in(step_key, number), z.shape)
    return back(z, now, then, denoise(z, now), fresh), None

  start = jax.random.normal(first_key, tuple(shape))
  after = jnp.append(gammas[1:], -jnp.inf)
  steps = jnp.arange(len(gammas)), gammas, after
  return jax.lax.scan(step, start, steps)[0]
