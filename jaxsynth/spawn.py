"""One command as several processes on this machine.

  jaxsynth train --processes=4 ...

starts the same command four times, on a free port and with the cores divided
among them. Process 0 speaks; what the others say on standard error is shown
when they end badly. Signals reach all of them. As soon as one dies the rest
is ended too: it could not go on, and what is committed is whole.
"""

import collections
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from jaxsynth.errors import UserError

# Tells a process of the team which process started it.
LAUNCHER = 'JAXSYNTH_LAUNCHER'
# Ends that all processes come to: done, failed claims, a mistake, saved.
_DONE, _FAILED, _MISTAKE, _RESTART = 0, 1, 2, 75
_TOGETHER = (_DONE, _FAILED, _MISTAKE, _RESTART)
# Seconds without a sign of life after which a peer counts as dead: JAX's own
# default, as a machine may stand still for a while and live.
HEARTBEAT_S = 100
# Seconds to wait for peers that are alive to agree or to write their part of a
# save: a call is seconds of work, but a disk or a machine may stand still.
PATIENCE_S = 1800
# How a process ends that waited in vain for another (EX_PROTOCOL).
HUNG = 76
# Seconds the others have, once one has ended so.
GRACE_S = 60
AGAIN = 'run the same command again to continue'
_KILLED = (-signal.SIGKILL, -signal.SIGTERM, HUNG)


def free_port() -> int:
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


class Child:
  """One process of the team; only process 0 is heard while it runs."""

  def __init__(self, number: int, command: Sequence[str], env: dict):
    self.number = number
    self._said: collections.deque[str] = collections.deque(maxlen=60)
    self.killed = False
    quiet = number > 0
    self.process = subprocess.Popen(
      command,
      env=env,
      stdin=subprocess.DEVNULL,
      stdout=subprocess.DEVNULL if quiet else None,
      stderr=subprocess.PIPE if quiet else None,
      text=True,
      errors='replace',
      start_new_session=True,  # Ctrl-C reaches it through us, once
    )
    self._listener = threading.Thread(target=self._listen, daemon=True)
    if quiet:
      self._listener.start()

  def _listen(self) -> None:
    for line in self.process.stderr:
      self._said.append(line)

  @property
  def code(self) -> int | None:
    return self.process.poll()

  def signal(self, number: int) -> None:
    if self.code is None:
      self.process.send_signal(number)

  def kill(self) -> None:
    if self.code is None:
      self.killed = True
      self.process.kill()
      self.process.wait()

  def show(self) -> None:
    """Prints the last it said, each line with its number."""
    if self.number:
      self._listener.join(1)
      for line in self._said:
        print(f'[{self.number}] {line}', end='', file=sys.stderr)


def merged(codes: Sequence[int]) -> int:
  """One exit code for those of processes that ended by themselves.

  A process that was killed, or left by one that hung, makes it 75, as a
  restart continues; one that failed (or aborted, its peers gone) makes it 1.
  """
  if any(c in _KILLED for c in codes):
    return _RESTART
  if any(c not in _TOGETHER for c in codes):
    return _FAILED
  return next((c for c in (_MISTAKE, _FAILED, _RESTART) if c in codes), _DONE)


def _watch(children: list[Child], tick: float = 0.05) -> None:
  """Returns when all have ended, those that could not go on by our hand."""
  deadline = None
  while any(c.code is None for c in children):
    ended = [c.code for c in children if c.code is not None]
    if ended and deadline is None:
      deadline = time.monotonic() + GRACE_S
    lost = any(code not in _TOGETHER for code in ended)
    if lost or (deadline and time.monotonic() > deadline):
      time.sleep(tick)  # deaths that come together are all seen
      for child in children:
        child.kill()
    time.sleep(tick)


def run(
  command: Callable[[int, str], Sequence[str]],
  count: int,
) -> int:
  """Runs `count` processes to their end.

  Args:
    command: (process id, coordinator) -> argv.
    count: how many.

  Returns:
    The exit code, see `merged`; 1 if some did not end with the others.
  """
  if count < 1:
    raise UserError(f'--processes is a count, got {count}')
  env = {'TF_CPP_MIN_LOG_LEVEL': '3', **os.environ}
  env[LAUNCHER] = str(os.getpid())
  coordinator = f'127.0.0.1:{free_port()}'
  children: list[Child] = []
  asked: list[int] = []

  def forward(number: int, frame) -> None:
    asked.append(number)
    again = asked.count(signal.SIGINT) > 1
    for child in children:
      child.signal(signal.SIGKILL if again else signal.SIGTERM)

  before = {
    n: signal.signal(n, forward) for n in (signal.SIGTERM, signal.SIGINT)
  }
  try:
    for i in range(count):
      children.append(Child(i, command(i, coordinator), env))
    if asked:
      forward(signal.SIGTERM, None)
    _watch(children)
  finally:
    for child in children:
      child.kill()
    for number, handler in before.items():
      signal.signal(number, handler)
  return _verdict(children)


def _verdict(children: list[Child]) -> int:
  """The exit code, and on standard error what was unusual about the end."""

  def say(line: str) -> None:
    print(f'jaxsynth: {line}', file=sys.stderr)

  own = [c for c in children if not c.killed]
  code = merged([c.code for c in own])
  for child in own:
    if child.code not in _TOGETHER:
      child.show()
      say(f'process {child.number} ended with {child.code}')
  if any(c.code in _KILLED for c in own):
    say(f'what was committed is whole: {AGAIN}')
  elif all(c.code in _TOGETHER for c in own) and len(own) < len(children):
    say(f'some processes did not end within {GRACE_S} s of the others')
    code = _FAILED
  return code
