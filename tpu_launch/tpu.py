"""What the two backends on Cloud TPU share: a slice, a container, a folder.

The workdir lies in a folder that all hosts mount over NFS (Filestore): the
processes of a sweep write into one folder, and it outlives a slice that is
taken away. The code is a container image, built from this checkout.
"""

import dataclasses
import posixpath
from collections.abc import Iterator
from typing import Any

from jaxsynth import capacity
from jaxsynth.config import plain
from jaxsynth.errors import UserError
from jaxsynth.launch import load_config
from tpu_launch import ship, slices
from tpu_launch.job import RECORDS, Job, option, require
from tpu_launch.plan import Archive, Command

MOUNT = '/mnt/jaxsynth'


@dataclasses.dataclass(frozen=True, kw_only=True)
class TpuJob(Job):
  """A training on a slice."""

  project: str = option('The Google Cloud project that pays.')
  slice: str = option('What to ask for, as in v5litepod-8 or v6e-16.')
  nfs: str = option('HOST:/EXPORT of the shared folder.')
  image: str = option(
    'The container, as in REGION-docker.pkg.dev/PROJECT/REPOSITORY/jaxsynth. '
    'With :TAG it is used as it is; without, it is built from this checkout.'
  )
  spot: bool = option('Cheaper, and taken away at any time.', False)
  unlisted: bool = option(
    'Go beyond the table of slices and zones; --topology and --hosts say what '
    'the slice is.',
    False,
  )
  topology: str = option('With --unlisted: chips along each axis (4x4).', '')
  hosts: int = option('With --unlisted: how many machines.', 0)

  def __post_init__(self):
    super().__post_init__()
    require(
      'project', self.project, r'([a-z.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]',
      'my-project-1',
    )  # fmt: skip
    require('nfs', self.nfs, r'[\w.-]+:/[\w./-]*', '10.0.0.2:/jaxsynth')
    require(
      'image',
      self.image,
      r'[\w.-]+(:\d+)?(/[\w.-]+)+(:[\w.-]+|@sha256:[0-9a-f]{64})?',
      'us-docker.pkg.dev/my-project-1/tpu/jaxsynth',
    )
    if not self.unlisted and (self.topology or self.hosts):
      raise UserError('--topology and --hosts are for --unlisted')
    if self.unlisted and not (self.topology and self.hosts):
      raise UserError('--unlisted needs --topology and --hosts')
    _ = self.wanted  # refuses an unknown slice

  @property
  def wanted(self) -> slices.Slice:
    """The slice.

    Raises:
      UserError: there is none of that name.
    """
    if self.unlisted:
      return slices.beyond(self.slice, self.topology, self.hosts)
    return slices.find(self.slice)

  @property
  def several(self) -> bool:
    return self.wanted.hosts > 1

  def room(self) -> capacity.Job:
    if self.job or not self.wanted.gib:
      return super().room()
    return capacity.Job(self.wanted.chips, self.wanted.gib << 30, vmap=True)

  @property
  def folder(self) -> str:
    """Where job or shards live in the shared folder: workdir and logs."""
    return posixpath.join(MOUNT, self.name)

  @property
  def logs_folder(self) -> str:
    return posixpath.join(self.folder, 'logs', self.title)

  @property
  def argv(self) -> list[str]:
    """What every host runs in the container."""
    return [
      *('python', '-m', 'jaxsynth.experiments.train'),
      *self.train_argv(f'{self.folder}/run', ['--distributed']),
    ]

  def check(self) -> dict:
    """As of `Job`; the code it reads must be shipped, too."""
    groups = super().check()
    if not _tagged(self.image):
      shipped = set(ship.files())
      config = plain(load_config(self.config, self.overrides))
      for path in [self.config.partition(':')[0], *_strings(config)]:
        if path.endswith('.py') and posixpath.normpath(path) not in shipped:
          raise UserError(
            f'{path} would not be shipped: put it into {ship.ROOT.name}/, '
            'where git does not ignore it, and name it from there'
          )
    return groups

  def built(self) -> tuple[str, dict[str, Archive], tuple[Command, ...]]:
    """(the image with its tag, files to write, commands that build it)."""
    if _tagged(self.image):
      return self.image, {}, ()
    packed, digest = ship.archive()
    image, path = (
      f'{self.image}:{digest}',
      f'{RECORDS}/{self.name}/{digest}.tar.gz',
    )
    build = (
      *('gcloud', 'builds', 'submit', path, f'--tag={image}'),
      *(f'--project={self.project}', '--timeout=3600s', '--quiet'),
    )
    return image, {path: packed}, (Command(build),)


def _tagged(image: str) -> bool:
  last = image.rpartition('/')[2]
  return ':' in last or '@' in last


def _strings(value: Any) -> Iterator[str]:
  if isinstance(value, str):
    yield value
  elif isinstance(value, dict):
    for item in value.values():
      yield from _strings(item)
  elif isinstance(value, list):
    for item in value:
      yield from _strings(item)
