"""The named algorithms that predict a Markov-mixture sequence in context.

In a context x_1..x_n, with the last state s = x_n, the chains of a mixture
(prior p, matrices T_m, stationary laws pi_m) have two posteriors,

  post^U_m  ~  p_m prod_t pi_m[x_t]                           from frequencies
  post^B_m  ~  p_m pi_m[x_1] prod_{t>1} T_m[x_{t-1}, x_t]     from transitions

A retrieval predictor averages what the known chains say; an inference
predictor counts in the context, whose chain it need not know (a: the
pseudocount, 1 as published; N: counts in the context):

  uni_ret             sum_m post^U_m pi_m            unigram retrieval
  bi_ret              sum_m post^B_m T_m[s]          bigram retrieval: the Bayes
                                                     optimum on the mixture
  ul_bp               sum_m post^U_m T_m[s]          the two mixed forms
  bl_up               sum_m post^B_m pi_m
  uni_inf             (N(x) + a) / (n + k a)         smoothed histogram
  bi_inf              (N(s,x) + a) / (N(s,.) + k a)  the Bayes optimum when all
                                                     rows are Dirichlet(a)
  uni_inf_stationary  stationary law of the k x k matrix of the bi_inf rows

Each function takes one sequence and predicts at every position from the
context up to and including it: tokens [T] -> probabilities [T, k]. A short
context is a short sequence. `predictions` maps a batch in bounded memory.

The published code differs in two ways. It cuts the transition likelihood of
a window out of that of the whole sequence, so a window's first token enters
as T_m[x_0, x_1] with a predecessor that lies outside; here the first token of
a window is always a stationary draw, and a predictor sees its context alone.
And it takes row i of uni_inf_stationary's matrix from the aligned context
that ends in state i; here all rows come from one context.

Source: Park, Lubana, Pres and Tanaka (2024), arXiv 2412.01003.
"""

import jax
import jax.numpy as jnp

from jaxsynth.errors import unknown
from jaxsynth.tasks.lib.chains import Chains, stationary
from jaxsynth.types import Array

# Floats in an array of one group of sequences: 4 MiB, about a core's cache.
_BUDGET = 2**20


def unigram_posterior(chains: Chains, tokens: Array) -> Array:
  """log post^U after each token: [T] -> [T, N]."""
  log_like_TN = _log(chains.stationary).T[tokens]
  return _posterior(chains, log_like_TN)


def bigram_posterior(chains: Chains, tokens: Array) -> Array:
  """log post^B after each token: [T] -> [T, N]."""
  num, k = chains.stationary.shape
  first = _log(chains.stationary).T[tokens[:1]]  # [1, N]
  pairs = tokens[:-1] * k + tokens[1:]  # [T-1]
  rest = _log(chains.transitions).reshape(num, k * k).T[pairs]  # [T-1, N]
  return _posterior(chains, jnp.concatenate([first, rest]))


def uni_ret(chains: Chains, tokens: Array) -> Array:
  """Unigram retrieval, [T] -> [T, k]."""
  return _average_law(chains, unigram_posterior(chains, tokens))


def bi_ret(chains: Chains, tokens: Array) -> Array:
  """Bigram retrieval, the Bayes optimum on the mixture, [T] -> [T, k]."""
  return _average_row(chains, bigram_posterior(chains, tokens), tokens)


def ul_bp(chains: Chains, tokens: Array) -> Array:
  """Unigram likelihood, bigram prediction, [T] -> [T, k]."""
  return _average_row(chains, unigram_posterior(chains, tokens), tokens)


def bl_up(chains: Chains, tokens: Array) -> Array:
  """Bigram likelihood, unigram prediction, [T] -> [T, k]."""
  return _average_law(chains, bigram_posterior(chains, tokens))


def uni_inf(chains: Chains, tokens: Array) -> Array:
  """Smoothed histogram of the context, [T] -> [T, k]."""
  counts_Tk = _running_sum(jax.nn.one_hot(tokens, _num_states(chains)))
  return _smooth(chains, counts_Tk)


