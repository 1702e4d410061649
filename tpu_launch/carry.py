"""Carries out a plan: writes its files, runs its commands."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tpu_launch.job import need
from tpu_launch.plan import Archive, Command, Plan

# Seconds before a second try; each further one waits twice as long.
PAUSE_S = 2.0


class FailedError(Exception):
  """A command did not succeed; says which and what it said last."""

  def __init__(self, command: Command, code: int, stderr: str):
    self.stderr = stderr
    last = (stderr.strip().splitlines() or ['it said nothing'])[-1]
    super().__init__(f'{json.dumps(command.argv)} ended with {code}: {last}')


def _run(command: Command, quiet: bool) -> str:
  """Runs one command; shows what it says, or returns it if `quiet`."""
  pause = PAUSE_S
  for left in range(command.tries - 1, -1, -1):
    done = subprocess.run(
      command.argv,
      input='' if command.stdin is None else command.stdin,
      stdout=subprocess.PIPE if quiet else None,
      stderr=subprocess.PIPE,
      text=True,
      errors='replace',
      check=False,
    )
    if done.returncode == 0:
      if not quiet:
        print(done.stderr, end='', file=sys.stderr)
      return done.stdout or ''
    if left:
      time.sleep(pause)
      pause *= 2
  raise FailedError(command, done.returncode, done.stderr)


def output(command: Command) -> str:
  """What a command prints.

  Raises:
    FailedError: it did not succeed, however often it was tried.
  """
  need(command.argv[:1])
  return _run(command, quiet=True)


def out(plan: Plan, say: Callable[[str], None]) -> None:
  """Carries out a plan; what its commands print is shown.

  Args:
    plan: files, then commands; the first that fails is the last.
    say: takes one line.

  Raises:
    FailedError: a command did not succeed, however often it was tried.
    UserError: a program is missing; then nothing was done.
  """
  need(sorted({command.argv[0] for command in plan.commands}))
  for path in plan.folders:
    Path(path).mkdir(parents=True, exist_ok=True)
  for path, content in plan.files.items():
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Archive):
      target.write_bytes(content.data)
    else:
      target.write_text(content, encoding='utf-8')
  for command in plan.commands:
    say(f'run {json.dumps(command.argv)}')
    _run(command, quiet=False)
  for path in plan.removes:
    Path(path).unlink(missing_ok=True)
