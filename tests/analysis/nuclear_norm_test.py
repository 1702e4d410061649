"""Completions of least nuclear norm: closed forms, and zero duality gaps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.analysis import nuclear_norm as nn

solve = jax.jit(nn.complete, static_argnums=(2, 3, 4))


def low_rank(seed, m=5, n=6, rank=1, hidden=0.3):
  rng = np.random.default_rng(seed)
  x = rng.uniform(-1, 1, (m, rank)) @ rng.uniform(-1, 1, (rank, n))
  return x.astype(np.float32), rng.uniform(size=(m, n)) >= hidden


def test_norm_of_known_singular_values():
  u, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 3)))
  v, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 3)))
  x = (u * [3.0, 2.0, 0.5]) @ v.T
  assert float(nn.nuclear_norm(x)) == pytest.approx(5.5, rel=1e-5)
  moved = (u * [2.0, 1.0, 0.0]) @ v.T
  np.testing.assert_allclose(nn.soft_threshold(x, 1.0), moved, atol=1e-5)


@pytest.mark.parametrize('corner', [1.0, 0.3])
def test_one_hidden_entry_of_two_by_two(corner):
  """|[[a, b], [c, z]]|_*^2 = a^2 + b^2 + c^2 + z^2 + 2 |a z - b c| is least
  at z = b c / a where |b c| <= a^2, and at z = a sign(b c a) elsewhere."""
  x = np.array([[corner, 0.6], [0.5, 9.9]], np.float32)
  found = solve(x, np.array([[True, True], [True, False]]), 0.0, 2000, 0.3)
  expected = min(0.3 / corner, corner)
  assert float(found['matrix'][1, 1]) == pytest.approx(expected, abs=1e-3)


def test_a_hidden_row_is_zero():
  x, _ = low_rank(0)
  observed = np.ones(x.shape, bool)
  observed[2] = False
  found = solve(x, observed, 0.0, 500, 0.3)
  np.testing.assert_allclose(found['matrix'][2], 0, atol=1e-5)
  np.testing.assert_array_equal(found['matrix'][observed], x[observed])


@pytest.mark.parametrize('penalty', [0.0, 1e-2, 1e-1])
@pytest.mark.parametrize('seed', range(3))
def test_the_gap_closes_and_no_neighbour_is_better(penalty, seed):
  x, observed = low_rank(seed, rank=2)
  found = solve(x, observed, penalty, 4000, 0.3)
  gap = float(found['gap'])
  assert abs(gap) < 2e-3 * float(found['norm'])

  def value(z):
    if not penalty:
      return np.linalg.norm(z, 'nuc')
    misfit = np.square(z - x)[observed].sum() / observed.sum()
    return misfit + penalty * np.linalg.norm(z, 'nuc')

  best, rng = np.asarray(found['matrix']), np.random.default_rng(9)
  for size in (1e-2, 1e-1):
    other = rng.standard_normal(x.shape) * (1 if penalty else ~observed)
    assert value(best + size * other) > value(best) - abs(gap)
  # A wrong answer has a gap: it is no certificate otherwise.
  early = solve(x, observed, penalty, 2, 0.3)
  assert float(early['gap']) > 10 * abs(gap)
  assert value(np.asarray(early['matrix'])) - value(best) <= float(early['gap'])


def test_the_penalty_on_a_full_matrix_is_a_soft_threshold():
  x, _ = low_rank(1, rank=3)
  everywhere = np.ones(x.shape, bool)
  found = solve(x, everywhere, 0.02, 3000, 0.3)
  expected = nn.soft_threshold(jnp.asarray(x), 0.02 * x.size / 2)
  np.testing.assert_allclose(found['matrix'], expected, atol=1e-4)
