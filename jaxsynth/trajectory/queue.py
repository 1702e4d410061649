"""Saves waiting to be written: one thread, in order, in bounded memory."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

# Host memory that saves may hold while they wait and are written; a larger one
# goes alone.
QUEUE_BYTES = 512 << 20
# How many saves may wait, however small: each holds more than its arrays.
QUEUE_SAVES = 64


class Memory:
  """Host memory of arrays that are saved, used again for those that follow.

  Copying into pages that the process has held before takes a third of the
  time: the system need not find and clear them.
  """

  def __init__(self):
    self._lock = threading.Lock()
    self._lent: dict[int, np.ndarray] = {}
    self._free: list[np.ndarray] = []

  def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Like `np.empty`; a block that was given back and is not twice as large.

    Args:
      shape: of the array.
      dtype: of the array.
    """
    size = math.prod(shape) * dtype.itemsize
    with self._lock:
      fits = [b for b in self._free if size <= b.nbytes <= 2 * size]
      block = min(fits, key=lambda b: b.nbytes, default=None)
      if block is None:
        block = np.empty(size, np.uint8)
      else:
        self._free = [b for b in self._free if b is not block]
      self._lent[id(block)] = block
    return block[:size].view(dtype).reshape(shape)

  def give_back(self, arrays: Iterable[np.ndarray]) -> None:
    """Takes arrays that nobody reads any more; others than its own are left.

    Args:
      arrays: of `empty`, or any.
    """
    with self._lock:
      for array in arrays:
        block = self._lent.pop(id(getattr(array, 'base', None)), None)
        if block is not None:
          self._free.append(block)
      while sum(b.nbytes for b in self._free) > QUEUE_BYTES:
        del self._free[0]


class SaveQueue:
  """Runs saves one after the other, and none after one that failed.

  Attributes:
    memory: where arrays to be saved may be put together; given back once
      they are written.
  """

  def __init__(self):
    self.memory = Memory()
    self._worker = ThreadPoolExecutor(1, 'trajectory-writer')
    self._pending: deque[tuple[Future, int]] = deque()
    self._failed: BaseException | None = None

  def submit(
    self, fn: Callable, *args, arrays: Mapping[str, np.ndarray]
  ) -> None:
    """Queues fn(*args, arrays), waiting until there is room for them.

    Raises:
      BaseException: what went wrong in a save before this one.
    """
    size = sum(a.nbytes for a in arrays.values())
    room = lambda: (
      len(self._pending) < QUEUE_SAVES
      and sum(n for _, n in self._pending) + size <= QUEUE_BYTES
    )
    while self._pending and (self._pending[0][0].done() or not room()):
      self._pending.popleft()[0].result()
    if self._failed:
      raise self._failed
    task = self._worker.submit(self._unless_failed, fn, args, arrays)
    self._pending.append((task, size))

  def _unless_failed(self, fn: Callable, args: tuple, arrays: Mapping) -> None:
    """Runs a save unless one before it failed: what follows would lie."""
    if self._failed:
      return
    try:
      fn(*args, arrays)
    except BaseException as e:
      self._failed = e
      raise
    self.memory.give_back(arrays.values())

  def wait(self) -> None:
    """Waits for the saves under way and raises what went wrong in them."""
    while self._pending:
      self._pending.popleft()[0].result()

  def close(self) -> None:
    """Waits, and ends the thread."""
    try:
      self.wait()
    finally:
      self._worker.shutdown()
