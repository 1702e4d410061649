"""The lock of a folder in a bucket, where there is no flock and no rename.

A store offers one thing to build on: of several processes that put an object
under the condition that there is none, one succeeds. So the lock is a row of
objects, NAME.00000001, NAME.00000002, ...: the highest is the lock, and who
puts the next one takes it over. It may do so where the highest is empty (let
go), or where its holder is dead:

  same machine     the process it names is not alive any more
  another machine  it was not renewed for SILENCE seconds, by the store's clock

A holder renews its object every BEAT seconds, and looks before each commit
whether a higher one is there (`check`). Between that look and the commit a
process that slept through SILENCE may still commit once; a manifest is put
only where there is none, and whoever took over compares what it finds.
"""

import contextlib
import datetime
import json
import os
import secrets
import socket
import threading
import time
from typing import Any

from jaxsynth import progress
from jaxsynth.errors import StorageError, UserError
from jaxsynth.trajectory.bucket import BucketPath
from jaxsynth.trajectory.lock import Lock, started

BEAT, SILENCE = 10.0, 45.0
# Seconds between two looks at a holder that may be alive.
_GLANCE = 1.0
# How often somebody else may be faster before we give up.
_ATTEMPTS = 5


def machine() -> list[str]:
  """What tells this machine, or container, from every other."""
  out = [socket.gethostname()]
  for path in ('/proc/sys/kernel/random/boot_id', '/proc/self/ns/pid'):
    with contextlib.suppress(OSError):
      if os.path.islink(path):
        out.append(os.readlink(path))
      else:
        with open(path) as f:
          out.append(f.read().strip())
  return out


def belongs(name: str) -> bool:
  """Whether a file of this name is a lock, or one of its objects."""
  stem, _, number = name.partition('.')
  return stem == 'lock' and (not number or number.isdigit())


class BucketLock:
  """Holds a lock in a bucket, from its construction until `close`.

  Args:
    path: what the lock is called.

  Raises:
    UserError: another process holds it, or the store does not let us write or
      knows no conditional writes.
  """

  def __init__(self, path: BucketPath):
    self.path, self._beats = path, 0
    self._token = secrets.token_hex(8)
    self._since = datetime.datetime.now().astimezone()
    try:
      self._number = self._take()
    except StorageError as e:
      raise UserError(f'cannot write to {path.parent}: {e}') from None
    self._closing = threading.Event()
    self._renewing = threading.Thread(target=self._beat, daemon=True)
    self._renewing.start()

  def _object(self, number: int) -> BucketPath:
    return self.path.with_name(f'{self.path.name}.{number:08d}')

  def _numbers(self) -> list[int]:
    """Of the objects that are there, in order."""
    found = self.path.parent.glob(f'{self.path.name}.*')
    names = (p.name.rpartition('.')[2] for p in found)
    return sorted(int(name) for name in names if name.isdigit())

  def _text(self) -> bytes:
    since = self._since.isoformat(' ', 'seconds')
    holder = {
      'pid': os.getpid(),
      'host': socket.gethostname(),
      'machine': machine(),
      'started': started(os.getpid()),
      'since': since,
      'token': self._token,
      'beats': self._beats,
    }
    return json.dumps(holder).encode()

  def _holder(self, number: int) -> dict[str, Any] | None:
    """Who an object names; None for one that was let go, or is gone."""
    try:
      return json.loads(self._object(number).read_bytes() or b'null')
    except (FileNotFoundError, ValueError):
      return None

  def _take(self) -> int:
    """Puts the next object of the row, or tells who holds the last."""
    for _ in range(_ATTEMPTS):
      newest = max(self._numbers(), default=0)
      holder = self._holder(newest) if newest else None
      if holder and self._alive(newest, holder):
        raise UserError(
          f'{self.path.parent} is being written by {_named(holder)}; wait for '
          'it or choose another workdir'
        )
      own = self._object(newest + 1)
      if own.create(self._text()):
        if own.create(self._text()):  # there is one: it must be refused
          own.unlink()
          raise UserError(
            f'{own.parent}: this store knows no conditional writes, which '
            'keep two processes from writing the same; choose another'
          )
      elif (self._holder(newest + 1) or {}).get('token') != self._token:
        continue  # another was faster
      numbers = self._numbers()
      if numbers[-1] > newest + 1:  # we had looked at an old row
        own.unlink()
        continue
      for older in numbers[:-1]:
        self._object(older).unlink()
      return newest + 1
    raise UserError(f'{self.path.parent} is being written by another process')

  def _alive(self, number: int, holder: dict[str, Any]) -> bool:
    if holder['machine'] == machine():
      return started(holder['pid']) == holder['started']
    left = SILENCE - self._silent(number)
    if left > 0:
      progress.note(
        f'{self.path.parent} was held by {_named(holder)}: waiting up to '
        f'{left:.0f} s for a sign of it'
      )
    end = time.monotonic() + left
    while time.monotonic() < end:
      time.sleep(min(_GLANCE, max(end - time.monotonic(), 0)))
      if (now := self._holder(number)) != holder:
        return now is not None
    return False

  def _silent(self, number: int) -> float:
    """Seconds since an object was renewed, both by the clock of the store."""
    look = self.path.with_name(f'{self.path.name}.look-{self._token}')
    look.write_bytes(b'')
    try:
      return (look.modified() - self._object(number).modified()).total_seconds()
    finally:
      look.unlink()

  def _beat(self) -> None:
    while not self._closing.wait(BEAT):
      self._beats += 1
      with contextlib.suppress(StorageError):
        self._object(self._number).write_bytes(self._text())

  def held(self) -> bool:
    """Whether the lock is known to be still ours."""
    try:
      self.check()
    except (UserError, StorageError):
      return False
    return True

  def check(self) -> None:
    """Looks whether the lock is still ours, before something is committed.

    Raises:
      UserError: another process took it over.
    """
    newest = max(self._numbers(), default=0)
    if newest > self._number:
      holder = self._holder(newest)
      by = _named(holder) if holder else 'another process'
      raise UserError(
        f'{self.path.parent} was taken over by {by}, as this process had been '
        f'silent for {SILENCE:.0f} s; it ends here, what it saved is intact'
      )

  def close(self) -> None:
    """Lets go of the lock."""
    self._closing.set()
    self._renewing.join(BEAT)
    with contextlib.suppress(StorageError):
      self._object(self._number).write_bytes(b'')

  def __enter__(self) -> 'BucketLock':
    return self

  def __exit__(self, *exc) -> None:
    self.close()


def _named(holder: dict[str, Any]) -> str:
  return 'process {pid} on {host} since {since}'.format(**holder)


def take(path) -> Lock | BucketLock:
  """Takes the lock of a local folder or of one in a bucket."""
  return BucketLock(path) if isinstance(path, BucketPath) else Lock(path)
