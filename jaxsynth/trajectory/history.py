"""The segments of a trajectory in order: does each fit to those before?"""

from pathlib import Path

import numpy as np

from jaxsynth.trajectory import manifest
from jaxsynth.trajectory.contents import Fault, Save


class History:
  """The segments seen so far, and what the next must fit to.

  Args:
    marks: the full states and digests of their values, by step.
    start: where the first segment should start: 0 unless it is a zoom.

  Attributes:
    faults: what does not fit.
    count: segments seen.
    reached: where the last of them ends.
    head: digest of its content, and through it of all before.
    steps: of the snapshots and evaluations.
    ends: digests of the segments by the step where they end.
    kept: snapshots at the steps of full states.
    first: the snapshots at step 0.
  """

  def __init__(self, marks: dict[int, list[tuple[Path, str]]], start: int = 0):
    self._marks = marks
    self.faults: list[Fault] = []
    self.count = 0
    self.reached: int | None = start
    self.head = ''
    self.steps: dict[str, list[int]] = {'snapshots': [], 'evals': []}
    self.ends: dict[int, str] = {}
    self.kept: dict[int, dict[str, np.ndarray]] = {}
    self.first: dict[str, np.ndarray] = {}
    self._equal: list[tuple[int, int, int]] = []
    self._moves: dict[int, np.ndarray] = {}  # update -> which runs it moves
    self._kinds: dict[str, dict] = {}
    self._before: tuple[int, dict[str, np.ndarray]] | None = None

  def add(self, save: Save) -> None:
    """Takes the next segment."""
    body = save.body
    start, stop = body['start'], body['stop']
    self.count += 1
    if self.reached is not None and start != self.reached:
      self._fault(
        save,
        f'starts at step {start}, the one before ends at {self.reached}',
      )
    chained = body['format'] > 1 and start == self.reached
    if chained and body['previous'] != (self.head or None):
      self._fault(save, 'does not follow the segment before it')
    for path, digest in self._marks.get(start, []) if chained else []:
      if body['started_from'] != digest:
        self._fault(save, f'did not start from {path}')
    self.reached, self.head = stop, manifest.content(body)
    self.ends[stop] = self.head
    self._same_arrays(save)
    self.steps['snapshots'] += body['snapshot_steps']
    self.steps['evals'] += body['eval_steps']
    self._snapshots(save)
    self._updates(save)

  def _fault(self, save: Save, what: str) -> None:
    self.faults.append(Fault(str(save.path), what))

  def _updates(self, save: Save) -> None:
    """Notes which runs each update should move: finite, not zero gradients."""
    loss = save.arrays.get('scalars.loss')
    norm = save.arrays.get('scalars.grad_norm')
    for i in range(save.body['stop'] - save.body['start']):
      moves = np.ones(len(save.body['run_ids']), bool)
      if loss is not None and loss.shape[1] > i:
        moves &= np.isfinite(loss[:, i])
      if norm is not None and norm.shape[1] > i:
        moves &= norm[:, i] != 0
      self._moves[save.body['start'] + 1 + i] = moves

  def standing_still(self) -> list[tuple[int, int, int]]:
    """(run, step, next step) of equal snapshots that should differ."""
    return [
      (run, before, step)
      for run, before, step in self._equal
      if any(
        self._moves[t][run]
        for t in range(before + 1, step + 1)
        if t in self._moves
      )
    ]

  def _same_arrays(self, save: Save) -> None:
    """Every segment holds the same arrays, of the same kind."""
    body = save.body
    kinds = {
      'snapshots': body['snapshot_steps'],
      'scalars': body['stop'] > body['start'],
      'evals': body['eval_steps'],
    }
    for kind, some in kinds.items():
      own = {
        n: (a['dtype'], a['shape'][2:])
        for n, a in body['arrays'].items()
        if n.partition('.')[0] == kind
      }
      if some and own != self._kinds.setdefault(kind, own):
        self._fault(save, f'holds other {kind} than those before')

  def _snapshots(self, save: Save) -> None:
    kept = {
      n: a for n, a in save.arrays.items() if n.partition('.')[0] == 'snapshots'
    }
    steps = save.body['snapshot_steps']
    if not kept or any(a.shape[1] != len(steps) for a in kept.values()):
      self._before = None
      return
    for row, step in enumerate(steps):
      now = {n: a[:, row] for n, a in kept.items()}
      if self._before is not None:
        before, old = self._before
        for run in np.flatnonzero(_equal(old, now)):
          self._equal.append((int(run), before, step))
      self._before = step, now
      if step in self._marks:
        self.kept[step] = {n: a.copy() for n, a in now.items()}
      if step == 0:
        self.first = {n: a.copy() for n, a in now.items()}


def _equal(one: dict, two: dict) -> np.ndarray:
  """Which runs are equal in all arrays, [R]."""
  if one.keys() != two.keys():
    return np.zeros(1, bool)
  same = [(one[n] == two[n]).reshape(len(one[n]), -1).all(1) for n in one]
  return np.all(same, axis=0)