def uni_inf_stationary(chains: Chains, tokens: Array) -> Array:
  """Stationary law of the smoothed bigram matrix, [T] -> [T, k]."""
  return stationary(_smooth(chains, _transition_counts(chains, tokens)))


def bi_inf(chains: Chains, tokens: Array) -> Array:
  """Smoothed transition counts out of the last state, [T] -> [T, k]."""
  counts_Tkk = _transition_counts(chains, tokens)
  return _smooth(chains, _row(counts_Tkk, tokens))


RETRIEVAL = {
  'uni_ret': uni_ret,
  'bi_ret': bi_ret,
  'ul_bp': ul_bp,
  'bl_up': bl_up,
}
INFERENCE = {
  'uni_inf': uni_inf,
  'uni_inf_stationary': uni_inf_stationary,
  'bi_inf': bi_inf,
}
PREDICTORS = RETRIEVAL | INFERENCE


def predictions(
  chains: Chains, tokens: Array, names: tuple[str, ...] = tuple(PREDICTORS)
) -> dict[str, Array]:
  """What the named predictors say at every position of every sequence.

  Sequences are taken in groups that bound memory whatever B and N are;
  predictors that share a posterior or counts share its computation.

  Args:
    chains: the mixture; inference uses only its number of states and its
      pseudocount.
    tokens: states, int32 [B, T].
    names: keys of `PREDICTORS`.

  Returns:
    name -> probabilities of the next state [B, T, k].

  Raises:
    UserError: a name is not a predictor.
  """
  for name in names:
    if name not in PREDICTORS:
      raise unknown('predictor', name, PREDICTORS)
  num, k = chains.stationary.shape
  group = max(1, _BUDGET // (tokens.shape[1] * (num + k * k)))
  one = lambda x: {name: PREDICTORS[name](chains, x) for name in names}
  return jax.lax.map(one, tokens, batch_size=min(group, tokens.shape[0]))


def _num_states(chains: Chains) -> int:
  return chains.stationary.shape[-1]


def _log(p: Array) -> Array:
  """log p, finite where p has underflown to zero."""
  return jnp.log(jnp.maximum(p, jnp.finfo(p.dtype).tiny))


def _running_sum(x: Array) -> Array:
  """Cumulative sum over time (measured 4 to 6 times faster than cumsum)."""
  return jax.lax.associative_scan(jnp.add, x)


def _posterior(chains: Chains, log_like_TN: Array) -> Array:
  total = chains.log_prior + _running_sum(log_like_TN)
  return jax.nn.log_softmax(total, axis=-1)


def _average_law(chains: Chains, log_post_TN: Array) -> Array:
  # Full precision: an accelerator would otherwise round to 10 bits.
  return jnp.matmul(
    jnp.exp(log_post_TN), chains.stationary, precision='highest'
  )


def _average_row(chains: Chains, log_post_TN: Array, tokens: Array) -> Array:
  num, k = chains.stationary.shape
  matrices = jnp.matmul(
    jnp.exp(log_post_TN),
    chains.transitions.reshape(num, k * k),
    precision='highest',
  )
  return _row(matrices.reshape(-1, k, k), tokens)


def _row(matrix_Tkk: Array, tokens: Array) -> Array:
  """Row x_t of the matrix at position t, [T, k]."""
  return matrix_Tkk[jnp.arange(tokens.shape[0]), tokens]


def _transition_counts(chains: Chains, tokens: Array) -> Array:
  """Transitions i -> j among the first t tokens, [T, k, k]."""
  k = _num_states(chains)
  pairs = jax.nn.one_hot(tokens[:-1] * k + tokens[1:], k * k)  # [T-1, k*k]
  counts = _running_sum(jnp.pad(pairs, ((1, 0), (0, 0))))
  return counts.reshape(-1, k, k)


def _smooth(chains: Chains, counts: Array) -> Array:
  raised = counts + chains.pseudocount
  return raised / raised.sum(-1, keepdims=True)
