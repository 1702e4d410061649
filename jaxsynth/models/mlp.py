"""The multilayer perceptron: linear, tied, deep or not, on real vectors.

  h_0 = x,  h_{i+1} = act(h_i W_i + b_i),  prediction = h_last W_last + b_last

with one hidden layer for every entry of `widths`, and no activation after the
last product. Without widths it is one matrix. Tied (Baldi and Hornik 1989 for
the linear case), the decoder mirrors the encoder with transposed matrices,

  x -> W_0 -> W_1 -> ... -> W_{k-1} -> W_{k-1}^T -> ... -> W_0^T

so that widths=(F,) with a linear activation computes x U U^T, U [D, F]. It
acts on the last axis of its inputs; other axes are examples.

Parameters: layers_{i}.kernel [in, out] and, where `bias`, layers_{i}.bias
[out]; the decoder of a tied network has biases only.

Source: initialisations after LeCun et al. (1998), "Efficient BackProp"; He et
al. (2015), arXiv 1502.01852; 'torch_uniform' is the default of PyTorch's
linear layer.
"""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError, unknown
from jaxsynth.models import _layers
from jaxsynth.models._blocks import ACTIVATIONS
from jaxsynth.models.base import Edit, Output, check_edit, tap
from jaxsynth.types import Array, Key, PyTree, Spec

_ACTIVATIONS = {**ACTIVATIONS, 'tanh': jnp.tanh, 'linear': lambda x: x}

_scaled = functools.partial(jax.nn.initializers.variance_scaling, mode='fan_in')
_INITIALISERS = {
  'lecun_normal': _scaled(1.0, distribution='normal'),
  'he_normal': _scaled(2.0, distribution='normal'),
  'torch_uniform': _scaled(1 / 3, distribution='uniform'),
  'normal': jax.nn.initializers.normal(1.0),
  'orthogonal': jax.nn.initializers.orthogonal(),
}


@dataclasses.dataclass(frozen=True)
class MLP:
  """A multilayer perceptron.

  | site              | shape          | what                            |
  |-------------------|----------------|---------------------------------|
  | layers.{i}.pre    | [B, ..., F_i]  | before the activation, not last |
  | layers.{i}.post   | [B, ..., F_i]  | after it                        |
  | output            | [B, ..., out]  | the prediction                  |

  Attributes:
    widths: of the hidden layers, (64, 64); () is one matrix. A tied network
      has these, and all but the last once more.
    activation: 'relu', 'gelu' (exact), 'gelu_tanh', 'tanh' or 'linear'.
    tied: whether the decoder is the transposed encoder.
    bias: whether products have biases; they start at zero but for
      'torch_uniform'.
    initialiser: 'lecun_normal' (variance 1 / in), 'he_normal' (2 / in),
      'torch_uniform' (uniform within 1 / sqrt(in), biases too), 'normal'
      (variance 1) or 'orthogonal'.
    init_scale: what every initial value is multiplied with.
  """

  widths: tuple[int, ...] = (64,)
  activation: str = 'relu'
  tied: bool = False
  bias: bool = True
  initialiser: str = 'lecun_normal'
  init_scale: float = 1.0

  def __post_init__(self):
    if self.activation not in _ACTIVATIONS:
      raise unknown('activation', self.activation, _ACTIVATIONS)
    if self.initialiser not in _INITIALISERS:
      raise unknown('initialiser', self.initialiser, _INITIALISERS)
    whole = lambda w: isinstance(w, int) and not isinstance(w, bool) and w >= 1
    if not isinstance(self.widths, tuple) or not all(map(whole, self.widths)):
      raise UserError(
        f'widths is a tuple of positive whole numbers, (64,): {self.widths!r}'
      )
    if self.tied and not self.widths:
      raise UserError('a tied network needs at least one width: widths=(64,)')
    if not (math.isfinite(self.init_scale) and self.init_scale > 0):
      raise UserError(f'init_scale must be positive: {self.init_scale}')

  def check(self, spec: Spec) -> None:
    """Raises UserError when this network cannot read or answer the task."""
    shape = getattr(spec.inputs, 'shape', None)
    if spec.vocab_size is not None or not shape:
      raise UserError(
        'an MLP reads one array of real vectors [..., D], the task offers '
        f'{"tokens" if spec.vocab_size else shape}: choose another model'
      )
    target = spec.targets
    whole = jnp.issubdtype(target.dtype, jnp.integer)
    answered = target.shape if whole else target.shape[:-1]
    if answered != shape[:-1]:
      raise UserError(
        f'an MLP answers each vector of inputs {shape}, and the targets have '
        f'shape {target.shape}: choose another model'
      )
    if self.tied and shape[-1] != spec.output_size:
      raise UserError(
        f'inputs (size {shape[-1]}) and outputs (size {spec.output_size}) '
        'differ: set tied=False'
      )

  def _layer(self, key: Key, size_in: int, size_out: int) -> PyTree:
    """The kernel [in, out] and, where there is one, bias [out] of a layer."""
    draw = _INITIALISERS[self.initialiser]
    kernel = self.init_scale * draw(key, (size_in, size_out), jnp.float32)
    return {'kernel': kernel, **self._bias(key, size_in, size_out)}

  def init(self, key: Key, spec: Spec) -> PyTree:
    """Fresh parameters for the inputs and outputs of a task.

    Raises:
      UserError: the task does not fit, see `check`.
    """
    self.check(spec)
    sizes = [spec.inputs.shape[-1], *self.widths]
    sizes += sizes[-2::-1] if self.tied else [spec.output_size]
    stored = len(self.widths) if self.tied else len(sizes) - 1
    params = {}
    for i, pair in enumerate(itertools.pairwise(sizes)):
      own = jax.random.fold_in(key, i)
      if i < stored:
        params[f'layers_{i}'] = self._layer(own, *pair)
      elif self.bias:
        params[f'layers_{i}'] = self._bias(own, *pair)
    return params

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
    """The prediction [B, ..., output] and the activations.

    Args:
      params: as returned by `init`.
      inputs: vectors [B, ..., D].
      edit: site name -> Edit, see the table of sites.
      carry: unused, there is no state.
      key: unused, there is no noise.
      fast: use the backend's fastest kernels; no plain forward mode (jvp).

    Raises:
      UserError: an unknown site.
    """
    del carry, key
    act, kernels = _ACTIVATIONS[self.activation], _layers.choose(fast)
    acts, x = {}, inputs
    matrices = [
      params[f'layers_{i}']['kernel']
      for i in range(len(self.widths) + (not self.tied))
    ]
    if self.tied:
      matrices += [kernel.T for kernel in reversed(matrices)]
    for i, kernel in enumerate(matrices):
      x = _layers.matmul(kernels, x, kernel)
      if self.bias:
        x = x + params[f'layers_{i}']['bias']
      if i < len(matrices) - 1:
        x = act(tap(acts, edit, f'layers.{i}.pre', x))
        x = tap(acts, edit, f'layers.{i}.post', x)
    x = tap(acts, edit, 'output', x)
    check_edit(edit, acts)
    return Output(x, acts)

  def _bias(self, key: Key, size_in: int, size_out: int) -> PyTree:
    if not self.bias:
      return {}
    bias = jnp.zeros(size_out)
    if self.initialiser == 'torch_uniform':
      bound = self.init_scale / math.sqrt(size_in)
      own = jax.random.fold_in(key, 1)
      bias = jax.random.uniform(own, (size_out,), minval=-bound, maxval=bound)
    return {'bias': bias}


MODEL = MLP
