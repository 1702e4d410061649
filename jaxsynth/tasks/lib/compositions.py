"""Chains of numbered functions: all in order, draws out of order, counts.

With L positions and F functions at each besides the identity, function
g = d (F + 1) + i is number i of position d, and i = 0 is the identity. A
composition (g_1, ..., g_L) is in order if g_d is of position d: (F + 1)^L of
them. Out of order it holds at each position the identity, or any function of
any position: (L F + 1)^L.

Source: Ramesh, Lubana, Khona, Dick and Tanaka (2023), arXiv 2311.12997.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.types import Array, Key


class Functions(NamedTuple):
  """The functions and the compositions of one world.

  Attributes:
    maps: letter -> letter of each function, [G, V] with G = L (F + 1).
    orders: place -> place it is filled from, [G, n].
    in_order: all compositions in order, those in training first, [N, L].
    count: how many of them are in training.
    combos: those out of order in training, [num_combos, L].
  """

  maps: Array
  orders: Array
  in_order: Array
  count: Array
  combos: Array

  @property
  def table(self) -> Array:
    """All compositions in order, then the combos, [N + num_combos, L]."""
    return jnp.concatenate([self.in_order, self.combos])


@dataclasses.dataclass(frozen=True)
class Space:
  """The compositions of L positions with F functions each.

  Attributes:
    depth: L.
    num_functions: F.
  """

  depth: int
  num_functions: int

  def in_order(self) -> np.ndarray:
    """All compositions in order, the last position varying fastest, [N, L]."""
    F, L = self.num_functions, self.depth
    index = np.indices((F + 1,) * L).reshape(L, -1).T
    return (index + np.arange(L) * (F + 1)).astype(np.int32)

  def out_of_order(self, key: Key, count: int) -> Array:
    """Uniform draws of compositions out of order, [count, L].

    The identity is written as the one of its position.
    """
    F, L = self.num_functions, self.depth
    shape = (count, L)
    which = jax.random.randint(key, shape, 0, L * F + 1, jnp.int32) - 1
    number = which // F * (F + 1) + which % F + 1
    own = jnp.arange(L, dtype=jnp.int32) * (F + 1)
    return jnp.where(which < 0, own, number)

  def num_active(self, compositions: Array) -> Array:
    """How many functions of compositions [..., L] are not the identity."""
    return (compositions % (self.num_functions + 1) > 0).sum(-1)

  def num_swapped(self, compositions: Array) -> Array:
    """How many of [..., L] are functions of another position than theirs."""
    F = self.num_functions
    elsewhere = compositions // (F + 1) != np.arange(self.depth)
    return (elsewhere & (compositions % (F + 1) > 0)).sum(-1)

  def kinds(self, base: bool, num_identities: int | None) -> np.ndarray:
    """Which compositions in order may be in training, [N].

    Args:
      base: take those with at most one function that is not the identity.
      num_identities: others must have so many identities; None for any.

    Returns:
      0 for base compositions that are taken, 1 for what may be drawn, 2 for
      the rest.
    """
    active = self.num_active(self.in_order())
    kinds = np.ones_like(active)
    if num_identities is not None:
      kinds[active != self.depth - num_identities] = 2
    if base:
      kinds[active <= 1] = 0
    return kinds
