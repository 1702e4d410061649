"""More steps, elsewhere: a longer training that begins as this one did.

The history up to the last full state both have in common is copied, the rest
is trained: with a decay stretched to the new length that is the last one
inside the warm-up, so a fork is mostly a new training. A child stage of the
last step would be another experiment: its optimizer and its data would begin
again.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.grow import lengthen, proof, source
from jaxsynth.grow.zoom import Zoomed
from jaxsynth.train.program import Program
from jaxsynth.trajectory import (
  bucket_lock,
  manifest,
  paths,
  plan,
  saves,
  shards,
  states,
)
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory.trajectory import Trajectory


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
  traj, output = Trajectory(paths.of(folder)), paths.of(output).absolute()
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
    'trajectory': paths.relative(traj.folder, output),
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
  begun = ('indexes', 'index.json.part')
  foreign = [
    p.name
    for p in output.glob('*')
    if p.name not in begun and not bucket_lock.belongs(p.name)
  ]
  if foreign:
    raise UserError(f'{output} holds {foreign[0]!r}: choose another folder')
