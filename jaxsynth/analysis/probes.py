"""Linear probes: what can be read linearly off an activation.

Rows x_i of X [N, D] are activations, rows y_i of Y [N, P] what is to be read.
A probe W [D, P] minimises

  |X W - Y|^2 + ridge |W|^2,

by the singular values X = U S V': W = V diag(s / (s^2 + ridge)) U' Y, without
those that are rounding; with ridge 0 this is the solution of least norm. A
constant is read by a column of ones (`with_ones`), which a ridge holds down as
well.

Source: Alain and Bengio (2016), "Understanding intermediate layers using
linear classifier probes", arXiv 1610.01644; Hoerl and Kennard (1970), "Ridge
Regression", for the ridge.
"""

import jax
import jax.numpy as jnp

from jaxsynth.types import Array, Key


def with_ones(x: Array) -> Array:
  """Activations and a constant.

  Args:
    x: [N, D].

  Returns:
    [N, D + 1], the last column ones.
  """
  return jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], -1)


def fit(x: Array, y: Array, ridge: float | Array = 0.0) -> Array:
  """The probe of least squares, with or without a ridge.

  Args:
    x: activations [N, D].
    y: what is to be read [N, P].
    ridge: weight of |W|^2 beside the sum of squares; 0 for none.

  Returns:
    W [D, P].
  """
  u, s, vt = jnp.linalg.svd(x, full_matrices=False)
  least = jnp.finfo(x.dtype).eps * max(x.shape) * s[0]
  kept = s > least
  gain = jnp.where(kept, s, 0) / jnp.where(kept, s * s + ridge, 1)
  return vt.T @ (gain[:, None] * (u.T @ y))


def score(probe: Array, x: Array, y: Array) -> dict[str, Array]:
  """How well a probe reads what it was not fitted on.

  Args:
    probe: W [D, P].
    x: activations [N, D].
    y: what is to be read [N, P].

  Returns:
    mse: mean square error, [].
    unexplained: mse over the mean square of y about its mean, [].
    cosine: mean absolute cosine between x W and y, [].
  """
  read = x @ probe
  mse = jnp.square(read - y).mean()
  spread = jnp.square(y - y.mean(0)).mean()
  norms = jnp.linalg.norm(read, axis=-1) * jnp.linalg.norm(y, axis=-1)
  cosine = abs((read * y).sum(-1)) / jnp.maximum(norms, 1e-12)
  return {
    'mse': mse,
    'unexplained': mse / jnp.maximum(spread, 1e-12),
    'cosine': cosine.mean(),
  }


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  of_x, of_y, of_w = jax.random.split(key, 3)
  x = jax.random.normal(of_x, (12, 3))
  y = jax.random.normal(of_y, (12, 2))
  return {
    'with_ones': (x,),
    'fit': (x, y, 0.1),
    'score': (jax.random.normal(of_w, (3, 2)), x, y),
  }
