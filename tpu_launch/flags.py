"""absl flags made of the fields of the backends, and a job made of flags."""

import dataclasses
import json
import typing
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from jaxsynth.errors import UserError, unknown
from tpu_launch.job import NAME, RECORDS, Job, require
from tpu_launch.jobset import JobSet
from tpu_launch.local import Local
from tpu_launch.queued import QueuedResource
from tpu_launch.slurm import Slurm

BACKENDS: dict[str, type[Job]] = {
  'queued_resource': QueuedResource,
  'gke': JobSet,
  'slurm': Slurm,
  'local': Local,
}
VERBS = ('launch', 'watch', 'status', 'logs', 'fetch', 'teardown')
_PREFIX = '--config.'
_KNOWN = ('backend', 'dry_run', 'help')


def _fields(backend: type[Job]) -> dict[str, dataclasses.Field]:
  return {
    f.name: f for f in dataclasses.fields(backend) if 'help' in f.metadata
  }


def define() -> flags.FlagValues:
  """A fresh set of flags: those of all backends."""
  values = flags.FlagValues()
  flags.DEFINE_enum(
    'backend', None, list(BACKENDS), 'Where it runs.', flag_values=values
  )
  flags.DEFINE_bool(
    'dry_run', False, 'Print what would be sent; do nothing.',
    flag_values=values,
  )  # fmt: skip
  flags.DEFINE_bool('help', False, 'Print this.', flag_values=values)
  makers = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
    int | str: flags.DEFINE_string,
    tuple[str, ...]: flags.DEFINE_multi_string,
  }
  for backend in BACKENDS.values():
    hints = typing.get_type_hints(backend)
    for name, field in _fields(backend).items():
      if name not in values:
        make = makers[hints[name]]
        make(name, None, field.metadata['help'], flag_values=values)
  return values


def _parse(
  argv: Sequence[str],
) -> tuple[flags.FlagValues, list[str], list[str]]:
  """(flags, config overrides, words that are no flags)."""
  overrides, rest = [], []
  for item in argv:
    if item.startswith(_PREFIX):
      if '=' not in item:
        raise UserError(f'{item} needs a value: {item}=VALUE')
      overrides.append(item.removeprefix(_PREFIX))
    else:
      rest.append(item)
  values = define()
  try:
    left = values(['tpu_launch', *rest])
  except flags.Error as e:
    raise UserError(str(e).replace('\n', ' ')) from None
  return values, overrides, left[1:]


def _record(name: str) -> Path:
  return Path(RECORDS) / name / 'flags.json'


@dataclasses.dataclass(frozen=True)
class Request:
  """What was asked for.

  Attributes:
    verb: what to do.
    job: with which job.
    dry_run: only say what would be done.
    argv: the flags that describe the job, to be kept with it.
  """

  verb: str
  job: Job
  dry_run: bool
  argv: tuple[str, ...]

  @property
  def record(self) -> Path:
    """The file that keeps `argv`."""
    return _record(self.job.name)


def _with_record(argv: list[str], verb: str) -> list[str]:
  """The flags of a launched job before those given now."""
  values, _, _ = _parse(argv)
  if verb == 'launch' or not values.name:
    return argv
  require('name', values.name, NAME, 'widths-2')
  path = _record(values.name)
  if path.exists():
    return [*json.loads(path.read_text(encoding='utf-8')), *argv]
  if values.backend is None:
    launched = [p.parent.name for p in Path(RECORDS).glob('*/flags.json')]
    raise unknown('job', values.name, launched)
  return argv


def read(argv: Sequence[str]) -> Request | None:
  """What a command line asks for; None if it asks for help.

  Args:
    argv: without the program's name: VERB, if it is not launch, and flags.

  Raises:
    UserError: a mistake in it, the nearest valid choice named.
  """
  verb, given = 'launch', list(argv)
  if given and not given[0].startswith('-'):
    verb = given.pop(0)
  if verb not in VERBS:
    raise unknown('verb', verb, VERBS)
  values, overrides, left = _parse(_with_record(given, verb))
  if values.help:
    return None
  if left:
    raise UserError(f'not a flag: {left[0]}')
  if values.backend is None:
    raise UserError(f'--backend is required: {", ".join(BACKENDS)}')
  job = _job(BACKENDS[values.backend], values, overrides).settled()
  if verb == 'watch' and not isinstance(job, QueuedResource):
    raise UserError(
      'watch is for --backend=queued_resource: the others restart by themselves'
    )
  return Request(verb, job, values.dry_run, _kept(values, overrides, job))


def _kept(
  values: flags.FlagValues, overrides: list[str], job: Job
) -> tuple[str, ...]:
  """The flags that describe a job, each in one spelling."""
  out = []
  for name in values:
    value = job.shards if name == 'shards' else values[name].value
    left_out = name in ('dry_run', 'help', 'shard', 'job')
    if left_out or not values[name].present:
      continue
    if isinstance(value, bool):
      out.append(f'--{name}' if value else f'--no{name}')
    else:
      several = value if isinstance(value, list) else [value]
      out += [f'--{name}={item}' for item in several]
  return (*out, *(f'{_PREFIX}{item}' for item in overrides))


def _job(
  backend: type[Job], values: flags.FlagValues, overrides: list[str]
) -> Job:
  fields = _fields(backend)
  given = {name: values[name].value for name in values if values[name].present}
  for name in given:
    if name not in fields and name not in _KNOWN:
      raise UserError(
        f'--{name} is no flag of --backend={values.backend}: it takes '
        f'{", ".join(sorted(fields))}'
      )
  for name, field in fields.items():
    if field.default is dataclasses.MISSING and name not in given:
      raise UserError(
        f'--{name} is required for --backend={values.backend}: '
        f'{field.metadata["help"]}'
      )
  options = {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in given.items()
    if name in fields
  }
  return backend(overrides=tuple(overrides), **options)


def help_text() -> str:
  """All flags, by backend."""
  out, common = [], set(_fields(Job))

  def line(name: str, field: dataclasses.Field) -> str:
    required = field.default is dataclasses.MISSING
    default = '' if required or not field.default else f' ({field.default})'
    mark = '*' if required else ' '
    return f' {mark}--{name}: {field.metadata["help"]}{default}'

  out.append('every backend (* is required)')
  out += [line(n, f) for n, f in _fields(Job).items()]
  out.append('  --dry_run: Print what would be sent; do nothing.')
  for name, backend in BACKENDS.items():
    out.append(f'\n--backend={name}')
    out += [line(n, f) for n, f in _fields(backend).items() if n not in common]
  return '\n'.join(out)
