"""Plans name the right steps; calls keep each of them exactly once."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth.errors import UserError
from jaxsynth.trajectory import plan


def steps(what, last):
  return plan.steps_of(what, last).tolist()


def test_every_last_and_lists():
  assert steps('every:4', 10) == [0, 4, 8]
  assert steps('last', 10) == [10]
  assert steps((7, 0, 7), 10) == [0, 7]
  assert steps((), 10) == []
  assert steps(('every:5', 'last', [3, (1,)]), 12) == [0, 1, 3, 5, 10, 12]
  assert steps('every:7', 0) == [0]


def test_pythia_is_the_published_list():
  """Biderman et al. 2023: 154 checkpoints of 143,000 steps."""
  published = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
  published += [1000 * i for i in range(1, 144)]
  assert steps('pythia', 143_000) == published
  assert len(published) == 154
  assert steps('pythia', 100) == [0, 1, 2, 4, 8, 16, 32, 64]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_log_has_its_count_and_its_ends(data):
  last = data.draw(st.integers(1, 200_000))
  first = data.draw(st.integers(1, last))
  count = data.draw(st.integers(2, 120))
  got = steps(f'log:{count}:{first}', last)
  assert got[0] == 0
  inner = got[1:]
  assert inner[0] == first
  assert inner[-1] == last
  assert len(inner) == min(count, last - first + 1)


def test_log_is_even_in_log():
  """Where integers allow it, neighbours have one ratio, to rounding."""
  got = np.asarray(steps('log:40:100', 100_000)[1:], float)
  ratio = np.log(got[1:] / got[:-1])
  np.testing.assert_allclose(ratio, np.log(1000) / 39, atol=0.006)


@pytest.mark.parametrize(
  ('what', 'says'),
  [
    (11, 'names step 11, but the training has steps 0..10'),
    (-1, 'names step -1'),
    ((0, (3, 12)), 'names step 12'),
    ('evry:5', "did you mean 'every:N'"),
    ('every', "unknown plan 'every'"),
    ('pythia:3', 'unknown plan'),
    ('every:0', 'positive whole numbers'),
    ('every:-2', 'positive whole numbers'),
    ('log:five', 'positive whole numbers'),
    ('log:5:11', 'must start in 1..10'),
    (2.5, 'a plan is a name'),
    (True, 'a plan is a name'),
  ],
)
def test_bad_plans(what, says):
  with pytest.raises(UserError, match=says) as caught:
    plan.steps_of(what, 10)
  assert '\n' not in str(caught.value)


sparse = lambda last: st.sets(st.integers(0, last), max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_calls_tile_the_training_and_keep_each_step_once(data):
  last = data.draw(st.integers(0, 60))
  snaps, evals, branches = (sorted(data.draw(sparse(last))) for _ in range(3))
  call_steps = data.draw(st.integers(1, 70))
  call_snapshots = data.draw(st.integers(1, 8))
  got = plan.schedule(
    last,
    snaps,
    evals,
    branches,
    call_steps=call_steps,
    call_snapshots=call_snapshots,
  )
  calls = got.calls
  assert calls[0].start == 0
  assert calls[-1].stop == last
  assert all(a.stop == b.start for a, b in pairwise(calls))
  assert all(a.start < a.stop for a in calls) or last == 0
  assert [s for c in calls for s in c.snapshots] == snaps
  assert [s for c in calls for s in c.evals] == evals
  assert {c.stop for c in calls if c.branch} == {*branches, last} - (
    {0} if last else set()
  )
  assert got.branch_start == (0 in branches and last > 0)
  assert got.max_steps <= min(call_steps, last)
  # Step 0 has no call of its own: it may come on top in the first.
  assert len({*calls[0].snapshots, *calls[0].evals}) <= call_snapshots + 1
  for call in calls[1:]:
    assert len({*call.snapshots, *call.evals}) <= call_snapshots
  for call in calls:
    replay(call, got)


def replay(call, schedule):
  """Walks the boundaries as the compiled loop does and compares the rows."""
  assert len(call.snapshots) <= schedule.max_snapshots
  assert len(call.evals) <= schedule.max_evals
  assert call.stop - call.start <= schedule.max_steps
  assert len(call.bounds) == len(schedule.calls[0].bounds), 'one compile'
  assert len(call.bounds) == len(call.snapshot_slots) + 1
  kept, measured, ran, step = {}, {}, [], call.start
  assert call.bounds[0] == call.start
  slots = zip(call.bounds[1:], call.snapshot_slots, call.eval_slots)
  for bound, snapshot, evaluation in slots:
    ran += range(step, bound)
    step = int(bound)
    if snapshot >= 0:
      assert snapshot not in kept
      kept[int(snapshot)] = step
    if evaluation >= 0:
      assert evaluation not in measured
      measured[int(evaluation)] = step
  assert ran == list(range(call.start, call.stop))
  assert [kept[i] for i in range(len(kept))] == list(call.snapshots)
  assert [measured[i] for i in range(len(measured))] == list(call.evals)


def test_snapshots_per_call_reads_one_run_alone():
  assert plan.snapshots_per_call(1) == 256
  assert plan.snapshots_per_call(1 << 20) == 4
  assert plan.snapshots_per_call(1 << 30) == 1
  assert plan.snapshots_per_call(0) == 256
