"""The lock of a folder: one process writes it, another is told which one.

The operating system's lock (flock) goes when its process does. Some file
systems have none, or grant it to everybody, so the file also says who holds
it: process, host, when the process started. A holder that is not alive any
more does not block. Whether one on another host is alive is seen from the
file's time, which a holder renews every `BEAT` seconds.
"""

import contextlib
import datetime
import fcntl
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from jaxsynth.errors import UserError

# Seconds between two renewals, and how long another host's file is watched
# for one before its holder counts as dead.
BEAT, WATCH = 5.0, 20.0


def started(pid: int) -> str | None:
  """When a process of this host started, in its kernel's words; None if it
  is not alive, '' where the kernel does not say."""
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return None
  except PermissionError:
    pass
  try:
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
  except OSError:
    return ''
  return None if fields[0] in 'ZX' else fields[19]


def _holder(text: str) -> dict[str, Any] | None:
  """Who a lock file names, if it names anybody."""
  try:
    holder = json.loads(text)
    named = {'pid', 'host', 'started', 'since'} <= set(holder)
  except (ValueError, TypeError):
    return None
  return holder if named else None


class Lock:
  """Holds a lock file, from its construction until `close`.

  Args:
    path: the file; its folder is made.
    watch: seconds that the lock of a process on another host is watched.

  Raises:
    UserError: another process holds it, or the file cannot be written.
  """

  def __init__(self, path: Path, watch: float | None = None):
    self.path = path
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      self._file = open(path, 'a+')  # noqa: SIM115
    except OSError as e:
      raise UserError(f'cannot write to {path.parent}: {e.strerror}') from None
    free = self._flock()
    self._file.seek(0)
    holder = _holder(self._file.read())
    if not free or (holder and self._alive(holder, watch)):
      self._file.close()
      named = 'another process'
      if holder:
        named = 'process {pid} on {host} since {since}'.format(**holder)
      raise UserError(
        f'{path.parent} is being written by {named}; wait for it or choose '
        'another workdir'
      )
    now = datetime.datetime.now().astimezone()
    self._write(
      {
        'pid': os.getpid(),
        'host': socket.gethostname(),
        'started': started(os.getpid()),
        'since': now.isoformat(' ', 'seconds'),
      }
    )
    self._closing = threading.Event()
    threading.Thread(target=self._beat, daemon=True).start()

  def _flock(self) -> bool:
    """False if another process has the lock; True also where there is none."""
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      return False
    except OSError:  # no such thing on this file system
      pass
    return True

  def _alive(self, holder: dict[str, Any], watch: float | None) -> bool:
    if holder['host'] == socket.gethostname():
      return started(holder['pid']) == holder['started']
    seen = self.path.stat().st_mtime_ns
    end = time.monotonic() + (WATCH if watch is None else watch)
    while time.monotonic() < end:
      time.sleep(0.1)
      with open(self.path) as fresh:  # opening asks a network's server anew
        if os.fstat(fresh.fileno()).st_mtime_ns != seen:
          return True
    return False

  def _write(self, holder: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a full disk: flock remains
      self._file.truncate(0)
      self._file.write(json.dumps(holder) + '\n')
      self._file.flush()

  def held(self) -> bool:
    """Always: what holds the file cannot lose it, unlike a `BucketLock`."""
    return True

  def check(self) -> None:
    """Nothing, see `held`."""

  def _beat(self) -> None:
    while not self._closing.wait(BEAT):
      try:
        os.utime(self.path)
      except OSError:
        return

  def close(self) -> None:
    """Lets go of the lock and takes the name off it."""
    self._closing.set()
    with contextlib.suppress(OSError):  # a read-only disk
      self._file.truncate(0)
    with contextlib.suppress(OSError):  # what a full disk did not take
      self._file.close()

  def __enter__(self) -> 'Lock':
    return self

  def __exit__(self, *exc) -> None:
    self.close()
