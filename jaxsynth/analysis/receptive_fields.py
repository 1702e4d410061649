"""Where in the plane each latent of a sparse autoencoder is active.

The receptive field of latent i is F_i = {x: z_i(x) > 0}: a half-space for
ReLU codes, a union of cones for TopK, a union of neighbouring convex cells for
SpaDE. A half-space, and any cone, that meets a square also meets its border;
a *local* field need not.

Source: Hindupur, Lubana, Fel and Ba (2025), arXiv 2503.01822, sections on
receptive fields.
"""

import jax
import jax.numpy as jnp

from jaxsynth.models.sae import ACTIVE
from jaxsynth.types import Array, Key


def extent(codes: Array) -> dict[str, Array]:
  """How large the fields are, and which are local.

  Args:
    codes: of the points of a mesh, [G, G, L].

  Returns:
    area: the share of the mesh in each field, [L]; local: 1 where a field is
    not empty and has no point on the border, [L].
  """
  active = codes > ACTIVE
  border = jnp.ones(codes.shape[:2], bool).at[1:-1, 1:-1].set(False)
  touches = (active & border[..., None]).any((0, 1))
  local = active.any((0, 1)) & ~touches
  return {
    'area': active.mean((0, 1), dtype=jnp.float32),
    'local': local.astype(jnp.float32),
  }


def local_share(codes: Array) -> Array:
  """The share of local fields among those that are not empty.

  Args:
    codes: of the points of a mesh, [G, G, L].

  Returns:
    One number, shape []; 0 if all are empty.
  """
  found = extent(codes)
  live = (found['area'] > 0).sum()
  return found['local'].sum() / jnp.where(live > 0, live, 1)


def examples(key: Key) -> dict[str, tuple]:
  """Arguments for every function here; see tests/contracts."""
  codes = jax.nn.relu(jax.random.normal(key, (4, 4, 3)))
  return {'extent': (codes,), 'local_share': (codes,)}
