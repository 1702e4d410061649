"""A pytree's leaves by name, and choosing some of them by pattern.

A leaf of nested dicts is named by its path, 'blocks_0.attn.q.kernel'; a
pattern is a shell's: 'blocks_*.attn.*' names every leaf of every attention.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from jaxsynth.errors import UserError, unknown
from jaxsynth.types import PyTree


def name(path: tuple) -> str:
  """A leaf's name from its path, as `jax.tree_util` gives it.

  Raises:
    ValueError: a part holds '.' or '/', or is empty.
  """
  parts = []
  for entry in path:
    for attribute in ('key', 'name', 'idx'):
      if hasattr(entry, attribute):
        parts.append(str(getattr(entry, attribute)))
        break
  for part in parts:
    if '.' in part or '/' in part or not part:
      raise ValueError(f'a leaf name may not hold "." or "/": {part!r}')
  return '.'.join(parts)


def flatten(tree: PyTree) -> dict[str, Any]:
  """A pytree as {'blocks_0.attn.q.kernel': leaf}, in tree order."""
  return {
    name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def names(tree: PyTree) -> list[str]:
  """The names of all leaves, in tree order."""
  return list(flatten(tree))


def unflatten(leaves: Mapping[str, Any]) -> PyTree:
  """The nested dicts that `flatten` names; one unnamed leaf is itself."""
  if set(leaves) == {''}:
    return leaves['']
  tree: dict = {}
  for path, leaf in leaves.items():
    *parents, last = path.split('.')
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[last] = leaf
  return tree


def like(tree: PyTree, leaves: Mapping[str, Any]) -> PyTree:
  """The leaves in the structure of `tree` (which gave them their names)."""
  ordered = [leaves[name] for name in names(tree)]
  return jax.tree.unflatten(jax.tree.structure(tree), ordered)


def check_patterns(patterns: Any, what: str, least: int = 1) -> None:
  """Raises UserError unless `patterns` lists so many patterns at least."""
  if not (
    isinstance(patterns, (list, tuple))
    and len(patterns) >= least
    and all(isinstance(p, str) and p for p in patterns)
  ):
    raise UserError(f'{what} lists patterns of leaf names, got {patterns!r}')


def chosen(tree: PyTree, patterns: Sequence[str], what: str) -> PyTree:
  """Which leaves match at least one of the patterns.

  Args:
    tree: nested dicts.
    patterns: such as 'blocks_*.attn.*'.
    what: what they belong to, as the user would say it.

  Returns:
    The tree with a bool for every leaf.

  Raises:
    UserError: a pattern matches no leaf.
  """
  known = names(tree)
  for pattern in patterns:
    if not fnmatch.filter(known, pattern):
      raise unknown(f'pattern in {what}', pattern, known)
  matches = lambda n: any(fnmatch.fnmatchcase(n, p) for p in patterns)
  return jax.tree_util.tree_map_with_path(lambda p, _: matches(name(p)), tree)
