"""Markov mixture: next-token prediction on a finite set of Markov chains.

Trained on N chains, a network may retrieve (find which of the N chains wrote
the context) or infer (count in the context, which works on any chain), from
single tokens or from transitions: four algorithms that compete as N, the
context and training grow.

Source: Park, Lubana, Pres and Tanaka (2024), "Competition dynamics shape
algorithmic phases of in-context learning", arXiv 2412.01003; variants after
its code, cfpark00/markov-mixtures.

Process, on k states with l tokens a sequence:

  chain n = 1..N    row s of T_n ~ Dirichlet(a 1_k), a = 1 as published;
                    pi_n T_n = pi_n; prior p_n ~ Uniform(0, 1), normalised
  sequence          n ~ p,  x_1 ~ pi_n,  x_{t+1} ~ T_n[x_t],  t < l
  model             reads x_1..x_{l-1}, predicts x_2..x_l: l - 1 positions,
                    no special tokens, and every target counts

Evaluation sets; the info of each holds `transition` [B, k, k] and
`stationary` [B, k], the truth in the labels of its tokens:

  in_distribution          sequences as in training
  fresh                    a new Dirichlet(a) chain for each sequence
  structured               the same with concentration 5 a within blocks of 5
                           states, a outside; only where 5 divides k
  aligned_in_distribution  contexts of one sequence that end in each state:
  aligned_fresh            row i of the k x k matrix that a predictor implies
                           is its prediction after context i

An aligned set holds aligned_reps * k contexts, repetition major; info names
the `rep`, the `state` the context ends in, and whether it is `valid` (see
`chains.aligned`). A context of n tokens is encode(decode(inputs)[:, -n:]).
Weights are zero at the last position, for what follows the last visit of a
state is no fair draw from its row, and all through invalid contexts. Only
in_distribution has relabelled states where training has.

Glossary: chain, a transition matrix T with stationary law pi; fresh, from the
same law but not among the N; retrieval, inference, unigram, bigram: see
`predictors`; T in the shape of an array is its number of tokens, l - 1.
"""

import zlib
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.errors import UserError, unknown
from jaxsynth.tasks.lib import chains as lib
from jaxsynth.tasks.lib import predictors, published_chains
from jaxsynth.types import Array, Batch, Key, Spec

WEIGHTS = ('random', 'uniform')
CHAINS = ('dirichlet', 'structured', 'published')
BLOCK = 5


