"""What the heads of a network that reads a grid row by row look at.

Position t = i n + j of a sequence holds entry (i, j) of a grid [m, n]. A
pattern is [B, H, T, T], query before key; the keys of a query fall into four
sets:

  self     its own position
  row      the other entries of its row       (n - 1 of them)
  column   the other entries of its column    (m - 1)
  other    the rest                           ((m - 1)(n - 1))

The mass on a set, averaged over queries, is compared with the share of it that
uniform attention has, |set| / T: a ratio of 1 is no preference, and T / |set|
the most there can be.

Source: Gopalani, Lubana and Hu, "Abrupt Learning in Transformers: A Case
Study on Matrix Completion" (2024), arXiv 2410.22244.
"""

import jax
import jax.numpy as jnp

from jaxsynth.types import Array, Key

SETS = ('self', 'row', 'column', 'other')


def key_sets(positions: Array, num_columns: int) -> dict[str, Array]:
  """The four sets of keys of every query.

  Args:
    positions: of queries and keys in the sequence, int [T].
    num_columns: n of the grid.

  Returns:
    self, row, column, other: bool [T, T], query before key.
  """
  row, column = positions // num_columns, positions % num_columns
  same_row = row[:, None] == row
  same_column = column[:, None] == column
  own = same_row & same_column
  return {
    'self': own,
    'row': same_row & ~own,
    'column': same_column & ~own,
    'other': ~(same_row | same_column),
  }


def mass(pattern: Array, num_columns: int, weights: Array) -> dict[str, Array]:
  """Attention mass on each set of keys, and its ratio to uniform attention.

  Args:
    pattern: [B, H, T, T], query before key.
    num_columns: n of the grid.
    weights: of the queries in the mean [B, T].

  Returns:
    self, row, column, other: mean mass [H].
    self_ratio, ...: the same over the share of uniform attention [H].
  """
  weights = weights / jnp.maximum(weights.sum(), 1e-12)
  positions, out = jnp.arange(pattern.shape[-1]), {}
  for name, keys in key_sets(positions, num_columns).items():
    on = jnp.einsum('bhts,ts,bt->h', pattern, keys.astype(float), weights)
    out[name] = on
    out[f'{name}_ratio'] = on / jnp.maximum(keys.mean(), 1e-12)
  return out


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  logits = jax.random.normal(key, (2, 3, 6, 6))
  return {
    'key_sets': (jax.random.permutation(key, 6), 3),
    'mass': (jax.nn.softmax(logits), 3, jnp.ones((2, 6))),
  }
