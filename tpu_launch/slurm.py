"""Slurm: a batch script, submitted from a login node.

One task is one process. JAX on Slurm takes a process to have one GPU, so
there is a task a GPU; without GPUs, a task a node. Slurm tells the tasks
WARN_S before the time is up; see `tpu_launch.shell.batch` for who queues the
job again. Source: sbatch(1), srun(1), scontrol(1).
"""

import dataclasses
import sys

from jaxsynth.errors import UserError
from tpu_launch import shell
from tpu_launch.job import Job, check_workdir, option, require
from tpu_launch.plan import Command, Plan

WARN_S = 180
_FIXED = ('--parsable', '--requeue', '--open-mode=append')


def _seconds(time: str) -> int:
  """A time as sbatch reads it: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S."""
  days, dash, rest = time.rpartition('-')
  parts = [int(part) for part in rest.split(':')]
  if dash:
    hours, minutes, seconds = (*parts, 0, 0)[:3]
    return 86400 * int(days) + 3600 * hours + 60 * minutes + seconds
  if len(parts) == 1:
    return 60 * parts[0]
  hours, minutes, seconds = (0, *parts)[-3:]
  return 3600 * hours + 60 * minutes + seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slurm(Job):
  """A training on a Slurm cluster, with this interpreter and this folder."""

  workdir: str = option(
    'Where the runs are kept: a folder all nodes see, or one of a bucket.'
  )
  nodes: int = option('How many machines.', 1)
  gpus_per_node: int = option('GPUs of each; one process has one.', 0)
  cpus_per_task: int = option('Cores of each process; 0: as Slurm has it.', 0)
  time: str = option('Of one start, as sbatch has it; D-HH:MM:SS.', '')
  partition: str = option('Where to queue.', '')
  account: str = option('Who pays.', '')
  sbatch: tuple[str, ...] = option(
    'More for sbatch, as in --sbatch=--qos=long; repeat as needed.', ()
  )
  python: str = option('The interpreter the nodes run.', sys.executable)

  def __post_init__(self):
    super().__post_init__()
    check_workdir(self.workdir, self.tensorboard)
    if self.nodes < 1 or self.gpus_per_node < 0 or self.cpus_per_task < 0:
      raise UserError('--nodes, --gpus_per_node, --cpus_per_task are counts')
    if self.time:
      require('time', self.time, r'(\d+-)?\d+(:\d\d){0,2}', '12:00:00')
      seconds = _seconds(self.time)
      if seconds <= 2 * WARN_S:
        raise UserError(
          f'--time={self.time} is {seconds} s: the training is told to stop '
          f'{WARN_S} s before the end, and needs time before that'
        )
    for flag in ('partition', 'account'):
      if getattr(self, flag):
        require(flag, getattr(self, flag), r'[\w.,-]+', 'gpu')
    own = {f'--{name}' for name in self._options} | {'--open-mode', *_FIXED}
    for item in self.sbatch:
      require('sbatch', item, r'--[a-z][a-z-]*(=[^\0]*)?', '--qos=long')
      if item.partition('=')[0] in own:
        raise UserError(f'--sbatch={item} is set by the launcher itself')

  @property
  def _tasks(self) -> int:
    return self.nodes * max(1, self.gpus_per_node)

  @property
  def several(self) -> bool:
    return self._tasks > 1

  @property
  def _log(self) -> str:
    return f'{self.record}/slurm.log'

  @property
  def _options(self) -> dict[str, str | int]:
    """What sbatch is told; without what is empty or 0."""
    return {
      'job-name': self.title,
      'nodes': self.nodes,
      'ntasks-per-node': max(1, self.gpus_per_node),
      'gpus-per-node': self.gpus_per_node,
      'cpus-per-task': self.cpus_per_task,
      'time': self.time,
      'partition': self.partition,
      'account': self.account,
      'output': self._log,
      'signal': f'TERM@{WARN_S}',
    }

  def launch(self) -> Plan:
    argv = (
      *(self.python, '-m', 'jaxsynth.experiments.train'),
      *self.train_argv(self.workdir, ['--distributed']),
    )
    script = shell.batch(argv=argv, restarts=self.restarts)
    given = (f'--{k}={v}' for k, v in self._options.items() if v)
    path = f'{self.record}/batch.sh'
    sbatch = Command(('sbatch', *_FIXED, *given, *self.sbatch, path))
    return Plan(files={path: script}, commands=(sbatch,))

  def status(self) -> Plan:
    return Plan(
      commands=(Command(('squeue', '--me', f'--name={self.title}'), tries=3),)
    )

  def logs(self) -> Plan:
    return Plan(commands=(Command(('tail', '--lines=100', self._log)),))

  def fetch(self) -> Plan:
    raise UserError(f'the results are in {self.workdir} already')

  def teardown(self) -> Plan:
    # A job told to end this way stays out of the queue.
    cancel = ('scancel', '--me', f'--name={self.title}')
    return Plan(commands=(Command(cancel, tries=3),))
