"""What of a program's snapshots is kept, and whether it can be stored."""

import math

import jax
import jax.numpy as jnp

from jaxsynth import leaves as leaf_names
from jaxsynth.errors import UserError, unknown
from jaxsynth.train.compiling import Traced
from jaxsynth.train.program import Program
from jaxsynth.types import PyTree

# float32 keeps every leaf as it is.
DTYPES = ('float32', 'bfloat16')


def check_options(dtype: str, leaves: tuple[str, ...]) -> None:
  """Refuses an unknown dtype and patterns that are none."""
  if dtype not in DTYPES:
    raise unknown('snapshot_dtype', dtype, DTYPES)
  leaf_names.check_patterns(leaves, 'train.snapshot_leaves')


def select(program: Program, dtype: str, leaves: tuple[str, ...]) -> Program:
  """The program with snapshots of some leaves, and of smaller numbers.

  Args:
    program: what is trained.
    dtype: 'bfloat16' rounds floats to it; 'float32' keeps every leaf as it is.
    leaves: patterns such as '*.attn.*.kernel', of which a leaf must match
      one.

  Returns:
    The program itself where everything is kept as it is.

  Raises:
    UserError: by its `keep`, where a pattern matches nothing.
  """
  if dtype == 'float32' and tuple(leaves) == ('*',):
    return program

  def rounded(x: jax.Array) -> jax.Array:
    some = dtype == 'bfloat16' and jnp.issubdtype(x.dtype, jnp.floating)
    return x.astype(jnp.bfloat16) if some else x

  def keep(state: PyTree) -> PyTree:
    tree = program.keep(state)
    kept = leaf_names.chosen(tree, leaves, 'train.snapshot_leaves')
    kept = leaf_names.flatten(kept)
    return leaf_names.unflatten(
      {n: rounded(x) for n, x in leaf_names.flatten(tree).items() if kept[n]}
    )

  return program._replace(keep=keep)


def nested(tree: PyTree) -> PyTree:
  """Metric names with slashes ('fresh/loss') as nested dicts, else itself."""
  if not (isinstance(tree, dict) and any('/' in k for k in tree)):
    return tree
  return leaf_names.unflatten({k.replace('/', '.'): v for k, v in tree.items()})


def check_storable(traced: Traced) -> None:
  """Refuses, in one line, what could not be stored of a training.

  Args:
    traced: what is trained.

  Raises:
    UserError: a leaf without elements, or whose name would be ambiguous.
  """
  state = traced.init.out_info
  kept, scalars, evals = traced.call.out_info[1]
  for kind, tree, axes in (  # all have [block], what a call keeps also [rows]
    ('state', state, 1),
    ('snapshot', kept, 2),
    ('scalars', scalars, 2),
    ('evaluation', evals, 2),
  ):
    metrics = kind in ('scalars', 'evaluation')
    try:
      for name in tree if metrics else ():
        if '.' in name:
          raise ValueError(f'a name may not hold ".": {name!r}')
      names = leaf_names.flatten(nested(tree) if metrics else tree)
    except (ValueError, TypeError, AttributeError) as e:
      raise UserError(f'the {kind} cannot be stored: {e}') from None
    for name, leaf in names.items():
      shape = tuple(leaf.shape[axes:])
      if not math.prod(shape):
        raise UserError(
          f'the {kind} cannot be stored: {name!r} has shape {shape}, '
          'no elements'
        )
