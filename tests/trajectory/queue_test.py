"""Saves in order, and memory that is used again only once it is written."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsynth.trajectory.queue import Memory, SaveQueue
from jaxsynth.trajectory.trajectory import Trajectory
from jaxsynth.trajectory.writer import Writer

FLOAT = np.dtype(np.float32)
SHAPES = st.lists(st.integers(0, 6), min_size=1, max_size=3).map(tuple)
DTYPES = st.sampled_from(['float32', 'int8', 'complex64']).map(np.dtype)


@given(st.lists(st.tuples(SHAPES, DTYPES, st.booleans()), max_size=12))
def test_arrays_in_use_never_share_memory(asked):
  memory, held = Memory(), []
  for shape, dtype, give in asked:
    array = memory.empty(shape, dtype)
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert not any(np.shares_memory(array, other) for other in held)
    held.append(array)
    if give:
      memory.give_back([held.pop(0)])


def test_what_was_given_back_is_used_again_where_it_fits():
  memory = Memory()
  first = memory.empty((4, 8), FLOAT)
  memory.give_back([first, np.ones(3), 1.5])  # others' arrays are left alone
  assert np.shares_memory(memory.empty((6, 5), FLOAT), first)
  memory.give_back([first])
  assert not np.shares_memory(memory.empty((33,), FLOAT), first)  # too small
  assert not np.shares_memory(memory.empty((15,), FLOAT), first)  # wasteful


def test_memory_comes_back_when_its_save_is_written_and_not_before():
  queue, written, seen = SaveQueue(), threading.Event(), []

  def save(arrays):
    written.wait(10)
    seen.append(arrays['a'].copy())

  one = queue.memory.empty((5,), FLOAT)
  one[:] = 1
  queue.submit(save, arrays={'a': one})
  two = queue.memory.empty((5,), FLOAT)
  two[:] = 2
  assert not np.shares_memory(one, two)
  written.set()
  queue.wait()
  assert np.shares_memory(queue.memory.empty((5,), FLOAT), one)
  queue.close()
  assert seen[0].tolist() == [1] * 5


def test_nothing_is_saved_after_a_save_that_failed():
  queue, saved = SaveQueue(), []

  def save(arrays):
    if arrays['a'][0] == 1:
      raise OSError('no space')
    saved.append(int(arrays['a'][0]))

  def several():
    for i in range(3):
      queue.submit(save, arrays={'a': np.full(2, i)})
    queue.wait()

  with pytest.raises(OSError, match='no space'):
    several()
  assert saved == [0]


def test_segments_in_recycled_memory_hold_what_was_put_there(tmp_path):
  rng, runs, rows = np.random.default_rng(0), 3, 5
  data = rng.standard_normal((runs, 8 * rows, 700)).astype(np.float32)
  index = [
    {'run_id': str(i), 'seeds': {'eval': i}, 'hparams': {}} for i in range(runs)
  ]
  with Writer(tmp_path / 't', {'runs': index}) as out:
    for at in range(0, 8 * rows, rows):
      array = out.memory.empty((runs, rows, 700), data.dtype)
      array[:] = data[:, at : at + rows]
      steps = list(range(at, at + rows))
      out.segment(at, at + rows, steps, [], {'snapshots.w': array})
  assert (Trajectory(tmp_path / 't').leaf('w')[:] == data).all()
