"""Starts `jaxsynth` commands as processes that break where a test says.

Reads requests from standard input, one JSON object a line, and answers on
standard output. Everything heavy is imported once, before any thread of XLA
exists; each command then runs in a fork of its own, a process like any other
that can be signalled and killed.

A fault is {'at': where, 'count': n, 'do': what, 'when': w, 'delay': s}: at the
n-th call of the function `where` (`module:name.name`, or 'call' for the
compiled call of the loop), 'before' it, 'after' it, or `s` seconds into it
('during'), do one of `ACTIONS`.
"""

import errno
import importlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import conftest
import h5netcdf  # noqa: F401
import jax
import jax.numpy as jnp
import matplotlib.pyplot  # noqa: F401
import pandas  # noqa: F401

from jaxsynth import build, cli, launch, stage  # noqa: F401
from jaxsynth.train import engine as engines


def _slow_evaluate(run, state, t):
  """The toy's evaluation, and a long one: the process dies in the midst."""
  spin = jax.lax.fori_loop(
    0, 3_000_000, lambda i, x: jnp.tanh(x + 0.1), state['x']
  )
  return {**conftest.TOY.evaluate(run, state, t), 'spin': spin.sum()}


def _init(run):
  """The toy's state at step 0, or its parent's."""
  return conftest.TOY.init(run) if run.parent is None else run.parent


TOY = conftest.TOY._replace(init=_init)
PROGRAMS = {
  'toy': TOY,
  'slow_evaluate': TOY._replace(evaluate=_slow_evaluate),
}


def _signal(number):
  return lambda: os.kill(os.getpid(), number)


def _error(number):
  def fail():
    raise OSError(number, os.strerror(number))

  return fail


def _compiled_for_long():
  """Keeps Python waiting for compiled code, as the compiler does: minutes."""
  spin = lambda x: jax.lax.fori_loop(0, 2**31 - 1, lambda i, x: jnp.tanh(x), x)
  jax.jit(spin)(jnp.ones(64)).block_until_ready()


ACTIONS = {
  'kill': _signal(signal.SIGKILL),
  'term': _signal(signal.SIGTERM),
  'int': _signal(signal.SIGINT),
  'compiled_for_long': _compiled_for_long,
  'sleep': lambda: time.sleep(600),
  'pause': _signal(signal.SIGSTOP),
  'full': _error(errno.ENOSPC),
  'read_only': _error(errno.EROFS),
}


def _broken(function, fault):
  act, when = ACTIONS[fault['do']], fault.get('when', 'before')
  calls = []

  def wrapper(*args, **kwargs):
    calls.append(1)
    hit = len(calls) == fault.get('count', 1)
    if hit and when == 'before':
      act()
    if hit and when == 'during':
      threading.Timer(fault['delay'], act).start()
    out = function(*args, **kwargs)
    if hit and when == 'after':
      act()
    return out

  return wrapper


def _break(fault):
  if fault['at'] == 'call':
    build_engine = engines.build

    def broken_build(*args):
      engine = build_engine(*args)
      call = _broken(engine.call, fault)
      call.trace = engine.call.trace
      return engine._replace(call=call)

    engines.build = broken_build
    return
  module, _, names = fault['at'].partition(':')
  owner = importlib.import_module(module)
  *path, last = names.split('.')
  for name in path:
    owner = getattr(owner, name)
  setattr(owner, last, _broken(getattr(owner, last), fault))


def _command(request):
  """Runs the command in this process, a fork, and ends as a user's would."""
  for number, name in ((1, 'out'), (2, 'err')):
    os.dup2(os.open(request[name], os.O_WRONLY | os.O_APPEND), number)
  os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
  if request.get('program'):
    build.Setup.program = lambda self: PROGRAMS[request['program']]
  for fault in request['faults']:
    _break(fault)
  sys.exit(cli.main(request['argv']))


def _wait(pid, seconds):
  """Exit code, negative for a signal; None while it runs."""
  end = time.monotonic() + seconds
  while True:
    found, status = os.waitpid(pid, os.WNOHANG)
    if found:
      return os.waitstatus_to_exitcode(status)
    if time.monotonic() > end:
      return None
    time.sleep(0.005)


def main():
  print('ready', flush=True)
  while line := sys.stdin.readline():
    request = json.loads(line)
    if 'wait' in request:
      print(json.dumps(_wait(request['wait'], request['seconds'])), flush=True)
      continue
    pid = os.fork()
    if not pid:
      _command(request)
    print(json.dumps(pid), flush=True)


if __name__ == '__main__':
  main()
