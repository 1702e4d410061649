"""A sweep cut into shards, each trained by a job of its own.

The plan depends on the config and the number of shards alone, so any job works
out its own part, anywhere and in any order. With no more shards than static
groups, a shard is some whole groups. With more, each group is cut by seeds,
and where there are fewer seeds than parts, by values of its longest traced
axis too; a part is again a product of axes and seeds, an ordinary sweep.

The first part of a group is a trajectory where the group belongs, the others
lie inside it, FOLDER/shards/part-I-of-N: as runs that were added later, all
are read as one (`jaxsynth.trajectory.shards`). Runs never see each other, so
the whole is, bit for bit, the sweep that was cut.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from jaxsynth import build
from jaxsynth.config import config_hash, nested, plain
from jaxsynth.errors import UserError
from jaxsynth.train.sweep import Sweep, alike
from jaxsynth.trajectory import cut, manifest, shards


@dataclasses.dataclass(frozen=True)
class Part:
  """A part of the runs of one static group.

  Attributes:
    group: which of the groups, from 0.
    part: which part of it, from 0; 0 is where the group belongs.
    parts: into how many the group is cut.
    seeds: of its runs.
    traced: config path -> values.
  """

  group: int
  part: int
  parts: int
  seeds: tuple[int, ...]
  traced: Mapping[str, tuple[float, ...]]


def _cut(values: Sequence, count: int) -> list[tuple]:
  """Consecutive pieces, whose lengths differ by one at most."""
  pieces = np.array_split(np.arange(len(values)), count)
  return [tuple(values[i] for i in piece) for piece in pieces]


def _parts(sweep: Sweep, group: int, count: int) -> list[Part]:
  """One group in `count` parts."""
  traced = {k: tuple(alike(v)) for k, v in sweep.traced.items()}
  axis = max(traced, key=lambda k: len(traced[k]), default=None)
  pieces = _cut(sweep.seed_list, min(count, len(sweep.seed_list)))
  # How often each piece of the seeds is cut again, by an axis.
  again = [len(x) for x in _cut(range(count), len(pieces))]
  out = []
  for seeds, times in zip(pieces, again):
    for values in _cut(traced[axis], times) if axis else [()]:
      own = {**traced, axis: values} if axis else {}
      out.append(Part(group, len(out), count, seeds, own))
  return out


def most(sweeps: Sequence[Sweep]) -> int:
  """Into how many shards the sweeps of static groups can be cut."""
  one = sweeps[0]
  longest = max(map(len, one.traced.values()), default=1)
  return len(sweeps) * len(one.seed_list) * longest


def plan(sweeps: Sequence[Sweep], count: int) -> list[list[Part]]:
  """What each of `count` shards trains.

  Args:
    sweeps: of the static groups, alike in seeds and traced axes.
    count: how many shards.

  Raises:
    UserError: they cannot be cut so finely.
  """
  if not 1 <= count <= most(sweeps):
    raise UserError(
      f'this sweep can be cut into 1 to {most(sweeps)} shards, got {count}'
    )
  if count <= len(sweeps):
    groups = [_parts(sweep, g, 1)[0] for g, sweep in enumerate(sweeps)]
    return [list(some) for some in _cut(groups, count)]
  sizes = [len(x) for x in _cut(range(count), len(sweeps))]
  return [
    [part]
    for g, (sweep, size) in enumerate(zip(sweeps, sizes))
    for part in _parts(sweep, g, size)
  ]


def setups(
  groups: Mapping[str, build.Setup], count: int, shard: int
) -> dict[str, build.Setup]:
  """One Setup per part that a shard trains, by its folder within the stage.

  Args:
    groups: of the whole sweep, see `build.groups`.
    count: number of shards.
    shard: which of them, from 0.

  Raises:
    UserError: there is no such shard, or no such plan.
  """
  planned = plan([setup.sweep for setup in groups.values()], count)
  if not 0 <= shard < count:
    raise UserError(f'--shard counts from 0 to {count - 1}, got {shard}')
  labels, out = list(groups), {}
  for part in planned[shard]:
    label = labels[part.group]
    setup = groups[label]
    whole = part.parts == 1
    out[_folder(label, part)] = setup if whole else _only(setup, part)
  return out


def _folder(label: str, part: Part) -> str:
  """Where a part of the group of that label lies within the stage."""
  if not part.part:
    return label
  name = f'part-{part.part}-of-{part.parts}'
  return str(Path(label) / shards.FOLDER / name)


def _listed(
  groups: Mapping[str, build.Setup], count: int
) -> list[dict[str, Any]]:
  """Every part of every shard, as the note of the stage names it."""
  labels = list(groups)
  planned = plan([setup.sweep for setup in groups.values()], count)
  return [
    {
      'shard': shard,
      'folder': _folder(labels[part.group], part),
      'runs': runs_of(part),
      'steps': groups[labels[part.group]].train.steps,
    }
    for shard, parts in enumerate(planned)
    for part in parts
  ]


def runs_of(part: Part) -> int:
  """How many runs a part has."""
  return len(part.seeds) * math.prod(map(len, part.traced.values()))


def _only(setup: build.Setup, part: Part) -> build.Setup:
  config = build.complete(setup.config)
  with config.unlocked(), config.sweep.ignore_type():
    config.sweep.seeds = part.seeds
    config.sweep.traced = ConfigDict(nested(part.traced))
  return build.build(config)


def agree(
  stage: Path, config: Any, groups: Mapping[str, build.Setup], count: int
) -> None:
  """Notes in a stage how its sweep is cut, or compares with the note.

  Args:
    stage: where all shards train.
    config: of the whole sweep.
    groups: what it makes.
    count: number of shards; 1 for a sweep that is not cut.

  Raises:
    UserError: it is cut otherwise, or holds another sweep.
  """
  note = {'config_hash': config_hash(plain(config)), 'shards': count}
  if cut.read(stage) is None:
    if count == 1:
      return
    if stage.exists() and any(stage.iterdir()):
      raise UserError(f'{stage} holds a sweep that is not cut into shards')
    stage.mkdir(parents=True, exist_ok=True)
    parts = _listed(groups, count)
    manifest.write_json(cut.path_of(stage), {**note, 'parts': parts})
  found = cut.read(stage)
  if found['shards'] != count:
    raise UserError(
      f'{stage} holds a sweep cut into {found["shards"]} shards: '
      f'--shards={found["shards"]}, got {count}'
    )
  if found['config_hash'] != note['config_hash']:
    raise UserError(
      f'{stage} holds shards of another config: use another workdir'
    )


def lines(groups: Mapping[str, build.Setup], count: int) -> list[str]:
  """A plan to read: a line a part, each under its shard."""
  labels, out = list(groups), []
  planned = plan([setup.sweep for setup in groups.values()], count)
  for shard, parts in enumerate(planned):
    for part in parts:
      runs = runs_of(part)
      seeds = ','.join(map(str, part.seeds))
      axes = [f'{k}={list(v)}' for k, v in part.traced.items()]
      said = '; '.join([labels[part.group], f'seeds {seeds}', *axes])
      noun = 'run' if runs == 1 else 'runs'
      out.append(f'  shard {shard}  {runs} {noun}: {said.removeprefix("; ")}')
  return out
