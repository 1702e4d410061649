"""Names of leaves, and patterns of them."""

import jax.numpy as jnp
import pytest

from jaxsynth import leaves
from jaxsynth.errors import UserError
from jaxsynth.trajectory import store

TREE = {
  'blocks_0': {
    'attn': {'q': jnp.ones(1), 'k': jnp.ones(2)},
    'mlp': jnp.ones(3),
  },
  'embed': jnp.ones(4),
}


def test_names_are_those_on_disk():
  assert leaves.names(TREE) == list(store.flatten(TREE))
  assert leaves.names(TREE)[0] == 'blocks_0.attn.k'
  with pytest.raises(ValueError, match='may not hold'):
    leaves.names({'a.b': jnp.ones(1)})


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
  chosen = store.flatten(leaves.chosen(TREE, patterns, 'x'))
  assert list(chosen.values()) == expected


def test_a_pattern_of_nothing_is_refused_by_the_nearest_name():
  with pytest.raises(UserError, match=r"in train\.fresh.*mean 'blocks_0\.mlp'"):
    leaves.chosen(TREE, ('embed', 'blocks_0.mpl'), 'train.fresh')
  for bad in ('embed', (), ('',), (1,)):
    with pytest.raises(UserError, match='lists patterns'):
      leaves.check_patterns(bad, 'train.fresh')
  leaves.check_patterns((), 'train.fresh', least=0)
