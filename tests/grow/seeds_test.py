"""Runs added later equal those of one sweep over all, and read as one."""

import shutil
import warnings

import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.grow import extend, seeds, zoom
from jaxsynth.train.loop import Stopped
from jaxsynth.trajectory import check, shards, states
from jaxsynth.trajectory.trajectory import Trajectory

NEW = ('sweep.seeds=2', 'sweep.first_seed=3')


def add(toy, folder, overrides=NEW, **options):
  options = {
    'program': toy.program, 'quiet': True, 'say': lambda line: None, **options,
  }  # fmt: skip
  with toy.memo():
    return seeds.add_runs(folder, overrides, **options)


@pytest.fixture(scope='module')
def five(toy, tmp_path_factory):
  """Five seeds at once."""
  return toy.train(
    tmp_path_factory.mktemp('five') / 'train', sweep={'seeds': 5}
  )


@pytest.fixture(scope='module')
def grown(toy, finished, tmp_path_factory):
  """Three seeds, and two that were added, with an interruption."""
  folder = tmp_path_factory.mktemp('grown') / 'stages' / 'train'
  shutil.copytree(finished.folder, folder)
  before = toy.files(folder)
  with pytest.raises(Stopped):
    add(toy, folder, stopping=lambda: True)
  with pytest.warns(UserWarning, match=r'left out .* step 6 of 24'):
    partial = stage.open_trajectory(folder, program=toy.program)
  assert len(partial.runs) == 6
  joined = add(toy, folder)
  assert {p: v for p, v in toy.files(folder).items() if p in before} == before
  return joined


def test_added_equals_trained_at_once(toy, grown, five):
  assert len(grown.runs) == 10
  assert set(grown.runs.run_id) == set(five.runs.run_id)
  assert grown.steps.tolist() == five.steps.tolist()
  order = [grown.runs.run_id.tolist().index(i) for i in five.runs.run_id]
  for name in five.leaves:
    np.testing.assert_array_equal(grown.leaf(name)[order], five.leaf(name)[:])
  for name, values in five.metrics.items():
    np.testing.assert_array_equal(grown.metrics[name][order], values)
  rows = range(len(five.runs))
  mine, theirs = states.load(grown, 24, order), states.load(five, 24, rows)
  np.testing.assert_array_equal(mine['x'], theirs['x'])
  np.testing.assert_array_equal(mine['speed'], theirs['speed'])
  for shard in grown.shards:
    assert check.check(shard.folder).faults == []


def test_the_whole_reads_as_one(toy, grown):
  """Views, slices and maps reach over the seam between the shards."""
  view = grown.sel(**{'seed.init': [2, 4], 'optimizer.peak_lr': 0.1})
  assert view.runs['seed.init'].tolist() == [2, 4]
  (a, b), every = view.run_index, grown.leaf('x')[:]
  np.testing.assert_array_equal(view.leaf('x')[:, 1:3], every[[a, b], 1:3])
  np.testing.assert_array_equal(view.leaf('x')[1, -1], every[b, -1])
  leaf = grown.leaf('x')
  for index in ([7, 0], slice(4, 8), -1, (slice(None), [2, 0]), (..., 1)):
    np.testing.assert_array_equal(leaf[index], every[index])
  assert leaf[[7, 0], 3].shape == every[[7, 0], 3].shape == (2, 5)
  assert leaf[:0].shape == (0, *every.shape[1:])
  assert grown.metrics.run.values.tolist() == list(range(10))
  np.testing.assert_array_equal(grown.params(8, run=9)['x'], every[9, 2])
  total = view.map(lambda params, ctx: {'sum': params['x'].sum()}, quiet=True)
  assert total['seed_init'].values.tolist() == [2, 4]
  np.testing.assert_allclose(total['sum'][1], every[b].sum(-1), rtol=1e-6)
  assert [part['runs'] for part in grown.index['shards']] == [6, 4]
  with pytest.raises(UserError, match=r'traj\.shards'):
    grown.branch(8)


