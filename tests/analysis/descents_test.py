"""Swings, descents and order, against brute force."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jaxsynth.analysis.descents import descents, ordered_share, swing

CURVES = arrays.arrays(np.float32, 24, elements=st.integers(-50, 50).map(float))


@settings(max_examples=25, deadline=None)
@given(CURVES)
def test_swing_is_the_largest_later_less_earlier(curve):
  out = swing(jnp.asarray(curve))
  brute = max(
    curve[j] - curve[i] for i in range(len(curve)) for j in range(i, len(curve))
  )
  assert out['rise'] == brute
  low, high = int(out['low_at']), int(out['high_at'])
  assert low <= high
  assert curve[high] - curve[low] == brute
  assert (out['low'], out['high']) == (curve[low], curve[high])


@pytest.mark.parametrize(
  ('curve', 'count'),
  [
    ([5, 4, 3, 1], 1),
    ([1, 2, 3], 0),
    ([5, 1, 3, 0], 2),
    ([5, 1, 3, 0, 2, 1, 4, 0.5], 4),
    ([5, 1, 1.5, 0], 1),  # a rise below the prominence parts nothing
    ([5, 4.5, 5, 4.5], 0),
    ([1, 5, 1], 1),  # it may rise first
  ],
)
def test_descents_by_hand(curve, count):
  assert int(descents(jnp.asarray(curve, float), jnp.asarray(1.0))) == count


@settings(max_examples=25, deadline=None)
@given(CURVES, st.integers(1, 30))
def test_descents_depend_on_values_alone(curve, prominence):
  """Not on how long they last, nor on scale; and are counted by turns."""
  least = jnp.asarray(float(prominence))
  count = int(descents(jnp.asarray(curve), least))
  slow = jnp.repeat(jnp.asarray(curve), 3)
  assert int(descents(slow, least)) == count
  assert int(descents(4 * slow, 4 * least)) == count
  extreme, falling, turns = curve[0], False, 0
  for x in curve:
    extreme = min(extreme, x) if falling else max(extreme, x)
    if abs(x - extreme) >= prominence:
      turns += not falling
      falling, extreme = not falling, x
  assert turns == count


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(8)))
def test_ordered_share_by_brute_force(values):
  codes = [(i >> 2 & 1, i >> 1 & 1, i & 1) for i in range(8)]
  below = lambda u, v: all(a <= b for a, b in zip(u, v)) and u != v
  pairs = [(i, j) for i in range(8) for j in range(8)
           if below(codes[i], codes[j])]  # fmt: skip
  expected = np.mean([values[i] <= values[j] for i, j in pairs])
  assert len(pairs) == 19  # 27 nested pairs, 8 of them equal
  got = ordered_share(jnp.asarray(values, float), jnp.asarray(codes))
  np.testing.assert_allclose(got, expected, rtol=1e-6)
