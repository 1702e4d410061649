"""The updates of kernels, against scipy and the equations they solve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth.interventions import alpha_edit, memit, rome

F, D, E = 7, 4, 3


def problem(seed, features=F, outputs=D, facts=E):
  """C [F, F], keys [E, F], residuals [E, D]; well conditioned."""
  a, b, c = jax.random.split(jax.random.key(seed), 3)
  seen = jax.random.normal(a, (60, features)) + 0.5
  keys = jax.random.normal(b, (facts, features))
  return (
    seen.T @ seen / len(seen),
    keys,
    jax.random.normal(c, (facts, outputs)),
  )


seeds = st.integers(0, 2**31 - 1)
close = lambda a, b, tol=2e-4: np.testing.assert_allclose(a, b, tol, tol)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_rome_gives_the_key_its_value_exactly(seed):
  moment, keys, residuals = problem(seed)
  change = rome.update(moment, keys[0], residuals[0])
  close(keys[0] @ change, residuals[0])
  assert np.linalg.matrix_rank(change, tol=1e-4) == 1


def test_what_others_get_of_a_change_by_rome_is_their_reach():
  moment, keys, residuals = problem(2)
  change = rome.update(moment, keys[0], residuals[0])
  share = rome.reach(moment, keys[0], keys)
  assert float(share[0]) == pytest.approx(1, abs=1e-4)
  close(keys @ change, np.outer(share, residuals[0]))


def test_rome_is_the_constrained_least_squares_of_scipy():
  """min tr(U^T C U) subject to k U = r, by a general solver."""
  moment, keys, residuals = map(np.asarray, problem(1, 4, 3))
  k, r = keys[0], residuals[0]

  def cost(flat):
    U = flat.reshape(4, 3)
    return np.sum(U * (moment @ U)), 2 * (moment @ U).ravel()

  found = scipy.optimize.minimize(
    cost,
    np.zeros(12),
    jac=True,
    method='SLSQP',
    constraints={'type': 'eq', 'fun': lambda x: k @ x.reshape(4, 3) - r},
    options={'ftol': 1e-12, 'maxiter': 500},
  )
  assert found.success
  ours = rome.update(*map(jnp.asarray, (moment, k, r)))
  close(ours, found.x.reshape(4, 3), 1e-3)
  # And by the equations of its Lagrangian, solved exactly.
  whole = np.block([[2 * moment, -k[:, None]], [k[None], np.zeros((1, 1))]])
  right = np.concatenate([np.zeros((4, 3)), r[None]])
  close(ours, np.linalg.solve(whole, right)[:4], 1e-3)


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0.05, 20))
def test_memit_solves_the_normal_equations_of_ridge_regression(seed, weight):
  moment, keys, residuals = problem(seed)
  ours = memit.update(moment, keys, residuals, weight)
  root = scipy.linalg.cholesky(np.asarray(moment, np.float64))
  rows = np.concatenate([keys, np.sqrt(weight) * root])
  wanted = np.concatenate([residuals, np.zeros((F, D))])
  expected, *_ = np.linalg.lstsq(rows, wanted, rcond=None)
  close(ours, expected, 2e-3)


def test_memit_without_weight_is_rome():
  moment, keys, residuals = problem(3)
  one = memit.update(moment, keys[:1], residuals[:1], 0.0)
  close(one, rome.update(moment, keys[0], residuals[0]))
  heavy = memit.update(moment, keys[:1], residuals[:1], 1e6)
  assert float(jnp.abs(heavy).max()) < 1e-3 * float(jnp.abs(one).max())


def test_alpha_edit_leaves_the_values_of_null_space_keys():
  """Keys that spread over 4 of 7 directions keep their values exactly."""
  _, keys, residuals = problem(4)
  basis = jnp.linalg.qr(jax.random.normal(jax.random.key(5), (F, F)))[0]
  others = jax.random.normal(jax.random.key(6), (50, 4)) @ basis[:, :4].T
  null = alpha_edit.projector(others.T @ others / 50, 1e-2)
  close(null, basis[:, 4:] @ basis[:, 4:].T, 1e-5)
  change = alpha_edit.update(null, keys, residuals)
  assert float(jnp.abs(others @ change).max()) < 1e-5
  assert float(jnp.abs(keys @ change).max()) > 1e-2
  # Among the changes within the null space it is the best one: the gradient
  # of the cost, projected, is zero.
  gap = keys @ change - residuals
  close(null @ (keys.T @ gap + change), np.zeros((F, D)), 1e-4)


def test_alpha_edit_equals_the_published_formula_and_keeps_previous_facts():
  moment, keys, residuals = problem(7)
  previous = jax.random.normal(jax.random.key(8), (2, F))
  null = alpha_edit.projector(moment, float(jnp.linalg.eigvalsh(moment)[3]))
  K, Q, P = (np.asarray(x, np.float64) for x in (keys, previous, null))
  system = (Q.T @ Q + K.T @ K) @ P + np.eye(F)
  # As published, for columns: R K^T P (Q Q^T P + K K^T P + I)^-1.
  expected = (np.asarray(residuals).T @ K @ P @ np.linalg.inv(system)).T
  ours = alpha_edit.update(null, keys, residuals, previous)
  close(ours, expected, 1e-4)
  alone = alpha_edit.update(null, keys, residuals)
  moved = lambda change: float(jnp.square(previous @ change).sum())
  assert moved(ours) < moved(alone)


def test_alpha_edit_writes_a_share_of_one_value_set_by_its_ridge():
  moment, keys, residuals = problem(11)
  null = alpha_edit.projector(moment, float(jnp.linalg.eigvalsh(moment)[4]))
  key, residual = keys[:1] / 30, residuals[:1]
  size = float(jnp.square(key @ null).sum())
  for ridge in (1.0, 0.1 * size, 1e-3 * size):
    change = alpha_edit.update(null, key, residual, ridge=ridge)
    close(key @ change, residual * size / (size + ridge), 1e-4)


@pytest.mark.parametrize('method', ['rome', 'memit', 'alpha_edit'])
def test_updates_follow_a_rotation_of_keys_and_of_values(method):
  moment, keys, residuals = problem(9)
  turn = jnp.linalg.qr(jax.random.normal(jax.random.key(1), (F, F)))[0]
  turn_out = jnp.linalg.qr(jax.random.normal(jax.random.key(2), (D, D)))[0]

  def update(moment, keys, residuals):
    if method == 'rome':
      return rome.update(moment, keys[0], residuals[0])
    if method == 'memit':
      return memit.update(moment, keys, residuals, 0.7)
    null = alpha_edit.projector(moment, 0.8)
    return alpha_edit.update(null, keys, residuals)

  turned = update(turn.T @ moment @ turn, keys @ turn, residuals @ turn_out)
  close(turned, turn.T @ update(moment, keys, residuals) @ turn_out, 1e-3)
