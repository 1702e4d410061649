"""What each attention head looks at, read off its pattern.

A pattern is [B, H, T, T], query before key, each row a distribution over the
keys s <= t. A score is the attention mass on a set S(t) of keys, averaged over
sequences and over the queries t whose set is not empty:

  previous_token    S(t) = {t - 1}
  first_token       S(t) = {0}, t >= 1                   (an attention sink)
  same_token        S(t) = {s < t : x_s = x_t}
  induction         S(t) = {r + 1}, r the last place before t with x_r = x_t
  induction_all     S(t) = {s <= t : x_{s-1} = x_t}, for small vocabularies,
                    where a token has many previous occurrences

With few symbols a set can be large by chance, so same_token and induction_all
also come as an *excess* over uniform causal attention, which puts
u_t = |S(t)| / (t + 1) there:

  excess = sum_t (mass_t - u_t) / sum_t (1 - u_t)

which is 0 for uniform attention and 1 for a head that never looks elsewhere;
below 0 the head avoids S.

Source: Olsson et al. (2022), "In-context Learning and Induction Heads",
arXiv 2209.11895 (prefix matching and previous-token heads); Park, Lubana,
Pres and Tanaka (2024), arXiv 2412.01003, for the Markov setting; Xiao et al.
(2023), arXiv 2309.17453, for attention sinks.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

from jaxsynth.errors import UserError, unknown
from jaxsynth.models.base import Output
from jaxsynth.types import Array, Batch, Key, PyTree

_PREFIX, _SUFFIX = 'blocks.', '.attn.pattern'


def mass(pattern: Array, targets: Array) -> dict[str, Array]:
  """Attention mass on a set of keys, plain and in excess of uniform.

  Args:
    pattern: [B, H, T, T], query before key.
    targets: bool [B, T, T] or [1, T, T], the set S(t) of keys s <= t of each
      query t.

  Returns:
    mass: mean mass over the queries with a target [H]; 0 without any.
    excess: chance-corrected mass [H]; 0 without any.
  """
  on_BTT = targets.astype(pattern.dtype)
  count_BT = on_BTT.sum(-1)
  uniform_BT = count_BT / jnp.arange(1, pattern.shape[-1] + 1)
  valid_BT = jnp.broadcast_to(count_BT > 0, (len(pattern), count_BT.shape[-1]))
  mass_BHT = jnp.einsum('bhts,bts->bht', pattern, _each(on_BTT, pattern))

  total_H = mass_BHT.sum((0, 2))  # queries without a target add nothing
  chance = jnp.where(valid_BT, uniform_BT, 0.0).sum()
  queries = valid_BT.sum()
  room = queries - chance
  return {
    'mass': total_H / jnp.maximum(queries, 1),
    'excess': jnp.where(
      room > 0, (total_H - chance) / jnp.where(room > 0, room, 1.0), 0.0
    ),
  }


def _each(on_BTT: Array, pattern: Array) -> Array:
  """Repeats a set that is the same for every sequence: [B, T, T]."""
  return jnp.broadcast_to(on_BTT, (len(pattern), *on_BTT.shape[1:]))


def same_token_keys(tokens: Array) -> Array:
  """S(t) = {s < t : x_s = x_t}.

  Args:
    tokens: int [B, T].

  Returns:
    bool [B, T, T], query before key.
  """
  equal_BTT = tokens[:, :, None] == tokens[:, None, :]
  return jnp.tril(equal_BTT, -1)


def induction_keys(tokens: Array) -> dict[str, Array]:
  """The keys right after earlier occurrences of the query's own token.

  Args:
    tokens: int [B, T].

  Returns:
    last: after the last earlier occurrence, bool [B, T, T].
    all: after any earlier occurrence, bool [B, T, T]. A key may be the query
      itself, when its token repeats the one before.
  """
  seen_BTT = same_token_keys(tokens)
  after_BTT = jnp.pad(seen_BTT, ((0, 0), (0, 0), (1, 0)))[:, :, :-1]
  later_BTT = jnp.cumsum(after_BTT[..., ::-1], axis=-1)[..., ::-1]
  return {'last': after_BTT & (later_BTT == 1), 'all': after_BTT}


def scores(pattern: Array, tokens: Array) -> dict[str, Array]:
  """All scores of this module for one layer, and the entropy of its heads.

  Args:
    pattern: [B, H, T, T], query before key.
    tokens: what was attended to, int [B, T].

  Returns:
    previous_token, first_token, same_token, induction, induction_all: [H].
    same_token_excess, induction_all_excess: [H].
    entropy: mean over queries of -sum_s p log p, nats [H]. Uniform causal
      attention has log(T!) / T.
  """
  length = pattern.shape[-1]
  previous_1TT = jnp.eye(length, k=-1, dtype=bool)[None]
  first_1TT = jnp.zeros((1, length, length), bool).at[:, 1:, 0].set(True)
  same = mass(pattern, same_token_keys(tokens))
  keys = induction_keys(tokens)
  every = mass(pattern, keys['all'])
  return {
    'previous_token': mass(pattern, previous_1TT)['mass'],
    'first_token': mass(pattern, first_1TT)['mass'],
    'same_token': same['mass'],
    'same_token_excess': same['excess'],
    'induction': mass(pattern, keys['last'])['mass'],
    'induction_all': every['mass'],
    'induction_all_excess': every['excess'],
    'entropy': -xlogy(pattern, pattern).sum(-1).mean((0, 2)),
  }


def model_scores(params: PyTree, ctx, split: str) -> dict[str, Array]:
  """`scores` of every layer of a model on one of its evaluation batches.

  Args:
    params: the model's parameters.
    ctx: context of a run; `ctx.apply` and `ctx.evals` are read.
    split: which evaluation batch; its inputs are tokens int [B, T].

  Returns:
    The entries of `scores`, each [L, H].

  Raises:
    UserError: no such split, or the model has no attention patterns.
  """
  if split not in ctx.evals:
    raise unknown('split', split, ctx.evals)
  tokens = ctx.evals[split].inputs
  acts = ctx.apply(params, tokens).acts
  layers = sorted(
    int(name[len(_PREFIX) : -len(_SUFFIX)])
    for name in acts
    if name.startswith(_PREFIX) and name.endswith(_SUFFIX)
  )
  if not layers:
    raise UserError(
      f'the model has no activation {_PREFIX}*{_SUFFIX}: attention scores '
      'need a model with attention'
    )
  per_layer = [scores(acts[f'{_PREFIX}{l}{_SUFFIX}'], tokens) for l in layers]
  return jax.tree.map(lambda *x: jnp.stack(x), *per_layer)


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  batch, heads, length = 2, 3, 6
  tokens = jax.random.randint(key, (batch, length), 0, 3)
  logits = jax.random.normal(key, (batch, heads, length, length))
  mask = jnp.tril(jnp.ones((length, length), bool))
  pattern = jax.nn.softmax(jnp.where(mask, logits, -jnp.inf))
  return {
    'mass': (pattern, same_token_keys(tokens)),
    'same_token_keys': (tokens,),
    'induction_keys': (tokens,),
    'scores': (pattern, tokens),
    'model_scores': ({'pattern': pattern}, _look(tokens), 'fresh'),
  }


def _look(tokens: Array) -> SimpleNamespace:
  """The context of a model for `examples` whose parameters are its pattern."""

  def apply(params, inputs):
    del inputs
    return Output(None, {f'{_PREFIX}0{_SUFFIX}': params['pattern']})

  batch = Batch(tokens, None, None, {})
  return SimpleNamespace(apply=apply, evals={'fresh': batch})
