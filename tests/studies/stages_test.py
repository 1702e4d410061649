"""A study trained in shards: the same verdict, and nothing is done twice."""

import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.studies.reproduce import reproduce
from jaxsynth.train import loop

STUDY = 'survival.two_stages'


@pytest.fixture
def go(lab, monkeypatch):
  """Reproduces the study with the toy; what it returned and said last."""

  def init(run):
    return lab.toy.init(run) if run.parent is None else run.parent

  toy = lab.toy._replace(init=init)
  monkeypatch.setattr(build.Setup, 'program', lambda self: toy)
  monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))

  def start(workdir, **options):
    said = []
    result = reproduce(
      STUDY, 'quick', workdir, quiet=True, say=said.append, **options
    )
    return result, said[-1]

  yield start
  for name in [n for n in sys.modules if n.split('.')[0] == 'survival']:
    del sys.modules[name]


def claims(workdir):
  verdict = json.loads((workdir / 'verdict.json').read_text())
  return verdict['claims']


def same(one, two):
  """Every run of one in two, to the bit."""
  rows = {run: i for i, run in enumerate(two.runs.run_id)}
  assert sorted(rows) == sorted(one.runs.run_id)
  for name in one.leaves:
    a, b = one.leaf(name)[:], two.leaf(name)[:]
    order = [rows[run] for run in one.runs.run_id]
    np.testing.assert_array_equal(a, b[order])


def test_shards_of_two_stages(go, tmp_path):
  """The second stage waits for the first; the last command only measures."""
  whole, cut = tmp_path / 'whole', tmp_path / 'cut'
  go(whole)
  shard = lambda i: go(cut, shards=2, shard=i)
  result, said = shard(1)
  assert result is None
  assert said.startswith("stage 'train' waits for shard 0 of 2")
  assert not (cut / 'stages' / 'second').exists()
  assert "stage 'second' waits for shard 1 of 2" in shard(0)[1]
  assert 'shard 1 is trained; the same command without' in shard(1)[1]
  assert not (cut / 'results').exists()
  with pytest.raises(UserError, match='cut into 2 shards: --shards=2, got 3'):
    go(cut, shards=3, shard=0)
  with mock.patch.object(loop, 'train', side_effect=AssertionError):
    go(cut)
  assert claims(cut) == claims(whole)
  for name in ('train', 'second'):
    opened = [stage.open_trajectory(w / 'stages' / name) for w in (whole, cut)]
    same(*opened)
    assert len(opened[1].shards) == 2


def test_what_is_missing_is_trained_by_whoever_measures(go, tmp_path):
  go(tmp_path, shards='auto', shard=0)
  assert go(tmp_path)[0]['passed']
  cut = tmp_path / 'cut'
  go(cut, shards=2, shard=1)
  before = {p: p.stat().st_mtime_ns for p in cut.rglob('segments/*')}
  assert before
  go(cut)
  after = {p: p.stat().st_mtime_ns for p in cut.rglob('segments/*')}
  assert before.items() < after.items()
  assert claims(cut) == claims(tmp_path)
