"""k-Adam: one stage is optax's Adam; more are its recursion in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsynth.errors import UserError
from jaxsynth.optim import k_adam
from jaxsynth.optim.optimizers import Optimizer

PARAMS = {'w': np.asarray([[1.0, -2.0], [0.5, 3.0]]), 'b': np.zeros(3)}


def gradients(steps, scale=2.0):
  rng = np.random.default_rng(7)
  sizes = 10.0 ** rng.uniform(-scale, scale, steps)
  return [
    jax.tree.map(lambda p: s * rng.normal(size=p.shape), PARAMS)  # noqa: B023
    for s in sizes
  ]


def run(transform, steps=20, dtype=jnp.float64):
  """Parameters after every update, in float64 unless said otherwise."""
  with jax.enable_x64(True):
    cast = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)
    params = cast(PARAMS)
    state, out = transform.init(params), []
    update = jax.jit(transform.update)
    for grads in gradients(steps):
      updates, state = update(cast(grads), state, params)
      params = optax.apply_updates(params, updates)
      out.append(jax.device_get(params))
  return jax.tree.map(lambda *x: np.stack(x), *out)


def close(a, b, rtol):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol, rtol), a, b)


@pytest.mark.parametrize('strategy', k_adam.STRATEGIES.values())
@pytest.mark.parametrize('decay', [0.0, 0.3])
def test_one_stage_is_optax_adamw(strategy, decay):
  """By every strategy; in double precision, to rounding."""
  with jax.enable_x64(True):
    ours = k_adam.k_adam(
      0.02, 0.95, 0.8, strategy=strategy, eps=1e-3, weight_decay=decay
    )
  theirs = optax.adamw(0.02, b1=0.8, b2=0.95, eps=1e-3, weight_decay=decay)
  close(run(ours), run(theirs), 1e-11)


def test_one_stage_is_the_librarys_adamw():
  numbers = {'peak_lr': 0.02, 'b1': 0.8, 'b2': 0.95, 'weight_decay': 0.1}
  ours, theirs = Optimizer(name='k_adam', **numbers), Optimizer(**numbers)
  single = lambda o: run(o.build(), dtype=jnp.float32)
  close(single(ours), single(theirs), 2e-5)


def numpy_k_adam(decays, eps, steps=20):
  params = {k: p.copy() for k, p in PARAMS.items()}
  m = [{k: 0 * p for k, p in PARAMS.items()} for _ in decays]
  v = [{k: 0 * p for k, p in PARAMS.items()} for _ in decays]
  out = []
  for n, grads in enumerate(gradients(steps)):
    for key, u in grads.items():
      for i, (beta, gamma) in enumerate(decays):
        m[i][key] = gamma * m[i][key] + (1 - gamma) * u
        v[i][key] = beta * v[i][key] + (1 - beta) * u**2
        mean = m[i][key] / (1 - gamma ** (n + 1))
        u = mean / (np.sqrt(v[i][key] / (1 - beta ** (n + 1))) + eps)
      params[key] = params[key] - 0.1 * u
    out.append({k: p.copy() for k, p in params.items()})
  return jax.tree.map(lambda *x: np.stack(x), *out)


def test_stages_follow_the_recursion_each_with_its_decays():
  decays = [(0.9, 0.5), (0.99, 0.0), (0.7, 0.8)]
  betas, gammas = np.asarray(decays).T
  with jax.enable_x64(True):
    transform = optax.chain(
      k_adam.scale_by_k_adam(jnp.asarray(betas), jnp.asarray(gammas), 1e-3),
      optax.scale(-0.1),
    )
  close(run(transform), numpy_k_adam(decays, 1e-3), 1e-11)


def test_strategies_by_their_formulas():
  beta, gamma, k = 0.9, 0.64, 2
  expected = {
    'uniform': (0.9, 0.64),
    'exponential': (0.9**0.5, 0.8),
    'inverse_exponential': (0.81, 0.4096),
    'matched_prefactor': (1 - 0.1**0.5, 1 - 0.36**0.5),
  }
  assert set(expected) == set(k_adam.STRATEGIES)
  for name, (b, g) in expected.items():
    betas, gammas = k_adam.STRATEGIES[name](beta, gamma, k)
    np.testing.assert_allclose(betas, [b, b], rtol=1e-6)
    np.testing.assert_allclose(gammas, [g, g], rtol=1e-6)


def test_vanishing_gradients_do_not_underflow():
  """1e-30 squared is no float32; the direction of a lone one is its sign."""
  transform = k_adam.scale_by_k_adam(
    jnp.asarray([0.9]), jnp.asarray([0.8]), 0.0
  )
  g = jnp.asarray([1e-30, -3e-30], jnp.float32)
  u, _ = transform.update(g, transform.init(g))
  np.testing.assert_allclose(u, [1, -1], rtol=1e-5)


def test_decays_and_strategy_reach_the_optimizer_traced():
  optimizer = Optimizer(
    name='k_adam', stages=2, strategy='exponential', peak_lr=0.02
  )
  assert set(optimizer.hparams) == set(Optimizer().hparams)

  @jax.jit
  def last(b1, b2):
    return run_in(optimizer.build({'b1': b1, 'b2': b2}))

  def run_in(transform):
    state, params = transform.init(PARAMS), PARAMS
    for grads in gradients(4):
      updates, state = transform.update(grads, state, params)
      params = optax.apply_updates(params, updates)
    return params

  direct = k_adam.k_adam(0.02, 0.9, 0.6, 2, k_adam.exponential)
  close(last(jnp.float32(0.6), jnp.float32(0.9)), run_in(direct), 1e-5)


@pytest.mark.parametrize(
  ('bad', 'says'),
  [
    ({'strategy': 'unifrom'}, "did you mean 'uniform'"),
    ({'stages': 0}, 'stages must be at least 1'),
  ],
)
def test_mistakes(bad, says):
  with pytest.raises(UserError, match=says):
    Optimizer(name='k_adam', **bad)
