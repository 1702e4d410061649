"""Adam's flow: its integration against scipy, its distance from Adam."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.integrate import solve_ivp

from jaxsynth.analysis import adam_flow

DECAYS = np.asarray([0.97, 0.8, 0.3])
START = np.asarray([1.0, -2.0, 0.5])
SHIFT = np.asarray([0.2, 0.1, -3.0])
slope = lambda theta: jnp.sinh(theta) + SHIFT


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64(True):
    yield


def test_adam_is_optax_adamw():
  beta, gamma, decay = DECAYS
  transform = optax.adamw(0.02, gamma, beta, eps=0.0, weight_decay=decay)
  theta = jnp.asarray(START)
  state, path = transform.init(theta), [START]
  for _ in range(30):
    updates, state = transform.update(slope(theta), state, theta)
    theta = optax.apply_updates(theta, updates)
    path.append(theta)
  got = adam_flow.adam(slope, jnp.asarray(START), 30, 0.02, DECAYS)
  np.testing.assert_allclose(got, np.stack(path), rtol=1e-9)


@pytest.mark.parametrize('order', [1, 2])
def test_flow_is_scipys_solution(order):
  beta, gamma, decay = DECAYS
  eta, p = 0.02, 3

  def field(n, y):
    theta, speed, m, v = y.reshape(4, p)
    g = np.sinh(theta) + SHIFT
    u = np.sqrt(1 - beta ** (n + 1)) / (1 - gamma ** (n + 1)) * m / np.sqrt(v)
    wanted = -eta * (decay * theta + u)
    moments = (g - m) * (1 - gamma) / gamma, (g**2 - v) * (1 - beta) / beta
    if order == 1:
      return np.concatenate([wanted, 0 * speed, *moments])
    return np.concatenate([speed, 2 * (wanted - speed), *moments])

  g = np.sinh(START) + SHIFT
  speed = -eta * (decay * START + np.sign(g))
  y = np.concatenate([START, speed, (1 - gamma) * g, (1 - beta) * g**2])
  times = np.asarray([0.0, 10.0, 35.0, 50.0])
  expected = solve_ivp(
    field, (0, 50), y, 'DOP853', times, rtol=1e-10, atol=1e-12
  )
  got = adam_flow.flow(
    slope, jnp.asarray(START), jnp.asarray(times), eta, DECAYS, order, 1e-9
  )
  np.testing.assert_allclose(got.T, expected.y[:p], rtol=1e-6, atol=1e-8)


def test_distance_from_adam_is_of_first_order():
  """Halving eta at a fixed eta n halves the largest distance."""
  decays, theta = jnp.asarray([0.999, 0.9, 0.0]), jnp.asarray(START)

  @jax.jit
  def error(count):
    times = jnp.linspace(0, 1, 21) * count
    near = adam_flow.flow(slope, theta, times, 0.5 / count, decays, 2, 1e-8)
    path = adam_flow.adam(slope, theta, 400, 0.5 / count, decays)
    at = path[jnp.round(times).astype(int)]
    return jnp.linalg.norm(at - near, axis=1).max()

  errors = np.asarray([error(count) for count in (100.0, 200.0, 400.0)])
  np.testing.assert_allclose(errors[:-1] / errors[1:], 2, atol=0.15)
