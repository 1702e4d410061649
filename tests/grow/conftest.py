"""Trainings of the toy from a config: small, fast, and easily grown."""

import copy
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.train import engine as engines


@pytest.fixture(scope='session')
def toy(lab):
  """`toy.train(folder, **sections)` and what the tests ask of its results."""

  def config(**sections):
    out = copy.deepcopy(lab.tiny)
    out['sweep'] = {
      'seeds': 3,
      'traced': {'optimizer': {'peak_lr': (0.05, 0.1)}},
    }
    out['train'] = {
      'steps': 24, 'snapshots': 'every:4', 'evals': 'every:8',
      'branches': (8,), 'call_steps': 6, 'checkpoint_calls': 2,
    }  # fmt: skip
    for name, values in sections.items():
      out[name] = {**out.get(name, {}), **values}
    return out

  def train(folder, parent=None, **sections):
    setup = build.build(config(**sections))
    with memo():
      return stage.train(
        setup, Path(folder), program=lab.toy, parent=parent, quiet=True
      )

  def memo():
    return mock.patch.object(engines, 'build', lab.memo)

  def files(folder):
    """Bytes and time of every file of saves and of the index."""
    return {
      p: (p.read_bytes(), p.stat().st_mtime_ns)
      for p in Path(folder).rglob('*')
      if p.is_file() and p.name != 'lock'
    }

  def same(one, two, ids=None):
    """Whether two trajectories hold equal bits for the runs both have."""
    a, b = lab.contents(one), lab.contents(two)
    ids = set(a) & set(b) if ids is None else ids
    assert ids
    return [name for i in ids for name in lab.differing(a[i], b[i])]

  def equal_at(view, traj, steps):
    """Whether a view's snapshots equal those of the same runs elsewhere."""
    rows = [traj.runs.run_id.tolist().index(i) for i in view.runs.run_id]
    for name in view.leaves:
      for step in steps:
        mine = view.leaf(name)[:, view.row(step)]
        other = traj.leaf(name)[:, traj.row(step)][rows]
        np.testing.assert_array_equal(mine, other)
    return True

  return SimpleNamespace(
    config=config, train=train, files=files, same=same, equal_at=equal_at,
    program=lab.toy, memo=memo,
  )  # fmt: skip


@pytest.fixture(scope='session')
def finished(toy, tmp_path_factory):
  """Six runs, 24 steps, a branch point at 8; to be read only."""
  workdir = tmp_path_factory.mktemp('finished')
  return toy.train(workdir / 'stages' / 'train')


@pytest.fixture(scope='session')
def dense(toy, tmp_path_factory):
  """The same with every step kept and measured, for comparison."""
  return toy.train(
    tmp_path_factory.mktemp('dense') / 'train',
    train={'snapshots': 'every:1', 'evals': 'every:1'},
  )
