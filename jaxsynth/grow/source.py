"""What growing starts from: a training on disk that this code can retrace."""

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.train import layout as layouts
from jaxsynth.train.program import Program
from jaxsynth.train.sweep import RunSpec
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import manifest, paths, shards
from jaxsynth.trajectory.compare import differences
from jaxsynth.trajectory.trajectory import Trajectory


class Source(NamedTuple):
  """A training, ready to be retraced.

  Attributes:
    traj: what is on disk of it.
    setup: its config, built.
    layout: where the layout here differs from the recorded one, one
      'path: old -> new' each; bit equality is expected if nowhere.
  """

  traj: Trajectory
  setup: build.Setup
  layout: list[str]


def of(
  traj: Trajectory, program: Program | None = None, allow: Sequence[str] = ()
) -> Source:
  """A trajectory as a source, if code and config are what they were.

  Args:
    traj: of one or several shards.
    program: of the training, if not the ordinary one.
    allow: 'source_digest' takes it all the same if the code has changed.

  Raises:
    UserError: the code has changed, or what its config means; or the training
      had a program of its own and none is given, or the other way round.
  """
  index = traj.index
  own = 'own' if program else 'of the config'
  if index.get('program', own) != own:
    raise UserError(
      f'{traj.folder} trained a program of its own: only code that passes '
      'program=... can retrace it'
      if program is None
      else f'{traj.folder} trained the program of its config: pass no program'
    )
  setup = build.build(index['config'])
  if setup.config_hash != index['config_hash']:
    changed = differences(index['config'], setup.config)
    raise UserError(
      f'the config of {traj.folder} is another one now '
      f'({"; ".join(changed[:3]) or "its hash differs"}): its steps cannot be '
      'retraced'
    )
  digest = setup.source_digest
  others = {s.index['source_digest'] for s in traj.shards} - {digest}
  if others and 'source_digest' not in allow:
    raise UserError(
      f'{traj.folder} was trained by other code (source digest '
      f'{", ".join(sorted(others))}, now {digest}): check out that code, or '
      'try all the same with --allow source_digest'
    )
  here = layouts.lasting(stage.layout_of(setup).record())
  layout = []
  for shard in traj.shards:
    layout += differences(shard.index['layout'], here)
  return Source(traj, setup, list(dict.fromkeys(layout)))


def require_format(traj: Trajectory) -> None:
  """Refuses to continue what an older version wrote.

  Raises:
    UserError: its format is another.
  """
  if traj.index.get('format') != manifest.FORMAT:
    raise UserError(
      f'{traj.folder} is of format {traj.index.get("format")}: it can be read '
      f'and zoomed into, not continued; a training now has {manifest.FORMAT}'
    )


def require_layout(found: Source, allow: Sequence[str]) -> None:
  """Refuses to add to a trajectory under another layout.

  Raises:
    UserError: the layout differs and 'layout' is not in `allow`.
  """
  if found.layout and 'layout' not in allow:
    raise UserError(
      f'{found.traj.folder} was trained in another layout '
      f'({"; ".join(found.layout[:3])}): its bits would differ; add to it all '
      'the same with --allow layout'
    )


def require_finished(traj: Trajectory) -> None:
  """Refuses a training that has not reached its last step.

  Raises:
    UserError: there are steps left.
  """
  for shard in traj.shards:
    stop, last = shards.reached(shard.folder), shard.index['steps']
    if stop < last:
      raise UserError(
        f'{shard.folder} is at step {stop} of {last}: finish it first with '
        'the command that began it'
      )


def specs_of(traj: Trajectory) -> list[RunSpec]:
  """The runs of a view, as the loop trains them."""
  rows = [traj.index['runs'][i] for i in traj.run_index]
  return [RunSpec(row['seeds'], row['hparams']) for row in rows]


def config_of(traj: Trajectory, **train: Any) -> dict[str, Any]:
  """The complete config of a trajectory with some of `train` replaced."""
  config = copy.deepcopy(traj.index['config'])
  config['train'] |= train
  return config


def parent_of(traj: Trajectory) -> stage.Parent | None:
  """The parent of the runs of a view, as the index names it.

  Raises:
    UserError: it is not where it was, or another training now.
  """
  records = [shard.index.get('parent') for shard in traj.shards]
  if records[0] is None:
    return None
  folder = paths.at(traj.folder, records[0]['trajectory'])
  parent = shards.opened(folder)
  if indexes.first_hash(parent.index) != records[0]['config_hash']:
    raise UserError(
      f'{folder}, the parent of {traj.folder}, is another training now'
    )
  position = {run['run_id']: i for i, run in enumerate(parent.index['runs'])}
  ids = [run_id for record in records for run_id in record['run_ids']]
  runs = [position[ids[i]] for i in traj.run_index]
  return stage.Parent(parent, records[0]['step'], runs)


def workdir_of(folder: Path) -> tuple[Path, str]:
  """The workdir of a trajectory folder, and its name in there.

  WORKDIR/stages/train/width=8 is ('WORKDIR', 'train/width=8'); a folder
  outside any workdir is its own name in its parent.
  """
  folder = paths.of(folder).absolute()
  for above in folder.parents:
    if above.name == 'stages':
      return above.parent, folder.relative_to(above).as_posix()
  return folder.parent, folder.name


def one_in(path: Path) -> Path:
  """The only trajectory at or below a path.

  Raises:
    UserError: there is none, or several to choose from.
  """
  found = shards.standing(paths.of(path))
  if len(found) > 1:
    listed = ', '.join(str(f) for f in found[:4])
    more = ', ...' if len(found) > 4 else ''
    raise UserError(
      f'{path} holds {len(found)} trajectories, name one: {listed}{more}'
    )
  return found[0]


def file_name(text: str) -> str:
  """A text as part of a file name: '400:500:1' is '400-500-1'."""
  return re.sub(r'[^\w.=]+', '-', text).strip('-')
