"""Components of one network put into another of the same shape.

With theta and theta' two snapshots of one architecture and a component S, a
set of leaves chosen by patterns of their names, the stitched network has
theta'_S in place of theta_S and theta elsewhere. What it can still do says in
which component a difference between the two lies.

Source: Lenc and Vedaldi (2015), "Understanding Image Representations by
Measuring their Equivariance and Equivalence", arXiv 1411.5908 (stitching);
Gopalani, Lubana and Hu (2024), arXiv 2410.22244 (components of one training
before and after its loss drops).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxsynth import leaves
from jaxsynth.errors import UserError
from jaxsynth.types import PyTree


def swap(params: PyTree, other: PyTree, patterns: Sequence[str]) -> PyTree:
  """`params` with the leaves that match a pattern taken from `other`.

  Args:
    params: of one snapshot.
    other: of another, same names and shapes.
    patterns: of leaf names, such as 'blocks_*.attn.*'.

  Returns:
    Params of the same structure.

  Raises:
    UserError: a pattern matches no leaf, or the networks differ in shape.
  """
  leaves.check_patterns(patterns, 'a swap')
  if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, other):
    raise UserError('a swap needs two networks of the same names and shapes')
  taken = leaves.chosen(params, patterns, 'a swap')
  return jax.tree.map(lambda x, y, t: y if t else x, params, other, taken)