@dataclass(frozen=True)
class MarkovMixture:
  """Sequences from N Markov chains; see the module's docstring.

  Attributes:
    num_states: k. Published: 10, and 2 to 64.
    seq_len: tokens l of a sequence; inputs and targets have l - 1.
      Published: 512.
    max_chains: the largest N; a swept N is masked within it.
    vocab_size: rows of the embedding and length of a prediction; None for
      just enough: k, or k + k^2 with pairs. Published: 676.
    weights: prior of the chains: 'random' as published, or 'uniform'.
    chains: 'dirichlet'; 'structured', in blocks; or 'published', the very
      chains and weights of the paper, whatever the key.
    permute: relabel the states of every training sequence at random.
    pairs: feed (x_t + 1) k + x_{t-1} in place of x_t for t > 1, so that no
      layer is needed to look back one token.
    eval_size: sequences in each set that is not aligned.
    aligned_length: tokens of an aligned context; None for l - 1, the longest.
      Published: 400.
    aligned_reps: sequences the aligned contexts are cut from; 0 leaves these
      sets out. Published: 30.
  """

  num_states: int = 5
  seq_len: int = 64
  max_chains: int = 16
  vocab_size: int | None = None
  weights: str = 'random'
  chains: str = 'dirichlet'
  permute: bool = False
  pairs: bool = False
  eval_size: int = 64
  aligned_length: int | None = None
  aligned_reps: int = 8

  def __post_init__(self):
    if self.weights not in WEIGHTS:
      raise unknown('weights', self.weights, WEIGHTS)
    if self.chains not in CHAINS:
      raise unknown('chains', self.chains, CHAINS)
    k, last, sizes = self.num_states, self.seq_len - 1, published_chains.SIZES
    least = {'num_states': 2, 'seq_len': 2, 'max_chains': 1, 'eval_size': 1}
    least |= {'aligned_reps': 0, '_vocab_size': self._num_tokens}
    for name, bound in least.items():
      if getattr(self, name) < bound:
        raise UserError(f'{name.lstrip("_")} must be at least {bound}')
    if self.chains == 'structured' and k % BLOCK:
      raise UserError(f'structured chains need num_states {BLOCK}, 10, ...')
    if self.chains == 'published' and self.max_chains not in sizes:
      raise UserError(f'published chains need max_chains in {sizes}')
    if self.aligned_reps and not k <= self._context <= last:
      raise UserError(
        f'aligned_length must be in num_states..seq_len-1 = {k}..{last}, got '
        f'{self._context}; aligned_reps=0 leaves the aligned sets out'
      )

  @property
  def spec(self) -> Spec:
    """int32 tokens [l - 1] in and out; predictions over the vocabulary."""
    tokens = jax.ShapeDtypeStruct((self.seq_len - 1,), jnp.int32)
    return Spec(tokens, tokens, self._vocab_size, self._vocab_size)

  def check(self, num_chains=None, concentration=None):
    """Raises UserError for a value that `init` cannot honour.

    N is a whole number up to max_chains, concentration positive and finite;
    published chains come in powers of two from 4, with concentration 1.
    """
    sizes, listed = range(1, self.max_chains + 1), f'1..{self.max_chains}'
    if self.chains == 'published':
      sizes = listed = [n for n in published_chains.SIZES if n in sizes]
      if concentration not in (None, 1):
        raise UserError('concentration must be 1 for published chains')
    if num_chains is not None and num_chains not in sizes:
      raise UserError(
        f'num_chains must be in {listed} (max_chains), got {num_chains}'
      )
    if concentration is not None and not 0 < concentration < float('inf'):
      raise UserError(f'concentration must be positive, got {concentration}')

  def init(
    self,
    key: Key,
    num_chains: Array | int | None = None,
    concentration: Array | float = 1.0,
  ) -> lib.Chains:
    """The chains, padded to max_chains, their prior and sampling tables.

    Fewer chains are a prefix of more, weights before normalisation included
    (not so the published ones, which were drawn anew for each N).

    Args:
      key: of chains and weights.
      num_chains: N, in 1..max_chains; None for max_chains. May be traced.
      concentration: a of the Dirichlet rows, and the pseudocount of the
        inference predictors. May be traced.

    Raises:
      UserError: a value that is not traced fails `check`.
    """
    size = self.max_chains
    num_chains = size if num_chains is None else num_chains
    given = {'num_chains': num_chains, 'concentration': concentration}
    traced = jax.core.Tracer
    self.check(**{n: v for n, v in given.items() if not isinstance(v, traced)})
    if self.chains == 'published':
      drawn = published_chains.select(self.num_states, num_chains, size)
    else:
      alpha = concentration * self._alpha(self.chains)
      drawn = lib.dirichlet(key, alpha, jnp.arange(size))
    transitions, weights = drawn
    if self.weights == 'uniform':
      weights = jnp.ones(size)
    return lib.mixture(transitions, weights, num_chains, concentration)

  def sample(
    self, task_params: lib.Chains, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Training sequences, by one law at every step.

    Info holds the `chain` [B] and, with `permute`, the `permutation` [B, k]:
    state s is written as token permutation[s].
    """
    del step
    chain = lib.draw(task_params, _named(key, 'chain'), batch_size)
    tokens = lib.sample(task_params, _named(key, 'tokens'), chain, self.seq_len)
    info = {'chain': chain}
    if self.permute:
      shape = (batch_size, self.num_states)
      uniform = jax.random.uniform(_named(key, 'permutation'), shape)
      info['permutation'] = jnp.argsort(uniform).astype(jnp.int32)
      tokens = jnp.take_along_axis(info['permutation'], tokens, axis=1)
    return self._batch(tokens, info)

  def evals(self, task_params: lib.Chains, key: Key) -> dict[str, Batch]:
    """The evaluation sets listed in the module's docstring."""
    chains, at = task_params, lambda name: _named(key, name)
    seen = self.sample(chains, at('in_distribution'), 0, self.eval_size)
    truth = lib.truth(chains, seen.info['chain'], seen.info.get('permutation'))
    sets = {'in_distribution': seen._replace(info=seen.info | truth)}
    reps, k = self.aligned_reps, self.num_states
    if reps:
      name = 'aligned_in_distribution'
      chain = lib.draw(chains, at('aligned_chain'), reps)
      sets[name] = self._aligned(chains, at(name), chain)
    # All new chains at once: a Dirichlet sampler takes seconds to compile.
    sizes = {'aligned_fresh': reps, 'fresh': self.eval_size}
    sizes['structured'] = 0 if k % BLOCK else self.eval_size
    alpha = [np.tile(self._alpha(n), (s, 1, 1)) for n, s in sizes.items()]
    alpha = chains.pseudocount * np.concatenate(alpha)
    drawn, _ = lib.dirichlet(at('chains'), alpha, jnp.arange(len(alpha)))
    ones = jnp.ones(len(alpha))
    new = lib.mixture(drawn, ones, len(alpha), chains.pseudocount)
    ends = np.cumsum(list(sizes.values()))
    for (name, size), end in zip(sizes.items(), ends):
      if size:
        cut = self._aligned if name == 'aligned_fresh' else self._whole
        sets[name] = cut(new, at(name), jnp.arange(end - size, end))
    return sets

  def reference(
    self, task_params: lib.Chains, batch: Batch
  ) -> dict[str, Array]:
    """Predictions of the named algorithms after every prefix of the inputs.

    With `permute` only the inference predictors are given, which treat all
    labels alike: a retrieval predictor would need a posterior over the k!
    relabellings of every chain.

    Args:
      task_params: from `init`.
      batch: only its inputs [B, T] are read, and T may be any length.

    Returns:
      uni_ret, bi_ret, ul_bp, bl_up, uni_inf, uni_inf_stationary, bi_inf:
      probabilities [B, T, output_size], zero beyond the k states.
    """
    kinds = predictors.INFERENCE if self.permute else predictors.PREDICTORS
    tokens = self.decode(batch.inputs)
    known = predictors.predictions(task_params, tokens, tuple(kinds))
    beyond = self._vocab_size - self.num_states
    widen = lambda p: jnp.pad(p, ((0, 0), (0, 0), (0, beyond)))
    return jax.tree.map(widen, known)

  def encode(self, tokens: Array) -> Array:
    """Tokens [B, T] as the model reads them: themselves, or their pairs."""
    if not self.pairs:
      return tokens
    rest = (tokens[:, 1:] + 1) * self.num_states + tokens[:, :-1]
    return jnp.concatenate([tokens[:, :1], rest], axis=1)

  def decode(self, inputs: Array) -> Array:
    """Tokens [B, T] of encoded inputs."""
    k = self.num_states
    return jnp.where(inputs < k, inputs, inputs // k - 1)

  @property
  def _num_tokens(self) -> int:
    return self.num_states * (1 + self.num_states * self.pairs)

  @property
  def _vocab_size(self) -> int:
    return self._num_tokens if self.vocab_size is None else self.vocab_size

  @property
  def _context(self) -> int:
    length = self.aligned_length
    return self.seq_len - 1 if length is None else length

  def _alpha(self, kind: str) -> np.ndarray:
    inside = 5.0 if kind == 'structured' else 1.0
    return lib.block_alpha(self.num_states, BLOCK, inside)

  def _batch(self, tokens: Array, info: dict[str, Array]) -> Batch:
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    return Batch(self.encode(inputs), targets, jnp.ones(targets.shape), info)

  def _whole(self, chains: lib.Chains, key: Key, chain: Array) -> Batch:
    tokens = lib.sample(chains, key, chain, self.seq_len)
    return self._batch(tokens, lib.truth(chains, chain))

  def _aligned(self, chains: lib.Chains, key: Key, chain: Array) -> Batch:
    k, length, reps = self.num_states, self._context, chain.shape[0]
    contexts, valid = lib.aligned(chains, key, chain, length)
    tokens = contexts.reshape(-1, length)  # [R*k, T]
    rep, state = jnp.indices((reps, k)).reshape(2, -1)
    info = {'rep': rep, 'state': state, 'valid': valid[rep]}
    info |= lib.truth(chains, chain[rep])
    targets = jnp.pad(tokens[:, 1:], ((0, 0), (0, 1)))
    known = jnp.arange(length) < length - 1
    weights = (valid[rep][:, None] & known).astype(jnp.float32)
    return Batch(self.encode(tokens), targets, weights, info)


def _named(key: Key, name: str) -> Key:
  """The key of one named draw: adding a draw changes no other."""
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


TASK = MarkovMixture
