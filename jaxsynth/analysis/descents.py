"""Curves that fall, rise and fall again; losses that respect an order.

A curve is one scalar per snapshot, [K]. It swings by when it rises above its
own running minimum before it ends; it descends several times when it falls,
rises and falls again, each time by at least a prominence, which keeps noise
from counting.

Source: non-monotone and multiple descents of the loss on a composition, and
its order over compositions, are those of Yang, Park, Lubana, Okawa, Hu and
Tanaka (2024), arXiv 2410.08309; counting turns by a threshold from the last
extreme is the hysteresis filter of rainflow counting (Matsuishi and Endo
1968).
"""

import jax
import jax.numpy as jnp

from jaxsynth.types import Array, Key


def swing(curve: Array) -> dict[str, Array]:
  """The largest rise of a curve above its running minimum.

  Args:
    curve: [K].

  Returns:
    rise: how far, []; 0 for a curve that never rises.
    low, high: values between which it rises, [].
    low_at, high_at: positions of these in the curve, int [].
  """
  floor_K = jax.lax.cummin(curve)
  high_at = (curve - floor_K).argmax()
  before_K = jnp.where(jnp.arange(len(curve)) <= high_at, curve, jnp.inf)
  low_at = before_K.argmin()
  return {
    'rise': curve[high_at] - curve[low_at],
    'low': curve[low_at],
    'high': curve[high_at],
    'low_at': low_at,
    'high_at': high_at,
  }


def descents(curve: Array, prominence: Array) -> Array:
  """How many times a curve descends, with rises between.

  Args:
    curve: [K].
    prominence: the least fall that is a descent, and the least rise that
      parts two, []; positive.

  Returns:
    The number of descents, int [].
  """

  def visit(state, x):
    falling, extreme, count = state
    extreme = jnp.where(
      falling, jnp.minimum(extreme, x), jnp.maximum(extreme, x)
    )
    turned = jnp.abs(x - extreme) >= prominence
    new = (
      falling ^ turned,
      jnp.where(turned, x, extreme),
      count + (turned & ~falling),
    )
    return new, None

  start = (jnp.zeros((), bool), curve[0], jnp.zeros((), jnp.int32))
  return jax.lax.scan(visit, start, curve)[0][2]


def ordered_share(values: Array, codes: Array) -> Array:
  """The share of comparable pairs whose values respect the order.

  u <= v when every component is; a pair is in order if value(u) <= value(v).

  Args:
    values: one per element [N].
    codes: the elements of the partial order [N, s], all different.

  Returns:
    The share, [].
  """
  below_NN = (codes[:, None] <= codes[None]).all(-1)
  pairs_NN = below_NN & ~jnp.eye(len(codes), dtype=bool)
  good_NN = pairs_NN & (values[:, None] <= values[None])
  return good_NN.sum() / pairs_NN.sum()


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract suite.

  Args:
    key: of the random numbers.

  Returns:
    Function name -> its arguments.
  """
  curve = jax.random.normal(key, (12,)).cumsum()
  values = jax.random.uniform(key, (4,))
  codes = jnp.asarray([[0, 0], [0, 1], [1, 0], [1, 1]])
  return {
    'swing': (curve,),
    'descents': (curve, jnp.asarray(0.5)),
    'ordered_share': (values, codes),
  }
