"""Attention cores and rotary positions, on arrays [B, H, T, C].

Three cores compute the same function,

  s_ij = q_i . k_j / sqrt(C),   p_i = softmax_j(s_ij),   o_i = sum_j p_ij v_j,

(Vaswani et al. 2017, eq. 1), with j <= i where attention is causal:

* `plain` materialises scores and pattern, so both can be read and edited;
* `blockwise` is for CPUs: rows in blocks, which skips the products above the
  diagonal, and a gradient written by hand from the saved exponentials;
* `vendor` is the one fused by JAX for the accelerator.

The hand-written gradient, with e_ij = exp(s_ij - max_j s_ij) saved and
p = e / sum_j e recomputed from it (Dao et al. 2022, appendix B.2):

  delta_i = do_i . o_i        ds_ij = p_ij (do_i . v_j - delta_i)
  dq = ds k                   dk = ds^T q          dv = p^T do

Rotary positions follow Su et al. 2021 (eq. 34), pairing channel c with
c + C/2 as in GPT-NeoX.
"""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from jaxsynth.types import Array

_MASKED = -1e9  # finite, so that 0 * masked is 0; its exponential is exactly 0


def causal_mask(queries: Array, keys: Array) -> Array:
  """True where a query at position [T] may read a key at position [S]."""
  return keys[None, :] <= queries[:, None]


def plain(
  q_BHTC: Array,
  k_BHSC: Array,
  v_BHSC: Array,
  mask_TS: Array | None,
  tap: Callable[[str, Array], Array],
) -> Array:
  """Attention whose scores and pattern exist.

  The scores are tapped before the mask: they are finite, and no edit of them
  can open the future.

  Args:
    q_BHTC: queries.
    k_BHSC: keys; S differs from T when they come from a cache.
    v_BHSC: values.
    mask_TS: True where a query may look, or None for everywhere.
    tap: called with ('scores', [B, H, T, S]) and ('pattern', [B, H, T, S]),
      returns the array to go on with.

  Returns:
    Mixed values [B, H, T, C], in the dtype of the values.
  """
  scale = q_BHTC.shape[-1] ** -0.5
  scores_BHTS = (q_BHTC * scale) @ k_BHSC.swapaxes(-1, -2)
  scores_BHTS = tap('scores', scores_BHTS.astype(jnp.float32))
  if mask_TS is not None:
    scores_BHTS = jnp.where(mask_TS, scores_BHTS, _MASKED)
  pattern_BHTS = tap('pattern', jax.nn.softmax(scores_BHTS))
  return pattern_BHTS.astype(v_BHSC.dtype) @ v_BHSC


def vendor(q_BHTC: Array, k_BHTC: Array, v_BHTC: Array, causal: bool) -> Array:
  """Attention by `jax.nn.dot_product_attention`; shapes as in `blockwise`."""
  q, k, v = (x.swapaxes(1, 2) for x in (q_BHTC, k_BHTC, v_BHTC))
  out_BTHC = jax.nn.dot_product_attention(q, k, v, is_causal=causal)
  return out_BTHC.swapaxes(1, 2)


def blockwise(
  q_BHTC: Array, k_BHTC: Array, v_BHTC: Array, causal: bool
) -> Array:
  """Exact attention in blocks of rows, with a hand-written gradient.

  Computes in float32. Has reverse mode (and forward over reverse), but no
  plain forward mode: use `plain` under `jax.jvp` or `jax.jacfwd`.

  Args:
    q_BHTC: queries.
    k_BHTC: keys.
    v_BHTC: values.
    causal: whether position t reads only positions up to t.

  Returns:
    Mixed values [B, H, T, C], in the dtype of the queries.
  """
  scale = q_BHTC.shape[-1] ** -0.5
  q, k, v = (x.astype(jnp.float32) for x in (q_BHTC, k_BHTC, v_BHTC))
  return _blockwise(causal, q * scale, k, v).astype(q_BHTC.dtype)


def rotate(x_BHTC: Array, positions_T: Array, base: float = 1e4) -> Array:
  """Turns channel pair (c, c + C/2) by the angle position * base**(-2c/C).

  The product of a rotated query and a rotated key depends on their positions
  only through the difference.

  Args:
    x_BHTC: queries or keys, C even.
    positions_T: absolute positions.
    base: the longest wavelength is about 2 pi base positions.

  Returns:
    The rotated array, in the dtype of `x_BHTC`.
  """
  half = x_BHTC.shape[-1] // 2
  frequencies = base ** (-jnp.arange(half) / half)
  angles_TC = positions_T[:, None] * frequencies
  cos, sin = jnp.cos(angles_TC), jnp.sin(angles_TC)
  a, b = x_BHTC[..., :half], x_BHTC[..., half:]
  turned = jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)
  return turned.astype(x_BHTC.dtype)


def _blocks(T: int, causal: bool) -> Iterator[tuple[int, int, int]]:
  """Row ranges [start, stop) and the number of keys those rows can see."""
  size = 64 if T <= 256 else 128  # the fastest measured at T=128, T=511
  for start in range(0, T, size):
    stop = min(start + size, T)
    yield start, stop, stop if causal else T


def _forward(causal: bool, q: Array, k: Array, v: Array):
  outs, saved = [], []
  for start, stop, seen in _blocks(q.shape[2], causal):
    scores = q[:, :, start:stop] @ k[:, :, :seen].swapaxes(-1, -2)
    if causal:
      mask = causal_mask(jnp.arange(start, stop), jnp.arange(seen))
      scores = jnp.where(mask, scores, _MASKED)
    exps = jnp.exp(scores - scores.max(-1, keepdims=True))
    norm = 1 / exps.sum(-1, keepdims=True)
    outs.append((exps @ v[:, :, :seen]) * norm)
    saved.append((exps, norm))
  return jnp.concatenate(outs, axis=2), (q, k, v, outs, saved)


def _backward(causal: bool, residuals, d_out: Array):
  q, k, v, outs, saved = residuals
  T = q.shape[2]
  # A product over T runs at full speed on a CPU only with its left operand
  # stored transposed; the barrier keeps XLA from folding that away.
  q_BHCT, d_out_BHCT = (
    jax.lax.optimization_barrier(x.swapaxes(-1, -2)) for x in (q, d_out)
  )
  dq, dk_BHCT, dv_BHCT = [], jnp.zeros_like(q_BHCT), jnp.zeros_like(q_BHCT)
  for (start, stop, seen), out, (exps, norm) in zip(
    _blocks(T, causal), outs, saved
  ):
    pattern = exps * norm
    d_rows = d_out[:, :, start:stop]
    delta = (d_rows * out).sum(-1, keepdims=True)
    d_pattern = d_rows @ v[:, :, :seen].swapaxes(-1, -2)
    d_scores = pattern * (d_pattern - delta)
    dq.append(d_scores @ k[:, :, :seen])
    unseen = ((0, 0), (0, 0), (0, 0), (0, T - seen))
    dk_BHCT += jnp.pad(q_BHCT[..., start:stop] @ d_scores, unseen)
    dv_BHCT += jnp.pad(d_out_BHCT[..., start:stop] @ pattern, unseen)
  dq = jnp.concatenate(dq, axis=2)
  return dq, dk_BHCT.swapaxes(-1, -2), dv_BHCT.swapaxes(-1, -2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _blockwise(causal: bool, q: Array, k: Array, v: Array) -> Array:
  return _forward(causal, q, k, v)[0]


_blockwise.defvjp(_forward, _backward)
