"""When a curve crosses, how fast it rises, where it rests, whether it returns.

A curve is one scalar per snapshot, [K], with the steps of the snapshots, [K],
increasing; R runs are `jax.vmap`. Whether there is a transition at all is
asked in `detection`.

What is known of a crossing is an interval between two snapshots: it is not
there at `before` and there at `after`. A run that never crosses is censored,
not dropped: its interval is (last step, inf). A point estimate within the
interval is linear in the value against log(1 + step), the axis on which
snapshots are evenly spaced.

A curve that diverged before it crossed is neither: nothing is known of what it
would have done, and its numbers are NaN, which no gate passes.

Source: onsets as intervals are interval censoring in the sense of Turnbull
(1976), "The empirical distribution function with arbitrarily grouped,
censored and truncated data", J. R. Stat. Soc. B 38(3); the 10 to 90 % rise
time is the usual one of a step response; a return after the minimum is the
transience of Park, Lubana, Pres and Tanaka (2024), arXiv 2412.01003.
"""

import jax
import jax.numpy as jnp

from jaxsynth.types import Array, Key


def onset(curve: Array, steps: Array, level: Array) -> dict[str, Array]:
  """The first time a curve reaches a level from below.

  For a falling curve negate both: onset(-curve, steps, -level).

  Args:
    curve: [K].
    steps: [K].
    level: what has to be reached, [].

  Returns:
    before: last snapshot's step before the crossing, []; 0 if the first one
      is already there.
    after: first snapshot's step with curve >= level, []; inf if there is none.
    at: estimate within the interval, []; `after` if the first one is already
      there, inf if censored.
    censored: no snapshot reaches the level and all are finite, bool []; where
      one is not, the others are NaN.
  """
  there_K = (curve >= level) & jnp.isfinite(curve)
  return _interval(curve, steps, level, there_K.argmax(), ~there_K.any())


def rise(
  curve: Array, steps: Array, low: Array, high: Array
) -> dict[str, Array]:
  """How a curve goes from one level to another: half-rise and sharpness.

  The half-rise is the first crossing of (low + high) / 2; the tenth is the
  last crossing of 10 % of the way before it, the ninetieth the first crossing
  of 90 %.

  Args:
    curve: [K].
    steps: [K].
    low: level before, [].
    high: level after, []; below `low` for a fall.

  Returns:
    before, after: interval of the half-rise, steps []; inf as in `onset`.
    half: estimate of the half-rise step [].
    tenth, ninetieth: estimates of the steps at 10 % and 90 % [].
    width: ninetieth - tenth, steps []; inf if either end is censored.
    censored: as in `onset`, of the half-rise, bool [].
  """
  way_K = (curve - low) / (high - low)
  index_K = jnp.arange(len(curve))
  half_K = (way_K >= 0.5) & jnp.isfinite(way_K)
  half, never = half_K.argmax(), ~half_K.any()
  middle = _interval(way_K, steps, 0.5, half, never)

  below_K = (way_K < 0.1) & (index_K < half)
  tenth = jnp.where(below_K.any(), len(curve) - below_K[::-1].argmax(), 0)
  above_K = way_K >= 0.9  # none before the half
  start = _interval(way_K, steps, 0.1, tenth, never)['at']
  end = _interval(way_K, steps, 0.9, above_K.argmax(), never | ~above_K.any())[
    'at'
  ]
  width = jnp.where(jnp.isinf(end), jnp.inf, end - start)
  return {
    'before': middle['before'],
    'after': middle['after'],
    'half': middle['at'],
    'tenth': start,
    'ninetieth': end,
    'width': width,
    'censored': middle['censored'],
  }


