"""Dense layers and embeddings, and the one place that picks their kernels.

All products run on two axes, [B*T, D] @ [D, F]: a CPU can be much slower at
a product over [B, T, D] operands than at the flattened one. Reshapes cost
nothing, so shapes outside stay [B, T, D].

Everything here computes the same function on every backend, up to rounding.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxsynth.models import _attention
from jaxsynth.types import Array


class Kernels(NamedTuple):
  """How the heavy parts of a network are computed.

  Attributes:
    attention: a fused core (q, k, v, causal) -> out on [B, H, T, C], or None
      for the plain one, whose scores and pattern can be read and edited.
    product: [N, D], [D, F] -> [N, F].
    one_hot: vocabularies up to this size are embedded by a product with
      one-hot vectors, whose gradient is a product rather than a scatter.
  """

  attention: Callable[..., Array] | None
  product: Callable[[Array, Array], Array]
  one_hot: int


def _product(x_ND: Array, w_DF: Array) -> Array:
  return x_ND @ w_DF


@jax.custom_vjp
def _product_own_gradient(x_ND: Array, w_DF: Array) -> Array:
  """A product whose weight gradient is fast for layers that narrow.

  dW = x^T d with D > F runs at half the rate of (d^T x)^T on XLA's CPU
  backend, which rewrites the second into the first unless a barrier stands
  between. No plain forward mode.
  """
  return x_ND @ w_DF


def _product_backward(residuals, d_NF: Array):
  x_ND, w_DF = residuals
  if w_DF.shape[0] > w_DF.shape[1]:
    dw_DF = jax.lax.optimization_barrier(d_NF.T @ x_ND).T
  else:
    dw_DF = x_ND.T @ d_NF
  return d_NF @ w_DF.T, dw_DF


_product_own_gradient.defvjp(lambda x, w: (x @ w, (x, w)), _product_backward)


PLAIN = Kernels(attention=None, product=_product, one_hot=0)


def choose(fast: bool) -> Kernels:
  """The kernels for this process: plain ones, or the backend's fastest.

  Read when a function is traced, so a compiled program holds one choice.
  """
  if not fast:
    return PLAIN
  # The choice per backend, all of it. On a CPU the hand-written attention
  # gradient and the re-ordered weight gradient made a prototype's training
  # steps faster, and one-hot embedding did for small vocabularies only; no
  # benchmark of this library repeats that measurement yet. Elsewhere attention
  # is the vendor's (not measured), and a one-hot product would round the
  # embedding to the accelerator's product precision.
  if jax.default_backend() == 'cpu':
    return Kernels(_attention.blockwise, _product_own_gradient, one_hot=64)
  return Kernels(_attention.vendor, _product, one_hot=0)


def matmul(kernels: Kernels, x: Array, w_DF: Array) -> Array:
  """The product x [..., D] @ w [D, F] -> [..., F], on flattened axes."""
  out_NF = kernels.product(x.reshape(-1, x.shape[-1]), w_DF)
  return out_NF.reshape(*x.shape[:-1], w_DF.shape[-1])


def dense(
  kernels: Kernels,
  features: int,
  name: str,
  bias: bool,
  dtype: str,
  std: float = 0.02,
) -> nn.Dense:
  """A layer x W + b: kernel [D, features] normal(std), bias zero."""
  return nn.Dense(
    features,
    use_bias=bias,
    dtype=dtype,
    kernel_init=nn.initializers.normal(std),
    dot_general=lambda x, w, dims, **_: matmul(kernels, x, w),
    name=name,
  )


class _Affine(nn.Module):
  """The kernel [width, features] and bias [features] (or None) of a layer."""

  features: int
  bias: bool
  std: float

  @nn.compact
  def __call__(self, width):
    shape = (width, self.features)
    kernel = self.param('kernel', nn.initializers.normal(self.std), shape)
    if not self.bias:
      return kernel, None
    return kernel, self.param('bias', nn.initializers.zeros, shape[1:])


def joint(
  kernels: Kernels,
  x: Array,
  features: int,
  layers: dict[str, bool],
  dtype: str,
  std: float = 0.02,
) -> list[Array]:
  """Layers [D, features] that read the same x [..., D], as one product.

  Args:
    kernels: how the product is computed.
    x: what they read.
    features: outputs of each.
    layers: name -> whether it has a bias.
    dtype: of the products.
    std: of the kernels at first.

  Returns:
    What each gives, [..., features].
  """
  affine = [
    _Affine(features, bias, std, name=name)(x.shape[-1])
    for name, bias in layers.items()
  ]
  kernel = jnp.concatenate([kernel for kernel, _ in affine], axis=1)
  out = matmul(kernels, x.astype(dtype), kernel.astype(dtype))
  return [
    part if bias is None else part + bias.astype(dtype)
    for part, (_, bias) in zip(jnp.split(out, len(affine), -1), affine)
  ]


def layer_norm(bias: bool, name: str) -> nn.LayerNorm:
  """LayerNorm over the last axis, float32, eps 1e-5, scale one, bias zero."""
  return nn.LayerNorm(epsilon=1e-5, use_bias=bias, name=name)


def table(rows: int, features: int, name: str, std: float = 0.02) -> Array:
  """The table [rows, features] of a lookup, normal(std)."""
  init = nn.initializers.normal(std)
  return nn.Embed(rows, features, embedding_init=init, name=name).embedding


def embed(kernels: Kernels, table_VD: Array, tokens: Array) -> Array:
  """Rows of a table by token [...] -> [..., D]."""
  if table_VD.shape[0] <= kernels.one_hot:
    one_hot = jax.nn.one_hot(tokens, table_VD.shape[0])
    return matmul(kernels, one_hot, table_VD)
  return table_VD[tokens]
