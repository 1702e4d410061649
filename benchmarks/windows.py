"""Timing several programs in turn: both alive, one at work at a time.

A contestant is one or more processes that do the same work. Each prints one
line of JSON when it is compiled and warm; then every line it reads is a
number of seconds, and it works for about that long, on whole units, and
answers with one line {run_steps, seconds}. `compete` gives the contestants
windows in turn, in alternating order, so that a slow minute of the machine
falls on all of them alike, and ratios are taken within a round.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from threading import Timer
from typing import Any

from benchmarks import report


def serve(facts: Mapping[str, Any], work: Callable[[float], int]) -> None:
  """The contestant's side: says it is ready, then works when told to.

  Args:
    facts: what to tell once, e.g. seconds to compile.
    work: works for about so many seconds to the last result in memory, and
      returns how many run-steps that were.
  """
  print(json.dumps(facts), flush=True)
  for line in sys.stdin:
    began = time.perf_counter()
    done = work(float(line))
    seconds = time.perf_counter() - began
    print(json.dumps({'run_steps': done, 'seconds': seconds}), flush=True)


def until(seconds: float, unit: Callable[[], int]) -> int:
  """Repeats a blocking unit of work until the time is over."""
  stop, done = time.perf_counter() + seconds, 0
  while not done or time.perf_counter() < stop:
    done += unit()
  return done


class Contestant:
  """Processes of one module that share out the work; use as a context.

  Args:
    module: run with -m in the checkout.
    payloads: the JSON argument of each process.
    env: added to the environment.
    silence: seconds after which processes that have not answered are ended,
      be it to begin or after a window.
  """

  def __init__(
    self,
    module: str,
    payloads: Sequence[Mapping[str, Any]],
    env: Mapping[str, str] | None = None,
    silence: float = 1800.0,
  ):
    self._module, self._payloads = module, payloads
    self._silence, self._late = silence, False
    self._env = {**os.environ, **(env or {})}
    self._processes: list[subprocess.Popen] = []
    self._logs: list[Any] = []
    self.facts: list[dict] = []

  def __enter__(self) -> 'Contestant':
    for payload in self._payloads:
      log = tempfile.TemporaryFile('w+')
      command = [sys.executable, '-m', self._module, json.dumps(payload)]
      self._logs.append(log)
      self._processes.append(
        subprocess.Popen(
          command,
          cwd=report.ROOT,
          env=self._env,
          stdin=subprocess.PIPE,
          stdout=subprocess.PIPE,
          stderr=log,
          text=True,
        )
      )
    try:
      self.facts = self._answers()
    except BaseException:
      self._kill()
      self.__exit__()
      raise
    return self

  def _kill(self) -> None:
    for process in self._processes:
      process.kill()

  def _end_of_patience(self) -> None:
    self._late = True
    self._kill()

  def __exit__(self, kind: type | None = None, *exc) -> None:
    if kind:  # the race is off: nobody waits for anybody
      self._kill()
    for process in self._processes:  # those of a team leave together
      with suppress(BrokenPipeError):
        process.stdin.close()
    for process, log in zip(self._processes, self._logs):
      try:
        process.wait(10)
      except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
      process.stdout.close()
      log.close()

  def _answers(self) -> list[dict]:
    """One line of each process.

    Raises:
      LostError: one ended, or was silent for too long and is ended.
    """
    patience = Timer(self._silence, self._end_of_patience)
    patience.start()
    try:
      lines = [process.stdout.readline() for process in self._processes]
    finally:
      patience.cancel()
    if all(lines):
      return [json.loads(line) for line in lines]
    what = 'ended'
    if self._late:
      what = f'did not answer for {self._silence:g} s and was ended'
    raise report.LostError(
      f'{self._module} {json.dumps(self._payloads[0])} {what}\n'
      f'{self._last_words(lines)}'.rstrip()
    )

  def _last_words(self, lines: Sequence[str]) -> str:
    """What the processes that did not answer said last."""
    out = []
    for i, line in enumerate(lines):
      if not line:
        self._logs[i].seek(0)
        out.append(f'process {i} said: {self._logs[i].read()[-2000:]}')
    return '\n'.join(out)

  def rate(self, seconds: float) -> float:
    """Run-steps per second over one window, all processes together."""
    for process in self._processes:
      with suppress(BrokenPipeError):  # it ended: see its last words
        process.stdin.write(f'{seconds}\n')
        process.stdin.flush()
    return sum(a['run_steps'] / a['seconds'] for a in self._answers())


def compete(
  contestants: Mapping[str, Contestant], rounds: int, seconds: float
) -> dict[str, list[float]]:
  """Rates of contestants that are ready, round by round, in turn."""
  rates: dict[str, list[float]] = {name: [] for name in contestants}
  for i in range(rounds):
    names = list(contestants)
    for name in names if i % 2 == 0 else reversed(names):
      rates[name].append(contestants[name].rate(seconds))
    report.say(
      f'round {i + 1}/{rounds}: '
      + ', '.join(f'{n} {r[-1]:.4g}' for n, r in rates.items())
    )
  return rates


def race(
  makers: Mapping[str, Contestant], rounds: int, seconds: float
) -> tuple[dict[str, list[float]], dict[str, list[dict]]]:
  """Starts the contestants one by one, lets them compete, and ends them.

  Returns:
    Rates by name, round by round, and the facts each told.
  """
  began = time.monotonic()
  with ExitStack() as stack:
    ready = {}
    for name, contestant in makers.items():
      ready[name] = stack.enter_context(contestant)
      since = time.monotonic() - began
      report.say(f'{since:.0f} s: {name} is ready ({len(ready)}/{len(makers)})')
    for contestant in ready.values():
      contestant.rate(min(seconds, 1.0))
    rates = compete(ready, rounds, seconds)
    return rates, {n: c.facts for n, c in ready.items()}
