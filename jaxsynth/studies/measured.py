"""One number per run, with its seed: what a claim is judged on.

A number may be missing in two ways, and neither drops the run. A diverged
run is NaN (or infinite). An onset that never came is *censored*: all that is
known is that it exceeds the last step looked at, so that step is kept as a
lower bound and the number is marked.

Order statistics run over all numbers that are not NaN, with a censored one
counted as +inf: as long as fewer than half of the runs are censored, the
median is exact (the right-censored median of Kaplan and Meier, 1958, when all
runs are censored at the same step).
"""

import math
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxsynth.errors import UserError


class Measured(NamedTuple):
  """Numbers by seed.

  Attributes:
    seeds: n labels, one per run: the seed as an integer, or a name.
    values: n numbers; where censored, the last step looked at, or inf if
      that is unknown.
    censored: n marks: the true number exceeds the one in `values`.
  """

  seeds: tuple[int | str, ...]
  values: tuple[float, ...]
  censored: tuple[bool, ...]


def _label(seed: Any) -> int | str:
  seed = seed.item() if hasattr(seed, 'item') else seed
  return int(seed) if isinstance(seed, int) else str(seed)


def _column(numbers: Any, what: str) -> tuple[list, np.ndarray]:
  """Splits {seed: number}, a labelled or a plain array into labels, [n]."""
  if isinstance(numbers, Mapping):
    labels, numbers = list(numbers), list(numbers.values())
  elif getattr(numbers, 'dims', None) and numbers.dims[0] in numbers.coords:
    labels = list(numbers.coords[numbers.dims[0]].values)
  else:
    labels = None
  try:
    column = np.atleast_1d(np.asarray(numbers, dtype=np.float64))
  except (TypeError, ValueError) as error:
    raise UserError(
      f'{what} must be numbers, one per seed: give {{seed: number}}'
    ) from error
  if column.ndim != 1 or not column.size:
    raise UserError(
      f'{what} must hold one number per seed, got shape {column.shape}: '
      'reduce the other axes first'
    )
  labels = range(column.size) if labels is None else labels
  labels = [_label(label) for label in labels]
  if len(set(labels)) < len(labels):
    raise UserError(
      f'{what} has two numbers for one seed: select one run per seed first'
    )
  return labels, column


def measured(
  numbers: Any, censored: Any = None, last_step: float | None = None
) -> Measured:
  """Labels and checks the numbers of a claim.

  Args:
    numbers: {seed: number}, an array [n] (labelled 0 .. n-1), a DataArray
      [n] (labelled by its coordinate), one number, or a `Measured`, which is
      returned as it is.
    censored: marks [n] in the order of `numbers`, or {seed: mark}: the number
      is only a lower bound (an onset that did not come).
    last_step: the last step looked at. With it, +inf means 'not by this
      step' and counts as censored; without it, +inf is a diverged run.

  Raises:
    UserError: not one number per seed, or marks that do not match.
  """
  if isinstance(numbers, Measured):
    return numbers
  labels, column = _column(numbers, 'measured')
  if censored is None:
    marks = np.zeros(column.size, bool)
  else:
    mark_labels, mark_column = _column(censored, 'censored')
    if isinstance(censored, Mapping):
      by_label = dict(zip(mark_labels, mark_column))
      if set(by_label) != set(labels):
        raise UserError('censored and measured must name the same seeds')
      mark_column = np.array([by_label[label] for label in labels])
    if mark_column.size != column.size:
      raise UserError(
        f'censored has {mark_column.size} marks for {column.size} numbers: '
        'give one per seed'
      )
    marks = mark_column.astype(bool)
  if last_step is not None:
    marks = marks | (column == np.inf)
  bound = math.inf if last_step is None else float(last_step)
  column = np.where(marks & ~np.isfinite(column), bound, column)
  return Measured(tuple(labels), tuple(column.tolist()), tuple(marks.tolist()))


def summary(numbers: Measured) -> dict:
  """Median, minimum, maximum, standard deviation and counts.

  Returns:
    median, min, max: over all numbers but NaN, censored ones as +inf; NaN if
      nothing is left.
    std: of the finite, uncensored numbers, with n - 1 in the denominator;
      None if there are fewer than two.
    n, diverged, censored: how many runs, how many of them not finite, how
      many censored.
  """
  pairs = list(zip(numbers.values, numbers.censored))
  # Sorted, and -0 made 0, so that the order of the runs changes no bit of any
  # statistic.
  order = sorted(
    math.inf if c else v + 0.0 for v, c in pairs if not math.isnan(v)
  )
  finite = [v for v in order if math.isfinite(v)]
  return {
    'median': statistics.median(order) if order else math.nan,
    'min': order[0] if order else math.nan,
    'max': order[-1] if order else math.nan,
    'std': statistics.stdev(finite) if len(finite) > 1 else None,
    'n': len(pairs),
    'diverged': sum(not (c or math.isfinite(v)) for v, c in pairs),
    'censored': sum(c for _, c in pairs),
  }


def shown(value: Any, censored: bool = False) -> str:
  """A number as people read it: four digits, words for what is not finite.

  Args:
    value: a number, or 'nan', 'inf', '-inf' as verdict.json writes them.
    censored: the value is a lower bound.
  """
  value = float(value)
  if censored:
    return f'not by step {value:.0f}' if math.isfinite(value) else 'never'
  if math.isnan(value):
    return 'NaN'
  if math.isinf(value):
    return 'inf' if value > 0 else '-inf'
  if value == int(value) and abs(value) < 1e7:
    return f'{value:.0f}'
  return f'{value:.4g}'
