"""Groups of devices that share a run: the mathematics of one device alone."""

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.models.base import Output
from jaxsynth.optim.optimizers import Optimizer
from jaxsynth.train import compiling, data_axis, layout, loop, placing
from jaxsynth.train import engine as engines
from jaxsynth.train.blocks import blocks_of, initial
from jaxsynth.train.layout import Layout, choose
from jaxsynth.train.supervised import mean_squared_error, supervised
from jaxsynth.trajectory import check, store
from jaxsynth.types import Batch, Spec

CHILD = Path(__file__).with_name('data_axis_child.py')
BATCH, WIDTH, WIDE = 8, 4, 32


@pytest.fixture(autouse=True)
def every_leaf(monkeypatch):
  """The leaves of these tests are small, and lie in pieces all the same."""
  monkeypatch.setattr(data_axis, 'SMALL', 0)


@dataclass(frozen=True)
class Weighted:
  """y = x A on examples of unequal weight; one evaluation set is odd."""

  width: int = WIDTH

  @property
  def spec(self):
    x = jax.ShapeDtypeStruct((self.width,), jnp.float32)
    return Spec(x, x, None, self.width)

  def init(self, key):
    return {'A': jax.random.normal(key, (self.width, self.width))}

  def sample(self, task_params, key, step, batch_size):
    x = jax.random.normal(key, (batch_size, self.width)) + 0.1 * step
    weights = jnp.arange(batch_size) + 1.0
    return Batch(x, x @ task_params['A'], weights, {'n': weights})

  def evals(self, task_params, key):
    few = self.sample(task_params, key, 0, 5)
    return {'few': few, 'one': jax.tree.map(lambda x: x[:1], few)}


@dataclass(frozen=True)
class Noisy:
  """x W, and a noise of its own in training."""

  def init(self, key, spec):
    return {'w': jax.random.normal(key, (*spec.inputs.shape, spec.output_size))}

  def apply(self, params, inputs, *, key=None, **_):
    out = inputs @ params['w']
    if key is not None:
      out = out + jax.random.normal(key, out.shape)
    return Output(out, {})


def program(microbatches=1, width=WIDTH):
  return supervised(
    Weighted(width),
    Noisy(),
    mean_squared_error,
    Optimizer(name='adamw', peak_lr=0.1),
    batch_size=BATCH,
    microbatches=microbatches,
  )


