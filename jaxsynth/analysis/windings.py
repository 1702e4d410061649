"""How often a closed curve of representations winds round its ring.

N points in the order of a ring, x_0..x_{N-1}, are a sum of circles and one
mean: the discrete Fourier transform along the ring has at frequency w the part
of them that goes round w times while the ring is gone round once,

  X_w = sum_n x_n exp(-2 pi i w n / N),   share(w) = |X_w|^2 / sum_{v>0} |X_v|^2

A plane that Isomap finds shows a ring where most is at w = 1. One that winds
two or three times is as good a code of it (neighbours are near, a step is a
turn) and looks tangled there. Points in no order have 2 / (N - 1) at each w.

Source: the spectrum of embeddings along the ring of residues in Nanda, Chan,
Lieberum, Smith and Steinhardt (2023), "Progress measures for grokking via
mechanistic interpretability", arXiv 2301.05217.
"""

import jax
import jax.numpy as jnp

from jaxsynth.types import Array, Key


def windings(points: Array) -> Array:
  """The share of the variance at each number of turns.

  Args:
    points: in the order of the ring, [..., N, D].

  Returns:
    Shares of 1, 2, .., N // 2 turns, [..., N // 2]; they sum to one.
  """
  N = points.shape[-2]
  power = jnp.square(jnp.abs(jnp.fft.rfft(points, axis=-2))).sum(-1)[..., 1:]
  # A frequency below N / 2 stands for its negative as well.
  twice = jnp.where(2 * jnp.arange(1, N // 2 + 1) == N, 1, 2)
  power = power * twice
  return power / power.sum(-1, keepdims=True)


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for every function here, for the contract suite."""
  return {'windings': (jax.random.normal(key, (2, 8, 3)),)}
