"""What every backend runs: one training, described by flags.

The fields of a backend's dataclass are its flags: name, type, default and
help stand here once (`tpu_launch.flags` makes absl flags of them).
"""

import dataclasses
import re
import shutil
from collections.abc import Sequence
from typing import Any

import jax

from jaxsynth import build, capacity, launch, split
from jaxsynth.errors import UserError, unknown
from jaxsynth.spawn import HEARTBEAT_S, PATIENCE_S
from jaxsynth.trajectory import paths

# The folder, below the current one, that keeps what was sent.
RECORDS = 'runs/launch'
# What a training may be allowed to find changed.
ALLOWED = ('layout', 'source_digest')
NAME = r'[a-z]([a-z0-9-]{0,38}[a-z0-9])?'


def option(help: str, default: Any = dataclasses.MISSING) -> Any:
  """A field that is a flag; without a default it is required."""
  return dataclasses.field(default=default, metadata={'help': help})


def require(name: str, value: str, pattern: str, example: str) -> None:
  """Checks the form of a flag.

  Raises:
    UserError: it has another.
  """
  if not re.fullmatch(pattern, value):
    raise UserError(f'--{name} is as in {example}, got {value!r}')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
  """One training.

  Raises:
    UserError: on construction, if a flag has no valid form.
  """

  name: str = option('What the job is called: lower case, digits, hyphens.')
  config: str = option('NAME[:PRESET] or a file; --config.PATH=VALUE overrides')
  seeds: str = option('A count (8), a list (0,5,9) or a range (0:8).', '')
  allow: tuple[str, ...] = option('Passed on to the training.', ())
  tensorboard: bool = option('Write live curves.', False)
  restarts: int = option(
    'How often a training that was interrupted is started again.', 100
  )
  heartbeat: int = option(
    'Seconds after which a silent process counts as dead.', HEARTBEAT_S
  )
  patience: int = option('Seconds to wait for one that lives.', PATIENCE_S)
  shards: int | str = option(
    'Cut the sweep into so many jobs, NAME-0, NAME-1, ...; auto for as many as '
    'its size asks for.', 1,
  )  # fmt: skip
  shard: int = option('Only that one of them, from 0.', -1)
  job: str = option('For --shards=auto: what each has, DEVICESxGIB (8x16).', '')
  overrides: tuple[str, ...] = ()

  def __post_init__(self):
    require('name', self.name, NAME, 'widths-2')
    if self.restarts < 0:
      raise UserError(f'--restarts is a count, got {self.restarts}')
    for flag in self._waits:
      if getattr(self, flag) < 1:
        raise UserError(
          f'--{flag} is a number of seconds, got {getattr(self, flag)}'
        )
    self._check_shards()
    for item in self.allow:
      if item not in ALLOWED:
        raise unknown('--allow', item, ALLOWED)
    for word in (self.config, self.seeds, *self.overrides, *self.allow):
      if '\0' in word or not _is_text(word):
        raise UserError(f'no command can carry {word!r}')

  def _check_shards(self) -> None:
    if self.shards == capacity.AUTO:
      return
    if not re.fullmatch(r'[1-9]\d*', str(self.shards)):
      raise UserError(f'--shards is a count or auto, got {self.shards}')
    object.__setattr__(self, 'shards', int(self.shards))  # as flags are text
    if self.job:
      raise UserError('--job is for --shards=auto')
    if self.shard != -1 and not 0 <= self.shard < self.shards:
      raise UserError(
        f'--shard counts from 0 to {self.shards - 1}, got {self.shard}'
      )

  @property
  def several(self) -> bool:
    """Whether several processes train together."""
    return False

  @property
  def _waits(self) -> dict[str, int]:
    """What only processes that train together need, with its default."""
    return {'heartbeat': HEARTBEAT_S, 'patience': PATIENCE_S}

  def room(self) -> capacity.Job:
    """What one job has.

    Raises:
      UserError: nobody knows.
    """
    if not self.job:
      raise UserError(
        '--shards=auto needs --job=DEVICESxGIB here: what a job has is known '
        'of slices that are listed'
      )
    return capacity.parse(self.job)

  def settled(self) -> 'Job':
    """The same with a number of shards for 'auto'.

    Raises:
      UserError: the config is none, or no number of shards fits.
    """
    if self.shards != capacity.AUTO:
      return self
    # Some shapes are worked out by computing: accelerators are not for that.
    jax.config.update('jax_platforms', 'cpu')
    count = capacity.shards(self._groups(), self.room())
    return dataclasses.replace(self, shards=count, job='')

  def train_argv(self, workdir: str, together: Sequence[str]) -> list[str]:
    """The arguments of a training.

    Args:
      workdir: where the runs are kept.
      together: how its processes find each other, if there are several.
    """
    waits = [
      f'--{flag}={getattr(self, flag)}'
      for flag, default in self._waits.items()
      if getattr(self, flag) != default
    ]
    return [
      f'--config={self.config}',
      *(f'--config.{item}' for item in self.overrides),
      f'--workdir={workdir}',
      *([f'--seeds={self.seeds}'] if self.seeds else []),
      *(f'--allow={item}' for item in self.allow),
      *(['--tensorboard'] if self.tensorboard else []),
      *([*together, *waits] if self.several else []),
      *(
        [f'--shards={self.shards}', f'--shard={self.shard}'] if self.cut else []
      ),
    ]

  def check(self) -> dict:
    """Reads the config as the training will.

    Returns:
      Its static groups, by label.

    Raises:
      UserError: the training would refuse it.
    """
    groups = self._groups()
    if self.cut:
      split.setups(groups, self.shards, max(self.shard, 0))
    for flag, default in self._waits.items():
      if getattr(self, flag) != default and not self.several:
        raise UserError(
          f'--{flag} is for processes that train together: this job has one'
        )
    return groups

  def _groups(self) -> dict[str, build.Setup]:
    overrides = [*launch.seed_overrides(self.seeds), *self.overrides]
    return build.groups(launch.load_config(self.config, overrides))

  @property
  def cut(self) -> bool:
    """Whether the sweep is cut into shards."""
    return self.shards != 1

  @property
  def title(self) -> str:
    """What the job is called where it runs."""
    return f'{self.name}-{self.shard}' if self.cut else self.name

  @property
  def record(self) -> str:
    """The folder that keeps what was sent for this job."""
    return f'{RECORDS}/{self.title}'

  def each(self) -> list['Job']:
    """The jobs it stands for: one, or one a shard."""
    if not self.cut or self.shard != -1:
      return [self]
    return [dataclasses.replace(self, shard=i) for i in range(self.shards)]


def check_workdir(workdir: str, tensorboard: bool) -> None:
  """Checks where runs are to be kept, as far as its name tells.

  Raises:
    UserError: it is neither a folder nor one of a bucket, or of a bucket where
      live curves are asked for.
  """
  if not workdir:
    raise UserError('--workdir is empty: name a folder')
  if paths.checked(workdir) and tensorboard:
    paths.local(workdir, '--tensorboard writes')


def _is_text(word: str) -> bool:
  try:
    word.encode()
  except UnicodeEncodeError:
    return False
  return True


def need(programs: Sequence[str]) -> None:
  """Checks that programs are there, before any of them is run.

  Raises:
    UserError: one is not.
  """
  for program in programs:
    if shutil.which(program) is None:
      raise UserError(
        f'{program} is not on PATH: install it, or see with --dry_run what '
        'would be sent'
      )
