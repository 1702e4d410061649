"""`check` finds nothing in what has grown, and what is planted there."""

import shutil

import numpy as np
import pytest

from jaxsynth import cli, stage, verify
from jaxsynth.errors import UserError
from jaxsynth.grow import extend as extending
from jaxsynth.grow import fork as forking
from jaxsynth.grow import seeds, source
from jaxsynth.grow import zoom as zooming
from jaxsynth.trajectory import index, manifest, saves

ALONE = {'quiet': True, 'say': lambda line: None}


@pytest.fixture
def copy(finished, tmp_path):
  folder = tmp_path / 'work' / 'stages' / 'train'
  shutil.copytree(finished.folder, folder)
  return folder


@pytest.fixture
def grow(toy):
  """`grow(what, ...)` with the program and the memory of the toy."""

  def call(what, *args, **options):
    with toy.memo():
      return what(*args, program=toy.program, **ALONE, **options)

  return call


def nudge(name, array):
  """Changes the last bit of one value of the first run's first array."""
  if name.endswith('.x') or name == 'x':
    array[0].view(np.uint32).flat[-1] ^= 1
  return array


def whats(folder):
  return [fault.what for fault in verify.check(folder).faults]


def test_a_zoom(finished, grow, tmp_path, forge):
  """Also one with a snapshot at the step it begins with."""
  folder = tmp_path / 'z'
  grow(zooming.zoom, finished.sel(run=[3]), range(8, 16), folder)
  result = verify.check(folder)
  assert (result.faults, result.warnings) == ([], [])
  assert any('begins at step 8' in note for note in result.notes)
  kept = tmp_path / 'kept'
  shutil.copytree(folder, kept)
  forge.rewrite(folder / 'segments' / '0000000008', nudge)
  assert 'does not follow the segment that ends there' in whats(folder)
  begun = kept / 'branches' / '0000000008'
  manifest.path_of(begun).unlink()
  shutil.rmtree(begun)
  assert whats(kept) == ['branches missing: steps [8]']


def test_an_extended_trajectory(grow, copy, forge):
  before = index.identity(index.read(copy))
  grow(extending.extend, copy, 28)
  assert whats(copy) == []
  segments = saves.committed(copy / 'segments')
  named = [manifest.read(path)['index'] for path in segments]
  assert named[:-1] == [before] * (len(segments) - 1)
  assert named[-1] == index.identity(index.read(copy)) != before
  (copy / 'index.json').write_text('{}')
  index.rebuild(copy)
  assert index.read(copy)['steps'] == 28
  forge.resign(segments[0], index='0' * 32)
  forge.rechain(copy)
  assert whats(copy) == ['written under another index']


def test_a_fork(finished, grow, copy, tmp_path, forge):
  """It has nothing to train up to step 24, the end of its source."""
  folder = tmp_path / 'fork'
  grow(forking.fork, copy, 28, folder)
  assert whats(folder) == []
  names = [path.name for path in saves.committed(folder / 'branches')]
  assert [int(name) for name in names] == [8, 24, 28]
  old = saves.committed(copy / 'segments')
  for path in [*old, copy / 'branches' / names[0]]:
    same = folder / path.relative_to(copy)
    assert manifest.read(same) == manifest.read(path)
  newest = saves.committed(folder / 'segments')[-1]
  whole = manifest.read(newest)
  forge.resign(newest, index=manifest.read(old[0])['index'])
  forge.rechain(folder)
  assert whats(folder) == ['written under another index']
  forge.resign(newest, index=whole['index'])
  forge.rechain(folder)
  assert whats(folder) == []
  forge.rewrite(folder / 'segments' / old[0].name, nudge)
  assert 'does not follow the segment before it' in whats(folder)


def test_added_runs(grow, copy, forge, capsys):
  new = ['sweep.seeds=1', 'sweep.first_seed=3']
  grow(seeds.add_runs, copy, new)
  workdir, command = copy.parents[1], ['check', '--quiet']
  assert cli.main([*command, str(workdir)]) == 0
  out = capsys.readouterr().out
  assert out.count(' 0 faults') == 2
  assert 'warning' not in out
  (shard,) = (copy / 'shards').iterdir()
  forge.rewrite(shard / 'segments' / '0000000000', nudge)
  assert cli.main([*command, str(workdir)]) == 1
  out = capsys.readouterr().out
  assert out.count(' 0 faults') == 1
  assert f'fault: {shard}' in out


@pytest.mark.slow
def test_children_of_what_has_grown(toy, grow, copy, tmp_path, forge):
  """A parent's runs may lie in shards, and it may be longer by now."""
  program = toy.program._replace(
    init=lambda run: toy.program.init(run) if run.parent is None else run.parent
  )
  grow(seeds.add_runs, copy, ['sweep.seeds=1', 'sweep.first_seed=3'])
  short = {'steps': 4, 'branches': (), 'evals': ()}
  setup = stage.build.build(
    toy.config(train=short, sweep={'seeds': 2, 'first_seed': 2})
  )
  child = tmp_path / 'child'
  for _ in range(2):  # the second finds that it is there
    whole = stage.open_trajectory(copy, program=toy.program)
    stage.train(
      setup, child, program=program, parent=stage.Parent(whole, 8), quiet=True
    )
    result = verify.check(child)
    assert result.faults == []
    assert not any('compared with its parent' in n for n in result.notes)
    if whole.index['steps'] == 24:
      grow(extending.extend, copy, 28)

  def move(name, array):
    if name == 'snapshots.x':
      array[-1, 0].view(np.uint32)[0] ^= 1
    return array

  forge.rewrite(child / 'segments' / '0000000000', move)
  forge.rechain(child)
  assert any('state of its parent' in what for what in whats(child))


@pytest.mark.slow
def test_a_zoom_keeps_the_leaves_its_source_keeps(toy, tmp_path):
  less = {'snapshot_leaves': ('x',), 'snapshot_dtype': 'bfloat16'}
  traj = toy.train(tmp_path / 'work', train=less)
  zoomed, proved = zooming.zoom(
    traj.sel(run=[1]), range(10, 14), tmp_path / 'z', program=toy.program,
    **ALONE,
  )  # fmt: skip
  assert proved.passed
  assert proved.shared == 1
  assert zoomed.leaves == ['x']
  assert zoomed.leaf('x').dtype == 'bfloat16'
  assert verify.check(tmp_path / 'z').faults == []
  longer = extending.extend(tmp_path / 'work', 28, program=toy.program, **ALONE)
  assert longer.leaf('x').shape[1] == 8
  assert verify.check(tmp_path / 'work').faults == []


def test_a_program_must_be_named_again(toy, finished, tmp_path):
  with pytest.raises(UserError, match=r'a program of its own: .*program='):
    zooming.zoom(finished, (10,), tmp_path / 'z')
  shutil.copytree(finished.folder, tmp_path / 'plain')
  body = {**index.read(finished.folder), 'program': 'of the config'}
  index.write(tmp_path / 'plain', body)
  plain = stage.open_trajectory(tmp_path / 'plain')
  with pytest.raises(UserError, match='pass no program'):
    source.of(plain, toy.program)
  index.write(tmp_path / 'plain', {**body, 'program': 'own', 'format': 1})
  with pytest.raises(UserError, match='is of format 1: it can be read'):
    extending.prepared(tmp_path / 'plain', 28, program=toy.program)
