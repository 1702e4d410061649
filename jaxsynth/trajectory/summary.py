"""What a trajectory holds, in a few lines: from its index and manifests alone.

Trajectory runs/mine/stages/train
  12 runs: task.num_chains 2, 16, 64 x 4 seeds
  25 snapshots of 31 arrays: steps 0 to 2000
  every step: accuracy, grad_norm, loss
  25 evaluations of fresh, in_distribution: accuracy, loss
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from jaxsynth.trajectory.trajectory import Trajectory

# Most values of an axis that are listed one by one.
_LISTED = 6


def text(traj: 'Trajectory') -> str:
  """The lines of the module's docstring, for one trajectory or view of it."""
  manifests = [m for part in traj.shards for _, m in part.segments]
  names = {n for m in manifests for n in m['arrays']}
  evals = {s for m in manifests for s in m['eval_steps']}
  runs = [traj.index['runs'][i] for i in traj.run_index]
  shards = len(traj.shards)
  lines = [
    f'Trajectory {traj.folder}' + (f' in {shards} shards' * (shards > 1)),
    f'  {_count(len(runs), "run")}: {_axes(runs)}',
    f'  {_count(len(traj.steps), "snapshot")} of '
    f'{_count(len(traj.leaves), "array")}{_span(traj.steps)}',
  ]
  scalars = sorted(_of('scalars', names))
  if scalars:
    lines.append(f'  every step: {_some(scalars)}')
  measured = _of('evals', names)
  if measured:
    sets = sorted({n.partition('.')[0] for n in measured if '.' in n})
    what = sorted({n.rpartition('.')[2] for n in measured})
    of = f' of {_some(sets)}' if sets else ''
    lines.append(f'  {_count(len(evals), "evaluation")}{of}: {_some(what)}')
  return '\n'.join(lines)


def _of(kind: str, names: Iterable[str]) -> list[str]:
  """Names of one kind of array, without the kind."""
  prefix = f'{kind}.'
  return [n.removeprefix(prefix) for n in names if n.startswith(prefix)]


def _count(number: int, noun: str) -> str:
  return f'{number} {noun}' + 's' * (number != 1)


def _some(items: Sequence[Any]) -> str:
  """All items, or the ends of a long list."""
  if len(items) > _LISTED:
    items = [*items[: _LISTED - 2], '...', items[-1]]
  return ', '.join(map(str, items))


def _span(steps: Sequence[int]) -> str:
  if not len(steps):
    return ''
  if len(steps) == 1:
    return f': step {steps[0]}'
  return f': steps {steps[0]} to {steps[-1]}'


def _axes(runs: Sequence[Mapping[str, Any]]) -> str:
  """The swept values, and how many seeds."""
  paths = runs[0]['hparams'] if runs else {}
  axes = {p: sorted({run['hparams'][p] for run in runs}) for p in paths}
  said = [f'{path} {_some(values)}' for path, values in axes.items()]
  seeds = {tuple(sorted(run['seeds'].items())) for run in runs}
  return ' x '.join([*said, _count(len(seeds), 'seed')])
