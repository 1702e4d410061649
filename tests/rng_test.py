"""Key streams: a key depends on name, seed and step, and on nothing else."""

import zlib

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth import rng
from jaxsynth.errors import UserError

seeds = st.integers(0, 2**32 - 1)
names = st.text('abcdefgh_', min_size=1, max_size=8)
few = settings(max_examples=30, deadline=None)


def bits(key):
  return tuple(np.asarray(jax.random.key_data(key)).tolist())


@few
@given(names, seeds, st.integers(0, 2**31 - 1))
def test_key_is_the_documented_formula(name, seed, step):
  root = jax.random.fold_in(jax.random.key(0), zlib.crc32(name.encode()))
  expected = jax.random.fold_in(jax.random.fold_in(root, seed), step)
  got = rng.at(rng.stream({name: np.uint32(seed)}, name), step)
  assert bits(got) == bits(expected)


@few
@given(st.dictionaries(names, seeds, min_size=1), names, seeds)
def test_a_new_stream_changes_no_other(streams, new, seed):
  before = {n: bits(rng.stream(streams, n)) for n in streams if n != new}
  grown = dict(sorted({**streams, new: seed}.items(), reverse=True))
  assert {n: bits(rng.stream(grown, n)) for n in before} == before


@few
@given(st.lists(st.tuples(names, seeds), min_size=2, max_size=8, unique=True))
def test_streams_and_seeds_tell_keys_apart(pairs):
  keys = {bits(rng.stream({name: seed}, name)) for name, seed in pairs}
  assert len(keys) == len(pairs)


def test_key_is_the_same_under_jit_and_vmap():
  some = np.asarray([0, 1, 77, 2**32 - 1], np.uint32)
  one = lambda seed: jax.random.key_data(rng.stream({'data': seed}, 'data'))
  alone = np.stack([one(seed) for seed in some])
  assert len({tuple(k) for k in alone}) == len(some)
  np.testing.assert_array_equal(jax.jit(jax.vmap(one))(some), alone)
  np.testing.assert_array_equal(
    jax.vmap(one)(some[::-1]), alone[::-1], 'position must not matter'
  )


def test_missing_stream_names_the_nearest():
  with pytest.raises(UserError, match="'nosie': did you mean 'noise'"):
    rng.stream({'noise': 0, 'data': 1}, 'nosie')
