"""A run that turns NaN is data: marked with its step, and harms no other."""

import json

import numpy as np
import pytest

from jaxsynth.studies.claim import Claim, Gate, judge

NAN, INF = float('nan'), float('inf')
BAD = 1e30
RATES = {'fine': (0.1,), 'both': (0.1, BAD)}


@pytest.mark.parametrize(
  'mode', ['vmap', pytest.param('map', marks=pytest.mark.slow)]
)
def test_the_others_keep_every_bit(commands, disk, tmp_path, mode):
  """The same runs, with and without one that diverges among them."""
  folders = {}
  for name, rates in RATES.items():
    workdir = tmp_path / name
    done = commands.train(
      workdir,
      more=[
        f'--config.sweep.traced.optimizer.peak_lr={rates}',
        f'--config.layout.mode={mode}',
      ],
    )
    assert done.wait() == 0, done.stderr
    folders[name] = disk.trajectory(workdir)
  fine, both = (disk.contents(folders[n]) for n in ('fine', 'both'))
  first = {
    n: a if n in ('steps', 'eval_steps') else a[:3] for n, a in both.items()
  }
  assert disk.differing(fine, first) == []
  loss = both['metric.loss']
  assert np.isfinite(loss[:3]).all()
  bad_steps = 1 + np.argmax(~np.isfinite(loss[3:]), 1)
  assert (bad_steps > 1).all()
  table = done.out.read_text()
  assert 'diverged_at' in table
  for step in bad_steps:
    assert f'{step}.0' in table, 'the step is named'
  assert '3 diverged' in done.stderr, 'progress says so'


@pytest.mark.slow
def test_a_killed_training_with_a_nan_goes_on(commands, disk, tmp_path):
  """NaN equals NaN where a committed segment is computed again."""
  more = [f'--config.sweep.traced.optimizer.peak_lr={RATES["both"]}']
  commit = 'jaxsynth.trajectory.manifest:commit'
  kill = {'at': commit, 'count': 4, 'do': 'kill', 'when': 'after'}
  assert commands.train(tmp_path / 'a', kill, more=more).wait() == -9
  for name in 'ab':
    done = commands.train(tmp_path / name, more=more)
    assert done.wait() == 0, done.stderr
  a, b = (disk.contents(disk.trajectory(tmp_path / n)) for n in 'ab')
  assert disk.differing(a, b) == []


GATES = [Gate(op, 1.0) for op in ('<', '<=', '>', '>=')]


@pytest.mark.parametrize('gate', GATES, ids=lambda g: g.op)
@pytest.mark.parametrize('value', [NAN, INF, -INF])
def test_a_null_that_diverged_excludes_nothing(gate, value):
  claim = Claim('it', 'It is so.', 'so', 'Fig. 1', gate, 'nothing')
  good = 2.0 if '>' in gate.op else 0.5
  entry = judge(claim, {0: good}, value, 'quick')
  assert entry['verdict'] == 'failed'
  assert 'null' in entry['reason']


@pytest.mark.slow
def test_a_study_whose_runs_diverged_reaches_a_verdict(commands, tmp_path):
  """Every gate judges NaN; none passes, none crashes, nothing is dropped."""
  argv = ['reproduce', 'markov_mixture', '--preset=smoke', '--quiet']
  argv += [f'--workdir={tmp_path}', '--config.optimizer.peak_lr=1e30']
  done = commands.start(argv, program=None)
  assert done.wait(900) == 0, done.stderr  # no gates at smoke
  verdict = json.loads((tmp_path / 'verdict.json').read_text())
  for entry in verdict['claims']:
    measured = entry['measured']
    passed = [row['passed'] for row in measured['per_seed']]
    assert not any(passed), entry['name']
    assert measured['diverged'] == measured['n'] > 1, entry['name']
