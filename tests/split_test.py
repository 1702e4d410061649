"""Sweeps cut into shards: every run once, the same bits, nothing twice."""

import shutil
import warnings
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsynth import build, cli, launch, split, stage
from jaxsynth.config import override
from jaxsynth.errors import UserError
from jaxsynth.train import loop
from jaxsynth.train.sweep import RunSpec, Sweep
from jaxsynth.trajectory import cut as cutting
from jaxsynth.trajectory import index, shards

AXES = st.lists(st.integers(1, 4), max_size=2)


def specs(part: split.Part) -> list[RunSpec]:
  return Sweep(seeds=part.seeds, traced=part.traced).runs()


@given(
  groups=st.integers(1, 5), seeds=st.integers(1, 6), axes=AXES, data=st.data()
)
def test_each_run_is_in_one_shard(groups, seeds, axes, data):
  """And no shard is empty, nor much larger than another of its group."""
  traced = {f'a.{i}': [j + 0.5 for j in range(n)] for i, n in enumerate(axes)}
  sweeps = [Sweep(seeds=seeds, first_seed=3, traced=traced)] * groups
  count = data.draw(st.integers(1, split.most(sweeps)))
  planned = split.plan(sweeps, count)
  assert len(planned) == count
  assert all(planned)
  found = [
    (p.group, r.id) for shard in planned for p in shard for r in specs(p)
  ]
  wanted = [(g, r.id) for g, s in enumerate(sweeps) for r in s.runs()]
  assert sorted(found) == sorted(wanted)
  assert split.plan(sweeps, count) == planned
  per_group = [
    [p for s in planned for p in s if p.group == g] for g in range(groups)
  ]
  for parts in per_group:
    assert [p.part for p in parts] == list(range(parts[0].parts))
    sizes = [len(p.seeds) for p in parts]
    assert max(sizes) - min(sizes) <= 1
  each = [len(shard) for shard in planned]
  assert max(each) - min(each) <= 1


@pytest.mark.parametrize('count', [0, -1, 13])
def test_too_many_shards(count):
  sweep = Sweep(seeds=3, traced={'a.b': (1, 2, 3, 4)})
  with pytest.raises(UserError, match=r'1 to 12 shards'):
    split.plan([sweep], count)


def test_types_of_values_survive():
  """(1, 2.5) is an axis of floats; so is the part of it that holds only 1."""
  sweep = Sweep(seeds=1, traced={'a.b': (1, 2.5)})
  first, second = split.plan([sweep], 2)
  assert [specs(first[0])[0].id, specs(second[0])[0].id] == [
    r.id for r in sweep.runs()
  ]


@pytest.fixture(scope='module')
def config(lab):
  """Four runs: two values of an axis, two seeds."""
  return build.complete(lab.tiny)


SHARD = {'part-1-of-3': 1, 'part-2-of-3': 2}


def go(config, workdir, shard=0, count=3):
  return launch.train(
    config, workdir, shards=count, shard=shard, say=lambda _: None, quiet=True
  )


@pytest.fixture(scope='module')
def cut(config, tmp_path_factory):
  """The sweep in three shards, trained in another order than theirs."""
  workdir = tmp_path_factory.mktemp('cut') / 'work'
  for shard in (2, 0, 1):
    go(config, workdir, shard)
  return workdir


def test_read_as_one_and_bit_for_bit(config, cut, lab, tmp_path):
  """One table of the runs of one sweep, with what each left."""
  whole = go(config, tmp_path, count=1)['']
  joined = stage.open_trajectory(cut / 'stages' / 'train')
  assert len(joined.shards) == 3
  assert set(joined.runs.run_id) == set(whole.runs.run_id)
  assert len(joined.runs) == len(whole.runs) == 4
  parts = {}
  for member in joined.shards:
    parts |= lab.contents(member)
  assert parts.keys() == lab.contents(whole).keys()
  for run, content in lab.contents(whole).items():
    assert lab.differing(content, parts[run]) == []


def test_one_table(cut, lab, tmp_path):
  """Of all runs: those of shards, and those of static groups."""
  made = shards.table(cut)
  assert made.index.names == ['group', 'run']
  assert set(made.index.get_level_values('group')) == {'stages/train'}
  assert len(set(made.run_id)) == 4
  for group in ('width=1', 'width=2'):
    lab.go(tmp_path / 'stages' / group, lab.specs(3))
  made = shards.table(tmp_path)
  assert made.loc['stages/width=2'].run_id.tolist() == [
    spec.id for spec in lab.specs(3)
  ]
  assert len(made) == 6


def test_a_finished_shard_is_not_run_again(config, cut):
  before = {p: p.stat().st_mtime_ns for p in cut.rglob('segments/*')}
  with mock.patch.object(loop, 'train', side_effect=AssertionError):
    for shard in range(3):
      go(config, cut, shard)
  assert {p: p.stat().st_mtime_ns for p in cut.rglob('segments/*')} == before


def test_a_lost_shard_is_run_alone(config, cut, tmp_path):
  """The others are not touched; the whole is read again afterwards."""
  workdir = tmp_path / 'work'
  shutil.copytree(cut, workdir)
  folder = workdir / 'stages' / 'train'
  lost = sorted((folder / 'shards').iterdir())[1]
  gone = {run['run_id'] for run in index.read(lost)['runs']}
  shutil.rmtree(lost)
  with pytest.warns(UserWarning, match=f'shard {SHARD[lost.name]} of 3, '):
    left = stage.open_trajectory(folder)
  assert gone.isdisjoint(left.runs.run_id)
  for shard in range(3):
    go(config, workdir, shard)
  assert gone < set(stage.open_trajectory(folder).runs.run_id)


