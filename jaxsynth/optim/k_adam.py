"""k-Adam: Adam's normalisation applied k times over, with traced decays.

With u^(0) = g, at update n = 0, 1, ... and for each stage i = 1..k

  m_i <- gamma_i m_i + (1 - gamma_i) u^(i-1)
  v_i <- beta_i v_i + (1 - beta_i) (u^(i-1))^2
  u^(i) = m_i / (1 - gamma_i^(n+1)) / (sqrt(v_i / (1 - beta_i^(n+1))) + eps)

and the direction is u^(k). One stage is Adam. Here, as in the source, gamma is
the decay of the first moment (optax: b1) and beta that of the second (b2).

The state holds s = sqrt(v), advanced by s <- hypot(sqrt(beta) s,
sqrt(1 - beta) g): gradients that shrink by forty orders of magnitude, which is
where the stable region of Adam shows, would underflow when squared in float32.

A *strategy* derives the 2k decays from one pair (beta, gamma). The source is
known to compare four and to name them about as here; the formulas of all but
'uniform' were not verified against it, and may differ.

Source: Gould and Tanaka (2024), "Continuous-Time Analysis of Adaptive
Optimization and Normalization", arXiv 2411.05746, for k-Adam; Kingma and Ba
(2015), "Adam", for one stage.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxsynth.types import Array, PyTree

# (beta, gamma, k) -> betas [k], gammas [k]
Strategy = Callable[[Array, Array, int], tuple[Array, Array]]


class KAdamState(NamedTuple):
  """The moments of all stages.

  Attributes:
    count: updates done, int32.
    mean: first moments m, a tuple of k pytrees like the parameters.
    root: square roots s of the second moments, likewise.
  """

  count: Array
  mean: tuple[PyTree, ...]
  root: tuple[PyTree, ...]


def uniform(beta: Array, gamma: Array, k: int) -> tuple[Array, Array]:
  """Every stage has the decays given."""
  return _each(beta, k), _each(gamma, k)


def exponential(beta: Array, gamma: Array, k: int) -> tuple[Array, Array]:
  """Every stage has the k-th roots: beta^(1/k). Not verified."""
  return _each(beta ** (1 / k), k), _each(gamma ** (1 / k), k)


def inverse_exponential(
  beta: Array, gamma: Array, k: int
) -> tuple[Array, Array]:
  """Every stage has the k-th powers: beta^k. Not verified."""
  return _each(beta**k, k), _each(gamma**k, k)


def matched_prefactor(beta: Array, gamma: Array, k: int) -> tuple[Array, Array]:
  """The weights of the newest input multiply to Adam's. Not verified.

  1 - gamma_i = (1 - gamma)^(1/k), and for beta alike.
  """
  return (
    _each(1 - (1 - beta) ** (1 / k), k),
    _each(1 - (1 - gamma) ** (1 / k), k),
  )


STRATEGIES: dict[str, Strategy] = {
  'uniform': uniform,
  'exponential': exponential,
  'inverse_exponential': inverse_exponential,
  'matched_prefactor': matched_prefactor,
}


def _each(value: Array, k: int) -> Array:
  return jnp.broadcast_to(jnp.asarray(value), (k,))


def _remaining(decay: Array, count: Array) -> Array:
  """1 - decay^count without cancellation, for decay in [0, 1)."""
  return -jnp.expm1(count * jnp.log(decay))


def scale_by_k_adam(
  betas: Array, gammas: Array, eps: float | Array = 1e-8
) -> optax.GradientTransformation:
  """k-Adam without learning rate and weight decay.

  Args:
    betas: decays of the second moments [k], in [0, 1); may be traced.
    gammas: decays of the first moments [k], likewise.
    eps: added to every root, as optax does: after the bias correction.

  Returns:
    A transformation whose state does not depend on the values.
  """
  stages = len(betas)

  def init(params: PyTree) -> KAdamState:
    zeros = lambda: tuple(
      jax.tree.map(jnp.zeros_like, params) for _ in range(stages)
    )
    return KAdamState(jnp.zeros((), jnp.int32), zeros(), zeros())

  def update(
    updates: PyTree, state: KAdamState, params: PyTree | None = None
  ) -> tuple[PyTree, KAdamState]:
    del params
    count = state.count + 1
    means, roots = [], []
    for i, (beta, gamma) in enumerate(zip(betas, gammas)):
      keep, add = jnp.sqrt(beta), jnp.sqrt(1 - beta)
      mean = jax.tree.map(
        lambda m, u, gamma=gamma: gamma * m + (1 - gamma) * u,
        state.mean[i],
        updates,
      )
      root = jax.tree.map(
        lambda s, u, keep=keep, add=add: jnp.hypot(keep * s, add * u),
        state.root[i],
        updates,
      )
      of_mean = 1 / _remaining(gamma, count)
      of_root = 1 / jnp.sqrt(_remaining(beta, count))
      updates = jax.tree.map(
        lambda m, s, a=of_mean, b=of_root: (a * m / (b * s + eps)).astype(
          m.dtype
        ),
        mean,
        root,
      )
      means.append(mean)
      roots.append(root)
    return updates, KAdamState(count, tuple(means), tuple(roots))

  return optax.GradientTransformation(init, update)


def k_adam(
  learning_rate: float | Array,
  beta: float | Array = 0.999,
  gamma: float | Array = 0.9,
  stages: int = 1,
  strategy: Strategy = uniform,
  eps: float | Array = 1e-8,
  weight_decay: float | Array = 0.0,
) -> optax.GradientTransformation:
  """k-Adam with decoupled decay: theta <- theta - eta (u + lambda theta).

  Args:
    learning_rate: eta.
    beta: decay of the second moment.
    gamma: decay of the first moment.
    stages: k.
    strategy: (beta, gamma, k) -> betas [k], gammas [k]; those of the source
      are in `STRATEGIES`.
    eps: see `scale_by_k_adam`.
    weight_decay: lambda.
  """
  return optax.chain(
    scale_by_k_adam(
      *strategy(jnp.asarray(beta), jnp.asarray(gamma), stages), eps
    ),
    optax.add_decayed_weights(weight_decay),
    optax.scale_by_learning_rate(learning_rate),
  )