def test_the_config_still_trains_what_it_says(toy, grown):
  """A training that is run again is that of its config, without additions."""
  setup = build.build(grown.index['config'])
  again = stage.train(setup, grown.folder, program=toy.program, quiet=True)
  assert len(again.runs) == 6
  assert shards.standing(grown.folder.parents[1]) == [grown.folder]


@pytest.mark.slow
def test_a_zoom_reaches_over_the_seam(toy, grown, five, dense, tmp_path):
  view = grown.sel(run=[8, 2])
  result = zoom.zoom(
    view, range(12, 14), tmp_path / 'z', program=toy.program, quiet=True,
    say=lambda line: None,
  )  # fmt: skip
  assert result.proof.passed
  assert result.proof.shared == 2
  assert result.trajectory.start == 8
  assert toy.equal_at(result.trajectory, five, [12])
  assert toy.equal_at(result.trajectory.sel(run=[0]), dense, [13])


@pytest.mark.slow
def test_children_of_added_runs(toy, grown, tmp_path):
  """A stage may start from runs of several shards, and be added to itself."""
  program = toy.program._replace(
    init=lambda run: toy.program.init(run) if run.parent is None else run.parent
  )
  short = {'steps': 3, 'branches': (), 'snapshots': 'every:3', 'evals': ()}
  child = stage.train(
    build.build(toy.config(train=short)), tmp_path / 'child', program=program,
    parent=stage.Parent(Trajectory(grown.folder), 8), quiet=True,
  )  # fmt: skip
  whole = add(toy, child.folder, program=program)
  order = [whole.runs.run_id.tolist().index(i) for i in grown.runs.run_id]
  np.testing.assert_array_equal(
    whole.leaf('x')[order, 0], grown.leaf('x')[:, grown.row(8)]
  )
  both = [tmp_path / 'child', grown.folder]
  assert seeds.in_order(both) == both[::-1]


def test_values_of_an_axis_are_added(toy, finished, tmp_path):
  folder = tmp_path / 'train'
  shutil.copytree(finished.folder, folder)
  axis = 'sweep.traced.optimizer.peak_lr'
  grown = add(toy, folder, [f'{axis}=(0.2,)'])
  assert (
    grown.runs['optimizer.peak_lr'].tolist()
    == [0.05] * 3 + [0.1] * 3 + [0.2] * 3
  )
  longer = extend.extend(folder, 28, program=toy.program, quiet=True)
  assert longer.steps[-1] == 28  # all shards go on
  assert len(longer.runs) == 9
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    stage.open_trajectory(folder, program=toy.program)


def test_what_is_refused(toy, grown, tmp_path):
  before = toy.files(grown.folder)
  axis = 'sweep.traced.optimizer.'
  refused = [
    (['sweep.seeds=(2,9)'], r'2 of 4 .*already \(seeds 2\)'),
    (['sweep.seeds=(4,9)'], r'2 of 4 .*shards.*\(seeds 4\)'),
    ([f'{axis}b1=(0.5,)'], "axis of this sweep 'optimizer.b1'"),
    ([f'{axis}peak_lr=(0.05,)'], '3 of 3'),
    (['train.steps=9'], 'train.steps would be another training'),
    ([], '--seeds=8:16'),
  ]
  for overrides, message in refused:
    with pytest.raises(UserError, match=message):
      add(toy, grown.folder, overrides)
  assert toy.files(grown.folder) == before


def test_what_cannot_be_joined(toy, grown, finished, dense, five):
  first, second = grown.shards
  assert len(shards.join([second, first]).runs) == 10
  assert shards.join([first]) is first
  with pytest.raises(UserError, match=r'config.train.evals.*every:1'):
    shards.join([second, dense])
  with pytest.raises(UserError, match=r'run \w+ is in .* and in '):
    shards.join([second, five])
