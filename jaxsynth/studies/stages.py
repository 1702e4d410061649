"""The stages of a study, each in one piece or cut into shards.

A job of a shard (`jaxsynth reproduce NAME --shards=N --shard=I`) trains shard I
of each stage and measures nothing. Where a stage builds on another, its shards
wait until all of that one are there, as each run looks for its parent among
them. Whoever reproduces the study in the same workdir without `--shard` takes
finished shards over, trains those that are missing, and measures the whole.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxsynth import build, capacity, launch, peers, stage
from jaxsynth.errors import UserError
from jaxsynth.trajectory import cut
from jaxsynth.trajectory.trajectory import Trajectory


class Trained(Exception):  # noqa: N818
  """A job of a shard has done its part; the message says what comes next."""


def count(
  folder: Path,
  groups: dict[str, build.Setup],
  wanted: int | str,
  job: capacity.Job | None,
) -> int:
  """Into how many shards a stage is cut: as its note says, else as wanted.

  Args:
    folder: of the stage.
    groups: of the whole sweep.
    wanted: a number, 1 if nobody asked, or 'auto'.
    job: what a shard's job has, for 'auto'.
  """
  note = cut.read(folder)
  if wanted == capacity.AUTO or (wanted == 1 and note):
    return capacity.choose(folder, groups, job)
  return wanted


def train(
  name: str,
  config: ConfigDict,
  workdir: Path,
  *,
  shards: int | str = 1,
  shard: int | None = None,
  job: capacity.Job | None = None,
  **options: Any,
) -> Trajectory:
  """Trains a stage, or one shard of it, and opens it.

  Args:
    name: of the stage.
    config: of all its runs.
    workdir: of the study.
    shards: see `count`.
    shard: train this one only.
    job: see `count`.
    options: of `launch.train`.

  Raises:
    UserError: the stage has static axes, or cannot be cut so.
    Trained: other shards are missing.
  """
  groups = build.groups(config)
  if list(groups) != ['']:
    raise UserError(f'stage {name!r} of a study may have no static axes')
  folder = workdir / 'stages' / name
  number = peers.first(lambda: count(folder, groups, shards, job))
  for one in range(number) if shard is None else [shard]:
    made = launch.train(
      config, workdir, stage_name=name, shards=number, shard=one, **options
    )
  if number == 1:
    return made['']
  lost = peers.first(lambda: list(cut.missing(folder).values()))
  if lost:
    raise Trained(f'stage {name!r} waits for {"; ".join(lost)}')
  return stage.open_trajectory(folder)


def before_measuring(shard: int | None) -> Callable[[str], None]:
  """What a bench asks before it measures; the job of a shard then ends."""

  def ask(name: str) -> None:
    if shard is not None:
      raise Trained(
        f'shard {shard} is trained; the same command without --shard measures '
        f'{name!r}'
      )

  return ask
