"""More steps: in place where nothing depends on the length, else a fork.

`extend` continues a finished training from its last full state. What is on
disk stays as it is; only the index is replaced, by one that names the new
length and keeps the old one under 'extensions'. The result is, bit for bit, a
training of the new length with the same plan.

`fork` trains a longer config elsewhere. Its history up to the last full state
both have in common is copied, the rest is trained: with a decay stretched to
the new length that is the last one inside the warm-up, so a fork is mostly a
new training. A child stage of the last step would be another experiment: its
optimizer and its data would begin again.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxsynth import build, stage
from jaxsynth import source as code
from jaxsynth.config import plain
from jaxsynth.errors import UserError
from jaxsynth.grow import lengthen, proof, source
from jaxsynth.grow.zoom import Zoomed
from jaxsynth.train.program import Program
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import manifest, plan, saves, shards, states
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
  for part, index in prepared(folder, steps, plans, program, allow):
    if index is not None:
      with Writer(part, indexes.split(indexes.read(part))[0]):
        indexes.write(part, index)
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
  folder = Path(folder)
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
  note = {
    'asked': asked,
    'from': index['steps'],
    'to': steps,
    'train': index['config']['train'],
    'config_hash': index['config_hash'],
    'source_digest': code.source_digest(),
  }
  return {
    **index,
    'config': config,
    'config_hash': build.build(config).config_hash,
    'steps': steps,
    'extensions': [*history, note],
  }


def fork(
  folder: Path,
  steps: int,
  output: Path,
  *,
  plans: dict[str, plan.Plan | None] | None = None,
  program: Program | None = None,
  allow: Sequence[str] = (),
  stopping: Callable[[], bool] = lambda: False,
  say: Callable[[str], None] = print,
  quiet: bool = False,
) -> Zoomed:
  """Trains the longer config of a trajectory elsewhere; see the module.

  Args:
    folder: the trajectory.
    steps: the new length.
    output: the folder of the fork; an interrupted one is continued.
    plans: of the whole fork; by default the old ones over the new length.
    program: of the training, if not the ordinary one.
    allow: 'source_digest' goes on although the code has changed since.
    stopping: asked between calls.
    say: takes one line.
    quiet: no progress bar.

  Returns:
    The fork, and the proof of what it has in common with its source.

  Raises:
    UserError: the source cannot be retraced or `output` holds something else.
    loop.Stopped: `stopping` said so; what was done is saved.
  """
  traj, output = Trajectory(Path(folder)), Path(output).absolute()
  if shards.added(traj.folder):
    raise UserError(
      f'runs were added to {folder}: a fork has those of its config, fork a '
      'copy without them and add them again'
    )
  found = source.of(traj, program, allow)
  source.require_format(traj)
  source.require_finished(traj)
  _require_free(output)
  old = traj.index['config']
  new = lengthen.stretched(old, steps, plans or {})
  common = lengthen.common(old, new)
  until = min(common, 0 if found.layout else lengthen.agree(old, new))
  branches = set(plan.steps_of(new['train']['branches'], steps).tolist())
  kept = set(states.kept(traj, ('branches',)))
  until = min([until, *(branches - kept)])  # those before it are copied
  begin = max([s for s in states.kept(traj) if s <= until], default=0)
  begin = begin if begin in _segment_ends(traj) else 0
  state = None
  if begin:
    state = begin, states.load(traj, begin, traj.run_index)
    if begin not in branches:
      listed = lengthen.listed(new['train']['branches'])
      new['train']['branches'] = [*listed, begin]
  copied = _copied(traj, begin, branches)
  record = {
    'kind': 'fork',
    'trajectory': os.path.relpath(traj.folder, output),
    'config_hash': indexes.first_hash(traj.index),
    'step': begin,
    'run_ids': [run['run_id'] for run in traj.index['runs']],
    'indexes': sorted({manifest.read(path)['index'] for path in copied}),
  }
  specs = source.specs_of(traj)
  say(
    f'fork: its first {common} updates are those of {traj.folder}; '
    f'{begin} steps are copied, {steps - begin} trained'
  )
  result = stage.train(
    build.build(new),
    output,
    program=program,
    parent=source.parent_of(traj),
    origin=stage.Origin(specs, 0, state, record, copied),
    title='fork',
    allow=tuple(allow),
    stopping=stopping,
    quiet=quiet,
  )
  proved = proof.prove(traj, result, not found.layout, until=common)
  manifest.write_json(output / 'proof.json', proved.record())
  return Zoomed(result, proved)


def _segment_ends(traj: Trajectory) -> set[int]:
  return {body['stop'] for _, body in traj.segments}


def _copied(traj: Trajectory, until: int, branches: set[int]) -> list[Path]:
  """The saves a fork takes over: segments, and the branch points it plans."""
  segments = [path for path, body in traj.segments if body['stop'] <= until]
  states_of = saves.committed(traj.folder / 'branches')
  before = [p for p in states_of if int(p.name) in branches - {until}]
  return [*segments, *(p for p in before if int(p.name) < until)]


def _require_free(output: Path) -> None:
  """Refuses a folder that holds something that no fork began.

  Raises:
    UserError: what it holds.
  """
  if indexes.path_of(output).exists():
    return
  begun = ('lock', 'indexes', 'index.json.part')
  foreign = [p.name for p in output.glob('*') if p.name not in begun]
  if foreign:
    raise UserError(f'{output} holds {foreign[0]!r}: choose another folder')
