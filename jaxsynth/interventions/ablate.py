"""Switching off parts of a network: zero, mean and uniform attention.

With a the activation of a site and M a mask that is 1 on what is ablated,

  zero      (1 - M) a
  mean      (1 - M) a + M E[a]
  uniform   (1 - M) A + M / (number of keys in reach), A attention patterns

Masks are made by `where` (heads and positions by number) or `of_heads` (by
marks that may be traced, so that going through the heads is one vmap and one
compile).

Source: Michel, Levy and Neubig (2019), "Are Sixteen Heads Really Better than
One?", arXiv 1905.10650 (zero); Wang et al. (2022), arXiv 2211.00593 (mean);
Gopalani, Lubana and Hu (2024), arXiv 2410.22244 (uniform attention).
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError
from jaxsynth.models.base import Edit
from jaxsynth.types import Array

# The axes of heads and positions, from the end, where there are heads.
_AXES = {
  'attn.q': (2, 3),
  'attn.k': (2, 3),
  'attn.v': (2, 3),
  'attn.z': (2, 3),
  'attn.scores': (3, 2),
  'attn.pattern': (3, 2),
}


def _axes(site: str) -> tuple[int | None, int]:
  kind = next((k for k in _AXES if site.endswith(k)), None)
  return _AXES.get(kind, (None, 2))


def _marks(chosen: Sequence[int], size: int, what: str) -> Array:
  beyond = [i for i in chosen if not -size <= i < size]
  if beyond:
    raise UserError(f'{what} {beyond} of {size}')
  return jnp.zeros(size).at[jnp.asarray(chosen, int)].set(1.0)


def of_heads(site: str, marks: Array) -> Array:
  """A mask of some heads of a site.

  Args:
    site: its name, such as 'blocks.0.attn.z'.
    marks: [H], 1 on the heads that are meant. May be traced.

  Returns:
    The marks on the axis of heads; they broadcast to the activation.

  Raises:
    UserError: the site is not split into heads.
  """
  axis, _ = _axes(site)
  if axis is None:
    raise UserError(f'{site} has no heads: choose an attn site')
  return jnp.reshape(marks, [-1] + [1] * (axis - 1))


def where(
  site: str,
  shape: Sequence[int],
  heads: Sequence[int] | None = None,
  positions: Sequence[int] | None = None,
) -> Array:
  """A mask of some heads and positions of a site, by their numbers.

  Args:
    site: its name, such as 'blocks.0.attn.z'.
    shape: of its activation [B, ...]; see the model's table of sites.
    heads: which; None for all. Sites that are not split into heads take none.
    positions: which, of the queries in a pattern; None for all.

  Returns:
    Zeros and ones that broadcast to the activation.

  Raises:
    UserError: heads or positions beyond those there are.
  """
  mask = jnp.ones([1] * len(shape))
  of_head, of_position = _axes(site)
  if heads is not None:
    count = 1 if of_head is None else shape[-of_head]
    mask = mask * of_heads(site, _marks(heads, count, f'{site} has no heads'))
  if positions is not None:
    what = f'{site} has no positions'
    marks = _marks(positions, shape[-of_position], what)
    mask = mask * marks.reshape([-1] + [1] * (of_position - 1))
  return mask


def replace(mask: Array, value: Array) -> Edit:
  """The edit that puts `value` where `mask` is 1."""
  return Edit(keep=1 - mask, add=mask * value)


def zero(mask: Array) -> Edit:
  """The edit that puts 0 where `mask` is 1."""
  return Edit(keep=1 - mask)


def mean(mask: Array, act: Array, axes: Sequence[int] = (0,)) -> Edit:
  """The edit that puts an activation's mean where `mask` is 1.

  Args:
    mask: 1 on what is ablated, broadcasts to the activation.
    act: activations [B, ...] of other inputs.
    axes: what is averaged over: examples, by default.
  """
  return replace(mask, act.mean(tuple(axes), keepdims=True))


def uniform(mask: Array, length: int, causal: bool) -> Edit:
  """The edit of a pattern that looks at all keys in reach alike.

  Args:
    mask: 1 on what is ablated, broadcasts to [B, H, T, T].
    length: positions T.
    causal: whether position t reaches only positions up to t.
  """
  reach = jnp.ones((length, length))
  if causal:
    reach = jnp.tril(reach)
  return replace(mask, reach / reach.sum(1, keepdims=True))


def stacked(
  edits: Sequence[dict[str, Edit]], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Edit]:
  """Edits of different sites as one, with a leading axis [P, ...].

  Each of the P then edits every site, most of them by nothing, so that going
  through them is one loop and one compile.

  Args:
    edits: P of them, none of which projects.
    shapes: of what is kept and added at every site, without examples.
  """

  def whole(edit: Edit, shape: tuple[int, ...]) -> Edit:
    fill = lambda x, other: jnp.broadcast_to(other if x is None else x, shape)
    return Edit(keep=fill(edit.keep, 1.0), add=fill(edit.add, 0.0))

  every = [
    {site: whole(edit.get(site, Edit()), s) for site, s in shapes.items()}
    for edit in edits
  ]
  return jax.tree.map(lambda *x: jnp.stack(x), *every)
