"""Slurm: a batch script, submitted from a login node.

One task is one process. JAX on Slurm takes a process to have one GPU, so
there is a task a GPU; without GPUs, a task a node. Slurm tells the tasks
WARN_S before the time is up; see `tpu_launch.shell.batch` for who queues the
job again. Source: sbatch(1), srun(1), scontrol(1).
"""

import dataclasses
import sys

from jaxsynth.errors import UserError
from jaxsynth.trajectory import paths
from tpu_launch import shell
from tpu_launch.job import Job, option, require
from tpu_launch.plan import Command, Plan

WARN_S = 180


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slurm(Job):
  """A training on a Slurm cluster, with this interpreter and this folder."""

  workdir: str = option('Where the runs are kept: a folder all nodes see.')
  nodes: int = option('How many machines.', 1)
  gpus_per_node: int = option('GPUs of each; one process has one.', 0)
  cpus_per_task: int = option('Cores of each process.', 0)
  time: str = option('Of one start, as sbatch has it; D-HH:MM:SS.', '')
  partition: str = option('Where to queue.', '')
  account: str = option('Who pays.', '')
  python: str = option('The interpreter the nodes run.', sys.executable)

  def __post_init__(self):
    super().__post_init__()
    paths.local(self.workdir, 'Slurm jobs write')
    if self.nodes < 1 or self.gpus_per_node < 0 or self.cpus_per_task < 0:
      raise UserError('--nodes, --gpus_per_node, --cpus_per_task are counts')
    if self.time:
      require('time', self.time, r'(\d+-)?\d+(:\d\d){0,2}', '12:00:00')
    for flag in ('partition', 'account'):
      if getattr(self, flag):
        require(flag, getattr(self, flag), r'[\w.,-]+', 'tpu')

  @property
  def _log(self) -> str:
    return f'{self.record}/slurm.log'

  def launch(self) -> Plan:
    tasks = self.nodes * max(1, self.gpus_per_node)
    argv = (
      *(self.python, '-m', 'jaxsynth.experiments.train'),
      *self.train_argv(self.workdir, tasks > 1),
    )
    script = shell.batch(argv=argv, restarts=self.restarts)
    options = {
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
    given = (f'--{k}={v}' for k, v in options.items() if v)
    fixed = ('--parsable', '--requeue', '--open-mode=append')
    path = f'{self.record}/batch.sh'
    sbatch = Command(('sbatch', *fixed, *given, path))
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
