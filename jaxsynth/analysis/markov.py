"""What a sequence model knows about Markov chains, as transition matrices.

The k aligned contexts of one sequence end in each of its k states. Row i of
the matrix a predictor *implies* is its prediction after context i, so a model,
an algorithm and the truth are all k x k matrices, compared by

  KL(A || B) = sum_i pi_B(i) sum_j A_ij log(A_ij / (B_ij + eps))

with pi_B stationary under the second argument, 0 log 0 = 0, in nats. A row
that B never visits costs nothing, and A = B gives down to -k eps.

Two questions are put to a model beyond how near it is to the truth:

  memorisation   are the training chains nearer to what it implies than an
                 equally large set of chains it has never seen?
  shuffling      how far does its prediction move when tokens of the context
                 change places? Frequencies survive any shuffle; transitions
                 do not.

Source: Park, Lubana, Pres and Tanaka (2024), arXiv 2412.01003; the divergence
and the probes follow its code, cfpark00/markov-mixtures.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

from jaxsynth.errors import UserError
from jaxsynth.models.base import Output
from jaxsynth.tasks.lib import chains as lib
from jaxsynth.types import Array, Key, PyTree

EPS = 1e-8


def transition_kl(a: Array, b: Array, eps: float = EPS) -> Array:
  """KL(A || B) between chains, rows weighted by B's stationary law.

  Args:
    a: transition matrices [..., k, k].
    b: transition matrices [..., k, k], broadcast against a.
    eps: added to b.

  Returns:
    Divergences in nats [...].
  """
  return _weighted_kl(a, b, lib.stationary(b), eps)


def divergences(
  model: Array, truth: Array, algorithms: Array
) -> dict[str, Array]:
  """All divergences between a model, the truth and A algorithms, in nats.

  Args:
    model: the matrices that the model implies [..., k, k].
    truth: the chains behind the contexts, of the same shape.
    algorithms: the matrices that each algorithm implies [A, ..., k, k].

  Returns:
    model_to_truth: KL(model || truth) [...].
    truth_to_model: KL(truth || model) [...].
    algorithm_to_truth, truth_to_algorithm: likewise [A, ...].
    model_to_algorithm, algorithm_to_model: likewise [A, ...].
  """
  every = jnp.concatenate([model[None], truth[None], algorithms])
  laws = lib.stationary(every)
  to_model = _weighted_kl(every, model, laws[0])
  to_truth = _weighted_kl(every, truth, laws[1])
  to_algorithm = _weighted_kl(every[:2, None], algorithms, laws[2:])
  return {
    'model_to_truth': to_truth[0],
    'truth_to_model': to_model[1],
    'algorithm_to_truth': to_truth[2:],
    'truth_to_algorithm': to_algorithm[1],
    'model_to_algorithm': to_algorithm[0],
    'algorithm_to_model': to_model[2:],
  }


def _weighted_kl(a: Array, b: Array, law_b: Array, eps: float = EPS) -> Array:
  """sum_i law_b(i) sum_j a log(a / (b + eps)): [..., k, k] -> [...]."""
  rows = (xlogy(a, a) - a * jnp.log(b + eps)).sum(-1)  # [..., k]
  return (law_b * rows).sum(-1)


def implied_matrix(probabilities: Array) -> Array:
  """Transition matrices from predictions after aligned contexts.

  Args:
    probabilities: [..., reps * k, k], repetition major, the context that ends
      in state i at place i of its repetition.

  Returns:
    Matrices [..., reps, k, k].
  """
  *lead, _, k = probabilities.shape
  return probabilities.reshape(*lead, -1, k, k)


def predict_aligned(
  apply: Callable,
  params: PyTree,
  contexts: Array,
  length: Array | int,
  num_states: int,
) -> Array:
  """A model's predictions after the last `length` tokens of each context.

  The last tokens are moved to the front and the prediction is read after the
  last of them, so the model must be causal: what follows must not change it.
  All lengths thus share one compile and can be vmapped.

  Args:
    apply: the model's apply. One that reads pairs of tokens is wrapped so
      that it encodes plain tokens itself.
    params: its parameters.
    contexts: tokens [B, T], B = reps * k.
    length: tokens the model reads, in 1..T; traced or not.
    num_states: k; logits beyond the first k are dropped before the softmax.

  Returns:
    Probabilities of the next state [B, k].

  Raises:
    UserError: a Python `length` is outside 1..T.
  """
  longest = contexts.shape[1]
  if isinstance(length, int) and not 1 <= length <= longest:
    raise UserError(f'length must be in 1..{longest}, got {length}')
  front = jnp.roll(contexts, length - longest, axis=1)
  logits_BTV = apply(params, front).prediction
  logits_BV = jnp.take(logits_BTV, length - 1, axis=1)
  return jax.nn.softmax(logits_BV[:, :num_states])


def memorisation(
  implied: Array, chains: Array, random_chains: Array, mask: Array
) -> dict[str, Array]:
  """Are training chains nearer to what a model implies than random ones?

  The contexts behind `implied` should come from fresh chains: in contexts
  from a training chain even a model that only counts comes near that chain.
  Both sets use the same mask, so both minima run over equally many chains;
  the *unigram* entries use 1 pi^T in place of each chain.

  Args:
    implied: matrices that the model implies [..., k, k].
    chains: training chains, padded [N, k, k].
    random_chains: chains never trained on [N, k, k].
    mask: which places of both sets are in use, bool [N], not all False.

  Returns:
    train_min, train_mean: least and mean KL(chain || implied) over training
      chains, nats [...].
    random_min, random_mean: over random chains [...].
    train_unigram_min, train_unigram_mean, random_unigram_min,
      random_unigram_mean: the same for 1 pi^T [...].
  """
  sets = jnp.stack([chains, random_chains])  # [2, N, k, k]
  flat = jnp.broadcast_to(lib.stationary(sets)[..., None, :], sets.shape)
  goal = implied[..., None, :, :]
  law = lib.stationary(implied)[..., None, :]
  names = ('train', 'random', 'train_unigram', 'random_unigram')
  out = {}
  for name, matrices in zip(names, [*sets, *flat]):
    kl = _weighted_kl(matrices, goal, law)  # [..., N]
    out[f'{name}_min'] = kl.min(-1, where=mask, initial=jnp.inf)
    out[f'{name}_mean'] = kl.mean(-1, where=mask)
  return out


def shuffle_probe(
  apply: Callable,
  params: PyTree,
  inputs: Array,
  key: Key,
  last: int,
  num_states: int,
) -> dict[str, Array]:
  """How far the last prediction moves when tokens change places.

  What moves, and what is left to read:

    all       every token: frequencies only
    history   all but the last `last` tokens: frequencies, the current state,
              and recent transitions
    recent    the last `last` tokens: all but the recent order and, with it,
              the current state

  A unigram predictor moves under none of them; a bigram predictor that counts
  moves under all; one that looks up the current state in a table moves under
  `all` and `recent` but not under `history`.

  Args:
    apply: the model's apply.
    params: its parameters.
    inputs: tokens [B, T]; each sequence is shuffled by itself.
    key: of the shuffles.
    last: how many tokens count as recent, static, in 1..T-1.
    num_states: k; logits beyond the first k are dropped before the softmax.

  Returns:
    all, history, recent: KL(before || after) of the prediction after the last
      token, nats [B].
  """

  def predict(tokens):
    logits = apply(params, tokens).prediction[:, -1, :num_states]
    return jax.nn.log_softmax(logits)  # [B, k]

  def shuffle(number, tokens):
    at = jax.random.fold_in(key, number)
    return jax.random.permutation(at, tokens, axis=1, independent=True)

  past, recent = inputs[:, :-last], inputs[:, -last:]
  join = lambda *parts: jnp.concatenate(parts, axis=1)
  shuffled = {
    'all': shuffle(0, inputs),
    'history': join(shuffle(1, past), recent),
    'recent': join(past, shuffle(2, recent)),
  }
  log_p = predict(inputs)
  return {
    name: (jnp.exp(log_p) * (log_p - predict(tokens))).sum(-1)
    for name, tokens in shuffled.items()
  }


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  k, reps = 3, 2
  draw = lambda number, *shape: jax.nn.softmax(
    jax.random.normal(jax.random.fold_in(key, number), (*shape, k, k))
  )
  model, truth, train = draw(0, reps), draw(1, reps), draw(2, 4)
  tokens = jax.random.randint(key, (reps * k, 8), 0, k)
  table = {'table': jax.random.normal(key, (k, k))}
  mask = jnp.arange(4) < 3
  return {
    'transition_kl': (model, truth),
    'divergences': (model, truth, draw(3, 2, reps)),
    'implied_matrix': (model.reshape(-1, k),),
    'predict_aligned': (_look_up, table, tokens, 5, k),
    'memorisation': (model, train, draw(4, 4), mask),
    'shuffle_probe': (_look_up, table, tokens, key, 2, k),
  }


def _look_up(params: PyTree, inputs: Array, **kwargs):
  """A model for `examples`: logits are a row of a table."""
  del kwargs
  return Output(params['table'][inputs], {})
