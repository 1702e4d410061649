"""How sharp the rise of a curve is, whatever its units and its clock.

A curve is one scalar per snapshot [K] at increasing steps [K]; where it rises
is asked in `transitions`. Three measures, all blind to a change of units of
the curve (a y + b, levels too):

  span   u_90 - u_10 with u = log(1 + step): log of the factor by which the
         steps grow between 10 and 90 % of the way; blind to the unit of late
         steps. One time scale, 1 - exp(-step / s), has 3.1, see `detection`
  jump   the largest part of the way between two consecutive snapshots; blind
         to any relabelling of the steps, but not to more snapshots
  width  the span of the logistic y = low + (high - low) / (1 + exp(-r (u - m)))
         fitted to all snapshots, which averages noise: 2 log 9 / r

Source: 10 to 90 % is the usual rise time of a step response; for given r and
m the fit is linear least squares (variable projection, Golub and Pereyra,
1973, "The differentiation of pseudo-inverses and nonlinear least squares
problems whose variables separate", SIAM J. Numer. Anal. 10(2)).
"""

import math

import jax
import jax.numpy as jnp

from jaxsynth.analysis import transitions
from jaxsynth.types import Array, Key

_PLACES, _WIDTHS, _ZOOMS = 33, 17, 6
_NARROW, _WIDE = 0.05, 20.0  # widths looked for, in log(1 + step)
_WITHIN = 2 * math.log(9)  # of a logistic, from 10 to 90 %


def sharpness(
  curve: Array, steps: Array, low: Array, high: Array
) -> dict[str, Array]:
  """How sharply a curve goes from one level to another.

  Args:
    curve: [K].
    steps: [K].
    low: level before, [].
    high: level after, []; below `low` for a fall.

  Returns:
    span: log of (1 + step at 90 %) over (1 + step at 10 %), []; inf if the
      curve never gets to 90 %, NaN if it diverged before half the way.
    jump: largest part of high - low gained between two snapshots, []; of
      those before the curve diverged.
    censored: the span is inf, bool [].
  """
  found = transitions.rise(curve, steps, low, high)
  start, end = jnp.log1p(found['tenth']), jnp.log1p(found['ninetieth'])
  never = jnp.isinf(end)
  way_K = (curve - low) / (high - low)
  gain = jnp.diff(way_K)
  return {
    'span': jnp.where(never, jnp.inf, end - start),
    'jump': jnp.where(jnp.isfinite(gain), gain, -jnp.inf).max(),
    'censored': never,
  }


def logistic(curve: Array, steps: Array) -> dict[str, Array]:
  """The logistic in log(1 + step) nearest to a curve, by least squares.

  The middle is looked for between the first and the last snapshot, the width
  between 0.05 and 20.

  Args:
    curve: [K], K at least 4.
    steps: [K].

  Returns:
    low, high: levels before and after, []; outside the curve's range where it
      does not get there.
    half: the step in the middle, [].
    width: 10 to 90 % in log(1 + step), [].
    error: root mean square of what is left, [].
    A curve that is constant or not finite has no transition: NaN, all five.
  """
  time_K = jnp.log1p(steps.astype(curve.dtype))
  usable = jnp.isfinite(curve).all() & (jnp.ptp(curve) > 0)
  scale = jnp.where(usable, jnp.ptp(curve), 1.0)
  base = jnp.where(usable, curve[0], 0.0)
  y_K = jnp.where(usable, (curve - base) / scale, 0.0)

  def levels(place, width):
    shape_K = jax.nn.sigmoid(_WITHIN / width * (time_K - place))
    away_K = shape_K - shape_K.mean()
    size = jnp.maximum((away_K**2).sum(), 1e-6)
    height = (away_K * y_K).sum() / size
    low = y_K.mean() - height * shape_K.mean()
    left_K = y_K - low - height * shape_K
    return low, height, (left_K**2).mean()

  grid = jax.vmap(jax.vmap(levels, (None, 0)), (0, None))

  def zoom(bounds, _):
    (p0, p1), (w0, w1) = bounds
    places = jnp.linspace(p0, p1, _PLACES)
    widths = jnp.linspace(w0, w1, _WIDTHS)  # their logarithms
    error = grid(places, jnp.exp(widths))[2]
    i, j = jnp.unravel_index(error.argmin(), error.shape)
    near = lambda x, i, n: (
      x[jnp.maximum(i - 2, 0)],
      x[jnp.minimum(i + 2, n - 1)],
    )
    return (near(places, i, _PLACES), near(widths, j, _WIDTHS)), None

  widest = (jnp.log(_NARROW), jnp.log(_WIDE))
  bounds = (time_K[0], time_K[-1]), tuple(jnp.asarray(w) for w in widest)
  bounds, _ = jax.lax.scan(zoom, bounds, None, length=_ZOOMS)
  (p0, p1), (w0, w1) = bounds
  place, width = (p0 + p1) / 2, jnp.exp((w0 + w1) / 2)
  low, height, error = levels(place, width)
  fitted = {
    'low': base + scale * low,
    'high': base + scale * (low + height),
    'half': jnp.expm1(place),
    'width': width,
    'error': scale * jnp.sqrt(error),
  }
  return {n: jnp.where(usable, x, jnp.nan) for n, x in fitted.items()}


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  steps = 2.0 ** jnp.arange(12)
  middle = 3.0 + jax.random.uniform(key, ())
  curve = jax.nn.sigmoid(2 * (jnp.log1p(steps) - middle))
  return {'sharpness': (curve, steps, 0.0, 1.0), 'logistic': (curve, steps)}
