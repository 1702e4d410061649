"""GKE: one JobSet, a plain manifest that any Kubernetes tool reads.

Who restarts: a host whose process ends with a code that is final fails its
Job, and the rule `final` then fails the JobSet. Any other end of a host fails
the Job for another reason, and the JobSet starts all hosts again, `restarts`
times at most. Source: the JobSet API v1alpha2 of kubernetes-sigs/jobset.
"""

import dataclasses

import yaml

from jaxsynth.errors import UserError
from tpu_launch.ends import DONE, FINAL
from tpu_launch.job import option, require
from tpu_launch.plan import Command, Plan
from tpu_launch.tpu import MOUNT, TpuJob

_LABEL = r'[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
# One Job fills one pool of nodes, so that its hosts are one slice's.
_TOGETHER = {
  'alpha.jobset.sigs.k8s.io/exclusive-topology': 'cloud.google.com/gke-nodepool'
}
# Seconds a host has to save once it is told to go.
GRACE_S = 300


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobSet(TpuJob):
  """A training on a slice of a GKE cluster that has the JobSet controller."""

  context: str = option('The cluster, as `kubectl config get-contexts` says.')
  namespace: str = option('Where the job lives in it.', 'default')
  queue: str = option('The Kueue queue, if the cluster has one.', '')
  accelerator: str = option(
    "With --unlisted: the nodes' label gke-tpu-accelerator.", ''
  )
  output: str = option('Where `fetch` puts the folder NAME.', 'runs')

  def __post_init__(self):
    super().__post_init__()
    require('context', self.context, r'[\w.:@/-]+', 'gke_my-project-1_us_tpus')
    require('namespace', self.namespace, _LABEL, 'default')
    if self.queue:
      require('queue', self.queue, _LABEL, 'research')
    if bool(self.accelerator) != self.unlisted:
      raise UserError('--accelerator is for --unlisted, which needs it')
    if self.accelerator:
      require('accelerator', self.accelerator, _LABEL, 'tpu-v6e-slice')

  def _kubectl(self, *argv: str, stdin: str | None = None, tries: int = 3):
    where = (f'--context={self.context}', f'--namespace={self.namespace}')
    return Command(('kubectl', *where, *argv), stdin, tries)

  def launch(self) -> Plan:
    image, files, build = self.built()
    text = dumped(self.manifest(image))
    path = f'{self.record}/jobset.yaml'
    apply = self._kubectl('apply', f'--filename={path}')
    return Plan(files={**files, path: text}, commands=(*build, apply))

  def status(self) -> Plan:
    name, owned = f'jobset/{self.title}', self._owned()
    return Plan(commands=(
      self._kubectl('get', name, '--output=wide'),
      self._kubectl('get', 'pods', owned, '--output=wide'),
    ))  # fmt: skip

  def logs(self) -> Plan:
    return Plan(commands=(
      self._kubectl('logs', self._owned(), '--container=train', '--prefix',
                    '--tail=100', '--max-log-requests=256'),
    ))  # fmt: skip

  def fetch(self) -> Plan:
    """Through a pod that mounts the folder: the job's own may be gone."""
    pod = f'{self.title}-fetch'
    source, target = f'{pod}:{self.folder}', f'{self.output}/{self.name}'
    return Plan((self.output,), commands=(
      self._kubectl('apply', '--filename=-', stdin=dumped(self._reader(pod))),
      self._kubectl('wait', '--for=condition=Ready', f'pod/{pod}',
                    '--timeout=300s'),
      self._kubectl('cp', source, target, '--retries=5'),
      self._kubectl('delete', f'pod/{pod}', '--wait=false'),
    ))  # fmt: skip

  def teardown(self) -> Plan:
    gone = ('--ignore-not-found', '--cascade=foreground')
    return Plan(
      commands=(self._kubectl('delete', f'jobset/{self.title}', *gone),)
    )

  def _owned(self) -> str:
    return f'--selector=jobset.sigs.k8s.io/jobset-name={self.title}'

  def manifest(self, image: str) -> dict:
    """The JobSet.

    Args:
      image: of the container, with its tag.
    """
    name = {'name': self.title, 'annotations': dict(_TOGETHER)}
    if self.queue:
      name['labels'] = {'kueue.x-k8s.io/queue-name': self.queue}
    hosts = self.wanted.hosts
    job = {
      'parallelism': hosts,
      'completions': hosts,
      'completionMode': 'Indexed',
      'backoffLimit': 0,
      'podFailurePolicy': {'rules': [_final()]},
      'template': {'spec': self._pod(image)},
    }
    rule = {
      'name': 'final',
      'action': 'FailJobSet',
      'onJobFailureReasons': ['PodFailurePolicy'],
    }
    return {
      'apiVersion': 'jobset.x-k8s.io/v1alpha2',
      'kind': 'JobSet',
      'metadata': name,
      'spec': {
        'failurePolicy': {'maxRestarts': self.restarts, 'rules': [rule]},
        'replicatedJobs': [
          {'name': 'slice', 'replicas': 1, 'template': {'spec': job}}
        ],
      },
    }

  def _pod(self, image: str) -> dict:
    wanted = self.wanted
    label = self.accelerator or wanted.accelerator
    nodes = {
      'cloud.google.com/gke-tpu-accelerator': label,
      'cloud.google.com/gke-tpu-topology': wanted.topology,
    }
    pod = {
      'restartPolicy': 'Never',
      'terminationGracePeriodSeconds': GRACE_S,
      'nodeSelector': nodes,
      'containers': [{
        'name': 'train',
        'image': image,
        'command': [unexpanded(word) for word in self.argv],
        'resources': {'limits': {'google.com/tpu': wanted.chips_per_host}},
        'volumeMounts': [{'name': 'shared', 'mountPath': MOUNT}],
      }],
      'volumes': [self._volume()],
    }  # fmt: skip
    if self.spot:
      nodes['cloud.google.com/gke-spot'] = 'true'
      pod['tolerations'] = [
        {
          'key': 'cloud.google.com/gke-spot',
          'operator': 'Equal',
          'value': 'true',
          'effect': 'NoSchedule',
        }
      ]
    return pod

  def _volume(self) -> dict:
    server, _, path = self.nfs.partition(':')
    return {'name': 'shared', 'nfs': {'server': server, 'path': path}}

  def _reader(self, pod: str) -> dict:
    return {
      'apiVersion': 'v1',
      'kind': 'Pod',
      'metadata': {'name': pod},
      'spec': {
        'restartPolicy': 'Never',
        'activeDeadlineSeconds': 24 * 3600,
        'containers': [{
          'name': 'reader',
          'image': 'python:3.11-slim',
          'command': ['sleep', 'infinity'],
          'volumeMounts': [
            {'name': 'shared', 'mountPath': MOUNT, 'readOnly': True}
          ],
        }],
        'volumes': [self._volume()],
      },
    }  # fmt: skip


def _final() -> dict:
  codes = [code for code in FINAL if code != DONE]
  when = {'containerName': 'train', 'operator': 'In', 'values': codes}
  return {'action': 'FailJob', 'onExitCodes': when}


def unexpanded(word: str) -> str:
  """A word as Kubernetes must be given it: it replaces $(NAME), and $$ by $."""
  return word.replace('$', '$$')


def dumped(manifest: dict) -> str:
  # Not ASCII is escaped: written as it is, some line ends would be lost.
  return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=False)
