"""Several arrays read as one, slice by slice and all at once.

A part is anything with a `shape`, a `dtype`, `prepare(where)` and
`start(where)`: an array of a save (`store.Array`) or a `Lazy` again. Reading
first prepares every part, then starts every part, then waits: the parts are
opened and read in parallel.

`where` holds for each axis a whole number, a slice or an integer array, all
counted from zero; arrays select their outer product.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

Where = Sequence[Any]


class Part(Protocol):
  """What a `Lazy` is made of."""

  shape: tuple[int, ...]
  dtype: np.dtype

  def prepare(self, where: Where) -> None: ...

  def start(self, where: Where) -> Callable[[], np.ndarray]: ...


def positions(index: Any, size: int) -> np.ndarray:
  """The positions an index of one axis selects, at least one-dimensional."""
  return np.atleast_1d(np.arange(size)[index])


def dense(picked: np.ndarray) -> slice | np.ndarray:
  """Positions as a slice where they follow each other."""
  if not len(picked):
    return slice(0, 0)
  if (np.diff(picked) == 1).all():
    return slice(int(picked[0]), int(picked[0]) + len(picked))
  return picked


class Lazy:
  """Parts as one array along an axis."""

  def __init__(self, parts: Sequence[Part], axis: int):
    self._parts, self._axis = parts, axis
    sizes = [part.shape[axis] for part in parts]
    self._ends = np.cumsum(sizes)
    shape = list(parts[0].shape)
    shape[axis] = int(self._ends[-1])
    self.shape, self.dtype = tuple(shape), parts[0].dtype

  def _split(self, where: Where) -> list[tuple[Part, list, np.ndarray]]:
    """(part, where in it, at which places of the result)."""
    picked = positions(where[self._axis], self.shape[self._axis])
    owner = np.searchsorted(self._ends, picked, side='right')
    out = []
    for i in np.unique(owner) if len(picked) else [0]:
      places = np.flatnonzero(owner == i)
      begin = self._ends[i] - self._parts[i].shape[self._axis]
      inside = list(where)
      inside[self._axis] = dense(picked[places] - begin)
      out.append((self._parts[i], inside, places))
    return out

  def prepare(self, where: Where) -> None:
    for part, inside, _ in self._split(where):
      part.prepare(inside)

  def start(self, where: Where) -> Callable[[], np.ndarray]:
    split = self._split(where)
    running = [part.start(inside) for part, inside, _ in split]
    places = np.concatenate([p for *_, p in split])
    numbers = [np.ndim(w) == 0 and not isinstance(w, slice) for w in where]
    axis = sum(not n for n in numbers[: self._axis])

    def finish() -> np.ndarray:
      got = [wait() for wait in running]
      out = got[0] if len(got) == 1 else np.concatenate(got, axis)
      if (np.diff(places) < 0).any():
        out = np.take(out, np.argsort(places), axis)
      return np.take(out, 0, axis) if numbers[self._axis] else out

    return finish

  def read(self, where: Where | None = None) -> np.ndarray:
    """What `where` selects, the whole by default."""
    where = [slice(None)] * len(self.shape) if where is None else where
    self.prepare(where)
    return self.start(where)()
