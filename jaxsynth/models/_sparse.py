"""Sparse maps of the last axis: projections onto the sets that codes live in.

  nonnegative   relu(v) = argmin_{z >= 0} |z - v|^2
  top_k         argmin_{|z|_0 <= k} |z - v|^2, for v >= 0
  sparsemax     argmin_{z >= 0, sum z = 1} |z - v|^2 = max(v - tau, 0)
  jump          v 1[v > theta]

with the gradients the literature trains them by. Sorting is slow on a CPU, so
neither projection sorts: tau is found by Michelot's active sets, and the k-th
largest entry by halving the range of its bits.

Source: Michelot (1986), "A finite algorithm for finding the projection of a
point onto the canonical simplex of R^n", JOTA 50; Martins and Astudillo
(2016), "From softmax to sparsemax", arXiv 1602.02068; Rajamanoharan et al.
(2024), "Jumping ahead", arXiv 2407.14435, equations 11 and 12.
"""

import math

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError, unknown
from jaxsynth.types import Array, Spec


def check_spec(spec: Spec) -> None:
  """Raises UserError unless targets are real vectors like the inputs."""
  shapes = [getattr(x, 'shape', None) for x in (spec.inputs, spec.targets)]
  if spec.vocab_size is not None or not shapes[0] or shapes[0] != shapes[1]:
    raise UserError(
      'an sae reconstructs real vectors: inputs and targets must be alike, '
      f'the task offers {shapes[0]} and {shapes[1]}'
    )


def check_latents(
  kind: str, kinds: tuple[str, ...], width: int, k: int, **least_0: float
) -> None:
  """Raises UserError where an autoencoder's numbers cannot be.

  Args:
    kind: what it is.
    kinds: what it could be.
    width: latents w.
    k: active ones of 'topk'.
    least_0: finite numbers by name, at least 0.
  """
  if kind not in kinds:
    raise unknown('sae kind', kind, kinds)
  if width < 1:
    raise UserError(f'model.width must be at least 1, got {width}')
  if kind == 'topk' and not 1 <= k <= width:
    raise UserError(f'topk needs 1 <= k <= width, got k={k}, width={width}')
  for name, value in least_0.items():
    if not (math.isfinite(value) and value >= 0):
      raise UserError(f'model.{name} must be >= 0, got {value}')


def kth_largest(values: Array, k: Array | int) -> Array:
  """The k-th largest entry of the last axis, exactly.

  The bits of nonnegative floats are ordered as the floats are, so 31 halvings
  of the range of bit patterns find it.

  Args:
    values: float32, nonnegative, [..., n].
    k: from 1 to n; may be traced.

  Returns:
    [..., 1].
  """
  bits = jax.lax.bitcast_convert_type(values, jnp.int32)

  def halve(i, found):
    trial = found | (1 << (30 - i))
    enough = (bits >= trial).sum(-1, keepdims=True) >= k
    return jnp.where(enough, trial, found)

  start = jnp.zeros((*bits.shape[:-1], 1), jnp.int32)
  found = jax.lax.fori_loop(0, 31, halve, start)
  return jax.lax.bitcast_convert_type(found, jnp.float32)


def top_k(values: Array, k: Array | int) -> Array:
  """The k largest entries of the last axis, all others zero.

  Args:
    values: float32, nonnegative, [..., n]. Entries that tie with the k-th
      largest are all kept.
    k: from 1 to n; may be traced.
  """
  least = kth_largest(jax.lax.stop_gradient(values), k)
  return jnp.where(values >= least, values, 0)


@jax.custom_jvp
def sparsemax(values: Array) -> Array:
  """The nearest point of the probability simplex, along the last axis.

  Args:
    values: [..., n].

  Returns:
    [..., n], nonnegative, summing to one; mostly zeros.
  """
  # From the largest entry, tau lies in [-1, 0) whatever the values' size.
  values = values - values.max(-1, keepdims=True)

  def threshold(on):
    total = jnp.where(on, values, 0).sum(-1, keepdims=True)
    return (total - 1) / on.sum(-1, keepdims=True)

  def shrink(carry):
    on, _ = carry
    fewer = on & (values > threshold(on))
    return fewer, (fewer != on).any()

  everything = jnp.ones(values.shape, bool)
  start = everything, jnp.bool_(True)
  on, _ = jax.lax.while_loop(lambda carry: carry[1], shrink, start)
  return jnp.where(on, jnp.maximum(values - threshold(on), 0), 0)


@sparsemax.defjvp
def _sparsemax_jvp(primals, tangents):
  """The differential: on the support, less its mean there; else zero."""
  (values,), (change,) = primals, tangents
  out = sparsemax(values)
  on = out > 0
  kept = jnp.where(on, change, 0)
  mean = kept.sum(-1, keepdims=True) / on.sum(-1, keepdims=True)
  return out, jnp.where(on, kept - mean, 0)


def _window(values: Array, threshold: Array, bandwidth: Array) -> Array:
  """The rectangle kernel around the threshold, over its width."""
  near = jnp.abs(values - threshold) < bandwidth / 2
  return near / bandwidth


@jax.custom_jvp
def jump(values: Array, threshold: Array, bandwidth: float) -> Array:
  """values where they exceed the threshold, else 0; straight-through.

  Its true derivative in the threshold is zero almost everywhere. In its place
  stands -threshold * K((values - threshold) / bandwidth) / bandwidth, with K
  the indicator of [-1/2, 1/2].

  Args:
    values: [..., n].
    threshold: [n], positive.
    bandwidth: width of the kernel.
  """
  del bandwidth
  return jnp.where(values > threshold, values, 0)


@jump.defjvp
def _jump_jvp(primals, tangents):
  values, threshold, bandwidth = primals
  change, moved, _ = tangents
  through = jnp.where(values > threshold, change, 0)
  pseudo = threshold * _window(values, threshold, bandwidth) * moved
  return jump(values, threshold, bandwidth), through - pseudo


@jax.custom_jvp
def exceeds(values: Array, threshold: Array, bandwidth: float) -> Array:
  """1 where values exceed the threshold, else 0, to count codes with.

  The pseudo-derivative in the threshold is -K(...) / bandwidth, as in `jump`;
  in the values it is zero.

  Args:
    values: [..., n].
    threshold: [n].
    bandwidth: width of the kernel.
  """
  del bandwidth
  return (values > threshold).astype(values.dtype)


@exceeds.defjvp
def _exceeds_jvp(primals, tangents):
  values, threshold, bandwidth = primals
  pseudo = _window(values, threshold, bandwidth) * tangents[1]
  return exceeds(values, threshold, bandwidth), -pseudo
