"""Gradient flow: what gradient descent does as its step goes to zero.

  d theta / dt = -grad L(theta),  theta(0) given,  t = learning rate * steps

for any differentiable loss of any parameters, integrated by diffrax with
adaptive steps. Plain gradient descent with learning rate e follows it up to
O(e) over a fixed time.

Source: the integrator is Tsit5, Tsitouras (2011), "Runge-Kutta pairs of order
5(4)", in diffrax: Kidger (2021), "On neural differential equations", arXiv
2202.02435.
"""

from collections.abc import Callable

import diffrax
import jax
import jax.numpy as jnp

from jaxsynth.types import Array, Key, PyTree

# Single precision carries about seven digits; these leave one to the sum.
RTOL, ATOL = 1e-6, 1e-8
MOST_STEPS = 100_000


def integrate(
  field: Callable[[PyTree], PyTree], start: PyTree, times: Array
) -> PyTree:
  """The solution of dy/dt = field(y), y(times[0]) = start.

  Args:
    field: a function of the state alone.
    start: the state, arrays [...].
    times: when it is wanted, increasing [K].

  Returns:
    The states [K, ...], of the structure of `start`.
  """
  solution = diffrax.diffeqsolve(
    diffrax.ODETerm(lambda t, y, args: field(y)),
    diffrax.Tsit5(),
    t0=times[0],
    t1=times[-1],
    dt0=None,
    y0=start,
    saveat=diffrax.SaveAt(ts=times),
    stepsize_controller=diffrax.PIDController(rtol=RTOL, atol=ATOL),
    max_steps=MOST_STEPS,
    adjoint=diffrax.ForwardMode(),
  )
  return solution.ys


def gradient_flow(
  loss: Callable[[PyTree], Array], start: PyTree, times: Array
) -> PyTree:
  """Parameters along the gradient flow of a loss.

  Args:
    loss: parameters -> scalar.
    start: parameters at times[0], arrays [...].
    times: when they are wanted, increasing [K].

  Returns:
    The parameters [K, ...], of the structure of `start`.
  """
  descend = lambda y: jax.tree.map(jnp.negative, jax.grad(loss)(y))
  return integrate(descend, start, times)


def _quadratic(params: dict) -> Array:
  return 0.5 * (params['x'] ** 2).sum()


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  start = {'x': jax.random.normal(key, (3,))}
  times = jnp.linspace(0.0, 2.0, 5)
  spiral = lambda y: {'x': jnp.roll(y['x'], 1) - y['x']}
  return {
    'integrate': (spiral, start, times),
    'gradient_flow': (_quadratic, start, times),
  }
