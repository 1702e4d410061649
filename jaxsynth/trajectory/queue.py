"""Saves waiting to be written: one thread, in order, in bounded memory."""

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

# Host memory that saves may hold while they wait and are written; a larger one
# goes alone.
QUEUE_BYTES = 512 << 20


class SaveQueue:
  """Runs saves one after the other, and none after one that failed."""

  def __init__(self):
    self._worker = ThreadPoolExecutor(1, 'trajectory-writer')
    self._pending: deque[tuple[Future, int]] = deque()
    self._failed: BaseException | None = None

  def submit(
    self, fn: Callable, *args, arrays: Mapping[str, np.ndarray]
  ) -> None:
    """Queues fn(*args, arrays), waiting until there is room for the arrays.

    Raises:
      BaseException: what went wrong in a save before this one.
    """
    size = sum(a.nbytes for a in arrays.values())
    room = lambda: sum(n for _, n in self._pending) + size <= QUEUE_BYTES
    while self._pending and (self._pending[0][0].done() or not room()):
      self._pending.popleft()[0].result()
    if self._failed:
      raise self._failed
    task = self._worker.submit(self._unless_failed, fn, *args, arrays)
    self._pending.append((task, size))

  def _unless_failed(self, fn: Callable, *args) -> None:
    """Runs a save unless one before it failed: what follows would lie."""
    if self._failed:
      return
    try:
      fn(*args)
    except BaseException as e:
      self._failed = e
      raise

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
