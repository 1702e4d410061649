"""One training of a config, its resumption, and stages that start from it."""

import copy
import json

import jax
import numpy as np
import pytest

from jaxsynth import build, leaves, stage
from jaxsynth.errors import UserError
from jaxsynth.train import loop, sweep
from jaxsynth.trajectory import manifest, store, writer


def child_of(tiny, **paths):
  """The tiny config, four steps long, with some sections changed."""
  config = copy.deepcopy(tiny[0].config)
  config['train'] |= {
    'steps': 4, 'snapshots': [0, 4], 'evals': [], 'branches': [],
    'call_steps': 3,
  }  # fmt: skip
  for section, values in paths.items():
    config[section] |= values
  return build.build(config)


def test_the_trajectory_of_a_config(tiny):
  setup, traj = tiny
  assert traj.steps.tolist() == [0, 1, 5, 6, 11, 12]
  assert traj.runs['task.num_chains'].tolist() == [2, 2, 4, 4]
  assert traj.runs['seed.data'].tolist() == [7] * 4
  assert traj.metrics['loss'].shape == (4, 12)
  index = traj.index
  assert index['config'] == json.loads(json.dumps(setup.config))
  assert index['config_hash'] == setup.config_hash
  assert index['parent'] is None
  assert index['layout']['mode'] == 'map'
  saves = [
    s
    for part in ('segments', 'checkpoints', 'branches')
    for s in writer.committed(traj.folder / part)
  ]
  assert len(saves) > 3
  assert [f for s in saves for f in manifest.faults(s)] == []


def test_step_0_is_the_recomputed_initialisation(tiny):
  setup, traj = tiny
  init = jax.jit(setup.program().init)
  for i, spec in enumerate(setup.sweep.runs()):
    fresh = leaves.flatten(init(sweep.one(spec))['params'])
    for name in traj.leaves:
      np.testing.assert_array_equal(traj.leaf(name)[i, 0], fresh[name])


def test_equal_seeds_give_equal_init_across_hyperparameters(tiny):
  _, traj = tiny
  kernel = traj.leaf('unembed.kernel')[:, 0]
  np.testing.assert_array_equal(kernel[:2], kernel[2:])
  assert not np.array_equal(kernel[0], kernel[1])


def test_a_finished_training_is_opened(tiny):
  setup, traj = tiny
  again = stage.train(
    setup, traj.folder, quiet=True, allow=('source_digest',)
  )  # fmt: skip
  assert again.steps.tolist() == traj.steps.tolist()
  by_index = stage.open_trajectory(str(traj.folder))
  assert by_index.runs.equals(traj.runs)


def test_a_child_starts_where_its_parents_stood(tiny, tmp_path):
  """Matched by identity: the child has its runs the other way round."""
  traced = {'task': {'num_chains': [4, 2]}}
  short = child_of(tiny, sweep={'traced': traced, 'seeds': [1, 0]})
  parent, folder = stage.Parent(tiny[1], 6), tmp_path / 'child'
  with pytest.raises(loop.Stopped):
    stage.train(short, folder, parent=parent, quiet=True, stopping=lambda: True)
  child = stage.train(short, folder, parent=parent, quiet=True)
  assert child.steps.tolist() == [0, 4]
  for name in child.leaves:
    np.testing.assert_array_equal(
      child.leaf(name)[:, 0], tiny[1].leaf(name)[::-1, 3]
    )
  record = child.index['parent']
  assert record['step'] == 6
  assert record['config_hash'] == tiny[0].config_hash
  assert record['run_ids'] == tiny[1].runs.run_id.tolist()[::-1]
  assert (folder / record['trajectory']).resolve() == tiny[1].folder.resolve()
  with pytest.raises(UserError, match=r'another training.* parent'):
    stage.train(short, folder, parent=stage.Parent(tiny[1], 12), quiet=True)


def rows_of(parent, setup):
  specs = setup.sweep.runs()
  tree, record = stage._parent_states(parent, specs, parent.trajectory.folder)
  kernel = parent.trajectory.leaf('unembed.kernel')
  row = parent.trajectory.row(parent.step)
  found = [
    i
    for one in tree['params']['unembed']['kernel']
    for i in range(kernel.shape[0])
    if np.array_equal(kernel[i, row], one)
  ]
  ids = parent.trajectory.runs.run_id
  assert record['run_ids'] == [ids[i] for i in found]
  return found


