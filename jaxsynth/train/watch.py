"""What may be recorded of every update besides the loss.

With learning rate eta, weight decay lambda and direction u (Adam's m / sqrt v),
an update is theta <- theta - eta (u + lambda theta). Watched are

  update_max   max |u| over all parameters: how far one update moves a single
               weight, in learning rates
  norms        for each array W of parameters |W|, |u_W| and <W, u_W>, the three
               numbers that decide its next norm:
               |W'|^2 = (1 - eta lambda)^2 |W|^2 + eta^2 |u_W|^2
                        - 2 eta (1 - eta lambda) <W, u_W>

as scalars of every step; those of `norms` are named 'norms/LEAF/weight',
'norms/LEAF/update', 'norms/LEAF/inner'. All are of the parameters before the
update. Source: the identity is the update's definition, squared.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxsynth.types import Array, PyTree, Scalars

# (parameters, direction u) -> scalars by name.
Watch = Callable[[PyTree, PyTree], Scalars]


def update_max(params: PyTree, direction: PyTree) -> Scalars:
  """The largest |u| of any parameter."""
  del params
  each = [jnp.abs(u).max() for u in jax.tree.leaves(direction)]
  return {'update_max': jnp.stack(each).max()}


def norms(params: PyTree, direction: PyTree) -> Scalars:
  """Norms of every array and of its direction, and their inner product."""
  out = {}
  named = jax.tree_util.tree_leaves_with_path(params)
  for (path, w), u in zip(named, jax.tree.leaves(direction)):
    leaf = jax.tree_util.keystr(path, simple=True, separator='/')
    out[f'norms/{leaf}/weight'] = jnp.linalg.norm(w.ravel())
    out[f'norms/{leaf}/update'] = jnp.linalg.norm(u.ravel())
    out[f'norms/{leaf}/inner'] = jnp.vdot(w, u)
  return out


WATCHES: dict[str, Watch] = {'update_max': update_max, 'norms': norms}


def direction(
  params: PyTree, updates: PyTree, lr: Array, weight_decay: Array
) -> PyTree:
  """u, from the update that was made of it; zero where eta is zero.

  Args:
    params: theta before the update.
    updates: what is added to it, - eta (u + lambda theta).
    lr: eta.
    weight_decay: lambda.
  """
  rate = jnp.where(lr > 0, lr, 1)
  return jax.tree.map(
    lambda w, d: jnp.where(lr > 0, -d / rate - weight_decay * w, 0),
    params,
    updates,
  )
