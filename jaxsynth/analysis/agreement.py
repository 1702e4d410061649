"""Do onsets agree: which of several things comes first, in every run?

M metrics cross in each of R runs. What is known of a crossing is an interval
between two snapshots (`transitions`), inf if it never came, NaN if the run
diverged before. Between two metrics of one run there are three answers: one
was there before the other for certain, the other way round, or their
intervals overlap. Over all metrics and runs, Kendall's coefficient of
concordance says how far the runs agree on the order,

  W = 12 sum_m (R_m - mean R)^2 / (R^2 (M^3 - M) - R sum T)

with R_m the sum of the ranks of metric m, ties given their mean rank, and T =
sum (t^3 - t) over the ties of t of a run: 1 if all runs have one order, 1 / R
in the mean of orders drawn at random without ties. Onsets are spread in
log(1 + step): across runs (of one metric), which is what seeds do, and across
metrics (of one run), which is what coinciding transitions would make small.

All but the spreads depend on the order of the steps alone.

Source: Kendall and Babington Smith (1939), "The problem of m rankings", Ann.
Math. Stat. 10(3).
"""

import jax
import jax.numpy as jnp

from jaxsynth.types import Array, Key


def precedence(
  first_before: Array,
  first_after: Array,
  second_before: Array,
  second_after: Array,
) -> dict[str, Array]:
  """Whether one onset came before another, as far as snapshots tell.

  Args:
    first_before: where the interval of one onset begins, steps [...].
    first_after: where it ends, [...]; inf where it never came.
    second_before: of the other onset, [...].
    second_after: likewise, [...].

  Returns:
    earlier: the first was there when the second was not yet, bool [...].
    later: the other way round, bool [...].
    margin: how many times as late, at least, the second came, [...]: its
      `before` over the first one's `after`; above 1 only if earlier (and 1
      where they share a snapshot's edge), 0 where the first never came.
    Nothing is earlier or later where an interval is NaN, nor is the margin a
    number.
  """
  known = ~jnp.isnan(first_after) & ~jnp.isnan(second_after)
  margin = second_before / jnp.maximum(first_after, 1.0)
  return {
    'earlier': known & (first_after <= second_before),
    'later': known & (second_after <= first_before),
    'margin': jnp.where(known, margin, jnp.nan),
  }


def ranks(onsets: Array) -> Array:
  """Ranks of the onsets of one run.

  Args:
    onsets: [M], none of them NaN.

  Returns:
    1..M, ties given their mean rank, [M].
  """
  below = (onsets[None, :] < onsets[:, None]).sum(1)
  equal = (onsets[None, :] == onsets[:, None]).sum(1)
  return below + (equal + 1) / 2


def concordance(onsets: Array) -> dict[str, Array]:
  """How far runs agree on the order of onsets.

  Args:
    onsets: steps [M, R], M at least 2; inf where one never came, equal where
      two came between the same snapshots. A run with a NaN is left out.

  Returns:
    w: Kendall's W, []; NaN if no run is left or all onsets are ties.
    order: mean rank of each metric, [M].
    runs: runs that are not left out, [].
  """
  M = len(onsets)
  kept_R = ~jnp.isnan(onsets).any(0)
  R = kept_R.sum()
  ranks_MR = jnp.where(kept_R, jax.vmap(ranks, 1, 1)(onsets), 0.0)
  sums_M = ranks_MR.sum(1)
  equal_R = (onsets[None] == onsets[:, None]).sum(1)  # [M, R], ties of each
  ties = jnp.where(kept_R, (equal_R.astype(float) ** 2 - 1), 0.0).sum()
  spread = ((sums_M - sums_M.mean()) ** 2).sum()
  most = R**2 * (M**3 - M) - R * ties
  return {
    'w': 12 * spread / jnp.where(most > 0, most, jnp.nan),
    'order': sums_M / jnp.maximum(R, 1),
    'runs': R,
  }


def spreads(onsets: Array) -> dict[str, Array]:
  """How far onsets lie apart, in log(1 + step).

  Args:
    onsets: steps [M, R]. A run with an onset that is inf or NaN is left out.

  Returns:
    runs: standard deviation over runs of each metric, [M].
    metrics: standard deviation over metrics of each run's onsets, the mean
      over runs, [].
    kept: runs that are not left out, []; with none the others are NaN.
  """
  kept_R = jnp.isfinite(onsets).all(0)
  kept = kept_R.sum()
  time_MR = jnp.where(kept_R, jnp.log1p(onsets), 0.0)
  share = kept_R / jnp.maximum(kept, 1)
  mean_M = (time_MR * share).sum(1)
  over_runs = jnp.sqrt((share * (time_MR - mean_M[:, None]) ** 2).sum(1))
  over_metrics = (time_MR.std(0) * share).sum()
  some = lambda x: jnp.where(kept > 0, x, jnp.nan)
  return {'runs': some(over_runs), 'metrics': some(over_metrics), 'kept': kept}


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  at = 100 * jnp.arange(1.0, 4)[:, None] + 200 * jax.random.uniform(key, (3, 4))
  return {
    'precedence': (at[0] - 5, at[0], at[1] - 5, at[1]),
    'ranks': (at[:, 0],),
    'concordance': (at,),
    'spreads': (at,),
  }
