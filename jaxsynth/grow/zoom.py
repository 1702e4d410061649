"""Looking closer: some steps of some runs again, with denser snapshots.

A zoom begins at the nearest full state at or before the first step asked for
(a branch point, a checkpoint, or the initialisation), trains to the last one,
and is a trajectory of its own. It keeps the steps asked for and those the
source has between them, so that it can be proved to be the same training:
see `jaxsynth.grow.proof`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.grow import proof, source
from jaxsynth.train.program import Program
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import manifest, paths, plan, states
from jaxsynth.trajectory.trajectory import Trajectory


class Zoomed(NamedTuple):
  """A zoom, and how well it retraced its source."""

  trajectory: Trajectory
  proof: proof.Proof


def parse_steps(text: str) -> plan.Plan:
  """`--steps`: 'A:B' or 'A:B:STRIDE', both ends included, or any plan.

  Raises:
    UserError: B lies before A, or the stride is 0.
  """
  parts = text.split(':')
  if len(parts) in (2, 3) and all(p.isdigit() for p in parts):
    first, stop, stride = (*map(int, parts), 1)[:3]
    if stop < first or not stride:
      raise UserError(f'steps {text} name none: write FIRST:LAST:STRIDE')
    return sorted({*range(first, stop + 1, stride), stop})
  if all(p.isdigit() for p in text.split(',') if p):
    return [int(p) for p in text.split(',') if p]
  return text


def zoom(
  traj: Trajectory,
  steps: plan.Plan,
  output: Path,
  *,
  evals: plan.Plan | None = None,
  program: Program | None = None,
  tolerance: float = proof.TOLERANCE,
  allow: Sequence[str] = (),
  stopping: Callable[[], bool] = lambda: False,
  say: Callable[[str], None] = print,
  quiet: bool = False,
) -> Zoomed:
  """Retrains some steps of the runs of a view with denser snapshots.

  In `map` layout any runs can be zoomed alone; in `vmap` layout too, as no
  run of a block sees another.

  Args:
    traj: the runs to zoom into, e.g. `traj.sel(run=[3])`.
    steps: plan of the snapshots.
    output: where the zoom goes; one that was interrupted is continued.
    evals: plan of the evaluations, cut to the steps; those of the source by
      default, and always with them.
    program: of the training, if not the ordinary one.
    tolerance: for the comparison under another layout.
    allow: 'source_digest' goes on although the code has changed since.
    stopping: asked between calls.
    say: takes one line.
    quiet: no progress bar.

  Returns:
    The zoom, also recorded in its folder (`proof.json`). Whether it is right
    is for the caller to ask: `zoomed.proof.passed`.

  Raises:
    UserError: the source cannot be retraced, or the steps are not in it.
    loop.Stopped: `stopping` said so; what was done is saved.
  """
  found = source.of(traj, program, allow)
  first, last, setup = _planned(traj, steps, evals)
  trained = traj.segments[-1][1]['stop']
  output = paths.of(output).absolute()
  origin, parent = _origin(traj, first, last, output)
  specs = origin.runs
  begun = f'the full state at step {origin.start}'
  if origin.state is None:
    begun = f'step 0 (no full state was kept up to step {first})'
  whole = trained * len(traj.index['runs'])
  share = (last - origin.start) * len(specs) / whole
  say(
    f'zoom: {len(specs)} runs from {begun} to step {last}, '
    f'{last - origin.start} updates each: {share:.2g} of the source training'
  )
  if found.layout:
    say(
      'zoom: the layout here is not the recorded one '
      f'({"; ".join(found.layout[:3])}): its bits cannot be expected, '
      f'distances up to {tolerance:g} are accepted'
    )
  result = stage.train(
    setup,
    output,
    program=program,
    parent=parent,
    origin=origin,
    title='zoom',
    stopping=stopping,
    allow=tuple(allow),
    quiet=quiet,
  )
  proved = proof.prove(traj, result, not found.layout, tolerance=tolerance)
  manifest.write_json(output / 'proof.json', proved.record())
  return Zoomed(result, proved)


def _planned(
  traj: Trajectory, steps: plan.Plan, evals: plan.Plan | None
) -> tuple[int, int, build.Setup]:
  """(first step asked for, last one, the config of the zoom)."""
  trained = traj.segments[-1][1]['stop']
  asked = plan.steps_of(steps, trained)
  if not len(asked):
    raise UserError('the plan of the zoom names no step')
  first, last = int(asked[0]), int(asked[-1])
  if first < traj.start:
    raise UserError(
      f'{traj.folder} begins at step {traj.start}: zoom into its origin for '
      f'step {first}'
    )
  if last == traj.start:
    raise UserError(f'a zoom needs a step after {last}, where it begins')
  evaluated = [s for _, m in traj.segments for s in m['eval_steps']]
  dense = [] if evals is None else plan.steps_of(evals, trained)
  inside = lambda *some: sorted(
    {int(s) for part in some for s in part if first <= s <= last}
  )
  config = source.config_of(
    traj,
    steps=last,
    snapshots=inside(asked, traj.steps),
    evals=inside(dense, evaluated),
    branches=[],
  )
  return first, last, build.build(config)


def _origin(
  traj: Trajectory, first: int, last: int, output: Path
) -> tuple[stage.Origin, stage.Parent | None]:
  """Where a zoom begins: a full state, or the initialisation."""
  kept = [s for s in states.kept(traj) if s <= first and s < last]
  begin = max(kept, default=0)
  state, parent = None, None
  if kept:
    state = begin, states.load(traj, begin, traj.run_index)
  else:
    parent = source.parent_of(traj)
  record = {
    'kind': 'zoom',
    'trajectory': paths.relative(traj.folder, output),
    'config_hash': indexes.first_hash(traj.index),
    'step': begin,
    'run_ids': [traj.index['runs'][i]['run_id'] for i in traj.run_index],
  }
  runs = source.specs_of(traj)
  return stage.Origin(runs, begin, state, record), parent


def default_output(folder: Path, runs: str, steps: str) -> Path:
  """WORKDIR/zooms/NAME for a trajectory and what was typed."""
  workdir, name = source.workdir_of(folder)
  parts = [name, f'runs={runs}', f'steps={steps}']
  return workdir / 'zooms' / '_'.join(source.file_name(p) for p in parts)
