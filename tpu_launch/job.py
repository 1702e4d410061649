"""What every backend runs: one training, described by flags.

The fields of a backend's dataclass are its flags: name, type, default and
help stand here once (`tpu_launch.flags` makes absl flags of them).
"""

import dataclasses
import re
import shutil
from collections.abc import Sequence
from typing import Any

from jaxsynth import build, launch, split
from jaxsynth.errors import UserError, unknown

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
  shards: int = option(
    'Cut the sweep into so many jobs, NAME-0, NAME-1, ...', 1
  )
  shard: int = option('Only that one of them, from 0.', -1)
  overrides: tuple[str, ...] = ()

  def __post_init__(self):
    require('name', self.name, NAME, 'widths-2')
    if self.restarts < 0:
      raise UserError(f'--restarts is a count, got {self.restarts}')
    if self.shards < 1:
      raise UserError(f'--shards is a count, got {self.shards}')
    if self.shard != -1 and not 0 <= self.shard < self.shards:
      raise UserError(
        f'--shard counts from 0 to {self.shards - 1}, got {self.shard}'
      )
    for item in self.allow:
      if item not in ALLOWED:
        raise unknown('--allow', item, ALLOWED)
    for word in (self.config, self.seeds, *self.overrides, *self.allow):
      if '\0' in word or not _is_text(word):
        raise UserError(f'no command can carry {word!r}')

  def train_argv(self, workdir: str, several: bool) -> list[str]:
    """The arguments of `jaxsynth.experiments.train`."""
    return [
      f'--config={self.config}',
      *(f'--config.{item}' for item in self.overrides),
      f'--workdir={workdir}',
      *([f'--seeds={self.seeds}'] if self.seeds else []),
      *(f'--allow={item}' for item in self.allow),
      *(['--tensorboard'] if self.tensorboard else []),
      *(['--distributed'] if several else []),
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
    overrides = [*launch.seed_overrides(self.seeds), *self.overrides]
    groups = build.groups(launch.load_config(self.config, overrides))
    if self.cut:
      split.setups(groups, self.shards, max(self.shard, 0))
    return groups

  @property
  def cut(self) -> bool:
    """Whether the sweep is cut into shards."""
    return self.shards > 1

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
