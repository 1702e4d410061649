"""Training one component, the others as they were: train.trainable, .fresh."""

import copy

import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.errors import UserError

MLPS = ('blocks_*.mlp.*',)


def part_of(tiny, **train):
  config = copy.deepcopy(tiny[0].config)
  config['train'] |= {
    'steps': 2, 'snapshots': [0, 2], 'evals': [], 'branches': [],
    'call_steps': 2, **train,
  }  # fmt: skip
  return build.build(config)


def test_one_component_anew_and_all_else_final(tiny, tmp_path):
  setup = part_of(tiny, trainable=MLPS, fresh=MLPS)
  traj = stage.train(
    setup, tmp_path / 'x', parent=stage.Parent(tiny[1], 12), quiet=True
  )
  inside = [n for n in traj.leaves if '.mlp.' in n]
  assert inside
  final = tiny[1].row(12)
  for name in traj.leaves:
    now, was = traj.leaf(name)[:], tiny[1].leaf(name)[:]
    if name in inside:
      # Anew: the initialisation of the same seed, and then trained.
      np.testing.assert_array_equal(now[:, 0], was[:, 0])
      moved = abs(now[:, 1] - now[:, 0]).reshape(len(now), -1).max(1)
      assert (moved > 1e-5).all(), name
    else:
      np.testing.assert_array_equal(now[:, 0], was[:, final])
      np.testing.assert_array_equal(now[:, 1], now[:, 0])


@pytest.mark.parametrize(
  ('train', 'says'),
  [
    ({'trainable': ()}, r'train\.trainable lists patterns'),
    ({'trainable': 'embed*'}, r'train\.trainable lists patterns'),
    ({'fresh': 'embed*'}, r'train\.fresh lists patterns'),
    ({'trainable': ('embed.embeding',)}, r"in train\.trainable.*mean 'embed"),
    ({'fresh': MLPS}, 'needs a stage that starts from a parent'),
    ({'fresh': MLPS, 'loss': 'own'}, 'trains everything'),
  ],
)
def test_mistakes_are_one_line(tiny, tmp_path, train, says):
  with pytest.raises(UserError, match=says) as e:
    stage.train(part_of(tiny, **train), tmp_path / 'x', quiet=True)
  assert '\n' not in str(e.value)
  assert not (tmp_path / 'x').exists()
