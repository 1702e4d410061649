"""How large an update of Adam can be: bounds, the stable region, growth.

With decays gamma of the first and beta of the second moment, eps = 0, and
m_{-1} = v_{-1} = 0, update n = 0, 1, ... moves a weight by eta u_n,

  m_n = gamma m_{n-1} + (1 - gamma) g_n,  v_n = beta v_{n-1} + (1 - beta) g_n^2
  u_n = p_n m_n / sqrt(v_n),   p_n = sqrt(1 - beta^(n+1)) / (1 - gamma^(n+1))

Whatever the gradients g, by Cauchy and Schwarz

  |u_n| <= p_n (1 - gamma) / sqrt(1 - beta) sqrt((1 - r^(n+1)) / (1 - r))

with r = gamma^2 / beta, attained by g_i ~ (gamma / beta)^(n-i) and by no other
sequence up to a factor. It stays finite as n grows where gamma < sqrt(beta);
elsewhere it grows at ln gamma - ln(beta) / 2 per step, which is exactly the
rate at which |u_n| grows once gradients vanish.

In continuous time, with a = (1 - gamma) / gamma, b = (1 - beta) / beta and
C = 2 a - b, the bound is

  |u_n| <= p_n a / sqrt(b) sqrt((1 - exp(-C n)) / C)

stable where C > 0, growing at -C / 2. It is the published one, an
approximation of the exact one to first order in 1 - beta and 1 - gamma; at
n = 0 it is zero, where |u_0| = 1.

Functions take decays of one shape [...] and keep it as the leading axes.

Source: Gould and Tanaka (2024), "Continuous-Time Analysis of Adaptive
Optimization and Normalization", arXiv 2411.05746, for C and the bound in
continuous time; the exact discrete counterpart is derived here as stated.
"""

import jax
import jax.numpy as jnp

from jaxsynth.types import Array, Key


def rates(beta: Array, gamma: Array) -> dict[str, Array]:
  """Where Adam is stable and how fast updates may grow elsewhere.

  Args:
    beta: decay of the second moment, in (0, 1), [...].
    gamma: decay of the first moment, in (0, 1), [...].

  Returns:
    C [...], positive in the published stable region; continuous [...], the
    growth -C / 2 of log |u| per step; exact [...], ln gamma - ln(beta) / 2.
  """
  c = 2 * (1 - gamma) / gamma - (1 - beta) / beta
  exact = jnp.log(gamma) - jnp.log(beta) / 2
  return {'C': c, 'continuous': -c / 2, 'exact': exact}


def _prefactor(beta: Array, gamma: Array, step: Array) -> Array:
  """p_n, without cancellation."""
  remaining = lambda decay: -jnp.expm1((step + 1) * jnp.log(decay))
  return jnp.sqrt(remaining(beta)) / remaining(gamma)


def _geometric(log_ratio: Array, count: Array) -> Array:
  """1 + r + ... + r^(count - 1) of r = exp(log_ratio)."""
  one = log_ratio == 0
  x = jnp.where(one, 1.0, log_ratio)
  return jnp.where(one, count, jnp.expm1(count * x) / jnp.expm1(x))


def bounds(beta: Array, gamma: Array, step: Array) -> dict[str, Array]:
  """The largest |u_n| that any gradients can bring about.

  Args:
    beta: decay of the second moment, in (0, 1), [...].
    gamma: decay of the first moment, in (0, 1), [...].
    step: n, counted from 0, [N].

  Returns:
    exact [..., N] and continuous [..., N], the published one.
  """
  beta, gamma = jnp.asarray(beta)[..., None], jnp.asarray(gamma)[..., None]
  p = _prefactor(beta, gamma, step)
  count = _geometric(2 * jnp.log(gamma) - jnp.log(beta), step + 1)
  exact = p * (1 - gamma) / jnp.sqrt(1 - beta) * jnp.sqrt(count)
  a, b = (1 - gamma) / gamma, (1 - beta) / beta
  c = 2 * a - b
  small = c == 0
  filled = jnp.where(small, 1.0, c)
  integral = jnp.where(small, step, -jnp.expm1(-filled * step) / filled)
  return {
    'exact': exact,
    'continuous': p * a / jnp.sqrt(b) * jnp.sqrt(integral),
  }


