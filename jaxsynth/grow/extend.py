"""More steps, in place, where nothing depends on the length.

`extend` continues a finished training from its last full state. What is on
disk stays as it is; only the index is replaced, by one that names the new
length and keeps the old one under 'extensions'. The result is, bit for bit, a
training of the new length with the same plan. Where that cannot be, see
`jaxsynth.grow.fork`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from jaxsynth import build, peers, stage
from jaxsynth.config import plain
from jaxsynth.errors import UserError
from jaxsynth.grow import lengthen, source
from jaxsynth.train.program import Program
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import paths, plan, shards
from jaxsynth.trajectory.trajectory import Trajectory
from jaxsynth.trajectory.writer import Writer


def extend(
  folder: Path,
  steps: int,
  *,
  plans: dict[str, plan.Plan | None] | None = None,
  program: Program | None = None,
  allow: Sequence[str] = (),
  stopping: Callable[[], bool] = lambda: False,
  say: Callable[[str], None] = print,
  quiet: bool = False,
) -> Trajectory:
  """Trains a finished trajectory, and what was added to it, to more steps.

  An interrupted extension is continued by the same call.

  Args:
    folder: the trajectory.
    steps: the new length.
    plans: of the new steps, by 'snapshots', 'evals' and 'branches'; the old
      ones go on by default.
    program: of the training, if not the ordinary one.
    allow: 'source_digest' and 'layout' go on although they have changed.
    stopping: asked between calls.
    say: takes one line.
    quiet: no progress bar.

  Raises:
    UserError: it cannot be extended in place, and why; nothing was changed.
    loop.Stopped: `stopping` said so; what was done is saved.
  """
  parts = prepared(folder, steps, plans, program, allow)
  peers.anywhere(False)  # until all have read it nobody changes an index
  for part, index in parts:
    if index is not None:
      peers.first(lambda part=part, index=index: _write(part, index))
    traj = Trajectory(part)
    end = lengthen.decayed(traj.index['config'])
    if end is not None and end < steps:
      say(f'extend: the learning rate is 0 from step {end} on')
    stage.train(
      build.build(traj.index['config']),
      part,
      program=program,
      parent=source.parent_of(traj),
      origin=_origin_again(traj),
      title='extend',
      allow=tuple(allow),
      stopping=stopping,
      quiet=quiet,
    )
  return stage.open_trajectory(folder, program=program)


def _write(part: Path, index: dict) -> None:
  """Puts the index of the longer training in the place of the present one."""
  with Writer(part, indexes.split(indexes.read(part))[0]):
    indexes.write(part, index)


def prepared(
  folder: Path,
  steps: int,
  plans: dict[str, plan.Plan | None] | None = None,
  program: Program | None = None,
  allow: Sequence[str] = (),
) -> list[tuple[Path, dict | None]]:
  """Each shard and its new index (None: it is there already), all checked.

  Raises:
    UserError: as `extend`, of which these are the arguments.
  """
  folder = paths.of(folder)
  workdir, _ = source.workdir_of(folder)
  if (workdir / 'config.json').exists():
    raise UserError(
      f'{workdir} belongs to a study, whose verdict is about the steps it has: '
      'use --fork=NEWDIR'
    )
  given = {k: v for k, v in (plans or {}).items() if v is not None}
  parts = [folder, *shards.added(folder)]
  return [(p, _extended(p, steps, given, program, allow)) for p in parts]


def _origin_again(traj: Trajectory) -> stage.Origin | None:
  """What the index says of where a fork came from."""
  record = traj.index.get('origin')
  return record and stage.Origin(
    source.specs_of(traj), traj.start, None, record
  )


def _extended(
  folder: Path,
  steps: int,
  plans: dict,
  program: Program | None,
  allow: Sequence[str],
) -> dict | None:
  """The index of the longer training; None if that is what it is by now."""
  traj = Trajectory(folder)
  index = traj.index
  if (index.get('origin') or {}).get('kind') == 'zoom':
    raise UserError(f'{folder} is a zoom: extend {traj.origin.folder}')
  found = source.of(traj, program, allow)
  source.require_layout(found, allow)
  source.require_format(traj)
  history = index.get('extensions', [])
  asked = plain({'steps': steps, **plans})  # as the note reads it back
  if history and history[-1]['asked'] == asked:
    return None
  source.require_finished(traj)
  try:
    config = lengthen.longer(index['config'], steps, plans)
  except UserError as e:
    raise UserError(f'{folder} cannot be extended in place: {e}') from None
  longer = build.build(config)
  note = {
    'asked': asked,
    'from': index['steps'],
    'to': steps,
    'train': index['config']['train'],
    'config_hash': index['config_hash'],
    'source_digest': longer.source_digest,
  }
  return {
    **index,
    'config': config,
    'config_hash': longer.config_hash,
    'steps': steps,
    'extensions': [*history, note],
  }
