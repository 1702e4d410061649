"""The parts of a loss for what latents cause: partners, steps, distances.

A code z is moved a step s of the way to the nearest other code of its sequence
and predictions should move as far (see `models.causal_sae`). Steps are the
same for all vectors, or drawn from U(0, s) for each; predictions f are compared
with what is wanted, y, over their V entries by

  mse   mean_v (f_v - y_v)^2
  kl    sum_v p_v (log p_v - log q_v),  p = softmax(y), q = softmax(f)

and the weight of the loss may grow linearly from 0 over the first updates.

Source: Menon, Shrivastava, Krueger and Lubana (2024), "Analyzing (In)Abilities
of SAEs via Formal Languages", arXiv 2410.11767, and its code,
Abhinav271828/pcfg-sae-causal-arr-oct24.
"""

import jax
import jax.numpy as jnp

from jaxsynth.types import Array, Key


def nearest(codes: Array, counts: Array) -> tuple[Array, Array]:
  """The nearest other vector of the same sequence, by Euclidean distance.

  Args:
    codes: [B, T, w].
    counts: which vectors there are, bool [B, T].

  Returns:
    The position of the nearest that counts [B, T]; whether there is one, for
    a vector that counts, bool [B, T].
  """
  squares = jnp.square(codes).sum(-1)
  inner = jnp.einsum('btw,bsw->bts', codes, codes)
  far = squares[:, :, None] + squares[:, None] - 2 * inner
  others = counts[:, None, :] & ~jnp.eye(codes.shape[1], dtype=bool)
  index = jnp.where(others, far, jnp.inf).argmin(-1)
  return index, others.any(-1) & counts


def drawn(reach: float, key: Key, shape: tuple[int, ...]) -> Array:
  """How far each vector goes, from U(0, reach), [*shape, 1].

  Args:
    reach: the largest step.
    key: of the draws.
    shape: of the vectors, without their entries.
  """
  return reach * jax.random.uniform(key, (*shape, 1))


def mse(found: Array, wanted: Array) -> Array:
  """Mean squared difference of predictions [..., V], [...]."""
  return jnp.square(found - wanted).mean(-1)


def kl(found: Array, wanted: Array) -> Array:
  """Divergence of softmax(found) from softmax(wanted) in nats, [...]."""
  log_p, log_q = (jax.nn.log_softmax(x) for x in (wanted, found))
  return (jnp.exp(log_p) * (log_p - log_q)).sum(-1)


DISTANCES = {'mse': mse, 'kl': kl}


def grown(t: Array | int, updates: int) -> Array | float:
  """The share of a weight at step t: t / updates, at most 1; 1 without any."""
  return jnp.minimum(t / updates, 1.0) if updates else 1.0