def updates(gradients: Array, beta: Array, gamma: Array) -> Array:
  """u_n of a sequence of gradients, eps = 0.

  Args:
    gradients: g_0, g_1, ..., the first not zero, [N, ...].
    beta: decay of the second moment [].
    gamma: decay of the first moment [].

  Returns:
    u_n [N, ...]. Roots of v are carried, so that squares do not underflow.
  """

  def one(carry, xs):
    n, g = xs
    m, s = carry
    m = gamma * m + (1 - gamma) * g
    s = jnp.hypot(jnp.sqrt(beta) * s, jnp.sqrt(1 - beta) * g)
    return (m, s), _prefactor(beta, gamma, n) * m / s

  zero = jnp.zeros_like(gradients[0])
  steps = jnp.arange(len(gradients))
  return jax.lax.scan(one, (zero, zero), (steps, gradients))[1]


def adversarial(beta: Array, gamma: Array, count: int) -> Array:
  """The gradients whose last update attains the exact bound.

  Args:
    beta: decay of the second moment, in (0, 1), [...].
    gamma: decay of the first moment, in (0, 1), [...].
    count: how many, n + 1.

  Returns:
    g_0 .. g_n [..., count], the largest of them 1.
  """
  beta, gamma = jnp.asarray(beta)[..., None], jnp.asarray(gamma)[..., None]
  power = jnp.arange(count)[::-1] * (jnp.log(gamma) - jnp.log(beta))
  return jnp.exp(power - power.max(-1, keepdims=True))


def impulse(beta: Array, gamma: Array, step: Array) -> Array:
  """|u_n| when only the first gradient was not zero, in closed form.

  Args:
    beta: decay of the second moment, in (0, 1), [...].
    gamma: decay of the first moment, in (0, 1), [...].
    step: n, counted from 0, [N].

  Returns:
    |u_n| [..., N]: p_n (1 - gamma) / sqrt(1 - beta) exp(n rate) with the exact
    rate of `rates`.
  """
  rate = rates(beta, gamma)['exact'][..., None]
  beta, gamma = jnp.asarray(beta)[..., None], jnp.asarray(gamma)[..., None]
  p = _prefactor(beta, gamma, step)
  return p * (1 - gamma) / jnp.sqrt(1 - beta) * jnp.exp(step * rate)


def norms(
  first: Array, updates: Array, shrink: Array, inner: Array
) -> dict[str, Array]:
  """|W| of a weight from the sizes of its updates, in learning rates.

  |W_{n+1}|^2 = shrink^2 |W_n|^2 + |eta u_n|^2 - 2 shrink eta <W_n, u_n>,
  shrink = 1 - eta lambda. For a scale-invariant weight the gradient is
  orthogonal to it; *if* its update were as well, the last term would vanish,
  and |W|^2 be a moving average of |eta u|^2: Adam's own second moment once
  more, of the weight as a whole, with decay shrink^2 and no momentum. That is
  the meta-adaptive effect.

  Args:
    first: |W_0| [].
    updates: eta |u_n| [N].
    shrink: 1 - eta lambda [].
    inner: eta <W_n, u_n> [N].

  Returns:
    averaged [N] without, and exact [N] with the last term: |W_1| .. |W_N|.
  """

  def one(squares, xs):
    size, product = xs
    averaged, exact = (shrink**2 * q + size**2 for q in squares)
    exact = exact - 2 * shrink * product
    return (averaged, exact), (averaged, exact)

  square = jnp.square(first)
  _, (averaged, exact) = jax.lax.scan(one, (square, square), (updates, inner))
  return {
    'averaged': jnp.sqrt(averaged),
    'exact': jnp.sqrt(jnp.maximum(exact, 0)),
  }


def examples(key: Key) -> dict[str, tuple]:
  """Arguments for every function, for the contract every analysis keeps."""
  beta = jnp.asarray([0.999, 0.9, 0.8])
  gamma = jnp.asarray([0.9, 0.93, 0.95])
  steps = jnp.arange(8)
  gradients = jax.random.normal(key, (8, 3))
  return {
    'rates': (beta, gamma),
    'bounds': (beta, gamma, steps),
    'updates': (gradients, jnp.float32(0.9), jnp.float32(0.8)),
    'adversarial': (beta, gamma, 8),
    'impulse': (beta, gamma, steps),
    'norms': (
      jnp.float32(1),
      jnp.abs(gradients[:, 0]),
      jnp.float32(0.9),
      0.01 * gradients[:, 1],
    ),
  }