def test_how_parents_are_chosen(tiny):
  setup, traj = tiny
  assert rows_of(stage.Parent(traj, 6), setup) == [0, 1, 2, 3]
  assert rows_of(stage.Parent(traj, 12, [3, 3, 0, 1]), setup) == [3, 3, 0, 1]
  more = child_of(
    tiny,
    sweep={'traced': {'task.num_chains': [4], 'optimizer.peak_lr': [0.1, 0.2]}},
  )
  assert rows_of(stage.Parent(traj, 6), more) == [2, 3, 2, 3]
  view = traj.sel(num_chains=4)
  assert rows_of(stage.Parent(view, 6, [1, 0, 0, 0]), setup) == [1, 0, 0, 0]


def test_what_has_no_parent(tiny):
  setup, traj = tiny
  specs = setup.sweep.runs()
  states = lambda *args, runs=specs: stage._parent_states(
    stage.Parent(*args), runs, traj.folder
  )
  with pytest.raises(UserError, match=r'step 5 of .*; kept: 0, 6, 12'):
    states(traj, 5)
  with pytest.raises(UserError, match='0 parent runs match'):
    states(traj, 6, runs=child_of(tiny, sweep={'seeds': 3}).sweep.runs())
  loose = [sweep.RunSpec(specs[0].seeds, {})]
  with pytest.raises(UserError, match='2 parent runs match'):
    states(traj, 6, runs=loose)
  with pytest.raises(UserError, match='names 1 runs for 4'):
    states(traj, 6, [0])
  with pytest.raises(UserError, match=r'names \[4\] of 4 runs'):
    states(traj, 6, [0, 1, 2, 4])
  with pytest.raises(UserError, match='0 parent runs match'):
    states(traj.sel(num_chains=2), 6)


def test_branch_points_hold_the_state_of_their_step(tiny):
  _, traj = tiny
  for step in (0, 6, 12):
    folder = traj.branch(step)
    got = store.load(folder, ['params.unembed.kernel', 'opt.1.count'])
    np.testing.assert_array_equal(
      got['params.unembed.kernel'], traj.params(step)['unembed']['kernel']
    )
    assert got['opt.1.count'].tolist() == [step] * 4


def test_a_damaged_parent_is_refused(tiny, tmp_path):
  setup, traj = tiny
  path = max(
    (p for p in traj.branch(6).rglob('*') if p.is_file()),
    key=lambda p: p.stat().st_size,
  )
  data = path.read_bytes()
  bad = bytearray(data)
  bad[len(bad) // 2] ^= 4
  path.write_bytes(bad)
  try:
    with pytest.raises(manifest.DamagedError, match=path.name):
      stage.train(setup, tmp_path / 'x', parent=stage.Parent(traj, 6))
  finally:
    path.write_bytes(data)
  assert not (tmp_path / 'x').exists()


def test_another_config_is_refused_at_once(tiny):
  setup, traj = tiny
  other = build.build(
    {
      **setup.config,
      'optimizer': {**setup.config['optimizer'], 'peak_lr': 0.5},
    }
  )
  listing = lambda: {
    p: p.stat().st_mtime_ns
    for p in traj.folder.rglob('*')
    if p.is_file() and p.name != 'lock'
  }
  before = listing()
  with pytest.raises(UserError) as e:
    stage.train(other, traj.folder, quiet=True)
  assert 'config.optimizer.peak_lr: 0.001 -> 0.5' in str(e.value)
  assert '\n' not in str(e.value)
  assert listing() == before


def test_a_folder_that_is_a_file(tiny, tmp_path):
  (tmp_path / 'file').write_text('x')
  with pytest.raises(UserError, match='cannot write to'):
    stage.train(tiny[0], tmp_path / 'file', quiet=True)


def test_several_groups_are_not_one_training(tiny, tmp_path):
  several = child_of(tiny, sweep={'static': {'model.d_model': [8, 16]}})
  with pytest.raises(UserError, match=r'sweep.static \(model.d_model\)'):
    stage.train(several, tmp_path / 'x', quiet=True)


def test_progress_lines_count_what_diverged(capsys):
  loss = np.asarray([[1.0, 0.5], [1.0, np.nan], [1.0, 0.25]])
  event = loop.Event(8, 10, 3, {'loss': loss}, {}, (), 2.0, 4)
  assert stage._text(event) == (
    'loss 0.3750 (0.2500..0.5000), 1 diverged, 6 run-steps/s'
  )
  empty = event._replace(scalars={'loss': np.zeros((3, 0))})
  assert stage._text(empty) == ''
