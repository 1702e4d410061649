"""Matrix completion by the nuclear norm, solved and certified.

With |Z|_* the sum of singular values, O the observed entries of X and n their
number,

  exact      min |Z|_*                                   Z_O = X_O
  penalised  min (1/n) sum_O (Z - X)^2 + lam |Z|_*

Douglas-Rachford splitting, of step s and relaxation 1:

  Z <- SVT_s(W);  Y <- prox_f(2 Z - W);  W <- W + Y - Z

with SVT_s the soft threshold of singular values and prox_f the replacement of
observed entries by X (exact), or their pull towards it (penalised). The
dual variable (W - Z) / s is a subgradient of |Z|_*; its part on O, scaled to
be feasible, bounds the minimum from below:

  exact      max <L, X>                                  |L|_2 <= 1, L on O
  penalised  max <L, X> - (n/4) |L|^2                    |L|_2 <= lam, L on O

`gap`, the value at Z less that bound, certifies the answer: it is at least the
distance from the minimum, whatever the solver did.

Source: Candes and Recht (2009), "Exact Matrix Completion via Convex
Optimization", arXiv 0805.4471; Cai, Candes and Shen (2010), arXiv 0810.3286
(the soft threshold); Eckstein and Bertsekas (1992), Mathematical Programming
55 (the splitting); Gopalani, Lubana and Hu (2024), arXiv 2410.22244, for the
comparison with transformers.
"""

import jax
import jax.numpy as jnp

from jaxsynth import linalg
from jaxsynth.types import Array, Key


def nuclear_norm(matrix: Array) -> Array:
  """The sum of singular values.

  Args:
    matrix: [m, n].

  Returns:
    [].
  """
  return linalg.singular_values(matrix).sum()


def soft_threshold(matrix: Array, amount: float) -> Array:
  """Singular values moved towards 0, and not beyond.

  Args:
    matrix: [m, n].
    amount: by how much.

  Returns:
    [m, n].
  """
  u, s, vt = linalg.svd(matrix)
  return (u * jnp.maximum(s - amount, 0)) @ vt


def complete(
  values: Array,
  observed: Array,
  penalty: float = 0.0,
  iterations: int = 500,
  step: float = 0.3,
) -> dict[str, Array]:
  """The completion of least nuclear norm, with a certificate.

  Args:
    values: X [m, n]; what is not observed is not read.
    observed: bool [m, n].
    penalty: lam; 0 for the exact problem.
    iterations: of the splitting.
    step: s, in units of the values; it changes the speed only.

  Returns:
    matrix: the completion [m, n]; exact, it has the observed entries.
    norm: its nuclear norm [].
    gap: how far its value is from the minimum at most [].
  """
  x = jnp.where(observed, values, 0.0)
  count = observed.sum()
  # The proximal map of f at y, on observed entries, is (y + pull x) / (1 +
  # pull); an infinite pull is the exact problem. With lam, f is divided by it.
  pull = 2 * step / (jnp.maximum(count, 1) * penalty) if penalty else jnp.inf

  def near(y):
    weight = 1.0 if not penalty else pull / (1 + pull)
    return jnp.where(observed, y + weight * (x - y), y)

  def advance(w, _):
    z = soft_threshold(w, step)
    return w + near(2 * z - w) - z, None

  w, _ = jax.lax.scan(advance, x, None, iterations)
  z = soft_threshold(w, step)
  scale = penalty if penalty else 1.0
  dual = jnp.where(observed, (w - z) / step, 0.0) * scale
  size = linalg.singular_values(dual)[0]
  dual = dual * jnp.minimum(1.0, scale / jnp.maximum(size, 1e-30))
  if penalty:
    misfit = jnp.where(observed, jnp.square(z - x), 0.0).sum()
    value = misfit / jnp.maximum(count, 1) + penalty * nuclear_norm(z)
    bound = (dual * x).sum() - 0.25 * count * jnp.square(dual).sum()
  else:
    z = jnp.where(observed, x, z)
    value, bound = nuclear_norm(z), (dual * x).sum()
  return {'matrix': z, 'norm': nuclear_norm(z), 'gap': value - bound}


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  of_left, of_right, of_mask = jax.random.split(key, 3)
  left = jax.random.normal(of_left, (4, 1))
  x = left @ jax.random.normal(of_right, (1, 5))
  observed = jax.random.uniform(of_mask, x.shape) < 0.8
  return {
    'nuclear_norm': (x,),
    'soft_threshold': (x, 0.2),
    'complete': (x, observed, 0.0, 50),
  }
