"""Named streams of random keys.

  key(stream) = fold_in(fold_in(root, crc32(stream)), seeds[stream])

and, where a stream is read at every step, `fold_in(key, step)`. A key depends
on the stream's name, its seed and the step, never on a position or a count:
adding a run, a stream or a step changes no other key. Equal seeds across
hyperparameters give equal initialisations and equal data, so comparisons are
paired; holding one stream's seed fixed across runs isolates the others.
"""

import zlib

import jax

from jaxsynth.errors import unknown
from jaxsynth.types import Array, Key

STREAMS = ('init', 'data', 'task', 'noise', 'eval')
_ROOT = 0


def stream(seeds: dict[str, Array], name: str) -> Key:
  """The key of stream `name`: a pure function of the name and its seed.

  Args:
    seeds: stream name -> seed, a non-negative integer below 2**32.
    name: any stream named in `seeds`.

  Raises:
    UserError: there is no such stream.
  """
  if name not in seeds:
    raise unknown('seed stream', name, seeds)
  key = jax.random.fold_in(jax.random.key(_ROOT), zlib.crc32(name.encode()))
  return jax.random.fold_in(key, seeds[name])


def at(key: Key, step: Array | int) -> Key:
  """The key of one step within a stream."""
  return jax.random.fold_in(key, step)