def plateaus(curve: Array, steps: Array, tolerance: Array) -> dict[str, Array]:
  """Where a curve rests: stretches whose values stay within a tolerance.

  A stretch is three snapshots or more, consecutive, with max - min at most
  the tolerance. The longest is the one that spans most in log(1 + step).

  Args:
    curve: [K], K at least 3.
    steps: [K].
    tolerance: largest range of a stretch, in the curve's units [].

  Returns:
    mask: the snapshot lies in some stretch, bool [K].
    start, end: first and last step of the longest stretch []; inf if none.
    level: mean of the curve over it []; 0 if none.
    found: there is a stretch, bool [].
  """
  num = len(curve)
  first_KK, last_KK = jnp.indices((num, num))
  ahead_KK = jnp.broadcast_to(curve, (num, num))
  inside_KK = last_KK >= first_KK
  top_KK = jax.lax.cummax(jnp.where(inside_KK, ahead_KK, -jnp.inf), axis=1)
  low_KK = jax.lax.cummin(jnp.where(inside_KK, ahead_KK, jnp.inf), axis=1)
  flat_KK = (last_KK >= first_KK + 2) & (top_KK - low_KK <= tolerance)

  time_K = jnp.log1p(steps)
  span_KK = jnp.where(flat_KK, time_K[None, :] - time_K[:, None], -1.0)
  first, last = jnp.unravel_index(span_KK.argmax(), (num, num))
  found = flat_KK.any()
  index_K = jnp.arange(num)
  longest_K = found & (index_K >= first) & (index_K <= last)
  # A snapshot is covered if a stretch starts at or before it and ends after.
  covered_KK = jnp.cumsum(flat_KK[:, ::-1], axis=1)[:, ::-1] > 0  # end >= k
  mask_K = (covered_KK & inside_KK).any(0)
  total = jnp.where(longest_K, curve, 0.0).sum()
  return {
    'mask': mask_K,
    'start': jnp.where(found, steps[first], jnp.inf),
    'end': jnp.where(found, steps[last], jnp.inf),
    'level': total / jnp.maximum(longest_K.sum(), 1),
    'found': found,
  }


def rise_after_minimum(curve: Array, steps: Array) -> dict[str, Array]:
  """Transience of a positive curve (a divergence, a loss): last over least.

  The least of K noisy values lies below their mean, so pure noise gives a
  ratio above 1 too: compare with the ratio that the curve's own noise makes.

  Args:
    curve: positive [K].
    steps: [K].

  Returns:
    ratio: last value over the minimum [], 1 for a curve that never returns.
    minimum: the least value [].
    step: the step of the (first) minimum [].
  """
  index = curve.argmin()
  return {
    'ratio': curve[-1] / curve[index],
    'minimum': curve[index],
    'step': steps[index],
  }


def _interval(
  curve: Array, steps: Array, level: Array, index: Array, never: Array
) -> dict[str, Array]:
  """The crossing of `level` between snapshots index - 1 and index."""
  steps = steps.astype(curve.dtype)
  left = jnp.maximum(index - 1, 0)
  gain = curve[index] - curve[left]
  part = (level - curve[left]) / jnp.where(gain > 0, gain, 1.0)
  time_K = jnp.log1p(steps)
  time = time_K[left] + part * (time_K[index] - time_K[left])
  at = jnp.clip(jnp.expm1(time), steps[left], steps[index])
  before = jnp.where(index == 0, 0.0, steps[left])
  lost = never & ~jnp.isfinite(curve).all()
  pick = lambda known, late: jnp.where(
    lost, jnp.nan, jnp.where(never, late, known)
  )
  return {
    'before': pick(before, steps[-1]),
    'after': pick(steps[index], jnp.inf),
    'at': pick(at, jnp.inf),
    'censored': never & ~lost,
  }


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  steps = 2.0 ** jnp.arange(12)
  curve = jnp.linspace(0.5, 2.0, 12) + 0.1 * jax.random.uniform(key, (12,))
  return {
    'onset': (curve, steps, 1.0),
    'rise': (curve, steps, 0.6, 1.6),
    'plateaus': (curve, steps, 0.5),
    'rise_after_minimum': (curve, steps),
  }
