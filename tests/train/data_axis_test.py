"""Groups of devices that share a run: the mathematics of one device alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.train import compiling, data_axis, layout
from jaxsynth.train import engine as engines
from jaxsynth.train.layout import choose
from tests.train.groups import on, program

CHILD = Path(__file__).with_name('data_axis_child.py')
WIDE = 32


@pytest.fixture(autouse=True)
def every_leaf(monkeypatch):
  """The leaves of these tests are small, and lie in pieces all the same."""
  monkeypatch.setattr(data_axis, 'SMALL', 0)


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
  options = [str(tmp_path), str(WIDE if own else 0)]
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
