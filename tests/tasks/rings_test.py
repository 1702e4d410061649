"""Facts on rings, what is held out of them, and walks: against plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth.tasks.lib import rings as lib

N, O, K = 11, 2, 2
R = 2 * K * O
KEY = jax.random.key(0)


def drawn(key=KEY):
  a, b, c = jax.random.split(key, 3)
  rings = jnp.argsort(jax.random.uniform(a, (O, N))).astype(jnp.int32)
  answers = lib.facts(rings, K)
  told = ~lib.without_reverse(b, answers, K, 20)
  twice = jax.random.uniform(c, (N, R, R)) < 0.6
  return rings, answers, told, twice


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_facts_go_round_the_rings_and_have_inverses(seed):
  rings, answers, told, _ = map(np.asarray, drawn(jax.random.key(seed)))
  for o, ring in enumerate(rings.tolist()):
    for way, sign in enumerate((1, -1)):
      for k in range(1, K + 1):
        r = 2 * K * o + K * way + k - 1
        for place, x in enumerate(ring):
          assert answers[x, r] == ring[(place + sign * k) % N]
  undone = lib.inverse(R, K)
  x = np.arange(N)[:, None]
  reverse = answers, undone[None]
  assert (answers[reverse] == x).all()
  assert (~told).sum() == 20
  assert not (~told & ~told[reverse]).any()


def test_every_fact_is_as_likely_to_be_held_out():
  answers = lib.facts(
    jnp.stack([jnp.arange(5), jnp.asarray([0, 2, 4, 1, 3])]), 1
  )
  keys = jax.random.split(KEY, 4000)
  held = jax.vmap(lambda k: lib.without_reverse(k, answers, 1, 3))(keys)
  assert scipy.stats.chisquare(held.sum(0).ravel()).pvalue > 1e-3


def told_parts(tokens):
  """The segments (x, relations, y) of one row, in plain Python."""
  parts, x, relations = [], None, []
  for token in tokens:
    if token >= N:
      relations.append(token - N)
    else:
      if x is not None:
        parts.append((x, tuple(relations), token))
      x, relations = token, []
  return parts


def follow(answers, x, relations):
  for r in relations:
    x = answers[x, r]
  return x


@pytest.mark.parametrize('way', ['forwards', 'backwards'])
def test_walks_keep_to_what_is_told(way):
  _, answers, told, twice = drawn()
  if way == 'forwards':
    to = lib.steps(answers, told, twice)
  else:
    to = lib.backwards(answers, told, twice, lib.inverse(R, K))
  start = jnp.arange(400) % N
  tokens = np.asarray(jax.jit(lib.walk, static_argnums=3)(to, KEY, start, 12))
  assert tokens.shape == (400, 12)
  assert (tokens[:, 0] == start).all()
  if way == 'backwards':
    tokens = tokens[:, ::-1]
    # A row may begin in the middle of a part: cut it to its first entity.
    tokens = [row[np.argmax(row < N) :] for row in tokens]
  parts = [part for row in tokens for part in told_parts(row.tolist())]
  known, twice = np.asarray(told), np.asarray(twice)
  assert {len(r) for _, r, _ in parts} == {1, 2}
  for x, relations, y in parts:
    assert y == follow(np.asarray(answers), x, relations)
    assert (known if len(relations) == 1 else twice)[(x, *relations)]
  single = np.mean([len(r) == 1 for _, r, _ in parts])
  assert 0.4 < single < 0.62


def test_a_walk_draws_uniformly_among_what_is_told():
  _, answers, told, twice = drawn()
  to = lib.steps(answers, told, twice)
  tokens = np.asarray(lib.walk(to, KEY, jnp.full(30_000, 3), 4))
  alone = tokens[:, 2] < N
  assert scipy.stats.binomtest(int(alone.sum()), 30_000).pvalue > 1e-3
  counts = np.bincount(tokens[alone, 1] - N, minlength=R)
  known = np.asarray(told)[3]
  assert (counts > 0).tolist() == known.tolist()
  assert scipy.stats.chisquare(counts[known]).pvalue > 1e-3
  code = (tokens[~alone, 1] - N) * R + tokens[~alone, 2] - N
  counts = np.bincount(code, minlength=R * R)
  known = np.asarray(twice)[3].ravel()
  assert (counts > 0).tolist() == known.tolist()
  assert scipy.stats.chisquare(counts[known]).pvalue > 1e-3


def test_an_entity_without_facts_takes_compositions_and_the_reverse():
  _, answers, told, twice = drawn()
  told, twice = told.at[3].set(False), twice.at[4].set(False)
  to = lib.steps(answers, told, twice)
  start = jnp.repeat(jnp.asarray([3, 4]), 50)
  third = lib.walk(to, KEY, start, 3)[:, 2] < N
  assert not third[:50].any()
  assert third[50:].all()
