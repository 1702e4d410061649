"""Which of several known algorithms does a model implement?

A model and A algorithms each predict a distribution over V symbols in the
same C contexts: `model` P [C, V], `algorithms` Q [A, C, V]. Three answers:

  divergences     mean_c KL(P || Q_a) and mean_c KL(Q_a || P)
  nearest         argmin_a mean_c KL(P || Q_a)
  interpolation   the weights w on the simplex that minimise
                  mean_c KL(P || sum_a w_a Q_a), by expectation-maximisation:
                  w_a <- w_a g_a,  g_a = mean_c sum_x P(x|c) Q_a(x|c) / Q_w(x|c)

The last objective is convex in w, so every start leads to the global optimum,
and the update never increases it. At any w the distance to the optimum is at
most log max_a g_a (Jensen's inequality), which is returned with the weights.

A zero that one side predicts is met by adding eps to the second argument of a
divergence, so a divergence may come out as low as -V eps.

Every function takes one cell; a map over training step, task diversity and
context length is `jax.vmap`, once for each.

Source: Park, Lubana, Pres and Tanaka (2024), arXiv 2412.01003, for the
question and the linear interpolation of algorithms; Cover (1984), "An
algorithm for maximizing expected log investment return", IEEE Trans. Inf.
Theory 30(2), for the update, its monotonicity and the bound.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

from jaxsynth.types import Array, Key

EPS = 1e-8


def mean_kl(p: Array, q: Array, eps: float = EPS) -> Array:
  """mean_c sum_x p log(p / (q + eps)), in nats, with 0 log 0 = 0.

  Args:
    p: distributions [..., C, V].
    q: distributions [..., C, V], broadcast against p.
    eps: added to q.

  Returns:
    Divergences [...].
  """
  return (xlogy(p, p) - p * jnp.log(q + eps)).sum(-1).mean(-1)


def kl_to_algorithms(
  model: Array, algorithms: Array, eps: float = EPS
) -> dict[str, Array]:
  """Divergences between a model and each algorithm, both ways, in nats.

  Args:
    model: the model's predictions [C, V].
    algorithms: the algorithms' predictions [A, C, V].
    eps: added to the second argument of each divergence.

  Returns:
    model_to_algorithm: mean_c KL(model || algorithm) [A].
    algorithm_to_model: mean_c KL(algorithm || model) [A].
  """
  return {
    'model_to_algorithm': mean_kl(model, algorithms, eps),
    'algorithm_to_model': mean_kl(algorithms, model, eps),
  }


def nearest(
  model: Array, algorithms: Array, eps: float = EPS
) -> dict[str, Array]:
  """The algorithm with the smallest KL(model || algorithm).

  Args:
    model: the model's predictions [C, V].
    algorithms: the algorithms' predictions [A, C, V], A at least 2.
    eps: added to the algorithm's probabilities.

  Returns:
    index: which algorithm, int32 []; the first of equals, and -1 where the
      model's predictions are not finite (a diverged run).
    kl: its divergence, nats [].
    margin: the runner-up's divergence minus it, nats []. Near zero the two
      cannot be told apart in these contexts.
  """
  kl_A = mean_kl(model, algorithms, eps)
  best, second = jnp.sort(kl_A)[:2]
  index = jnp.where(jnp.isfinite(best), kl_A.argmin(), -1)
  return {
    'index': index.astype(jnp.int32),
    'kl': best,
    'margin': second - best,
  }


def interpolation_weights(
  model: Array,
  algorithms: Array,
  num_steps: Array | int = 1000,
  eps: float = EPS,
) -> dict[str, Array]:
  """The mixture of algorithms closest to a model, by EM.

  Starts at equal weights. Algorithms that agree in every context share their
  weight equally, since nothing identifies the split. EM nears a corner of the
  simplex slowly: `gap` says how much is left, in nats.

  Args:
    model: the model's predictions [C, V].
    algorithms: the algorithms' predictions [A, C, V].
    num_steps: EM updates, int32 [] or a Python int.
    eps: added to the algorithms' probabilities; it bounds every quotient.

  Returns:
    weights: on the simplex [A].
    kl: mean_c KL(model || mixture) at these weights, nats [].
    gap: upper bound on how far kl still is above its minimum, nats [].
  """
  num_algorithms, num_contexts, _ = algorithms.shape
  q_AN = (algorithms + eps).reshape(num_algorithms, -1)
  p_N = model.reshape(-1)

  def gain(w_A):
    return q_AN @ (p_N / (w_A @ q_AN)) / num_contexts  # [A]

  def update(_, w_A):
    w_A = w_A * gain(w_A)
    return w_A / w_A.sum()

  start_A = jnp.full(num_algorithms, 1 / num_algorithms, q_AN.dtype)
  w_A = jax.lax.fori_loop(0, num_steps, update, start_A)
  kl = (xlogy(p_N, p_N) - p_N * jnp.log(w_A @ q_AN)).sum() / num_contexts
  gap = jnp.maximum(jnp.log(gain(w_A).max()), 0.0)
  return {'weights': w_A, 'kl': kl, 'gap': gap}


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  draw = lambda number, *shape: jax.nn.softmax(
    jax.random.normal(jax.random.fold_in(key, number), shape)
  )
  model, algorithms = draw(0, 6, 4), draw(1, 3, 6, 4)
  return {
    'mean_kl': (model, algorithms),
    'kl_to_algorithms': (model, algorithms),
    'nearest': (model, algorithms),
    'interpolation_weights': (model, algorithms, 20),
  }
