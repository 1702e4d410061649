"""The integrator against closed forms and SciPy."""

import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from jaxsynth.analysis.gradient_flow import gradient_flow, integrate

TIMES = jnp.linspace(0.0, 3.0, 13)


def test_a_quadratic_decays_exponentially():
  rates = jnp.asarray([0.1, 1.0, 20.0])
  start = {'x': jnp.asarray([1.0, -2.0, 3.0])}
  loss = lambda p: 0.5 * (rates * p['x'] ** 2).sum()
  path = gradient_flow(loss, start, TIMES)['x']
  expected = start['x'] * np.exp(-TIMES[:, None] * rates)
  np.testing.assert_allclose(path, expected, atol=2e-5)


def test_a_curved_valley_is_followed_as_by_scipy():
  """Rosenbrock's function: stiff enough to need small steps."""
  value = lambda x: (1 - x[0]) ** 2 + 20 * (x[1] - x[0] ** 2) ** 2

  def descend(_, x):
    valley = x[1] - x[0] ** 2
    return [2 * (1 - x[0]) + 80 * x[0] * valley, -40 * valley]

  start = [-1.0, 1.5]
  peer = solve_ivp(descend, (0, 3), start, t_eval=TIMES, rtol=1e-10, atol=1e-12)
  path = gradient_flow(value, jnp.asarray(start), TIMES)
  np.testing.assert_allclose(path, peer.y.T, atol=1e-4)


def test_a_rotation_keeps_its_radius():
  field = lambda y: jnp.stack([-y[1], y[0]])
  path = integrate(field, jnp.asarray([1.0, 0.0]), TIMES)
  expected = np.stack([np.cos(TIMES), np.sin(TIMES)], 1)
  np.testing.assert_allclose(path, expected, atol=2e-5)
