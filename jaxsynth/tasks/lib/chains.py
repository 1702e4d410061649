"""Finite mixtures of Markov chains: sampling, aligned contexts, closed forms.

A chain on k states has a transition matrix T (row s: the law of the next
state after s) and a stationary law pi with pi T = pi. A mixture holds N of
them with prior p. A sequence is one draw of

  n ~ p,   x_1 ~ pi_n,   x_{t+1} ~ T_n[x_t]

and every law is sampled by inverting its cumulative distribution F at a
uniform number u: the outcome is how many of the k - 1 inner values of F are
at most u. The uniforms are drawn ahead, so one step of the scan over time is
one gather and k - 1 comparisons per sequence (a categorical draw inside the
scan costs far more). Comparisons do not round: equal tables and keys
give equal tokens, compiled or not, batched or not.

Shapes: N chains, k states, B sequences, T tokens, R repetitions.

Source: Park, Lubana, Pres and Tanaka (2024), arXiv 2412.01003, for the
mixture and the aligned contexts; the closed forms are derived in place.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy

from jaxsynth import linalg
from jaxsynth.types import Array, Key


class Chains(NamedTuple):
  """A mixture of N Markov chains and the tables that sample it.

  Attributes:
    transitions: T, rows sum to one [N, k, k].
    stationary: pi [N, k].
    log_prior: log p, -inf where a chain is masked out [N].
    prior_cdf: cumulative p; infinite from the last live chain on [N].
    initial_cdf: cumulative pi without its last value, 1 [N, k-1].
    row_cdf: cumulative rows of T without their last value, 1 [N, k, k-1].
    pseudocount: the count that inference adds to each outcome, [].
  """

  transitions: Array
  stationary: Array
  log_prior: Array
  prior_cdf: Array
  initial_cdf: Array
  row_cdf: Array
  pseudocount: Array


def mixture(
  transitions: Array,
  weights: Array,
  num_chains: Array | int,
  pseudocount: Array | float = 1.0,
) -> Chains:
  """The mixture of the first `num_chains` of N chains.

  Args:
    transitions: transition matrices [N, k, k].
    weights: prior weights, not normalised [N].
    num_chains: chains in use, in 1..N, traced or not; the others are masked.
    pseudocount: Dirichlet concentration that `predictors` infer with.
  """
  index_N = jnp.arange(transitions.shape[0])
  weights_N = jnp.where(index_N < num_chains, weights, 0.0)
  prior_N = weights_N / weights_N.sum()
  law_Nk = stationary(transitions)
  return Chains(
    transitions=transitions,
    stationary=law_Nk,
    log_prior=jnp.log(prior_N),
    prior_cdf=jnp.where(index_N < num_chains - 1, prior_N.cumsum(), jnp.inf),
    initial_cdf=law_Nk.cumsum(-1)[..., :-1],
    row_cdf=transitions.cumsum(-1)[..., :-1],
    pseudocount=jnp.asarray(pseudocount, transitions.dtype),
  )


def dirichlet(key: Key, alpha: Array, numbers: Array) -> tuple[Array, Array]:
  """Chains whose row s is Dirichlet(alpha[s]), with random weights.

  A chain and its weight depend on the key, its alpha and its number alone, so
  a smaller set is a prefix of a larger one.

  Args:
    key: of the whole set.
    alpha: concentrations [k, k], or one such matrix per chain [N, k, k].
    numbers: the numbers of the chains wanted, int32 [N].

  Returns:
    Transition matrices [N, k, k] and weights, Uniform(0, 1), [N].
  """

  def one(number, alpha_kk):
    chain, weight = jax.random.split(jax.random.fold_in(key, number))
    return jax.random.dirichlet(chain, alpha_kk), jax.random.uniform(weight)

  alpha_Nkk = jnp.broadcast_to(alpha, numbers.shape + alpha.shape[-2:])
  return jax.vmap(one)(numbers, alpha_Nkk)


def block_alpha(
  num_states: int, block: int = 5, inside: float = 5.0
) -> np.ndarray:
  """Concentrations of the published structured chains.

  Args:
    num_states: k, a multiple of `block`.
    block: states per diagonal block.
    inside: concentration within a block; it is 1 outside.

  Returns:
    Concentrations [k, k].
  """
  group_k = np.arange(num_states) // block
  return np.where(group_k[:, None] == group_k, inside, 1.0)


def stationary(transitions: Array) -> Array:
  """The stationary law: pi (I - T) = 0 with sum(pi) = 1.

  The k balance equations are dependent, so the last one is replaced by the
  normalisation; the system is then regular if and only if pi is unique.

  Args:
    transitions: [..., k, k], rows sum to one.

  Returns:
    pi [..., k].
  """
  k = transitions.shape[-1]
  system = jnp.eye(k) - jnp.swapaxes(transitions, -1, -2)
  system = system.at[..., -1, :].set(1.0)
  right = jnp.zeros((*transitions.shape[:-1], 1)).at[..., -1, :].set(1.0)
  solve = jnp.vectorize(linalg.solve, signature='(k,k),(k,m)->(k,m)')
  law = jnp.maximum(solve(system, right)[..., 0], 0.0)
  return law / law.sum(-1, keepdims=True)


def _invert(uniform: Array, cdf: Array) -> Array:
  """The outcome at `uniform` [...] of a law with inner cdf [..., n]."""
  return (uniform[..., None] >= cdf).sum(-1, dtype=jnp.int32)


def draw(chains: Chains, key: Key, num: int) -> Array:
  """Indices of `num` chains drawn from the prior, int32 [num]."""
  return _invert(jax.random.uniform(key, (num,)), chains.prior_cdf)


def sample(chains: Chains, key: Key, chain: Array, length: int) -> Array:
  """One sequence from each of the named chains, started stationary.

  Args:
    chains: the mixture.
    key: of the sequences.
    chain: which chain each sequence follows, int32 [B].
    length: tokens per sequence, T.

  Returns:
    States, int32 [B, T].
  """
  k = chains.stationary.shape[-1]
  cdf = chains.row_cdf.reshape(-1, k - 1)  # [N*k, k-1]
  uniform_TB = jax.random.uniform(key, (length, chain.shape[0]))
  first_B = _invert(uniform_TB[0], chains.initial_cdf[chain])

  def step(state_B, uniform_B):
    new_B = _invert(uniform_B, cdf[chain * k + state_B])
    return new_B, new_B

  _, rest = jax.lax.scan(step, first_B, uniform_TB[1:])  # [T-1, B]
  return jnp.concatenate([first_B[None], rest]).T


def aligned(
  chains: Chains, key: Key, chain: Array, length: int, tries: int = 32
) -> tuple[Array, Array]:
  """Contexts of one sequence that end in each state in turn.

  A sequence of 2 * length states is accepted if every state occurs in it and
  the last occurrence of each is at index `length` or later; context i is the
  `length` states that end at the last occurrence of state i. Of `tries`
  sequences per repetition the first accepted one is taken, which has the law
  of drawing until one is accepted; if none is, the repetition is invalid and
  its contexts are meaningless.

  Args:
    chains: the mixture.
    key: of the sequences.
    chain: which chain each repetition follows, int32 [R].
    length: of a context, T.
    tries: sequences drawn per repetition.

  Returns:
    contexts, int32 [R, k, T], with contexts[:, i, -1] == i where valid;
    valid, bool [R].
  """
  states_k = jnp.arange(chains.stationary.shape[-1])
  time = jnp.arange(2 * length)
  many = sample(chains, key, jnp.repeat(chain, tries), 2 * length)
  many = many.reshape(-1, tries, 2 * length)  # [R, tries, 2T]
  seen = many[..., None, :] == states_k[:, None]  # [R, tries, k, 2T]
  last = jnp.where(seen, time, -1).max(-1)  # [R, tries, k]
  accepted = (last >= length).all(-1)  # [R, tries]

  def cut(tokens, last_k, first):
    end_k = jnp.maximum(last_k[first], length)
    index_kT = end_k[:, None] - length + 1 + jnp.arange(length)
    return tokens[first][index_kT]

  contexts = jax.vmap(cut)(many, last, accepted.argmax(-1))
  return contexts, accepted.any(-1)


def truth(
  chains: Chains, chain: Array, permutation: Array | None = None
) -> dict[str, Array]:
  """The matrix and stationary law behind each sequence, in its own labels.

  Args:
    chains: the mixture.
    chain: which chain each sequence follows, int32 [B].
    permutation: state s is written as token permutation[s] [B, k]; None
      where states are their own tokens.

  Returns:
    transition [B, k, k] and stationary [B, k].
  """
  matrix_Bkk, law_Bk = chains.transitions[chain], chains.stationary[chain]
  if permutation is not None:
    state = jnp.argsort(permutation)  # [B, k], the state behind each token
    law_Bk = jnp.take_along_axis(law_Bk, state, 1)
    matrix_Bkk = jnp.take_along_axis(matrix_Bkk, state[:, :, None], 1)
    matrix_Bkk = jnp.take_along_axis(matrix_Bkk, state[:, None, :], 2)
  return {'transition': matrix_Bkk, 'stationary': law_Bk}


def entropy_rate(transitions: Array, law: Array) -> Array:
  """-sum_i pi_i sum_j T_ij log T_ij in nats: the least mean loss.

  Args:
    transitions: [..., k, k].
    law: stationary law [..., k].

  Returns:
    Entropy rates [...].
  """
  return -(law * xlogy(transitions, transitions).sum(-1)).sum(-1)


def mean_row_entropy(num_states: int) -> float:
  """Mean entropy of a Dirichlet(1) row in nats: H_k - 1.

  A coordinate is Beta(1, k-1) and E[p log p] = (psi(2) - psi(k+1)) / k, so
  k of them give psi(k+1) - psi(2) = H_k - 1, with H_k = 1 + 1/2 + ... + 1/k.
  """
  return math.fsum(1 / j for j in range(2, num_states + 1))


def expected_kl(num_states: int, visits: int) -> float:
  """Mean KL(row || Bi-Inf) in nats after m visits of a Dirichlet(1) row.

  Given counts c, the row is Dirichlet(1 + c) with mean q = (c + 1) / (m + k),
  which is the prediction. Hence E[-sum_j p_j log q_j | c] is the entropy of
  q, and the mean divergence is E[H(q)] - (H_k - 1). All vectors c are equally
  likely, so one count is r with probability
  C(m-r+k-2, k-2) / C(m+k-1, k-1), and

    E[H(q)] = -k sum_r P(r) (r+1)/(m+k) log((r+1)/(m+k)).

  Args:
    num_states: k, at least 2.
    visits: m, transitions out of the current state seen so far.
  """
  k, m = num_states, visits
  total = math.comb(m + k - 1, k - 1)
  terms = []
  for r in range(m + 1):
    q = (r + 1) / (m + k)
    terms.append(math.comb(m - r + k - 2, k - 2) / total * q * math.log(q))
  return -k * math.fsum(terms) - mean_row_entropy(k)
