"""A zoom is the same training, kept more densely, and says so truly."""

import json
import shutil

import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.grow import proof, source
from jaxsynth.grow import zoom as zooming
from jaxsynth.train.loop import Stopped
from jaxsynth.trajectory import check, index
from jaxsynth.trajectory.trajectory import Trajectory


def zoom(toy, traj, steps, folder, **options):
  options = {'program': toy.program, 'quiet': True, **options}
  lines = []
  options.setdefault('say', lines.append)
  with toy.memo():
    result = zooming.zoom(traj, steps, folder, **options)
  return *result, lines


@pytest.mark.parametrize(
  ('runs', 'steps', 'begin'),
  [
    ([3], range(10, 15), 8),  # from a branch point
    pytest.param([2], (21, 22, 24), 20, marks=pytest.mark.slow),  # a checkpoint
    ([0, 4], (2, 3, 5), 0),  # from the initialisation
    pytest.param([5, 1], (8, 9), 8, marks=pytest.mark.slow),
  ],
)
def test_a_zoom_equals_a_dense_training(
  toy, finished, dense, tmp_path, runs, steps, begin
):
  before = toy.files(finished.folder)
  view = finished.sel(run=runs)
  zoomed, proved, lines = zoom(
    toy, view, steps, tmp_path / 'z', evals='every:1'
  )
  assert proved.passed
  assert proved.exact
  assert zoomed.runs.run_id.tolist() == view.runs.run_id.tolist()
  first, last = min(steps), max(steps)
  own = [s for s in finished.steps if first <= s <= last]
  assert zoomed.steps.tolist() == sorted({*steps, *own})
  assert toy.equal_at(zoomed, dense, zoomed.steps)
  assert proved.shared == proved.matched == len(own) * len(runs)
  np.testing.assert_array_equal(
    zoomed.metrics['loss'],
    view.metrics['loss'].sel(step=slice(begin + 1, last)),
  )
  assert zoomed.metrics.step.values[0] == begin + 1
  assert zoomed.metrics.eval_step.values.tolist() == list(
    range(first, last + 1)
  )
  assert zoomed.start == begin
  assert f'step {begin}' in lines[0]
  assert check.check(zoomed.folder).faults == []
  assert toy.files(finished.folder) == before


@pytest.mark.slow
def test_one_run_of_a_vmapped_block_alone(toy, tmp_path):
  """The rest of the block is dummies then, which no run can see."""
  wide = {'mode': 'vmap', 'block': 4}
  traj = toy.train(tmp_path / 'wide', layout=wide)
  _, proved, _ = zoom(toy, traj.sel(run=[5]), (10, 11, 12), tmp_path / 'z')
  assert proved.passed
  assert proved.shared == 1
  assert proved.values == 2 * 4  # two scalars of updates 9 to 12


def test_a_zoom_opens_maps_and_knows_its_origin(toy, finished, tmp_path):
  view = finished.sel(run=[2])
  folder = tmp_path / 'z'
  zoom(toy, view, range(9, 13), folder)
  zoomed = stage.open_trajectory(folder, program=toy.program)
  assert zoomed.origin.folder.samefile(finished.folder)
  assert zoomed.index['origin']['step'] == 8
  assert zoomed.index['origin']['run_ids'] == view.runs.run_id.tolist()
  assert finished.origin is None
  norms = zoomed.map(lambda params, ctx: {'n': params['x'].sum()}, quiet=True)
  assert norms['n'].shape == (1, 4)
  assert norms.step.values.tolist() == [9, 10, 11, 12]
  assert json.loads((folder / 'proof.json').read_text())['matched'] == 1


@pytest.mark.slow
def test_a_zoom_into_a_zoom(toy, finished, dense, tmp_path):
  zoomed, _, _ = zoom(toy, finished.sel(run=[3]), range(8, 17), tmp_path / 'a')
  closer, proved, _ = zoom(toy, zoomed, (10, 11), tmp_path / 'b')
  assert proved.passed
  assert (proved.shared, closer.start) == (2, 8)
  with pytest.raises(UserError, match='begins at step 8'):
    zoom(toy, zoomed, (4, 10), tmp_path / 'c')
  assert toy.equal_at(closer, dense, closer.steps)


@pytest.mark.slow
def test_an_interrupted_zoom_is_continued(toy, finished, dense, tmp_path):
  steps, folder = range(9, 24), tmp_path / 'z'
  view = finished.sel(run=[1])
  with pytest.raises(Stopped):
    zoom(toy, view, steps, folder, stopping=lambda: True)
  zoomed, proved, _ = zoom(toy, view, steps, folder)
  assert proved.passed
  assert zoomed.steps.tolist() == list(steps)
  assert toy.equal_at(zoomed, dense, steps)


