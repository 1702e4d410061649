"""Is there a transition in a curve at all? A penalised comparison of models.

Read against u = log(1 + step), every relaxation with one time scale has the
same S shape: exp(-step / s) goes from 90 to 10 % of itself in 3.1 units of u
(a factor of 22 in steps), whatever s, and a power law takes longer. A
*transition* is sharper: there is a wait, then a change within 1.5 units or
less (a factor of 4.5). Random walks jump too, and short records of noise look
like anything, so the best description with a transition must beat the best
one without. With n snapshots and white residuals each is scored by

  BIC = n log(max(RSS / n, floor)) + p log n

  smooth          polynomials in u up to the third degree; a saturating power
                  law a + c (1 + step / s)^-r, r from 1/4 to infinity (there
                  an exponential), and the same with a linear trend in u
  with memory     y_i = a + phi y_{i-1} + b u_i: random walks, slow noise
  transition      a + g or a + b u + g, where g is a step, or a logistic ramp
                  in u, at least two snapshots from either end

where p counts what is fitted: coefficients, places, widths, shapes and the
variance. *Evidence* is the least BIC of the first two kinds minus the least
of the third. There is a transition where it exceeds MARGIN; that number is
calibrated, not derived: `null_curves.false_positive_rate` measures how often
a curve without a transition is said to have one.

The floor is the larger of the known noise variance and 1e-6 of the variance
of the curve, so that the misfit of a noiseless curve is not evidence.

Source: Schwarz (1978), "Estimating the dimension of a model", Ann. Stat.
6(2), for the criterion, and Yao (1988), "Estimating the number of
change-points via Schwarz' criterion", Stat. Probab. Lett. 6(3), for its use
on steps. The models compared, the widths and the margin are our choice.
"""

import math

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError
from jaxsynth.types import Array, Key

MARGIN = 11.0
MIN_SNAPSHOTS = 12
_WIDTHS = (0.4, 0.8, 1.5)  # of a ramp from 10 to 90 %, in u
_POWERS = (0.25, 0.5, 1.0, 2.0, 4.0, 1e3)
_NUM_SCALES = 24
_FLOOR = 1e-6


def detect(
  curve: Array, steps: Array, noise: Array | float = 0.0
) -> dict[str, Array]:
  """Whether a curve has a transition, and where its largest one is.

  Args:
    curve: [K], K at least 12. One that is not finite has no transition.
    steps: [K], increasing, best spaced evenly in log(1 + step).
    noise: standard deviation of the curve's values where it is known (from a
      finite evaluation batch, say), in the curve's units []. What is smaller
      is then not explained by anything.

  Returns:
    detected: bool [].
    evidence: by how much BIC prefers a transition []; -inf for a curve that
      is constant or not finite.
    before, after: the snapshots' steps between which the middle of the change
      lies []. Censored if not detected: the last step, and inf.
    half: estimate of the step at the middle []; inf if not detected.
    width: steps from 10 to 90 % of the change []; after - before, an upper
      bound, where the snapshots do not resolve it; inf if not detected.
    change: how far the curve rises, negative for a fall, in the curve's units
      []; 0 if not detected.

  Raises:
    UserError: fewer than 12 snapshots.
  """
  num = len(curve)
  if num < MIN_SNAPSHOTS:
    raise UserError(
      f'detecting a transition needs {MIN_SNAPSHOTS} snapshots, got {num}: '
      'keep more snapshots, or use transitions.onset with a level'
    )
  time_K = jnp.log1p(steps.astype(curve.dtype))
  spread = curve.std()
  usable = (spread > 0) & jnp.isfinite(spread)
  scale = jnp.where(usable, spread, 1.0)
  y_K = jnp.where(usable, (curve - curve.mean()) / scale, 0.0)
  floor = jnp.maximum(jnp.square(noise / scale), _FLOOR)

  def bic(rss, params):
    return num * jnp.log(jnp.maximum(rss / num, floor)) + params * math.log(num)

  trends = _trends(time_K)
  laws = _power_laws(time_K)
  ramps, places, widths = _ramps(time_K)
  without = [
    *(
      bic(jnp.square(_residual(q, y_K)).sum(), q.shape[-1] + 1) for q in trends
    ),
    *(bic(_add_one(q, laws, y_K)[0], q.shape[-1] + 4) for q in trends[:2]),
    bic(_memory_rss(y_K, time_K), 4),
  ]
  fits = [_add_one(q, ramps, y_K) for q in trends[:2]]
  with_ramp = jnp.stack(
    [bic(fit[0], q.shape[-1] + 4) for q, fit in zip(trends, fits)]
  )
  best = with_ramp.argmin()
  margin = jnp.stack(without).min() - with_ramp[best]
  evidence = jnp.where(usable, margin, -jnp.inf)
  detected = evidence > MARGIN

  ramp = jnp.stack([index for _, index, _ in fits])[best]
  height = jnp.stack([height for _, _, height in fits])[best]
  place, width = places[ramp], widths[ramp]
  left = (time_K <= place).sum() - 1
  before, after = steps[left], steps[left + 1]
  resolved = jnp.expm1(place + width / 2) - jnp.expm1(place - width / 2)
  or_else = lambda value, otherwise: jnp.where(detected, value, otherwise)
  return {
    'detected': detected,
    'evidence': evidence,
    'before': or_else(before, steps[-1]),
    'after': or_else(after, jnp.inf),
    'half': or_else(jnp.expm1(place), jnp.inf),
    'width': or_else(jnp.where(width > 0, resolved, after - before), jnp.inf),
    'change': or_else(height * scale, 0.0),
  }


