"""Cloud TPU queued resources: TPU VMs that start the training by themselves.

A slice is asked for with the startup script of `tpu_launch.shell`, so nothing
but the request has to be repeated when a slice on spot is taken away: `watch`
deletes what is left and asks again, until the training has ended for good.
Source: gcloud's own help for `compute tpus queued-resources` and `tpu-vm`
(SDK 528), and the pages "Manage queued resources" and "Manage TPU Spot VMs".
"""

import dataclasses
import shlex

from jaxsynth.errors import UserError
from tpu_launch import shell, slices
from tpu_launch.job import option, require
from tpu_launch.plan import Command, Plan
from tpu_launch.tpu import MOUNT, TpuJob

# States a queued resource passes through; in the others one waits.
ACTIVE, TAKEN, FAILED = 'ACTIVE', 'SUSPENDED', 'FAILED'


@dataclasses.dataclass(frozen=True, kw_only=True)
class QueuedResource(TpuJob):
  """A training on TPU VMs of its own."""

  zone: str = option('Where, as in us-west4-a.')
  runtime: str = option('With --unlisted: the software of the TPU VM.', '')
  output: str = option('Where `fetch` and `watch` put the folder NAME.', 'runs')
  keep: bool = option('`watch` leaves the slice when the job has ended.', False)
  recreations: int = option('How often `watch` asks for a slice again.', 100)
  poll: float = option('Seconds between two looks of `watch`.', 30.0)

  def __post_init__(self):
    super().__post_init__()
    slices.check_zone(self.wanted, self.zone)
    if self.recreations < 0 or self.poll < 0:
      raise UserError('--recreations and --poll count from 0')
    if self.runtime or self.unlisted:
      require('runtime', self.runtime, r'[a-z0-9.-]+', 'v2-alpha-tpuv6e')

  @property
  def script(self) -> str:
    """Where the startup script is kept, for the first request and later."""
    return f'{self.record}/startup.sh'

  @property
  def marker(self) -> str:
    """The file that notes how a job ended whose slice is deleted."""
    return f'{self.record}/ended'

  @property
  def _where(self) -> tuple[str, ...]:
    return (f'--zone={self.zone}', f'--project={self.project}')

  def _queued(self, verb: str, *flags: str, tries: int = 1) -> Command:
    head = ('gcloud', 'compute', 'tpus', 'queued-resources', verb, self.title)
    return Command((*head, *self._where, *flags, '--quiet'), tries=tries)

  def _ssh(self, *argv: str, tries: int = 3) -> Command:
    """A command on the first host; there, a shell does read it."""
    head = ('gcloud', 'compute', 'tpus', 'tpu-vm', 'ssh', self.title)
    command = f'--command={shlex.join(argv)}'
    return Command(
      (*head, *self._where, '--worker=0', command, '--quiet'), tries=tries
    )

  def create(self) -> Command:
    """Asks for the slice."""
    return self._queued(
      'create',
      f'--node-id={self.title}',
      f'--accelerator-type={self.wanted.name}',
      f'--runtime-version={self.runtime or self.wanted.runtime}',
      '--scopes=https://www.googleapis.com/auth/cloud-platform',
      f'--metadata-from-file=startup-script={self.script}',
      *(['--spot'] if self.spot else []),
    )

  def describe(self) -> Command:
    """Prints the state of the request."""
    return self._queued('describe', '--format=value(state.state)')

  def explain(self) -> Command:
    """Prints all about the request: why it failed."""
    return self._queued('describe', '--format=json(state)')

  def ended(self) -> Command:
    """Prints the code with which the job ended for good, if it has."""
    return self._ssh('cat', shell.EXIT, tries=1)

  def delete(self) -> Command:
    return self._queued('delete', '--force', tries=3)

  def launch(self) -> Plan:
    image, files, build = self.built()
    script = shell.startup(
      image=image,
      argv=self.argv,
      nfs=self.nfs,
      mount=MOUNT,
      logs=self.logs_folder,
      restarts=self.restarts,
    )
    files[self.script] = script
    return Plan(
      files=files, commands=(*build, self.create()), removes=(self.marker,)
    )

  def status(self) -> Plan:
    return Plan(commands=(self._queued('describe', tries=3),))

  def logs(self) -> Plan:
    # Log files are named by host, and this command by none: the newest lines
    # of each, each under its name.
    tail = f'tail --lines=100 {shlex.quote(self.logs_folder)}/*.log'
    return Plan(commands=(self._ssh('bash', '-c', tail),))

  def fetch(self) -> Plan:
    copy = (
      *('gcloud', 'compute', 'tpus', 'tpu-vm', 'scp'),
      *(f'{self.title}:{self.folder}', self.output, '--worker=0'),
      *(*self._where, '--recurse', '--quiet'),
    )
    return Plan((self.output,), commands=(Command(copy, tries=3),))

  def teardown(self) -> Plan:
    return Plan(commands=(self.delete(),))