@pytest.mark.slow
def test_a_child_is_zoomed_from_its_parent(toy, finished, tmp_path):
  """Step 0 of a child is its parent's state, which a zoom must find again."""
  program = toy.program._replace(
    init=lambda run: toy.program.init(run) if run.parent is None else run.parent
  )
  setup = build.build(
    toy.config(train={'steps': 6, 'branches': (), 'snapshots': 'every:3'})
  )
  child = stage.train(
    setup, tmp_path / 'child', program=program,
    parent=stage.Parent(finished, 8), quiet=True,
  )  # fmt: skip
  zoomed, proved, lines = zoom(
    toy, child.sel(run=[4, 2]), (0, 1, 2, 3), tmp_path / 'z', program=program
  )
  assert proved.passed
  assert proved.shared == 4
  assert 'no full state was kept' in lines[0]
  assert toy.equal_at(zoomed.sel(steps=[0]), child, [0])


def test_what_was_not_retraced_is_named(toy, finished, tmp_path):
  """Another program under the same config: the proof must not pass."""
  other = toy.program._replace(
    step=lambda run, state, t: toy.program.step(
      run, {**state, 'x': state['x'] * 1.0001}, t
    )
  )
  zoomed, proved, _ = zoom(
    toy, finished.sel(run=[3]), (10, 12), tmp_path / 'z', program=other
  )
  assert not proved.passed
  assert (proved.shared, proved.matched) == (1, 0)
  run = finished.runs.run_id[3]
  assert f'snapshots.x of run {run} differs at step 12' in proved.faults
  assert f'scalars.loss of run {run} differs at step 9' in proved.faults
  kept = json.loads((zoomed.folder / 'proof.json').read_text())
  assert kept['faults'] == proved.faults


def moved(finished, tmp_path, **changes):
  """A copy of the trajectory that claims to be something else."""
  folder = tmp_path / 'moved'
  shutil.copytree(finished.folder, folder)
  index.write(folder, {**index.read(folder), **changes})
  return Trajectory(folder)


@pytest.mark.slow
def test_another_layout_is_said_and_measured(toy, finished, tmp_path):
  layout = {**finished.index['layout'], 'machine': 'abacus'}
  traj = moved(finished, tmp_path, layout=layout)
  zoomed, proved, lines = zoom(toy, traj, (10, 12), tmp_path / 'z')
  assert "machine: 'abacus'" in lines[1]
  assert (proved.exact, proved.passed, proved.worst) == (False, True, 0.0)
  assert 'bits were not compared' in proved.text()
  other = proof.prove(traj.sel(run=[0, 1]), zoomed.sel(run=[1, 2]), False)
  assert not other.passed
  assert other.worst > other.tolerance


def test_distance():
  one = np.asarray([1.0, -4.0])
  assert proof.distance(one, one) == 0
  assert proof.distance(one, np.asarray([1.0, -3.0])) == 0.25
  assert proof.distance(one, np.asarray([1.0, np.nan])) == np.inf
  assert proof.distance(np.zeros(2), np.asarray([0, 0.5])) == 0.5


def test_what_is_refused(toy, finished, tmp_path):
  target = tmp_path / 'z'
  other = moved(finished, tmp_path, source_digest='0' * 16)
  refused = [
    (other, (10,), 'other code.*--allow source_digest'),
    (finished, (10, 99), 'step 99.*0..24'),
    (finished, 'evry:2', 'plan'),
    (finished, (0,), 'a zoom needs a step after 0'),
    (finished, (), 'names no step'),
  ]
  for traj, steps, message in refused:
    with pytest.raises(UserError, match=message):
      zoom(toy, traj, steps, target)
  changed = {**finished.index['config']}
  changed['train'] = {**changed['train'], 'batch_size': 5}
  shutil.rmtree(tmp_path / 'moved')
  with pytest.raises(UserError, match='another one now'):
    zoom(toy, moved(finished, tmp_path, config=changed), (10,), target)
  assert not target.exists()
  zoom(toy, other, (10,), target, allow=('source_digest',))
  with pytest.raises(UserError, match='holds another training'):
    zoom(toy, finished.sel(run=[1]), (10, 11), target)


def test_steps_as_typed():
  assert zooming.parse_steps('4:7') == [4, 5, 6, 7]
  assert zooming.parse_steps('4:9:2') == [4, 6, 8, 9]
  assert zooming.parse_steps('1,5') == [1, 5]
  assert zooming.parse_steps('every:3') == 'every:3'
  for text in ('7:4', '4:7:0'):
    with pytest.raises(UserError, match='FIRST:LAST'):
      zooming.parse_steps(text)


def test_where_things_lie(finished, tmp_path):
  workdir = finished.folder.parents[1]
  assert source.workdir_of(finished.folder) == (workdir, 'train')
  assert zooming.default_output(finished.folder, '0,3', '4:9').relative_to(
    workdir
  ).as_posix() == ('zooms/train_runs=0-3_steps=4-9')
  assert source.one_in(workdir) == finished.folder
