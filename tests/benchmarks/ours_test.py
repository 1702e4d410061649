"""Our contestant: the loop of `stage`, in windows that leave nothing behind."""

import dataclasses

import jax
import pytest

from benchmarks import ours


@pytest.fixture
def trainer(lab):
  """Four runs of the toy, two blocks on two devices."""
  return ours.Trainer(ours.setup_of('tiny', runs=4), lab.toy)


def test_a_window_leaves_no_call_under_way(trainer):
  trainer.calls(3)
  assert trainer.begun == 3 * 2
  trainer.calls(1)
  assert trainer.begun == 4 * 2


def test_work_is_counted_in_run_steps(trainer):
  done = trainer.work(0.05)
  blocks = 4 // len(jax.devices())
  calls = trainer.begun // blocks - 1  # one to learn how long they take
  assert done == calls * trainer.steps * 4
  assert trainer.steps == 128


def test_windows_go_on_where_the_last_one_ended(trainer):
  """The steps of a call and its data differ from those of the one before."""
  seen = []
  original = trainer.compiled
  trainer.compiled = lambda *args: seen.append(args[-1]) or original(*args)
  trainer.calls(2)
  trainer.calls(1)
  starts = [int(cuts.bounds[0]) for cuts in seen[::2]]
  assert starts == [0, 128, 256]
  assert all((cuts.snapshot_slots == -1).all() for cuts in seen)


def test_events_keep_and_measure_as_the_plans_say(lab):
  setup = ours.setup_of('tiny', runs=2)
  train = dataclasses.replace(
    setup.train, steps=6, call_steps=6, snapshots='every:1', evals=()
  )
  setup = dataclasses.replace(setup, train=train)
  call = ours.parts_of(setup, lab.toy, events=True).call
  assert call.snapshots == (0, 1, 2, 3, 4, 5, 6)