def _trends(time_K: Array) -> list[Array]:
  """Orthonormal bases [K, p] of the polynomials of degree 0, 1, 2 and 3."""
  unit_K = (time_K - time_K[0]) / (time_K[-1] - time_K[0])
  basis_K4 = jnp.linalg.qr(unit_K[:, None] ** jnp.arange(4.0))[0]
  return [basis_K4[:, :size] for size in (1, 2, 3, 4)]


def _residual(basis: Array, y: Array) -> Array:
  """What an orthonormal basis [K, p] leaves of vectors y [..., K]."""
  part = jnp.matmul(y, basis, precision='highest')
  return y - jnp.matmul(part, basis.T, precision='highest')


def _add_one(
  basis: Array, shapes_JK: Array, y_K: Array
) -> tuple[Array, Array, Array]:
  """Least squares on a basis and the best of J shapes: RSS, which, height."""
  left_K, new_JK = _residual(basis, y_K), _residual(basis, shapes_JK)
  size_J = jnp.maximum(jnp.square(new_JK).sum(-1), _FLOOR)
  height_J = jnp.matmul(new_JK, left_K, precision='highest') / size_J
  rss_J = jnp.square(left_K - height_J[:, None] * new_JK).sum(-1)
  index = rss_J.argmin()
  return rss_J[index], index, height_J[index]


def _power_laws(time_K: Array) -> Array:
  """(1 + step / s)^-r on a grid of s and r: [M, K]."""
  scale = jnp.exp(jnp.linspace(time_K[0] - 1, time_K[-1] + 1, _NUM_SCALES))
  power = jnp.asarray(_POWERS, time_K.dtype)[:, None]
  # s = scale r keeps exp(-step / scale) as the limit of large r.
  unit = jnp.expm1(time_K) / scale[:, None, None]  # [S, 1, K]
  law = jnp.exp(-power * jnp.log1p(unit / jnp.maximum(power, 1.0)))
  return law.reshape(-1, len(time_K))


def _memory_rss(y_K: Array, time_K: Array) -> Array:
  """RSS of the model with memory, scaled up from K - 1 residuals to K."""
  columns = (jnp.ones_like(y_K[1:]), time_K[1:], y_K[:-1])
  left = _residual(jnp.linalg.qr(jnp.stack(columns, -1))[0], y_K[1:])
  return jnp.square(left).sum() * len(y_K) / (len(y_K) - 1)


def _ramps(time_K: Array) -> tuple[Array, Array, Array]:
  """Steps and ramps [J, K], their places [J] and widths [J] in u."""
  gaps = ((time_K[1:] + time_K[:-1]) / 2)[1:-1]
  grid = [((time_K > gaps[:, None]).astype(time_K.dtype), gaps, 0 * gaps)]
  places = jnp.concatenate([gaps, time_K[2:-2]])
  for width in _WIDTHS:
    # A logistic goes from 10 to 90 % in 2 log 9 of its own units.
    rate = 2 * math.log(9) / width
    ramp_JK = jax.nn.sigmoid(rate * (time_K - places[:, None]))
    grid.append((ramp_JK, places, jnp.full_like(places, width)))
  ramps, places, widths = (jnp.concatenate(part) for part in zip(*grid))
  return ramps, places, widths


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  steps = 2.0 ** jnp.arange(16)
  noise = 0.1 * jax.random.normal(key, (16,))
  return {'detect': ((steps > 100) + noise, steps, jnp.float32(0.01))}
