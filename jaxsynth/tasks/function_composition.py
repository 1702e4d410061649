"""Function composition: carry out a chain of functions that a prompt names.

From a few of the exponentially many compositions of F functions at each of L
positions, does a network learn to carry out all of them, and does it help to
write down what each function returns?

Source: Ramesh, Lubana, Khona, Dick and Tanaka (2023), "Compositional
capabilities of autoregressive transformers: a study on synthetic,
interpretable tasks", arXiv 2311.12997; its code,
rahul13ramesh/compositional_capabilities.

Process, on V letters, strings of n letters and L positions:

  function (d, i)   d = 0..L-1, i = 1..F: a random bijection of the letters,
                    y_j = f[x_j]; i = 0 is the identity. With `permute` those
                    of position 0 reorder the string instead: y_j = x[p_j]
  composition       (g_1, ..., g_L), g = d (F + 1) + i. In order: g_d is of
                    position d, (F + 1)^L of them. Out of order: the identity
                    or any function of any position, (L F + 1)^L of them
  string            n letters, uniform, with replacement
  document          S g_1 .. g_L _ x _ g_1(x) _ g_2 g_1(x) _ .. _ g_L..g_1(x)
                    step by step; direct, only the last of the results:
                    S g_1 .. g_L _ x _ g_L..g_1(x)
  training          composition uniform over a subset, a new string each time
  model             reads all tokens but the last, predicts all but the first,
                    and every target counts

The subset in training is the union of

  base           the L F + 1 compositions with at most one function that is
                 not the identity, if `base`
  random         num_random other compositions in order, drawn without
                 replacement; `num_identities` restricts them to those with
                 so many identities (biased)
  out of order   num_combos compositions out of order, with replacement

Evaluation sets weigh what follows the prompt only: `seen` draws from the
subset, `unseen` from the compositions in order outside it, `out_of_order`
from all of that kind.

Glossary: letter, token 0..V-1; function token V + g; prompt, everything up to
the separator after x; answer, what follows it; result, the last n tokens.
"""

import dataclasses
import zlib

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError
from jaxsynth.tasks.lib.compositions import Functions, Space
from jaxsynth.tasks.lib.sets import of_each
from jaxsynth.types import Array, Batch, Key, Spec

# Most compositions in order: they are listed.
MOST = 2**17


