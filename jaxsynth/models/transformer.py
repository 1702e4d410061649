"""The transformer: decoder or encoder, over tokens or real vectors.

Pre-norm blocks (Radford et al. 2019, GPT-2):

  x <- x + Attn(LN1(x));  x <- x + MLP(LN2(x));  logits = LNf(x) U

or post-norm blocks (Vaswani et al. 2017), with no final norm:

  x <- LN1(x + Attn(x));  x <- LN2(x + MLP(x));  logits = x U

with x_0 = embedding + position, MLP(h) = act(h W_in) W_out, LayerNorm with
eps 1e-5, and heads mixed by the output matrix: Attn = concat_h(z_h) W_out.
Initialisation is GPT-2's: normal(init_std), the two projections into the
residual stream divided by sqrt(2 L). Its 0.02 is about half of 1 / sqrt(D) at
its width of 768.

Keys have no bias unless positions are rotary: q_i . b is the same for every
j, the softmax cancels it, its gradient is exactly zero, and Adam, which
divides by the gradient's own size, turns the rounding noise there into drift.
A rotation makes the term depend on j, so there the bias has work to do.

Parameters (biases where `bias`; `embed` holds a kernel for real inputs):

  embed.embedding [V, D]             pos_embed.embedding [max_len, D]
  blocks_{i}.ln1, ln2, ln_final      scale [D], bias [D]
  blocks_{i}.attn.{q, k, v, out}     kernel [D, D]; head h owns columns
                                     hC..(h+1)C of q, k, v, and rows of out
  blocks_{i}.mlp.in, out             kernel [D, F], [F, D]
  unembed                            kernel [D, output]; absent when tied
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxsynth import errors
from jaxsynth.errors import UserError
from jaxsynth.models import _blocks, _layers
from jaxsynth.models.base import Edit, Output, check_edit, tap
from jaxsynth.types import Array, Key, PyTree, Spec

_OPTIONS = {
  'norm': ('pre', 'post'),
  'positions': ('learned', 'rotary', 'none'),
  'activation': tuple(_blocks.ACTIVATIONS),
  'dtype': ('float32', 'bfloat16'),
}


@dataclasses.dataclass(frozen=True)
class Transformer:
  """A transformer; the names of its activations are TransformerLens'.

  | site                            | shape        | what                      |
  |---------------------------------|--------------|---------------------------|
  | embed                           | [B, T, D]    | embedded inputs           |
  | pos_embed                       | [B, T, D]    | only if learned           |
  | blocks.{i}.resid_pre            | [B, T, D]    | stream into block i       |
  | blocks.{i}.ln1.normalized       | [B, T, D]    | after scale and bias      |
  | blocks.{i}.attn.q, .k, .v       | [B, T, H, C] | before any rotation       |
  | blocks.{i}.attn.scores          | [B, H, T, S] | scaled, before the mask * |
  | blocks.{i}.attn.pattern         | [B, H, T, S] | rows sum to one *         |
  | blocks.{i}.attn.z               | [B, T, H, C] | mixed values              |
  | blocks.{i}.attn_out             | [B, T, D]    | into the stream           |
  | blocks.{i}.resid_mid            | [B, T, D]    | sum; only with an MLP     |
  | blocks.{i}.ln2.normalized       | [B, T, D]    | only with an MLP          |
  | blocks.{i}.mlp.pre, .post       | [B, T, F]    | only with an MLP          |
  | blocks.{i}.mlp_out              | [B, T, D]    | only with an MLP          |
  | blocks.{i}.resid_post           | [B, T, D]    | the block's last sum      |
  | ln_final.normalized             | [B, T, D]    | only pre-norm             |
  | logits                          | [B, T, V]    | the prediction            |

  (*) absent with fast=True. S is T, or the length of the cache. In post-norm
  blocks the norm follows the sum: resid_pre of block i + 1 is the last
  normalized of block i.

  Attributes:
    num_layers: blocks L.
    d_model: width D of the residual stream.
    num_heads: heads H, each of width C = D / H.
    mlp_ratio: MLP width F over D; 0 leaves attention only.
    norm: 'pre' or 'post'.
    positions: 'learned', 'rotary' or 'none'.
    max_len: rows of the learned position table.
    tied: whether the output matrix is the transposed embedding.
    bias: whether products and norms have biases.
    causal: whether position t reads only positions up to t.
    init_std: deviation of matrices and tables at first.
    activation: 'gelu' (exact), 'gelu_tanh' or 'relu'.
    dtype: 'float32', or 'bfloat16' for products; parameters, the residual
      stream, norms, softmax and logits stay float32.
  """

  num_layers: int = 2
  d_model: int = 64
  num_heads: int = 4
  mlp_ratio: float = 4.0
  norm: str = 'pre'
  positions: str = 'learned'
  max_len: int = 256
  tied: bool = False
  bias: bool = True
  causal: bool = True
  init_std: float = 0.02
  activation: str = 'gelu'
  dtype: str = 'float32'

  def __post_init__(self):
    for name, known in _OPTIONS.items():
      if getattr(self, name) not in known:
        raise errors.unknown(name, getattr(self, name), known)
    for name in ('d_model', 'num_heads', 'max_len'):
      if getattr(self, name) < 1:
        raise UserError(f'{name} must be at least 1: {getattr(self, name)}')
    if self.num_layers < 0 or self.mlp_ratio < 0:
      raise UserError('num_layers and mlp_ratio must not be negative')
    if not self.init_std > 0:
      raise UserError(f'init_std must be positive: {self.init_std}')
    if self.d_model % self.num_heads:
      raise UserError(
        f'num_heads {self.num_heads} must divide d_model {self.d_model}'
      )
    if self.positions == 'rotary' and self.head_dim % 2:
      raise UserError(
        f'rotary positions need an even head width, got {self.head_dim}: '
        'change d_model or num_heads'
      )

  @property
  def head_dim(self) -> int:
    """Width C of one head."""
    return self.d_model // self.num_heads

  @property
  def mlp_dim(self) -> int:
    """Width F of the MLP, 0 without one."""
    return round(self.mlp_ratio * self.d_model)

  def check(self, spec: Spec) -> None:
    """Raises UserError when this network cannot read or answer the task."""
    shape = getattr(spec.inputs, 'shape', None)
    axes = '[T, Din]' if spec.vocab_size is None else '[T]'
    if shape is None or len(shape) != len(axes.split(',')):
      raise UserError(
        f'a transformer reads one sequence {axes}, the task offers {shape}: '
        'choose another model'
      )
    self._check_length(shape[0])
    if self.tied and spec.vocab_size != spec.output_size:
      raise UserError(
        f'inputs (vocabulary {spec.vocab_size}) and outputs (size '
        f'{spec.output_size}) differ: set tied=False'
      )

  def init(self, key: Key, spec: Spec) -> PyTree:
    """Fresh parameters for the inputs and outputs of a task.

    Raises:
      UserError: the task does not fit, see `check`.
    """
    self.check(spec)
    net = _Network(self, spec.vocab_size, spec.output_size)
    inputs = jnp.zeros((1, *spec.inputs.shape), spec.inputs.dtype)
    return net.init(key, inputs, lambda name, value: value)['params']

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
    """Logits [B, T, output], activations, and the cache if one was given.

    Args:
      params: as returned by `init`; they say what the inputs are.
      inputs: tokens [B, T] or vectors [B, T, Din].
      edit: site name -> Edit, see the table of sites.
      carry: a cache from `init_carry` or an earlier call: the inputs then
        continue at its position, by plain attention.
      key: unused, there is no noise.
      fast: use the backend's fastest kernels; no plain forward mode (jvp).

    Raises:
      UserError: an unknown site, a site inside a fused kernel, or more
        positions than the network has.
    """
    del key
    fused = fast and carry is None
    for i in range(self.num_layers):
      for name in (f'blocks.{i}.attn.scores', f'blocks.{i}.attn.pattern'):
        if fused and name in (edit or {}):
          raise UserError(f'{name} is inside a fused kernel: set fast=False')
    if carry is None:
      self._check_length(inputs.shape[1])
    elif inputs.shape[1] > carry['blocks_0']['k'].shape[2]:
      raise UserError('more inputs than the cache holds: make it longer')

    table = params['embed'].get('embedding')  # tokens if there is one
    vocab_size = None if table is None else table.shape[0]
    output_size = (
      vocab_size if self.tied else params['unembed']['kernel'].shape[1]
    )
    net = _Network(self, vocab_size, output_size, _layers.choose(fused))
    acts = {}
    logits, carry = net.apply(
      {'params': params}, inputs, functools.partial(tap, acts, edit), carry
    )
    check_edit(edit, acts)
    return Output(logits, acts, carry)

  def init_carry(self, batch_size: int, length: int) -> PyTree:
    """An empty key-value cache for `length` positions.

    Beyond `length` the cache is full and what it returns is meaningless; the
    position is traced, so it cannot be checked.

    Returns:
      {'position': int32, 'blocks_{i}': {'k', 'v': [B, H, length, C]}}; keys
      are kept as rotated.

    Raises:
      UserError: the network is not causal, has no blocks, or is shorter.
    """
    if not self.causal or not self.num_layers:
      raise UserError('a cache needs causal=True and num_layers >= 1')
    self._check_length(length)
    shape = (batch_size, self.num_heads, length, self.head_dim)
    empty = lambda: jnp.zeros(shape, self.dtype)
    blocks = {
      f'blocks_{i}': {'k': empty(), 'v': empty()}
      for i in range(self.num_layers)
    }
    return {'position': jnp.zeros((), jnp.int32), **blocks}

  def _check_length(self, length: int) -> None:
    if self.positions == 'learned' and length > self.max_len:
      raise UserError(
        f'a sequence of {length} exceeds max_len {self.max_len}: raise '
        "max_len or set positions='rotary'"
      )


class _Network(nn.Module):
  """The whole network; `site(name, value)` taps and edits an activation."""

  config: Transformer
  vocab_size: int | None
  output_size: int
  kernels: _layers.Kernels = _layers.PLAIN

  @nn.compact
  def __call__(self, inputs, site, cache=None):
    c = self.config
    start = 0 if cache is None else cache['position']
    dense = _blocks.dense_of(c, self.kernels)
    if self.vocab_size is None:
      x_BTD = dense(c.d_model, 'embed')(inputs)
    else:
      table_VD = _layers.table(self.vocab_size, c.d_model, 'embed', c.init_std)
      x_BTD = _layers.embed(self.kernels, table_VD, inputs)
    x_BTD = site('embed', x_BTD.astype(jnp.float32))
    if c.positions == 'learned':
      rows_TD = jax.lax.dynamic_slice_in_dim(
        _layers.table(c.max_len, c.d_model, 'pos_embed', c.init_std),
        start,
        inputs.shape[1],
      )
      x_BTD += site('pos_embed', jnp.broadcast_to(rows_TD, x_BTD.shape))
    after = {}
    for i in range(c.num_layers):
      name = f'blocks_{i}'
      x_BTD, after[name] = _blocks.Block(c, self.kernels, name=name)(
        x_BTD,
        lambda local, value, i=i: site(f'blocks.{i}.{local}', value),
        start,
        None if cache is None else cache[name],
      )
    if c.norm == 'pre':
      x_BTD = _layers.layer_norm(c.bias, 'ln_final')(x_BTD)
      x_BTD = site('ln_final.normalized', x_BTD)
    if c.tied:
      operands = x_BTD.astype(c.dtype), table_VD.T.astype(c.dtype)
      logits = _layers.matmul(self.kernels, *operands)
    else:
      logits = dense(self.output_size, 'unembed')(x_BTD)
    logits = site('logits', logits.astype(jnp.float32))
    if cache is None:
      return logits, None
    return logits, {'position': start + inputs.shape[1], **after}


MODEL = Transformer
