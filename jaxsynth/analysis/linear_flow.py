"""Exact dynamics of linear networks that learn the identity.

For f(x) = W x and A = E x x^T = diag(a), half the mean squared distance to
y = x is L(W) = 1/2 tr (W - I) A (W - I)^T, in the coordinates of the concepts
(jaxsynth.tasks.identity_mapping). Then

  one layer   dW/dt = -(W - I) A, so W(t) = I + (W(0) - I) e^{-A t}: concept k
              of the output goes as (1 - e^{-a_k t}) z_k + sum_i e^{-a_i t}
              w_ki(0) z_i, its speed as e^{-a_k t}
  tied        W = U U^T,
              dW/dt = c [W A + A W - (A W^2 + W^2 A + 2 W A W) / 2]

The publication has c = 1. The gradient flow of L with respect to U has c = 2:
the same path, twice as fast (c = 1 is the flow of L / 2). Entry by entry the
field is growth - suppression - noise,

  growth       w_ij (a_i + a_j)
  suppression  w_ij [w_ii (3 a_i + a_j) + [i != j] w_jj (3 a_j + a_i)] / 2
  noise        sum over k not in {i, j} of w_ki w_kj (a_i + a_j + 2 a_k) / 2

so that a diagonal entry alone grows by 2 a_i w_ii (1 - w_ii), and a positive
off-diagonal one grows until the diagonal ones suppress it: the output first
overshoots towards the larger concept, then swings by.

Source: Yang, Park, Lubana, Okawa, Hu and Tanaka (2024), arXiv 2410.08309.
"""

import jax
import jax.numpy as jnp

from jaxsynth.analysis.gradient_flow import integrate
from jaxsynth.types import Array, Key

PUBLISHED, TRUE = 1.0, 2.0


def population_loss(w: Array, moments: Array) -> Array:
  """L(W), half the mean squared distance between W x and x.

  Args:
    w: [d, d].
    moments: a [d].

  Returns:
    The loss, [].
  """
  error = w - jnp.eye(len(w))
  return 0.5 * (jnp.square(error) * moments).sum()


def one_layer(start: Array, moments: Array, times: Array) -> Array:
  """One layer's matrix along the flow, in closed form.

  Args:
    start: W(0), [d, d] or some rows of it [m, d].
    moments: a [d].
    times: [K].

  Returns:
    W(t) [K, d, d], or those rows.
  """
  eye = jnp.eye(*start.shape)
  decay_Kd = jnp.exp(-times[:, None] * moments)
  return eye + (start - eye) * decay_Kd[:, None, :]


def tied_field(w: Array, moments: Array) -> Array:
  """dW/dt of the tied two-layer network in the published normalisation, c = 1.

  Args:
    w: symmetric [d, d].
    moments: a [d].

  Returns:
    The field, [d, d].
  """
  wa = w * moments  # W A
  both = lambda m: m + m.T
  return both(wa) - 0.5 * both(w @ wa) - wa @ w


def tied_terms(w: Array, moments: Array) -> dict[str, Array]:
  """The same field entry by entry, as what drives and what holds it back.

  Args:
    w: symmetric [d, d].
    moments: a [d].

  Returns:
    growth, suppression, noise: [d, d]; the field is growth - suppression -
    noise.
  """
  a_i, a_j = moments[:, None], moments[None, :]
  diagonal = jnp.diag(w)
  off = 1 - jnp.eye(len(w))
  held = diagonal[:, None] * (3 * a_i + a_j)
  held += off * diagonal[None, :] * (3 * a_j + a_i)
  # w_ki w_kj (a_i + a_j + 2 a_k) for all i, j, k; k = i and k = j left out.
  weight_kij = a_i + a_j + 2 * moments[:, None, None]
  every_kij = w[:, :, None] * w[:, None, :] * weight_kij
  others_kij = every_kij * off[:, :, None] * off[:, None, :]
  return {
    'growth': w * (a_i + a_j),
    'suppression': 0.5 * w * held,
    'noise': 0.5 * others_kij.sum(0),
  }


def tied(start: Array, moments: Array, times: Array, speed: Array) -> Array:
  """The tied network's matrix along the flow, integrated.

  What is integrated is U, of which W cannot but stay positive semi-definite:
  in W alone a direction at zero is unstable, and rounding to its negative
  side runs away.

  Args:
    start: U(0) [d, F].
    moments: a [d].
    times: increasing [K].
    speed: c, []: PUBLISHED, or TRUE for the gradient flow of the loss.

  Returns:
    W(t) = U(t) U(t)^T, [K, d, d].
  """

  def field(u):
    error = (u @ u.T - jnp.eye(len(u))) * moments  # (W - I) A
    return -0.5 * speed * (error + error.T) @ u

  u_KdF = integrate(field, start, times)
  return u_KdF @ jnp.swapaxes(u_KdF, -1, -2)


def composition_loss(w: Array, means: Array) -> Array:
  """Half the squared distance of W z from z at z = all concepts at once.

  Args:
    w: [..., d, d].
    means: mu, 0 beyond the concepts [d].

  Returns:
    The loss at the composition, [...].
  """
  return 0.5 * jnp.square(w @ means - means).sum(-1)


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  root = 0.3 * jax.random.normal(key, (3, 3))
  w, moments = root @ root.T, jnp.asarray([0.5, 2.0, 0.0])
  times = jnp.linspace(0.0, 2.0, 4)
  return {
    'population_loss': (w, moments),
    'one_layer': (root, moments, times),
    'tied_field': (w, moments),
    'tied_terms': (w, moments),
    'tied': (root, moments, times, jnp.asarray(TRUE)),
    'composition_loss': (w, jnp.asarray([1.0, 2.0, 0.0])),
  }