@dataclasses.dataclass(frozen=True)
class FunctionComposition:
  """Documents of composed functions; see the module's docstring.

  Attributes:
    num_letters: V. Published: 10.
    length: letters n of a string. Published: 6.
    depth: positions L. Published: 5.
    num_functions: F, besides the identity. Published: 3 and 4.
    permute: functions of position 0 reorder the string.
    stepwise: whether every result is written down, or only the last.
    base: whether the base compositions are in training.
    max_random: the largest num_random. Published: 50 by default.
    num_identities: of each random composition; None for any number.
    num_combos: compositions out of order in training.
    eval_size: documents in each evaluation set.
  """

  num_letters: int = 10
  length: int = 6
  depth: int = 5
  num_functions: int = 3
  permute: bool = False
  stepwise: bool = True
  base: bool = False
  max_random: int = 50
  num_identities: int | None = None
  num_combos: int = 0
  eval_size: int = 64

  def __post_init__(self):
    least = {'num_letters': 2, 'length': 1, 'depth': 1, 'num_functions': 1}
    least |= {'max_random': 0, 'num_combos': 0, 'eval_size': 1}
    for name, bound in least.items():
      if getattr(self, name) < bound:
        raise UserError(f'{name} must be at least {bound}')
    if (self.num_functions + 1) ** self.depth > MOST:
      raise UserError(
        f'{self.num_functions + 1}^{self.depth} compositions in order are '
        f'more than {MOST}: lower num_functions or depth'
      )
    if not 0 <= (self.num_identities or 0) <= self.depth:
      raise UserError(f'num_identities must be in 0..depth = 0..{self.depth}')
    kinds = self.space.kinds(self.base, self.num_identities)
    there = int((kinds == 1).sum())
    if self.max_random > there:
      raise UserError(
        f'max_random is {self.max_random}, of {there} such compositions'
      )
    if self.max_random + (kinds == 0).sum() >= len(kinds):
      raise UserError(
        f'all {len(kinds)} compositions would be in training: lower max_random'
      )

  @property
  def space(self) -> Space:
    """The compositions there are."""
    return Space(self.depth, self.num_functions)

  @property
  def spec(self) -> Spec:
    """int32 tokens in and out: a document without its last, its first."""
    tokens = jax.ShapeDtypeStruct((self.document_length - 1,), jnp.int32)
    size = self.separator + 3
    return Spec(tokens, tokens, size, size)

  @property
  def separator(self) -> int:
    """The token between strings; then come one for padding, unused, and S."""
    return self.num_letters + self.depth * (self.num_functions + 1)

  @property
  def prompt_length(self) -> int:
    """Tokens up to and including the separator after x."""
    return 1 + self.depth + 1 + self.length + 1

  @property
  def document_length(self) -> int:
    """Tokens of a document."""
    results = self.depth if self.stepwise else 1
    return self.prompt_length + results * (self.length + 1) - 1

  def check(self, num_random=None):
    """Raises UserError unless num_random is in 0..max_random and some train."""
    if num_random is None:
      num_random = self.max_random
    if not 0 <= num_random <= self.max_random:
      raise UserError(
        f'num_random must be in 0..{self.max_random} (max_random), got '
        f'{num_random}'
      )
    if not (num_random or self.base or self.num_combos):
      raise UserError(
        'no composition is in training: set num_random, base or num_combos'
      )

  def init(self, key: Key, num_random: Array | int | None = None) -> Functions:
    """The functions, and which compositions are in training.

    Fewer random compositions are a prefix of more.

    Args:
      key: of functions and subset.
      num_random: random compositions in training; None for max_random. May
        be traced.

    Raises:
      UserError: a value that is not traced fails `check`.
    """
    if not isinstance(num_random, jax.core.Tracer):
      self.check(num_random)
    L, F, V, n = self.depth, self.num_functions, self.num_letters, self.length
    some = lambda name, size: jnp.argsort(
      jax.random.uniform(_named(key, name), (L, F + 1, size))
    )
    same = lambda size: jnp.broadcast_to(jnp.arange(size), (L, F + 1, size))
    place, index = jnp.indices((L, F + 1))[..., None]
    reorders = jnp.full_like(place, self.permute, bool) & (place == 0)
    maps = jnp.where((index > 0) & ~reorders, some('maps', V), same(V))
    orders = jnp.where((index > 0) & reorders, some('orders', n), same(n))
    kinds = self.space.kinds(self.base, self.num_identities)
    uniform = jax.random.uniform(_named(key, 'subset'), (len(kinds),))
    rank = jnp.lexsort((uniform, kinds))
    base = int((kinds == 0).sum())
    count = base + (self.max_random if num_random is None else num_random)
    return Functions(
      maps=maps.reshape(-1, V).astype(jnp.int32),
      orders=orders.reshape(-1, n).astype(jnp.int32),
      in_order=jnp.asarray(self.space.in_order())[rank],
      count=jnp.asarray(count, jnp.int32),
      combos=self.space.out_of_order(_named(key, 'combos'), self.num_combos),
    )

  def sample(
    self, task_params: Functions, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Training documents, by one law at every step.

    Info holds the `composition` [B, L].
    """
    del step
    compositions = self._trained(task_params, key, batch_size)
    return self._batch(task_params, key, compositions)

  def evals(self, task_params: Functions, key: Key) -> dict[str, Batch]:
    """The sets `seen`, `unseen` and `out_of_order`; answers alone count."""
    size, p = self.eval_size, task_params
    at = lambda name: _named(key, name)
    rest = jax.random.randint(
      at('choice'), (size,), p.count, len(p.in_order), jnp.int32
    )
    sets = {
      'seen': self._trained(p, at('seen'), size),
      'unseen': p.in_order[rest],
      'out_of_order': self.space.out_of_order(at('combos'), size),
    }
    answer = jnp.arange(self.document_length - 1) >= self.prompt_length - 1

    def one(key: Key, compositions: Array) -> Batch:
      batch = self._batch(p, key, compositions)
      return batch._replace(weights=batch.weights * answer)

    return of_each(one, {n: (at(n), c) for n, c in sets.items()})

  def reference(self, task_params: Functions, batch: Batch) -> dict[str, Array]:
    """The optimum on the training mixture, which can carry out anything.

    Args:
      task_params: from `init`.
      batch: only its inputs [B, T] are read.

    Returns:
      bayes: probabilities [B, T, output_size]. A function token follows by
      its share among the compositions in training that begin as this one
      does (every function alike where none does), a letter of x is uniform,
      everything else is certain.
    """
    p, L, V = task_params, self.depth, self.num_letters
    size = self.spec.output_size
    compositions = batch.inputs[:, 1 : L + 1] - V
    letters = batch.inputs[:, L + 2 : L + 2 + self.length]
    whole = self.documents(p, compositions, letters)
    known = jax.nn.one_hot(whole, size)
    table = p.table
    index = jnp.arange(len(table))
    used = (index < p.count) | (index >= len(p.in_order))
    begins = jnp.broadcast_to(used, (len(compositions), len(table)))
    every = jnp.zeros(size).at[V : self.separator].set(1.0)
    for d in range(L):
      share = begins.astype(jnp.float32) @ jax.nn.one_hot(table[:, d] + V, size)
      share = jnp.where(share.sum(-1, keepdims=True) > 0, share, every)
      known = known.at[:, d + 1].set(share / share.sum(-1, keepdims=True))
      begins &= table[:, d] == compositions[:, d, None]
    uniform = jnp.where(jnp.arange(size) < V, 1 / V, 0.0)
    known = known.at[:, L + 2 : L + 2 + self.length].set(uniform)
    return {'bayes': known[:, 1:]}

  def documents(
    self, functions: Functions, compositions: Array, letters: Array
  ) -> Array:
    """The whole documents of compositions carried out on strings.

    Args:
      functions: from `init`.
      compositions: function numbers [B, L].
      letters: strings [B, n].

    Returns:
      int32 tokens [B, document_length].
    """
    results = [letters]
    for g in compositions.T:
      moved = jnp.take_along_axis(results[-1], functions.orders[g], 1)
      results.append(jnp.take_along_axis(functions.maps[g], moved, 1))
    shown = results if self.stepwise else results[:: self.depth]
    space = jnp.full((len(letters), 1), self.separator)
    strings = [part for result in shown for part in (space, result)]
    start = jnp.full_like(space, self.separator + 2)
    parts = [start, compositions + self.num_letters, *strings]
    return jnp.concatenate(parts, axis=1).astype(jnp.int32)

  def _trained(self, functions: Functions, key: Key, size: int) -> Array:
    """Compositions of the training subset, [size, L]."""
    total = functions.count + self.num_combos
    index = jax.random.randint(
      _named(key, 'composition'), (size,), 0, total, jnp.int32
    )
    beyond = index >= functions.count
    skipped = len(functions.in_order) - functions.count
    return functions.table[index + skipped * beyond]

  def _batch(
    self, functions: Functions, key: Key, compositions: Array
  ) -> Batch:
    shape = (len(compositions), self.length)
    letters = jax.random.randint(
      _named(key, 'letters'), shape, 0, self.num_letters, jnp.int32
    )
    tokens = self.documents(functions, compositions, letters)
    targets = tokens[:, 1:]
    ones = jnp.ones(targets.shape)
    return Batch(tokens[:, :-1], targets, ones, {'composition': compositions})


def _named(key: Key, name: str) -> Key:
  """The key of one named draw: adding a draw changes no other."""
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


TASK = FunctionComposition
