"""Transformer blocks as Linen modules: attention, MLP, and how they are joined.

What a block computes and what its parameters are called is written in
`transformer.py`. Each module takes `site(name, value)`, which records an
activation, edits it and returns it. Shapes are [B, T, D] throughout.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxsynth.models import _attention, _layers

ACTIVATIONS = {
  'gelu': functools.partial(jax.nn.gelu, approximate=False),
  'gelu_tanh': functools.partial(jax.nn.gelu, approximate=True),
  'relu': jax.nn.relu,
}


def dense_of(c: Any, kernels: _layers.Kernels):
  """`_layers.dense` as the network's are made: (features, name)."""
  return functools.partial(
    _layers.dense, kernels, bias=c.bias, dtype=c.dtype, std=c.init_std
  )


class Block(nn.Module):
  """One block: stream [B, T, D] and cache in, stream and cache out."""

  config: Any  # the Transformer
  kernels: _layers.Kernels

  @nn.compact
  def __call__(self, x_BTD, site, start, cache):
    c = self.config
    pre, mlp = c.norm == 'pre', c.mlp_dim > 0

    def norm(name, x_BTD):
      x_BTD = _layers.layer_norm(c.bias, name)(x_BTD)
      return site(f'{name}.normalized', x_BTD)

    x_BTD = site('resid_pre', x_BTD)
    h_BTD = norm('ln1', x_BTD) if pre else x_BTD
    attention = Attention(c, self.kernels, name='attn')
    h_BTD, cache = attention(h_BTD, site, start, cache)
    x_BTD += site('attn_out', h_BTD)
    x_BTD = site('resid_mid' if mlp else 'resid_post', x_BTD)
    if not pre:
      x_BTD = norm('ln1', x_BTD)
    if not mlp:
      return x_BTD, cache
    h_BTD = norm('ln2', x_BTD) if pre else x_BTD
    h_BTD = MLP(c, self.kernels, name='mlp')(h_BTD, site)
    x_BTD = site('resid_post', x_BTD + site('mlp_out', h_BTD))
    return (x_BTD if pre else norm('ln2', x_BTD)), cache


class MLP(nn.Module):
  """act(x W_in) W_out."""

  config: Any
  kernels: _layers.Kernels

  @nn.compact
  def __call__(self, x_BTD, site):
    c = self.config
    dense = dense_of(c, self.kernels)
    h_BTF = site('mlp.pre', dense(c.mlp_dim, 'in')(x_BTD))
    h_BTF = site('mlp.post', ACTIVATIONS[c.activation](h_BTF))
    return dense(c.d_model, 'out', std=_residual_std(c))(h_BTF)


class Attention(nn.Module):
  """Multi-head attention; a cache, where given, is read and extended."""

  config: Any
  kernels: _layers.Kernels

  @nn.compact
  def __call__(self, x_BTD, site, start, cache):
    c = self.config
    dense = dense_of(c, self.kernels)
    rotary = c.positions == 'rotary'

    layers = {'q': c.bias, 'k': c.bias and rotary, 'v': c.bias}
    parts = _layers.joint(
      self.kernels, x_BTD, c.d_model, layers, c.dtype, c.init_std
    )
    split = (*x_BTD.shape[:2], c.num_heads, c.head_dim)
    q_BHTC, k_BHTC, v_BHTC = (
      site(f'attn.{name}', part_BTD.reshape(split)).swapaxes(1, 2)
      for name, part_BTD in zip(layers, parts)
    )
    positions_T = start + jnp.arange(x_BTD.shape[1])
    if rotary:
      q_BHTC = _attention.rotate(q_BHTC, positions_T)
      k_BHTC = _attention.rotate(k_BHTC, positions_T)
    if cache is not None:
      cache = {
        name: jax.lax.dynamic_update_slice_in_dim(old, new, start, axis=2)
        for name, old, new in (
          ('k', cache['k'], k_BHTC),
          ('v', cache['v'], v_BHTC),
        )
      }
      k_BHTC, v_BHTC = cache['k'], cache['v']  # T is now the cache's length
    if self.kernels.attention is not None:
      z_BHTC = self.kernels.attention(q_BHTC, k_BHTC, v_BHTC, c.causal)
    else:
      keys_S = jnp.arange(k_BHTC.shape[2])
      mask = _attention.causal_mask(positions_T, keys_S) if c.causal else None
      tap = lambda name, value: site(f'attn.{name}', value)
      z_BHTC = _attention.plain(q_BHTC, k_BHTC, v_BHTC, mask, tap)
    z_BTHC = site('attn.z', z_BHTC.swapaxes(1, 2))
    out = dense(c.d_model, 'out', std=_residual_std(c))
    return out(z_BTHC.reshape(x_BTD.shape)), cache


def _residual_std(c):
  return c.init_std / (2 * c.num_layers) ** 0.5
