"""The JobSet, against schemas: its own, and those of Kubernetes.

`kubernetes_validate` holds what Kubernetes publishes for Jobs and Pods. JobSet
is an extension: JOBSET below is the part of its API v1alpha2 that a manifest
of ours may use, unknown fields refused, as the cluster would drop them
without a word.
"""

import copy
import math

import jsonschema
import kubernetes_validate
import pytest

from tpu_launch import flags, slices

VERSION = '1.33'
IMAGE = 'us-docker.pkg.dev/my-project-1/tpu/jaxsynth:v1'


def closed(required=(), **properties):
  return {
    'type': 'object',
    'properties': properties,
    'required': list(required),
    'additionalProperties': False,
  }


TEXTS = {'type': 'object', 'additionalProperties': {'type': 'string'}}
COUNT = {'type': 'integer', 'minimum': 0}
RULE = closed(
  ('name', 'action'),
  name={'type': 'string', 'pattern': r'^[A-Za-z]([\w,:]*\w)?$'},
  action={
    'enum': [
      'FailJobSet', 'RestartJobSet', 'RestartJobSetAndIgnoreMaxRestarts'
    ]
  },
  onJobFailureReasons={
    'type': 'array',
    'items': {
      'enum': [
        'BackoffLimitExceeded', 'DeadlineExceeded', 'FailedIndexes',
        'MaxFailedIndexesExceeded', 'PodFailurePolicy',
      ]
    },
  },
)  # fmt: skip
REPLICATED = closed(
  ('name', 'template'),
  name={'type': 'string', 'pattern': '^[a-z]([a-z0-9-]*[a-z0-9])?$'},
  replicas=COUNT,
  template=closed(('spec',), spec={'type': 'object'}),
)
JOBSET = closed(
  ('apiVersion', 'kind', 'metadata', 'spec'),
  apiVersion={'const': 'jobset.x-k8s.io/v1alpha2'},
  kind={'const': 'JobSet'},
  metadata=closed(
    ('name',), name={'type': 'string'}, annotations=TEXTS, labels=TEXTS
  ),
  spec=closed(
    ('replicatedJobs',),
    failurePolicy=closed(
      maxRestarts=COUNT, rules={'type': 'array', 'items': RULE}
    ),
    replicatedJobs={'type': 'array', 'minItems': 1, 'items': REPLICATED},
  ),
)


def check(manifest):
  """Raises what is wrong with a JobSet, its Job and its Pod."""
  jsonschema.Draft202012Validator(JOBSET).validate(manifest)
  (replicated,) = manifest['spec']['replicatedJobs']
  job = replicated['template']['spec']
  named = {'metadata': {'name': 'x'}}
  whole = {'apiVersion': 'batch/v1', 'kind': 'Job', **named, 'spec': job}
  kubernetes_validate.validate(whole, VERSION, strict=True)
  pod = job['template']['spec']
  whole = {'apiVersion': 'v1', 'kind': 'Pod', **named, 'spec': pod}
  kubernetes_validate.validate(whole, VERSION, strict=True)
  # The name of the last pod, of which Kubernetes makes a label.
  assert len(f'{manifest["metadata"]["name"]}-slice-0-255-abcde') <= 63
  chips = pod['containers'][0]['resources']['limits']['google.com/tpu']
  topology = pod['nodeSelector']['cloud.google.com/gke-tpu-topology']
  if math.prod(map(int, topology.split('x'))) != job['parallelism'] * chips:
    raise ValueError(f'{job["parallelism"]} hosts x {chips} are no {topology}')


@pytest.fixture
def manifest(arguments):
  def make(*more):
    return flags.read([*arguments['gke'], *more]).job.manifest(IMAGE)

  return make


@pytest.mark.parametrize('name', slices.SLICES)
def test_every_slice(name, manifest):
  check(manifest(f'--slice={name}'))


@pytest.mark.parametrize(
  'more',
  [
    ('--spot', '--queue=research', '--restarts=0', '--seeds=3'),
    ('--name=' + 'a' * 40,),
    ('--slice=x9', '--unlisted', '--topology=2x4', '--hosts=2',
     '--accelerator=x9-slice'),
  ],
)  # fmt: skip
def test_options(more, manifest):
  check(manifest(*more))


def test_the_pod_that_fetches(arguments):
  pod = flags.read(['fetch', *arguments['gke']]).job._reader('sweep-fetch')
  kubernetes_validate.validate(pod, VERSION, strict=True)


def at(manifest, *path):
  for key in path:
    manifest = manifest[key]
  return manifest


JOB = ('spec', 'replicatedJobs', 0, 'template', 'spec')
POD = (*JOB, 'template', 'spec')
MISTAKE = (
  jsonschema.ValidationError,
  kubernetes_validate.ValidationError,
  ValueError,
)
MISTAKES = [
  (('spec', 'failurePolicy'), 'maxRestart', 3),
  (('spec', 'failurePolicy', 'rules', 0), 'action', 'Retry'),
  (('spec', 'failurePolicy', 'rules', 0), 'onJobFailureReasons', ['Failed']),
  (JOB, 'parallelism', '4'),
  (JOB, 'parallelism', 8),
  (JOB, 'backofLimit', 0),
  ((*JOB, 'podFailurePolicy', 'rules', 0), 'onExitCode', {}),
  (POD, 'nodeSelectr', {}),
  ((*POD, 'containers', 0), 'cmd', ['python']),
]


@pytest.mark.parametrize(('path', 'key', 'value'), MISTAKES)
def test_a_mistake_would_be_found(path, key, value, manifest):
  wrong = copy.deepcopy(manifest())
  at(wrong, *path)[key] = value
  with pytest.raises(MISTAKE):
    check(wrong)


def test_who_restarts(manifest):
  """Final codes fail the JobSet, by way of the Job; others start it again.

  Kubernetes: a pod's code in a FailJob rule fails its Job with the reason
  PodFailurePolicy; a pod that fails otherwise, with no retries of the Job,
  with BackoffLimitExceeded. JobSet: the first rule with the reason, else a
  restart that counts.
  """

  def action(code):
    made = manifest()
    job, policy = at(made, *JOB), at(made, 'spec', 'failurePolicy')
    assert (job['backoffLimit'], policy['maxRestarts']) == (0, 100)
    when = [r['onExitCodes'] for r in job['podFailurePolicy']['rules']]
    fatal = any(w['operator'] == 'In' and code in w['values'] for w in when)
    reason = 'PodFailurePolicy' if fatal else 'BackoffLimitExceeded'
    matching = [
      r['action'] for r in policy['rules'] if reason in r['onJobFailureReasons']
    ]
    return [*matching, 'RestartJobSet'][0]

  assert {c: action(c) for c in (1, 2, 70)} == dict.fromkeys(
    (1, 2, 70), 'FailJobSet'
  )
  for code in (75, 134, 137, 143):
    assert action(code) == 'RestartJobSet'
