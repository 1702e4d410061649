"""This machine: a rehearsal, and a supervisor for a workstation.

Starts `jaxsynth train`, with --processes as a team, and starts it again for
as long as its exit code says that this helps: what the other backends leave to
a cluster.
"""

import dataclasses
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from jaxsynth.errors import UserError
from tpu_launch.ends import FINAL
from tpu_launch.job import Job, check_workdir, option
from tpu_launch.plan import Command, Plan

# Codes a start ends with at the user's own wish, or for good.
_STAY = (*FINAL, 130)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Local(Job):
  """A training on this machine."""

  workdir: str = option('Where the runs are kept: a folder, or of a bucket.')
  processes: int = option('How many train together.', 1)
  pause: float = option('Seconds before it is started again.', 1.0)

  def __post_init__(self):
    super().__post_init__()
    check_workdir(self.workdir, self.tensorboard)
    if self.processes < 1 or self.pause < 0:
      raise UserError('--processes and --pause count from 1 and 0')

  @property
  def several(self) -> bool:
    return self.processes > 1

  def launch(self) -> Plan:
    together = [f'--processes={self.processes}']
    argv = (
      *(sys.executable, '-m', 'jaxsynth.cli', 'train'),
      *self.train_argv(self.workdir, together),
    )
    return Plan(commands=(Command(argv, tries=1 + self.restarts),))

  def status(self) -> Plan:
    check = (sys.executable, '-m', 'jaxsynth.cli', 'check', self.workdir)
    return Plan(commands=(Command(check),))

  def logs(self) -> Plan:
    raise UserError('a local job says all it has to say where it was launched')

  def fetch(self) -> Plan:
    raise UserError(f'the results are in {self.workdir} already')

  def teardown(self) -> Plan:
    raise UserError('a local job is ended by Ctrl-C where it was launched')


def supervise(job: Local, say: Callable[[str], None] = print) -> int:
  """Runs a training to an end that is final.

  SIGTERM and Ctrl-C are passed on; the training then saves and is not started
  again.

  Returns:
    The exit code of its last start.
  """
  (command,) = job.launch().commands
  asked: list[int] = []
  children: list[subprocess.Popen] = []

  def forward(number: int, frame) -> None:
    asked.append(number)
    for child in children:
      if child.poll() is None:
        child.send_signal(number)

  numbers = (signal.SIGTERM, signal.SIGINT)
  before = {n: signal.signal(n, forward) for n in numbers}
  try:
    for start in range(command.tries):
      # Ctrl-C reaches the child through us, once.
      child = subprocess.Popen(
        command.argv, stdin=subprocess.DEVNULL, start_new_session=True
      )
      children[:] = [child]
      if asked:
        child.send_signal(asked[0])
      code = child.wait()
      code = 128 - code if code < 0 else code
      if code in _STAY or asked:
        break
      say(f'start {start} ended with {code}')
      time.sleep(job.pause)
    return code
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