def test_missing_shards_are_named(config, cut, tmp_path, capsys):
  """One that was never begun, one that was interrupted, and the first."""
  workdir = tmp_path / 'work'
  shutil.copytree(cut, workdir)
  folder = workdir / 'stages' / 'train'
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert len(stage.open_trajectory(folder).runs) == 4
    assert len(shards.table(workdir)) == 4
  shutil.rmtree(folder / 'shards' / 'part-2-of-3')
  with pytest.warns(UserWarning, match='left out') as said:
    assert len(stage.open_trajectory(folder).runs) == 2
  (never,) = (str(w.message) for w in said)
  assert 'shard 2 of 3, ' in never
  assert '--shards=3 --shard=2 trains it' in never
  note = cutting.path_of(folder)
  note.write_text(note.read_text().replace('"steps": 12', '"steps": 13'))
  assert 'is at step 12 of 13' in cutting.missing(workdir)[folder]
  note.write_text(note.read_text().replace('"steps": 13', '"steps": 12'))
  assert cli.main(['check', str(workdir), '--quiet']) == 0
  assert 'missing: shard 2 of 3' in capsys.readouterr().err
  for kept in ('segments', 'index.json'):
    path = folder / kept
    shutil.rmtree(path) if path.is_dir() else path.unlink()
  with pytest.raises(UserError, match=r'first runs are missing: shard 0 of 3'):
    stage.open_trajectory(folder)
  with pytest.warns(UserWarning, match='left out') as said:
    shards.table(workdir)
  assert ['shard 0 of 3' in str(w.message) for w in said] == [True, False]


def test_a_missing_group_is_named(lab, config, tmp_path):
  made = build.complete(config)
  override(made, 'sweep.static', "{'model': {'d_model': (8, 12)}}")
  override(made, 'train.steps', '20')
  groups = build.groups(made)
  split.agree(tmp_path / 'stages' / 'train', made, groups, 2)
  folder = tmp_path / 'stages' / 'train' / 'd_model=8'
  lab.go(folder, lab.specs(3))
  with pytest.warns(UserWarning, match='left out') as said:
    shards.table(tmp_path)
  (only,) = (str(w.message) for w in said)
  assert 'shard 1 of 2, 4 runs, is not there' in only
  assert 'd_model=12' in only


@pytest.mark.parametrize(
  ('change', 'count', 'says'),
  [
    (None, 4, 'cut into 3 shards: --shards=3, got 4'),
    (None, 1, 'cut into 3 shards: --shards=3, got 1'),
    (('optimizer.peak_lr', '0.5'), 3, 'another config'),
    (('sweep.seeds', '4'), 3, 'another config'),
  ],
)
def test_another_plan_is_refused(change, count, says, config, cut):
  other = build.complete(config)
  if change:
    override(other, *change)
  before = {p: p.stat().st_mtime_ns for p in cut.rglob('*') if p.is_file()}
  with pytest.raises(UserError, match=says):
    go(other, cut, 0, count)
  after = {p: p.stat().st_mtime_ns for p in cut.rglob('*') if p.is_file()}
  assert after == before


def test_a_sweep_in_one_piece_is_not_cut_later(config, tmp_path):
  (tmp_path / 'stages' / 'train' / 'segments').mkdir(parents=True)
  with pytest.raises(UserError, match='not cut into shards'):
    go(config, tmp_path)
  assert list(tmp_path.rglob('shards.json')) == []


def test_whole_groups_where_they_are_enough(config):
  """Three widths in two shards: two groups and one, where they belong."""
  made = build.complete(config)
  override(made, 'sweep.static', "{'model': {'d_model': (8, 12, 16)}}")
  groups = build.groups(made)
  coarse = [split.setups(groups, 2, i) for i in range(2)]
  assert [list(s) for s in coarse] == [
    ['d_model=8', 'd_model=12'], ['d_model=16']
  ]  # fmt: skip
  finer = [split.setups(groups, 4, i) for i in range(4)]
  assert [list(s) for s in finer] == [
    ['d_model=8'], ['d_model=8/shards/part-1-of-2'], ['d_model=12'],
    ['d_model=16'],
  ]  # fmt: skip


@pytest.mark.parametrize('shard', ['5', '-1'])
def test_there_is_no_such_shard(shard, tmp_path, capsys):
  command = ['train', '--config=markov_mixture:smoke', '--shards=4']
  argv = [*command, f'--workdir={tmp_path / "x"}', f'--shard={shard}']
  assert cli.main(argv) == 2
  assert '--shard counts from 0 to 3' in capsys.readouterr().err
  assert not (tmp_path / 'x').exists()


def test_a_plan_that_cannot_be_is_refused_before_anything_is_timed(capsys):
  assert cli.main(['plan', '--config=markov_mixture:smoke', '--shards=5']) == 2
  assert '1 to 4 shards, got 5' in capsys.readouterr().err


def test_the_plan_in_words(config):
  made = build.complete(config)
  override(made, 'sweep.seeds', '3')
  assert split.lines(build.groups(made), 4) == [
    '  shard 0  1 run: seeds 0; task.num_chains=[2]',
    '  shard 1  1 run: seeds 0; task.num_chains=[4]',
    '  shard 2  2 runs: seeds 1; task.num_chains=[2, 4]',
    '  shard 3  2 runs: seeds 2; task.num_chains=[2, 4]',
  ]
