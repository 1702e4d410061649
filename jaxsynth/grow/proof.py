"""Proving that a training retraced another: bit for bit, or how nearly.

Both trajectories state a CRC-32 of every (array, run, row) they committed.
Where the layout is the recorded one, all that both have must be equal: every
shared snapshot, the scalars of every shared step, every shared evaluation. In
another layout no bit is promised, and the distance is measured instead:

  max |new - old| / max |old|   over a snapshot's array, or over a metric
"""

from typing import Any, NamedTuple

import numpy as np

from jaxsynth.trajectory import manifest
from jaxsynth.trajectory.trajectory import Trajectory

TOLERANCE = 1e-2


class Proof(NamedTuple):
  """What the comparison of two trajectories found.

  Attributes:
    exact: whether bits were compared; else distances, against `tolerance`.
    shared: snapshots both have: pairs of run and step.
    matched: how many of them are equal, or near enough.
    values: scalars and evaluations both have.
    values_matched: how many of them are equal; not judged unless exact.
    faults: array, run and step of what is not.
    worst: the largest distance; NaN where bits were compared.
    tolerance: the largest distance that is near enough.
  """

  exact: bool
  shared: int
  matched: int
  values: int
  values_matched: int
  faults: list[str]
  worst: float
  tolerance: float

  @property
  def passed(self) -> bool:
    return not self.faults

  def text(self) -> str:
    """The finding in one line."""
    line = f'{self.matched} of {self.shared} shared snapshots match'
    if self.exact:
      return (
        f'{line}, and {self.values_matched} of {self.values} scalars and '
        'evaluations, bit for bit'
      )
    return (
      f'{line} within {self.tolerance:g} (largest distance {self.worst:.1e}); '
      'bits were not compared, as the layout differs'
    )

  def record(self) -> dict[str, Any]:
    """The finding as JSON."""
    body = {**self._asdict(), 'faults': self.faults[:100]}
    return {**body, 'worst': None if self.exact else self.worst}


def _labels(traj: Trajectory, name: str) -> list[int]:
  """The step of each row of an array."""
  kind = name.split('.')[0]
  if kind == 'scalars':
    return list(range(traj.start + 1, traj.segments[-1][1]['stop'] + 1))
  key = {'snapshots': 'snapshot_steps', 'evals': 'eval_steps'}[kind]
  return [step for _, m in traj.segments for step in m[key]]


def _checksums(traj: Trajectory) -> dict[str, np.ndarray]:
  """CRC-32 of every array, uint32 [runs of the view, rows]."""
  out: dict[str, list] = {}
  for shard in traj.shards:
    runs = len(shard.index['runs'])
    parts: dict[str, list] = {}
    for _, body in shard.segments:
      for name, text in body['crc32'].items():
        parts.setdefault(name, []).append(manifest.unpack(text, runs))
    for name, tables in parts.items():
      out.setdefault(name, []).append(np.concatenate(tables, 1))
  return {n: np.concatenate(t)[traj.run_index] for n, t in out.items()}


def _common(old: list[int], new: list[int], until: int) -> tuple:
  """(steps both have up to `until`, their rows in old, their rows in new)."""
  steps, rows, others = np.intersect1d(old, new, return_indices=True)
  inside = steps <= until
  return steps[inside], rows[inside], others[inside]


def prove(
  old: Trajectory,
  new: Trajectory,
  exact: bool,
  until: int | None = None,
  tolerance: float = TOLERANCE,
) -> Proof:
  """Compares all that two trajectories of the same runs both have.

  Args:
    old: a view of R runs.
    new: another, with the same runs in the same order.
    exact: compare bits; else distances.
    until: the last step to compare; by default all are.
    tolerance: see the module; unused where bits are compared.
  """
  until = new.segments[-1][1]['stop'] if until is None else until
  ids = [old.index['runs'][i]['run_id'] for i in old.run_index]
  before, after = _checksums(old), _checksums(new)
  kept = lambda table: {n for n in table if n.startswith('snapshots')}
  faults = [
    f'{n}: only one of the trajectories has it'
    for n in sorted(kept(before) ^ kept(after))
  ]
  equal: np.ndarray | None = None
  values = values_matched = 0
  for name in sorted(set(before) & set(after)):
    steps, a, b = _common(_labels(old, name), _labels(new, name), until)
    same = before[name][:, a] == after[name][:, b]
    if name.startswith('snapshots'):
      equal = same if equal is None else equal & same
    else:
      values, values_matched = values + same.size, values_matched + same.sum()
    if exact:
      faults += [
        f'{name} of run {ids[r]} differs at step {steps[k]}'
        for r, k in zip(*np.nonzero(~same))
      ]
  worst = float('nan')
  if not exact:
    equal, worst, found = _distances(old, new, ids, until, tolerance)
    faults += found
  none = np.zeros((0, 0), bool)
  equal = none if equal is None else equal
  return Proof(
    exact, equal.size, int(equal.sum()), int(values), int(values_matched),
    faults, worst, tolerance,
  )  # fmt: skip


def _distances(
  old: Trajectory,
  new: Trajectory,
  ids: list[str],
  until: int,
  tolerance: float,
) -> tuple[np.ndarray, float, list[str]]:
  """(near enough [R, K], the largest distance, what is too far)."""
  steps, a, b = _common(old.steps.tolist(), new.steps.tolist(), until)
  near = np.ones((len(ids), len(steps)), bool)
  worst, faults = 0.0, []
  for name in old.leaves:
    for run, row in np.ndindex(near.shape):
      x = old.leaf(name)[run, int(a[row])].astype(np.float64)
      y = new.leaf(name)[run, int(b[row])].astype(np.float64)
      far = distance(x, y)
      worst = max(worst, far)
      if not far <= tolerance:
        near[run, row] = False
        faults.append(
          f'{name} of run {ids[run]} at step {steps[row]} is {far:.1e} away'
        )
  return near, worst, faults


def distance(old: np.ndarray, new: np.ndarray) -> float:
  """max |new - old| / max |old|; infinite where only one is not a number."""
  if not np.array_equal(np.isfinite(old), np.isfinite(new)):
    return float('inf')
  fine = np.isfinite(old)
  scale = np.abs(old[fine]).max(initial=0.0)
  return float(np.abs(new[fine] - old[fine]).max(initial=0.0) / (scale or 1.0))
