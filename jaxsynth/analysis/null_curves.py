"""Curves without a transition, and how often one is found in them.

Six families, of unit scale, at the given steps (e: standard normal noise;
a, s, w drawn anew for each curve):

  white          e_i
  ar_half        y_i = 0.5 y_{i-1} + e_i, started stationary
  ar_strong      y_i = 0.9 y_{i-1} + e_i, started stationary
  walk           y_i = y_{i-1} + e_i
  power_law      (1 + step / s)^-a + w e_i
  two_laws       two such power laws and an exponential exp(-step / s), + w e_i

with a ~ U(0.1, 2), s log-uniform over the steps, w log-uniform in
[1e-3, 0.3]. None of the models in `detection` contains the last family.

Measured false positives per cent, 4000 curves each, on a seed that the margin
was not calibrated with (n log-spaced snapshots, first to last step):

  n, steps         white  ar_half  ar_strong  walk  power_law  two_laws
  12, 1 to 1e4      0.1     0.4       0.6      0.2     0.1        0.1
  16, 10 to 2e3     0.0     0.8       2.2      2.3     0.1        1.2
  20, 10 to 1e3     0.0     1.1       3.7      3.7     0.1        1.4
  25, 1 to 1e4      0.0     0.4       1.4      1.0     0.1        1.0
  50, 1 to 1e5      0.0     0.1       0.2      0.5     0.0        0.2

What is found of transitions planted in white noise, per cent of 1000, by
width in log(1 + step) and height over the noise's standard deviation:

  n, steps         step: 5   10   30    0.8: 5   10   30    1.5: 5   10   30
  16, 10 to 2e3         42   98  100        10   62  100         1   11   83
  25, 1 to 1e4          60  100  100        20   87  100         4   33  100
  50, 1 to 1e5          92  100  100        52   99  100        13   75  100

Source: our choice of what a training curve does when nothing happens.
"""

import jax
import jax.numpy as jnp

from jaxsynth.analysis import detection
from jaxsynth.errors import unknown
from jaxsynth.types import Array, Key

FAMILIES = (
  'white',
  'ar_half',
  'ar_strong',
  'walk',
  'power_law',
  'two_laws',
)
_MEMORY = {'white': 0.0, 'ar_half': 0.5, 'ar_strong': 0.9, 'walk': 1.0}


def draw(key: Key, steps: Array, family: str) -> Array:
  """One curve of a family.

  Args:
    key: of the curve.
    steps: [K].
    family: one of FAMILIES, static.

  Returns:
    The curve [K].

  Raises:
    UserError: no such family.
  """
  if family not in FAMILIES:
    raise unknown('family', family, FAMILIES)
  key_noise, key_shape, key_scale, key_level = jax.random.split(key, 4)
  noise_K = jax.random.normal(key_noise, steps.shape)
  if family in _MEMORY:
    return _autoregression(noise_K, _MEMORY[family])

  low, high = jnp.log1p(steps[0].astype(float)), jnp.log1p(steps[-1])
  power = jax.random.uniform(key_shape, (2, 1), minval=0.1, maxval=2.0)
  scale = jnp.exp(jax.random.uniform(key_scale, (3, 1), float, low, high))
  level = jax.random.uniform(
    key_level, (), minval=jnp.log(1e-3), maxval=jnp.log(0.3)
  )
  unit_3K = steps / scale
  laws_2K = (1 + unit_3K[:2]) ** -power
  if family == 'power_law':
    smooth_K = laws_2K[0]
  else:
    smooth_K = laws_2K.sum(0) + jnp.exp(-unit_3K[2])
  return smooth_K + jnp.exp(level) * noise_K


def false_positive_rate(
  key: Key, steps: Array, family: str, num_curves: int
) -> dict[str, Array]:
  """The share of a family's curves in which `detection.detect` finds one.

  Args:
    key: of the curves.
    steps: [K], K at least 12.
    family: one of FAMILIES, static.
    num_curves: how many, S, static.

  Returns:
    rate: share of curves with a transition detected [].
    evidence: of every curve [S], for the rate at another margin.
  """
  keys = jax.random.split(key, num_curves)
  curves = jax.vmap(lambda k: draw(k, steps, family))(keys)
  found = _detect(curves, steps)
  return {'rate': found['detected'].mean(), 'evidence': found['evidence']}


_detect = jax.jit(jax.vmap(detection.detect, (0, None)))


def _autoregression(noise_K: Array, memory: float) -> Array:
  """y_i = memory y_{i-1} + e_i; a walk starts at its first noise."""
  start = 1.0 if memory == 1.0 else (1 - memory**2) ** -0.5

  def step(y, noise):
    y = memory * y + noise
    return y, y

  first = start * noise_K[0]
  _, rest_K = jax.lax.scan(step, first, noise_K[1:])
  return jnp.concatenate([first[None], rest_K])


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  steps = 2.0 ** jnp.arange(16)
  return {
    'draw': (key, steps, 'two_laws'),
    'false_positive_rate': (key, steps, 'walk', 4),
  }
