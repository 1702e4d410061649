"""Attention on a grid: sets that tile it, heads built by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.analysis import grid_attention


@pytest.mark.parametrize(('m', 'n'), [(2, 3), (4, 4), (1, 5)])
def test_the_sets_tile_the_keys_and_have_their_sizes(m, n):
  sets = grid_attention.key_sets(jnp.arange(m * n), n)
  total = sum(np.asarray(s).astype(int) for s in sets.values())
  np.testing.assert_array_equal(total, 1)
  sizes = {'self': 1, 'row': n - 1, 'column': m - 1, 'other': (m - 1) * (n - 1)}
  for name, size in sizes.items():
    np.testing.assert_array_equal(sets[name].sum(1), size)


def test_heads_that_look_at_one_set_only():
  m, n = 3, 4
  sets = grid_attention.key_sets(jnp.arange(m * n), n)
  heads = [sets['row'], sets['column'], jnp.ones((12, 12), bool)]
  pattern = jnp.stack([h / h.sum(1, keepdims=True) for h in heads])[None]
  found = grid_attention.mass(pattern, n, jnp.ones((1, 12)))
  np.testing.assert_allclose(found['row'], [1, 0, 3 / 12], atol=1e-6)
  np.testing.assert_allclose(found['column'], [0, 1, 2 / 12], atol=1e-6)
  np.testing.assert_allclose(found['row_ratio'], [4, 0, 1], atol=1e-5)
  np.testing.assert_allclose(found['self_ratio'], [0, 0, 1], atol=1e-5)


def test_only_weighted_queries_count():
  pattern = np.zeros((1, 1, 6, 6), np.float32)
  pattern[..., 0] = 1.0  # everyone looks at entry (0, 0) of [2, 3]
  at = lambda t: np.eye(6, dtype=np.float32)[None, t]
  of = lambda t: grid_attention.mass(jnp.asarray(pattern), 3, at(t))
  for query, name in ((0, 'self'), (2, 'row'), (3, 'column'), (5, 'other')):
    assert float(of(query)[name][0]) == 1.0, name
