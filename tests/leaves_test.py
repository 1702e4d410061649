"""Leaves by name, and patterns of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import leaves
from jaxsynth.errors import UserError

TREE = {
  'blocks_0': {
    'attn': {'q': jnp.ones(1), 'k': jnp.ones(2)},
    'mlp': jnp.ones(3),
  },
  'embed': jnp.ones(4),
}


def test_names_are_those_on_disk():
  assert leaves.names(TREE) == list(leaves.flatten(TREE))
  assert leaves.names(TREE)[0] == 'blocks_0.attn.k'
  with pytest.raises(ValueError, match='may not hold'):
    leaves.names({'a.b': jnp.ones(1)})


def test_names_follow_the_tree_and_lead_back():
  tree = {'b': {'c': np.ones(1), 'a': np.zeros(2)}, 'a': np.ones(3)}
  flat = leaves.flatten(tree)
  assert set(flat) == {'a', 'b.a', 'b.c'}
  back = leaves.unflatten(flat)
  assert jax.tree.structure(back) == jax.tree.structure(tree)
  assert back['b']['a'] is tree['b']['a']
  alone = np.ones(2)
  assert leaves.unflatten(leaves.flatten(alone)) is alone


def test_like_restores_any_structure():
  from optax import ScaleByAdamState

  tree = (ScaleByAdamState(0, {'w': 1}, {'w': 2}), [3, {'x': 4}])
  flat = dict(reversed(leaves.flatten(tree).items()))
  assert set(flat) == {'0.count', '0.mu.w', '0.nu.w', '1.0', '1.1.x'}
  assert leaves.like(tree, flat) == tree


@pytest.mark.parametrize('name', ['a.b', 'a/b', ''])
def test_ambiguous_names_are_refused(name):
  with pytest.raises(ValueError, match='leaf name'):
    leaves.flatten({name: np.ones(1)})


@pytest.mark.parametrize(
  ('patterns', 'expected'),
  [
    (('*',), [True, True, True, True]),
    (('blocks_*.attn.*',), [True, True, False, False]),
    (('embed', '*.q'), [False, True, False, True]),
    ((), [False, False, False, False]),
  ],
)
def test_patterns_choose(patterns, expected):
  chosen = leaves.flatten(leaves.chosen(TREE, patterns, 'x'))
  assert list(chosen.values()) == expected


def test_a_pattern_of_nothing_is_refused_by_the_nearest_name():
  with pytest.raises(UserError, match=r"in train\.fresh.*mean 'blocks_0\.mlp'"):
    leaves.chosen(TREE, ('embed', 'blocks_0.mpl'), 'train.fresh')
  for bad in ('embed', (), ('',), (1,)):
    with pytest.raises(UserError, match='lists patterns'):
      leaves.check_patterns(bad, 'train.fresh')
  leaves.check_patterns((), 'train.fresh', least=0)
