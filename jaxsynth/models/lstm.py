"""The LSTM: a stack of recurrent layers over tokens.

  i, f, o = sigmoid(x_t W + h_{t-1} U + b)      g = tanh(x_t W + h_{t-1} U + b)
  c_t = f * c_{t-1} + i * g                     h_t = o * tanh(c_t)

(Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000),
each gate with a W, U and b of its own; layer l + 1 reads the h of layer l, and
logits = h W_out + b_out. The cell is flax's: W is Lecun normal, U orthogonal,
biases zero; the embedding is normal(0.02).

Parameters:

  embed.embedding               [V, D]
  layers_{i}.{ii, if, ig, io}   kernel [D, D]            W
  layers_{i}.{hi, hf, hg, ho}   kernel [D, D], bias [D]  U, b
  unembed                       kernel [D, output], bias
"""

import dataclasses
import functools

import jax.numpy as jnp
from flax import linen as nn

from jaxsynth.errors import UserError
from jaxsynth.models import _layers
from jaxsynth.models.base import Edit, Output, check_edit, tap
from jaxsynth.types import Array, Key, PyTree, Spec


@dataclasses.dataclass(frozen=True)
class LSTM:
  """A stack of LSTM layers.

  | site              | shape     | what                                      |
  |-------------------|-----------|-------------------------------------------|
  | embed             | [B, T, D] | embedded tokens                           |
  | layers.{i}.hidden | [B, T, D] | h of layer i, as the next layer reads it: |
  |                   |           | an edit does not enter the recurrence     |
  | logits            | [B, T, V] | the prediction                            |

  Attributes:
    num_layers: layers.
    d_model: width D of embedding and state.
  """

  num_layers: int = 2
  d_model: int = 64

  def __post_init__(self):
    for name in ('num_layers', 'd_model'):
      if getattr(self, name) < 1:
        raise UserError(f'{name} must be at least 1: {getattr(self, name)}')

  def check(self, spec: Spec) -> None:
    """Raises UserError unless the task offers one sequence of tokens."""
    shape = getattr(spec.inputs, 'shape', None)
    if spec.vocab_size is None or shape is None or len(shape) != 1:
      raise UserError(
        f'an LSTM reads one sequence of tokens [T], the task offers {shape}: '
        'choose another model'
      )

  def init(self, key: Key, spec: Spec) -> PyTree:
    """Fresh parameters.

    Raises:
      UserError: the task does not fit, see `check`.
    """
    self.check(spec)
    net = _Network(self, spec.vocab_size, spec.output_size)
    tokens = jnp.zeros((1, *spec.inputs.shape), jnp.int32)
    carry = self.init_carry(1)
    return net.init(key, tokens, lambda name, value: value, carry)['params']

  def apply(
    self,
    params: PyTree,
    inputs: Array,
    *,
    edit: dict[str, Edit] | None = None,
    carry: PyTree = None,
    key: Key | None = None,
    fast: bool = False,
  ) -> Output:
    """Logits [B, T, output], activations, and the state if one was given.

    Args:
      params: as returned by `init`.
      inputs: tokens [B, T].
      edit: site name -> Edit, see the table of sites.
      carry: a state from `init_carry` or an earlier call; None starts at
        zero.
      key: unused, there is no noise.
      fast: embed with the backend's fastest kernel.

    Raises:
      UserError: an unknown site.
    """
    del key
    vocab_size, _ = params['embed']['embedding'].shape
    output_size = params['unembed']['kernel'].shape[1]
    net = _Network(self, vocab_size, output_size, _layers.choose(fast))
    start = self.init_carry(inputs.shape[0]) if carry is None else carry
    acts = {}
    logits, end = net.apply(
      {'params': params}, inputs, functools.partial(tap, acts, edit), start
    )
    check_edit(edit, acts)
    return Output(logits, acts, None if carry is None else end)

  def init_carry(self, batch_size: int, length: int = 0) -> PyTree:
    """The state before the first token: zeros, whatever the length.

    Returns:
      {'layers_{i}': (c, h)}, each [B, D].
    """
    del length
    zero = lambda: jnp.zeros((batch_size, self.d_model))
    return {f'layers_{i}': (zero(), zero()) for i in range(self.num_layers)}


class _Network(nn.Module):
  """The whole network; `site(name, value)` taps and edits an activation."""

  config: LSTM
  vocab_size: int
  output_size: int
  kernels: _layers.Kernels = _layers.PLAIN

  @nn.compact
  def __call__(self, inputs, site, carry):
    c = self.config
    table_VD = _layers.table(self.vocab_size, c.d_model, 'embed')
    x_BTD = site('embed', _layers.embed(self.kernels, table_VD, inputs))
    after = {}
    for i in range(c.num_layers):
      name = f'layers_{i}'
      layer = nn.RNN(nn.OptimizedLSTMCell(c.d_model, name=name))
      after[name], x_BTD = layer(
        x_BTD, initial_carry=carry[name], return_carry=True
      )
      x_BTD = site(f'layers.{i}.hidden', x_BTD)
    dense = functools.partial(_layers.dense, bias=True, dtype='float32')
    logits = dense(self.kernels, self.output_size, 'unembed')(x_BTD)
    return site('logits', logits), after


MODEL = LSTM
