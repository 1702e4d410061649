"""The very Markov chains of the Markov-mixture paper, from their seeds.

For each mixture size N the published code seeds numpy's legacy generator with
42, draws N weights p_n ~ Uniform(0, 1) and then N integers below 100,000;
chain n is k Dirichlet(1_k) rows from the same generator seeded with the n-th
integer. Sizes share no chain: a smaller set is not a prefix of a larger one.

The generators here are local: numpy's global state is neither read nor set.

Source: the notebook that writes the configurations in cfpark00/markov-mixtures
(Park, Lubana, Pres and Tanaka 2024, arXiv 2412.01003).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.types import Array

SIZES = tuple(2**i for i in range(2, 12))  # 4, 8, ..., 2048


@functools.lru_cache(maxsize=4)
def tables(num_states: int, largest: int) -> tuple[np.ndarray, np.ndarray]:
  """The sets of N = 4, 8, ..., `largest` chains, end to end.

  Args:
    num_states: k.
    largest: one of `SIZES`.

  Returns:
    Transition matrices [2 * largest - 4, k, k] and weights, not normalised,
    [2 * largest - 4], both float32.
  """
  transitions, weights = [], []
  for size in SIZES[: SIZES.index(largest) + 1]:
    random = np.random.RandomState(42)
    weights.append(random.random_sample(size))
    for seed in random.randint(0, 100_000, size):
      chain = np.random.RandomState(seed)
      transitions.append(chain.dirichlet(np.ones(num_states), num_states))
  return np.float32(transitions), np.float32(np.concatenate(weights))


def select(
  num_states: int, num_chains: Array | int, largest: int
) -> tuple[Array, Array]:
  """The set of `num_chains` chains, padded with chains of other sets.

  Args:
    num_states: k.
    num_chains: one of `SIZES` up to `largest`, traced or not.
    largest: size after padding, one of `SIZES`.

  Returns:
    Transition matrices [largest, k, k] and weights [largest].
  """
  # The sizes before N sum to 4 + 8 + ... + N/2 = N - 4.
  start = jnp.asarray(num_chains).astype(jnp.int32) - 4
  # The barrier keeps the compiler from folding all that follows (slow).
  whole = jax.lax.optimization_barrier(
    jax.tree.map(jnp.asarray, tables(num_states, largest))
  )
  cut = lambda x: jax.lax.dynamic_slice_in_dim(x, start, largest)
  return jax.tree.map(cut, whole)
