"""Devices that share a run hold pieces of its state; what is saved is whole."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import leaves
from jaxsynth.train import data_axis, loop, placing
from jaxsynth.train import engine as engines
from jaxsynth.train.blocks import blocks_of, initial
from jaxsynth.trajectory import check
from tests.train.groups import WIDTH, on, program


@pytest.fixture(autouse=True)
def every_leaf(monkeypatch):
  """The leaves of these tests are small, and lie in pieces all the same."""
  monkeypatch.setattr(data_axis, 'SMALL', 0)


@pytest.mark.parametrize(
  ('shape', 'axis'),
  [
    ((), None),
    ((3,), None),
    ((5, 7), None),
    ((6,), 0),
    ((3, 6), 1),
    ((8, 2), 0),
    ((4, 4), 0),
    ((2, 7, 4), 2),
  ],
)
def test_a_leaf_is_cut_along_its_largest_axis(shape, axis):
  assert data_axis.largest(shape, 2) == axis
  assert data_axis.largest((2, *shape), 2, lead=1) == (
    None if axis is None else axis + 1
  )
  size = int(np.prod(shape))
  leaf = jax.ShapeDtypeStruct(shape, jnp.float32)
  expected = 4 * size if axis is None else 2 * size
  assert data_axis.bytes_each({'leaf': leaf}, 2) == expected
  assert data_axis.bytes_each({'leaf': leaf}, 1) == 4 * size


def test_a_small_leaf_stays_whole(monkeypatch):
  """Runs and snapshots, however many, do not make it a large one."""
  monkeypatch.undo()
  side = math.isqrt(data_axis.SMALL)
  assert data_axis.largest((side, side), 2) == 0
  assert data_axis.largest((side, side - 1), 2) is None
  assert data_axis.largest((8, 100, side, side), 2, lead=2) == 2
  assert data_axis.largest((8, 100, side, side - 1), 2, lead=2) is None


def held(tree):
  """Bytes of each leaf on each device, by the leaf's name."""
  return {
    name: [shard.data.nbytes for shard in x.addressable_shards]
    for name, x in leaves.flatten(tree).items()
  }


@pytest.mark.parametrize('mode', ['map', 'vmap'])
def test_each_device_holds_a_piece_of_the_state(lab, mode):
  """Of parameters, both moments, and snapshots; only counters are whole."""
  runs, sizes, where = lab.specs(1, ()), lab.schedule(), on(mode, data=2)
  engine = engines.build(program(), where, sizes, False)
  (block,) = blocks_of(runs, engine, where)
  (state,) = initial([block], engine)
  square, placed = 4 * WIDTH**2, placing.states_on(where.mesh)
  for call in sizes.calls[:2]:
    for name, sizes_of in held(state).items():
      counter = name.endswith('count')
      assert sizes_of == ([4, 4] if counter else [square // 2] * 2), name
    for x in jax.tree.leaves(state):
      assert x.sharding.is_equivalent_to(placed(x.shape), x.ndim)
    cuts = engines.cuts(call)
    state, rows = engine.call(block.run, block.constants, state, cuts)
    assert held(rows[0]) == {'w': [sizes.max_snapshots * square // 2] * 2}
  assert len(leaves.flatten(state)) > 3
  assert engine.call._cache_size() == 1, 'compiled once'


def test_a_checkpoint_goes_on_with_another_number_of_devices(lab, tmp_path):
  """What two devices hold in pieces is saved whole, and read by one or two."""
  runs = lab.specs(2, ())
  options = {
    'program': program(), 'sizes': lab.schedule(branches=(20,)),
    'checkpoint_calls': 1,
  }  # fmt: skip
  one, two = on('map'), on('map', data=2)
  whole = lab.go(tmp_path / 'whole', runs, on=one, **options)
  expected = lab.contents(whole)
  for first, then in ((one, two), (two, one)):
    folder = tmp_path / f'from-{first.data}'
    seen = []
    with pytest.raises(loop.Stopped):
      lab.go(
        folder, runs, on=first, observe=seen.append,
        stopping=lambda seen=seen: bool(seen), **options,
      )  # fmt: skip
    resumed = lab.go(folder, runs, on=then, **options)
    assert check.check(folder).faults == []
    for run, content in lab.contents(resumed).items():
      for name, value in content.items():
        np.testing.assert_allclose(
          value, expected[run][name], rtol=2e-4, atol=2e-5, err_msg=name
        )
