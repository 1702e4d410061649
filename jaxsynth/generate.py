"""Writing sequences with a model, token by token, from its own carry.

  x_t ~ softmax(logits_t / temperature)  or  x_t = argmax logits_t

A model reads each token once: a prompt in one pass, then one token at a time,
with what earlier ones left behind in its `carry` (a key-value cache, Pope et
al. 2023, "Efficiently scaling transformer inference", arXiv 2211.05102; or
the state of a recurrent network). All prompts of a batch advance together
inside one compiled loop, which ends early once all have stopped. Over runs it
is mapped like any function of parameters:

  jax.vmap(lambda p: generate(model, p, prompts, 48).tokens)(params)
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsynth import rng
from jaxsynth.errors import UserError
from jaxsynth.models.base import Edit, Model
from jaxsynth.types import Array, Key, PyTree


class Generated(NamedTuple):
  """What was written.

  Attributes:
    tokens: prompts, what follows them, and padding after a stop, [B, T].
    lengths: tokens before the padding, a stop included, [B].
  """

  tokens: Array
  lengths: Array


@functools.partial(
  jax.jit, static_argnames=('model', 'length', 'stop', 'padding')
)
def generate(
  model: Model,
  params: PyTree,
  prompts: Array,
  length: int,
  *,
  given: Array | None = None,
  key: Key | None = None,
  temperature: Array | float = 1.0,
  stop: tuple[int, ...] = (),
  padding: int = 0,
  edit: dict[str, Edit] | None = None,
) -> Generated:
  """Continues prompts up to a length, or to a token that stops them.

  The last token is not read, so a network of `length` - 1 positions suffices.

  Args:
    model: one with `init_carry`.
    params: of one run; map over them for several.
    prompts: int tokens [B, P], P >= 1.
    length: tokens T of prompt and continuation together, at least P.
    given: how many tokens of each row of `prompts` are its prompt, [B], in
      1..P; what stands after them is not looked at. None for all P.
    key: samples with it, a fold of it for each position; None takes the most
      likely token.
    temperature: divides the logits where a key is given; may be traced.
    stop: tokens after which a row is finished.
    padding: token written after a stop.
    edit: activations changed at every token, as in `Model.apply`; it has to
      broadcast against one token as against many.

  Raises:
    UserError: the model has no carry, is too short, or the prompt too long.
  """
  if not hasattr(model, 'init_carry'):
    raise UserError(f'{type(model).__name__} has no init_carry to write with')
  rows, size = prompts.shape
  if not 1 <= size <= length:
    raise UserError(f'prompts of {size} tokens do not fit in a length {length}')
  first = size if given is None else 1
  given = jnp.full(rows, size) if given is None else given
  tokens = jnp.full((rows, length), padding, jnp.int32)
  tokens = tokens.at[:, :size].set(prompts)

  def read(carry, inputs):
    out = model.apply(params, inputs, carry=carry, edit=edit)
    return out.prediction[:, -1], out.carry

  def choose(logits, t):
    if key is None:
      return logits.argmax(-1)
    return jax.random.categorical(rng.at(key, t), logits / temperature)

  def write(state):
    t, tokens, ends, carry = state
    last = jax.lax.dynamic_slice_in_dim(tokens, t - 1, 1, axis=1)
    logits, carry = read(carry, last)
    old = jax.lax.dynamic_index_in_dim(tokens, t, axis=1, keepdims=False)
    new = jnp.where(ends <= t, padding, choose(logits, t).astype(jnp.int32))
    new = jnp.where(t < given, old, new)
    stopped = jnp.isin(new, jnp.asarray(stop, jnp.int32)) & (t >= given)
    ends = jnp.where(stopped & (ends > t), t + 1, ends)
    tokens = jax.lax.dynamic_update_index_in_dim(tokens, new, t, axis=1)
    return t + 1, tokens, ends, carry

  carry = model.init_carry(rows, max(length - 1, 1))
  if first > 1:
    _, carry = read(carry, tokens[:, : first - 1])
  state = jnp.int32(first), tokens, jnp.full(rows, length), carry
  _, tokens, ends, _ = jax.lax.while_loop(
    lambda state: (state[0] < length) & (state[2] > state[0]).any(),
    write,
    state,
  )
  return Generated(tokens, ends)