def on(mode, microbatches=1, data=1, devices=2):
  """A layout of the first devices, with one run a device or group."""
  some = tuple(jax.devices()[:devices])
  return Layout(mode, devices // data, microbatches, some, data)


def compiled(lab, where, some):
  """The call of a program, compiled."""
  runs, sizes = lab.specs(2, ()), lab.schedule()
  engine = engines.build(some, where, sizes, False)
  return compiling.trace(engine, runs, sizes, where).call.lower().compile()


COLLECTIVES = ('all-reduce', 'all-gather', 'all-to-all', 'collective-permute')


@pytest.mark.parametrize(
  ('mode', 'microbatches', 'shared'),
  [('map', 1, False), ('map', 2, True), ('vmap', 2, False)],
)
def test_two_devices_agree_with_one(lab, tmp_path, mode, microbatches, shared):
  """Examples, noise and weights are those of one device, parts or not."""
  about = {'program': program(microbatches)}
  runs = lab.specs(3, (), **({'task': 1, 'eval': 1} if shared else {}))
  options = {**about, 'shared': shared, 'sizes': lab.schedule(branches=(20,))}
  whole = lab.go(tmp_path / 'one', runs, on=on(mode, microbatches), **options)
  split = lab.go(
    tmp_path / 'two', runs, on=on(mode, microbatches, data=2), **options
  )
  one, two = lab.contents(whole), lab.contents(split)
  assert list(one) == list(two)
  for run, expected in one.items():
    for name, value in expected.items():
      np.testing.assert_allclose(
        two[run][name], value, rtol=2e-4, atol=2e-5, err_msg=name
      )
  first = lambda run, name: run[name][0].tobytes()
  for run, expected in one.items():
    assert first(two[run], 'leaf.w') == first(expected, 'leaf.w')


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
    for name, x in store.flatten(tree).items()
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
  assert len(store.flatten(state)) > 3
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


def test_each_device_has_its_piece_of_the_work(lab):
  """The products of a step are halved, and sums over examples exchanged."""
  one, two = (
    compiled(lab, on('map', data=data), program(width=64)) for data in (1, 2)
  )
  flops = [x.cost_analysis()['flops'] for x in (one, two)]
  assert flops[1] < 0.65 * flops[0]
  assert 'all-reduce' in two.as_text()


def test_without_groups_there_is_nothing_to_exchange(lab):
  text = compiled(lab, on('map'), program()).as_text()
  assert not any(name in text for name in COLLECTIVES)
  assert on('map').mesh.axis_names == ('run',)


def test_a_mark_by_hand_is_nothing():
  tree = {'x': jnp.ones((4, 2))}
  assert data_axis.split(tree) is tree


def test_the_mesh_and_its_record():
  found = choose(data=2)
  assert dict(found.mesh.shape) == {'run': 1, 'data': 2}
  assert (found.block, found.runs_per_device) == (1, 1)
  assert choose('vmap', 6, data=2).runs_per_device == 6
  records = [choose(data=n).record() for n in (1, 2)]
  assert 'data' not in records[0], 'as before there were groups'
  assert (records[1]['data'], records[1]['data_processes']) == (2, 1)
  assert layout.lasting(records[0]) != layout.lasting(records[1])


@pytest.mark.parametrize(
  ('arguments', 'says'),
  [
    ({'data': 3}, 'layout.data=3 does not divide the 2 devices: .* is 2'),
    ({'data': 16}, 'nearest that does is 2'),
    ({'mode': 'map', 'block': 2, 'data': 2}, r'the group count \(1\) with map'),
  ],
)
def test_groups_that_cannot_be(arguments, says):
  with pytest.raises(UserError, match=says):
    choose(**arguments)


def test_groups_of_several_processes(monkeypatch):
  """Whole ones, or parts of one: a group never lies across a border."""
  monkeypatch.setattr(jax, 'process_count', lambda: 3)
  for data in (1, 2, 4, 12):
    layout._check_groups(data, 12)
  with pytest.raises(UserError, match=r'3 x 6 devices: the nearest .* is 3'):
    layout._check_groups(4, 18)
  with pytest.raises(UserError, match=r'3 x 6 devices: the nearest .* is 6'):
    layout._check_groups(9, 18)


@pytest.mark.parametrize(
  ('changes', 'says'),
  [
    ({'data': 0}, 'layout.data counts from 1, got 0'),
    ({'data': 3}, 'train.batch_size=4: the nearest that does is 2'),
    (
      {'data': 4, 'microbatches': 2},
      'batch_size=4 / layout.microbatches=2: the nearest that does is 2',
    ),
    ({'dta': 2}, "layout.dta'.*did you mean 'layout.data'"),
    ({'data': 1.5}, 'layout.data must be int'),
  ],
)
def test_refused_before_anything_compiles(lab, changes, says):
  with pytest.raises(UserError, match=says):
    build.build({**lab.tiny, 'layout': changes})


def test_parts_are_chosen_for_a_device_of_a_group(lab):
  """Twice the devices, half the examples on each: half as many parts."""
  config = {**lab.tiny, 'train': {**lab.tiny['train'], 'batch_size': 64}}
  size = layout.CPU_ACTIVATIONS // 8
  setups = [build.build({**config, 'layout': {'data': n}}) for n in (1, 2, 8)]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(build.model_base, 'activation_bytes', lambda *_: size)
    assert [s.microbatches for s in setups] == [8, 4, 1]


@pytest.mark.parametrize(
  'own', [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_meshes_of_four_devices(lab, tmp_path, own):
  """Three runs on 4 x 1, 2 x 2 and 1 x 4 devices: the program above, and a
  transformer.

  A group computes the same bits however many groups there are, and its devices
  share what its runs need of memory.
  """
  config = json.dumps({**lab.tiny, 'sweep': {'seeds': 3}})
  options = [str(tmp_path), 'own' if own else 'config']
  subprocess.run(
    [sys.executable, CHILD, config, *options, '1', '2', '4'],
    check=True,
    env={
      **os.environ,
      'XLA_FLAGS': '--xla_force_host_platform_device_count=4 '
      '--xla_cpu_multi_thread_eigen=false',
    },
  )
  setup = build.build({**json.loads(config), 'layout': {'data': 2}})
  some = program(width=WIDE) if own else None
  here = stage.train(setup, tmp_path / 'here', program=some, quiet=True)
  opened = lambda name: stage.open_trajectory(tmp_path / name, program=some)
  one, two, four = (lab.contents(opened(n)) for n in '124')
  for other in (two, four):
    for run, expected in one.items():
      for name, value in expected.items():
        np.testing.assert_allclose(
          other[run][name], value, rtol=1e-3, atol=1e-5, err_msg=name
        )
  alone = lab.contents(here)
  assert [lab.differing(alone[r], two[r]) for r in alone] == [[]] * 3
  if own:
    one, two, four = (bytes_a_run(tmp_path, data) for data in (1, 2, 4))
    assert 0.5 < two / one < 0.7, 'constants are whole on each device'
    assert 0.25 < four / one < 0.5


def bytes_a_run(folder, data):
  """Most that a device of four held of one of three runs, after any call."""
  held = json.loads((folder / f'bytes-{data}.json').read_text())
  blocks = -(-3 // (4 // data))
  return max(map(max, held)) / blocks
