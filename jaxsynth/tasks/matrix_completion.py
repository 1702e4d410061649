"""Low-rank matrix completion as masked modelling: copying, then completing.

A network reads a low-rank matrix of which some entries are hidden and writes
the whole. There is a trivial answer (copy what is seen, 0 elsewhere, the mean)
and a good one (complete the matrix), and training finds them one after the
other.

Source: Gopalani, Lubana and Hu, "Abrupt Learning in Transformers: A Case
Study on Matrix Completion" (2024), arXiv 2410.22244.

Process, with m rows, n columns, rank r and T = m n:

  factors   U [m, r], V [n, r], entries iid of a law of mean 0 and variance v:
            uniform on [-1, 1] (v = 1/3); for other distributions normal with
            deviation 0.5 (v = 1/4) and Laplace with scale 0.25 (v = 1/8)
  matrix    X = U V', rounded to multiples of `precision`; Var X_ij = r v^2
            before rounding
  mask      each entry is hidden with probability p_hidden
  order     row-major: position i n + j holds entry (i, j)

`answer='regression'` (a bidirectional network): T positions in, the number at
each position out, all of them in the loss. `answer='tokens'` (a causal one):
the hidden matrix, a separator and the full matrix as tokens, the next token
out, all of them in the loss.

Tokens: 0 hides an entry; with N = round(largest / precision), token k + N + 1
is the value k precision, -N <= k <= N (values beyond are clipped, and clipped
they are the target); 2 N + 2 separates. With `reads='values'` a position holds
(value, 0), or (0, 1) where it is hidden.

Glossary: observed, not hidden; copy, the trivial answer. An error of `copy` is
0 at observed entries and r v^2 on average at hidden ones.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError, unknown
from jaxsynth.types import Array, Batch, Key, Spec

LAWS = {
  'uniform': lambda key, shape: jax.random.uniform(key, shape, minval=-1),
  'normal': lambda key, shape: 0.5 * jax.random.normal(key, shape),
  'laplace': lambda key, shape: 0.25 * jax.random.laplace(key, shape),
}
# Variances of the laws.
VARIANCES = {'uniform': 1 / 3, 'normal': 1 / 4, 'laplace': 1 / 8}
_OPTIONS = {
  'law': tuple(LAWS),
  'reads': ('tokens', 'values'),
  'answer': ('regression', 'tokens'),
}


class Masking(NamedTuple):
  """The task's constants.

  Attributes:
    p_hidden: probability that an entry is hidden.
  """

  p_hidden: Array


@dataclass(frozen=True)
class MatrixCompletion:
  """Matrix completion as masked modelling; see the module's docstring.

  Attributes:
    num_rows: m.
    num_columns: n.
    rank: r.
    precision: entries are multiples of it.
    largest: of the values that have a token.
    law: of the factors: 'uniform', 'normal' or 'laplace'.
    reads: 'tokens', or 'values' for numbers and a flag.
    answer: 'regression', or 'tokens' for a causal network.
    eval_size: matrices in the evaluation sets.
  """

  num_rows: int = 5
  num_columns: int = 5
  rank: int = 1
  precision: float = 0.1
  largest: float = 1.0
  law: str = 'uniform'
  reads: str = 'tokens'
  answer: str = 'regression'
  eval_size: int = 256

  def __post_init__(self):
    for name, known in _OPTIONS.items():
      if getattr(self, name) not in known:
        raise unknown(f'task.{name}', getattr(self, name), known)
    for name in ('num_rows', 'num_columns', 'rank', 'eval_size'):
      if getattr(self, name) < 1:
        raise UserError(f'{name} must be at least 1: {getattr(self, name)}')
    if not 0 < self.precision <= self.largest:
      raise UserError(
        f'precision must lie in (0, largest={self.largest}], got '
        f'{self.precision}'
      )
    if (self.reads, self.answer) == ('values', 'tokens'):
      raise UserError("answer='tokens' needs reads='tokens'")

  @property
  def size(self) -> int:
    """Entries T of a matrix."""
    return self.num_rows * self.num_columns

  @property
  def steps(self) -> int:
    """Multiples N of the precision on either side of 0 that have a token."""
    return round(self.largest / self.precision)

  @property
  def separator(self) -> int:
    """The token between the hidden matrix and the full one."""
    return 2 * self.steps + 2

  @property
  def variance(self) -> float:
    """Variance r v^2 of an entry before rounding."""
    return self.rank * VARIANCES[self.law] ** 2

  @property
  def spec(self) -> Spec:
    """Tokens or values in; a number at each position, or next tokens, out."""
    one = jax.ShapeDtypeStruct
    if self.answer == 'tokens':
      tokens = one((2 * self.size,), jnp.int32)
      return Spec(tokens, tokens, self.separator + 1, self.separator + 1)
    numbers = one((self.size, 1), jnp.float32)
    if self.reads == 'values':
      return Spec(one((self.size, 2), jnp.float32), numbers, None, 1)
    return Spec(one((self.size,), jnp.int32), numbers, self.separator, 1)

  def check(self, *, p_hidden: float = 0.3) -> None:
    """Refuses what is no probability, or hides or shows everything."""
    if not 0 < p_hidden < 1:
      raise UserError(f'task.p_hidden must lie in (0, 1): {p_hidden}')

  def init(self, key: Key, *, p_hidden: float | Array = 0.3) -> Masking:
    """The task's constants; nothing is drawn.

    Args:
      key: unused.
      p_hidden: probability that an entry is hidden.
    """
    del key
    return Masking(jnp.asarray(p_hidden, jnp.float32))

  def matrices(self, key: Key, count: int) -> Array:
    """Matrices [count, T] of this law and rank, rounded, row by row."""
    of_rows, of_columns = (jax.random.fold_in(key, i) for i in range(2))
    draw = LAWS[self.law]
    u = draw(of_rows, (count, self.num_rows, self.rank))
    v = draw(of_columns, (count, self.num_columns, self.rank))
    x = jnp.einsum('bir,bjr->bij', u, v).reshape(count, self.size)
    return self.rounded(x)

  def rounded(self, values: Array) -> Array:
    """The nearest values that have a token."""
    multiples = jnp.round(values / self.precision)
    return jnp.clip(multiples, -self.steps, self.steps) * self.precision

  def tokens(self, values: Array) -> Array:
    """The token of each value, int32."""
    multiples = jnp.round(values / self.precision)
    multiples = jnp.clip(multiples, -self.steps, self.steps)
    return (multiples + self.steps + 1).astype(jnp.int32)

  def values(self, tokens: Array) -> Array:
    """The value of each token; what is no value becomes 0."""
    inside = (tokens > 0) & (tokens < self.separator)
    value = (tokens - self.steps - 1) * self.precision
    return jnp.where(inside, value, 0.0)

  def read(self, values: Array, observed: Array) -> Array:
    """What a network reads of hidden matrices, without an answer.

    Args:
      values: entries [B, T].
      observed: bool [B, T].

    Returns:
      Tokens [B, T], or values and flags [B, T, 2].
    """
    if self.reads == 'values':
      hidden = 1.0 - observed
      return jnp.stack([jnp.where(observed, values, 0.0), hidden], -1)
    return jnp.where(observed, self.tokens(values), 0)

  def batch(self, values: Array, observed: Array, where: Array) -> Batch:
    """The batch of these matrices, weighted at some entries of the answer.

    Args:
      values: entries [B, T].
      observed: which of them are shown, bool [B, T].
      where: weights [B, T] of the entries in the loss.
    """
    info = {'values': values, 'observed': observed}
    inputs, weights = self.read(values, observed), where.astype(jnp.float32)
    if self.answer == 'regression':
      return Batch(inputs, values[..., None], weights, info)
    separator = jnp.full((len(values), 1), self.separator, jnp.int32)
    line = jnp.concatenate([inputs, separator, self.tokens(values)], 1)
    weights = jnp.pad(weights, ((0, 0), (self.size, 0)))
    return Batch(line[:, :-1], line[:, 1:], weights, info)

  def sample(
    self, task_params: Masking, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Fresh matrices, all positions in the loss."""
    del step
    batch = self.batch(*self._draw(task_params, key, batch_size))
    return batch._replace(weights=jnp.ones_like(batch.weights))

  def evals(self, task_params: Masking, key: Key) -> dict[str, Batch]:
    """One set of matrices: 'all' of its entries, 'observed', 'hidden'."""
    values, observed, every = self._draw(task_params, key, self.eval_size)
    sets = {'all': every, 'observed': observed, 'hidden': ~observed}
    return {n: self.batch(values, observed, w) for n, w in sets.items()}

  def reference(self, task_params: Masking, batch: Batch) -> dict[str, Array]:
    """{'copy'}: observed entries as they are, the mean elsewhere.

    For tokens, where nothing is known (the hidden matrix itself, and hidden
    entries of the full one), any value is equally likely, and a token of the
    hidden matrix is hidden with probability p_hidden.
    """
    values, observed = batch.info['values'], batch.info['observed']
    if self.answer == 'regression':
      return {'copy': jnp.where(observed, values, 0.0)[..., None]}
    sure = jax.nn.one_hot(self.tokens(values), self.separator + 1)
    size = 2 * self.steps + 1
    free = jnp.pad(jnp.full(size, 1 / size), 1)
    first = (1 - task_params.p_hidden) * free
    first = first.at[0].set(task_params.p_hidden)
    answer = jnp.where(observed[..., None], sure, free)
    shape = (len(values), self.size - 1, self.separator + 1)
    between = jax.nn.one_hot(jnp.full((len(values), 1), self.separator),
                             self.separator + 1)  # fmt: skip
    before = jnp.broadcast_to(first, shape)
    return {'copy': jnp.concatenate([before, between, answer], 1)}

  def _draw(self, task_params: Masking, key: Key, count: int) -> tuple:
    """Entries, which are observed, and ones, each [count, T]."""
    of_values, of_mask = (jax.random.fold_in(key, i) for i in range(2))
    shape = (count, self.size)
    observed = jax.random.uniform(of_mask, shape) >= task_params.p_hidden
    return self.matrices(of_values, count), observed, jnp.ones(shape)


TASK = MatrixCompletion
