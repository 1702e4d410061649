"""`verify`: step 0 recomputed, parents compared, idle runs told apart."""

import copy as copies
import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from jaxsynth import build, cli, source, stage, verify
from jaxsynth.train.supervised import LOSSES, supervised
from jaxsynth.trajectory import manifest, saves


def child_of(tiny, **train):
  """The tiny config, four steps long."""
  config = copies.deepcopy(tiny[0].config)
  config['train'] |= {
    'steps': 4, 'snapshots': [0, 1, 4], 'evals': [], 'branches': [],
    'call_steps': 4, **train,
  }  # fmt: skip
  return config


@pytest.fixture
def copy(tiny, tmp_path):
  shutil.copytree(tiny[1].folder, tmp_path / 'traj')
  return tmp_path / 'traj'


def move(leaf, row, run=2):
  """Changes the last bit of one value of a leaf, at a row of a segment."""

  def change(name, array):
    if name.endswith(leaf):
      at = (run, row) if name.startswith('snapshots') else (run,)
      bits = array[at].view(np.uint32)
      bits.flat[0] ^= 1
    return array

  return change


def test_an_intact_trajectory(tiny):
  result = verify.check(tiny[1].folder)
  assert (result.faults, result.warnings, result.notes) == ([], [], [])


def test_step_0_is_recomputed(tiny, copy, forge):
  """One bit of the initialisation, in the snapshot and in the branch alike.

  Everything is signed anew, so nothing but the initialisation tells.
  """
  for save in ('segments/0000000000', 'branches/0000000000'):
    forge.rewrite(copy / save, move('unembed.kernel', 0))
  forge.rechain(copy)
  found = verify.check(copy).faults
  run = tiny[1].runs.run_id[2]
  assert [(f.leaf, f.run, f.step) for f in found] == [
    ('snapshots.unembed.kernel', run, 0)
  ]
  assert 'not the initialisation' in found[0].what


def test_runs_swapped_throughout(tiny, copy, forge):
  """Every save swaps runs 0 and 3, and every signature is corrected."""
  for kind in ('segments', 'branches', 'checkpoints'):
    for save in saves.committed(copy / kind):
      forge.rewrite(save, lambda name, array: array[[3, 1, 2, 0]])
  forge.rechain(copy)
  ids = tiny[1].runs.run_id
  assert {f.run for f in verify.check(copy).faults} == {ids[0], ids[3]}


def test_when_step_0_cannot_be_recomputed(copy, monkeypatch, forge):
  present = stage.layout_of
  other = lambda setup: dataclasses.replace(present(setup), microbatches=2)
  with monkeypatch.context() as patch:
    patch.setattr(stage, 'layout_of', other)
    result = verify.check(copy)
    assert result.faults == []
    assert 'another layout: microbatches: 1 -> 2' in result.notes[0]
  for save in ('segments/0000000000', 'branches/0000000000'):
    forge.rewrite(copy / save, move('unembed.kernel', 0))
  forge.rechain(copy)
  monkeypatch.setattr(source, 'source_digest', lambda **_: 'newer')
  result = verify.check(copy)
  assert result.faults == []
  assert 'present code' in result.warnings[0]


def test_a_program_of_its_own_is_not_recomputed(tiny, tmp_path):
  setup = build.build(child_of(tiny))
  stage.train(
    setup, tmp_path / 'own', program=setup.program(), quiet=True
  )  # fmt: skip
  result = verify.check(tmp_path / 'own')
  assert result.faults == []
  assert 'a program of its own' in result.notes[0]


def test_a_stage_is_compared_with_its_parent(tiny, copy, tmp_path, forge):
  child = tmp_path / 'child'
  parent = stage.Parent(stage.open_trajectory(copy), 6)
  stage.train(build.build(child_of(tiny)), child, parent=parent, quiet=True)
  result = verify.check(child)
  assert (result.faults, result.notes) == ([], [])
  kept = tmp_path / 'kept'
  shutil.copytree(child, kept)
  forge.rewrite(child / 'segments' / '0000000000', move('unembed.kernel', 0))
  forge.rechain(child)
  found = verify.check(child).faults
  assert [(f.run, f.step) for f in found] == [(tiny[1].runs.run_id[2], 0)]
  assert 'the state of its parent' in found[0].what
  shutil.rmtree(copy)
  result = verify.check(kept)
  assert result.faults == []
  assert 'not compared with its parent' in result.notes[0]


def idle_program(setup):
  return supervised(
    setup.task, setup.model, LOSSES['cross_entropy'], setup.optimizer,
    batch_size=4, task_hparams=setup.task_hparams,
    trainable=lambda params: jax.tree.map(lambda x: False, params),
  )  # fmt: skip


def test_runs_that_stand_still(tiny, tmp_path, copy, forge):
  """No warning at a zero learning rate, or where nothing is trained."""
  config = child_of(tiny)
  config['sweep']['traced'] = {'optimizer': {'peak_lr': [0.0, 0.1]}}
  folder = tmp_path / 'zero'
  stage.train(build.build(config), folder, quiet=True)
  assert len(verify.checking.check(folder).equal) == 4, 'two runs, two pairs'
  assert verify.check(folder).warnings == []
  setup = build.build(child_of(tiny))
  frozen = tmp_path / 'frozen'
  stage.train(setup, frozen, program=idle_program(setup), quiet=True)
  assert verify.check(frozen).warnings == []

  def still(name, array):
    if name.startswith('snapshots'):
      array[1, 1] = array[1, 0]
    return array

  forge.rewrite(copy / 'segments' / '0000000000', still)
  forge.rechain(copy)
  result = verify.check(copy)
  run = tiny[1].runs.run_id[1]
  assert result.faults == []
  assert result.warnings == [
    f'{copy}: run {run} is equal at steps 0 and 1, although it was trained'
  ]


def test_the_command(tiny, copy, capsys):
  assert cli.main(['check', str(copy), '--json', '--quiet']) == 0
  (out,) = json.loads(capsys.readouterr().out)
  assert (out['runs'], out['faults']) == (4, [])
  assert out['head'] == verify.check(tiny[1].folder).head
  (copy / 'index.json').write_text('{}')
  assert cli.main(['check', str(copy), '--quiet']) == 1
  assert '--rebuild_index' in capsys.readouterr().out
  assert cli.main(['check', str(copy), '--rebuild_index', '--quiet']) == 0
  assert 'rebuilt' in capsys.readouterr().err
  (copy / 'index.json').unlink()
  assert cli.main(['check', str(copy), '--json', '--quiet']) == 1
  (out,) = json.loads(capsys.readouterr().out)
  assert out['faults'][0]['file'] == str(copy / 'index.json')
  segment = copy / 'segments' / '0000000006'
  body = manifest.read(segment)
  assert body['index'] in {p.stem for p in (copy / 'indexes').iterdir()}
