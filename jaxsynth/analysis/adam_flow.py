"""Adam in continuous time, and how far it is from Adam.

Adam with decoupled decay lambda makes theta_{n+1} = theta_n - eta (lambda
theta_n + u_n), u_n as in `adam_bounds`. With n a real number, ' = d / dn and
g = grad L(theta),

  m' = (1 - gamma) / gamma (g - m),   v' = (1 - beta) / beta (g^2 - v)
  theta' + theta'' / 2 = - eta (lambda theta + u),
  u = sqrt(1 - beta^(n+1)) / (1 - gamma^(n+1)) m / sqrt(v)

The left side is theta(n + 1) - theta(n) to second order; without theta'' / 2
one has the first-order flow. It starts where Adam does after its first
gradient: m = (1 - gamma) g, v = (1 - beta) g^2, and theta' = - eta (lambda
theta + sign g).

The moments lag behind the gradient by as many steps as Adam's do, so they
agree with them to second order in eta once the start is forgotten. In the
first 1 / (1 - gamma) steps u differs by an amount that does not depend on eta:
over a fixed eta n the trajectories therefore differ by O(eta).

Source: Gould and Tanaka (2024), "Continuous-Time Analysis of Adaptive
Optimization and Normalization", arXiv 2411.05746, with time in steps, p = 1.
The start is our choice. Integrated by diffrax's Tsit5 (Tsitouras 2011).
"""

from collections.abc import Callable

import diffrax
import jax
import jax.numpy as jnp

from jaxsynth.types import Array

# theta [P] -> gradient of the loss [P].
Gradient = Callable[[Array], Array]


def _direction(
  m: Array, v: Array, beta: Array, gamma: Array, n: Array
) -> Array:
  remaining = lambda decay: -jnp.expm1((n + 1) * jnp.log(decay))
  return jnp.sqrt(remaining(beta) / v) / remaining(gamma) * m


def adam(
  gradient: Gradient, theta: Array, count: int, eta: Array, decays: Array
) -> Array:
  """Adam itself, eps = 0: what the flow is compared with.

  Args:
    gradient: theta [P] -> gradient [P], nowhere zero.
    theta: where it starts [P].
    count: updates.
    eta: learning rate [].
    decays: beta, gamma and lambda [3].

  Returns:
    theta_0 .. theta_count [count + 1, P].
  """
  beta, gamma, decay = decays

  def one(carry, n):
    theta, m, v = carry
    g = gradient(theta)
    m = gamma * m + (1 - gamma) * g
    v = beta * v + (1 - beta) * g**2
    u = _direction(m, v, beta, gamma, n)
    new = theta - eta * (decay * theta + u)
    return (new, m, v), new

  zero = jnp.zeros_like(theta)
  steps = jnp.arange(count, dtype=theta.dtype)
  path = jax.lax.scan(one, (theta, zero, zero), steps)[1]
  return jnp.concatenate([theta[None], path])


def flow(
  gradient: Gradient,
  theta: Array,
  times: Array,
  eta: Array,
  decays: Array,
  order: int = 2,
  tolerance: float = 1e-6,
) -> Array:
  """Adam's flow at some times.

  Args:
    gradient: theta [P] -> gradient [P], nowhere zero at the start.
    theta: where it starts [P].
    times: n, from 0, increasing [N].
    eta: learning rate [].
    decays: beta, gamma and lambda [3].
    order: 2 as published, or 1 without theta'' / 2.
    tolerance: of the integration: relative, and of theta absolute; keep it
      far below eta.

  Returns:
    theta [N, P].
  """
  beta, gamma, decay = decays
  a, b = (1 - gamma) / gamma, (1 - beta) / beta

  def pull(n, theta, m, v):
    # The second moment decays towards zero from above; an integrator's trial
    # step may overshoot.
    v = jnp.maximum(v, jnp.finfo(v.dtype).tiny)
    return -eta * (decay * theta + _direction(m, v, beta, gamma, n))

  def field(n, state, _):
    theta, speed, m, v = state
    g = gradient(theta)
    moments = a * (g - m), b * (g**2 - v)
    wanted = pull(n, theta, m, v)
    if order == 1:
      return wanted, jnp.zeros_like(speed), *moments
    return speed, 2 * (wanted - speed), *moments

  g = gradient(theta)
  m, v = (1 - gamma) * g, (1 - beta) * g**2
  start = theta, pull(0.0, theta, m, v), m, v
  solution = diffrax.diffeqsolve(
    diffrax.ODETerm(field),
    diffrax.Tsit5(),
    t0=times[0],
    t1=times[-1],
    dt0=0.1,
    y0=start,
    saveat=diffrax.SaveAt(ts=times, fn=lambda t, y, args: y[0]),
    stepsize_controller=diffrax.PIDController(
      rtol=tolerance, atol=tolerance * 1e-3
    ),
    max_steps=100_000,
  )
  return solution.ys


def examples(key) -> dict[str, tuple]:
  """Arguments for every function, for the contract every analysis keeps."""
  theta = jax.random.normal(key, (4,))
  decays = jnp.asarray([0.99, 0.9, 0.1])
  slope = lambda theta: theta + 3.0
  eta = jnp.float32(0.01)
  return {
    'adam': (slope, theta, 8, eta, decays),
    'flow': (slope, theta, jnp.arange(8.0), eta, decays, 2, 1e-5),
  }
