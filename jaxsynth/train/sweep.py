"""A sweep: the table of runs that train together.

runs = (product of traced axes) x seeds. Traced axes share one compiled
program; static axes change shapes or structure and split the sweep into
groups, one compile each. A run is identified by its seeds and hyperparameters
alone, so its identity survives adding, removing and reordering others.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth import rng
from jaxsynth.errors import UserError, unknown
from jaxsynth.types import Run


@dataclasses.dataclass(frozen=True)
class RunSpec:
  """One run on the host: seeds by stream, traced values by config path."""

  seeds: Mapping[str, int]
  hparams: Mapping[str, float]

  @property
  def id(self) -> str:
    """A short name of the run's identity, equal wherever it is trained."""
    text = json.dumps([dict(self.seeds), dict(self.hparams)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()

  def row(self) -> dict[str, Any]:
    """The run as a row of a table."""
    seeds = {f'seed.{k}': v for k, v in self.seeds.items()}
    return {'run_id': self.id, **self.hparams, **seeds}


def alike(values: Sequence[float]) -> list[float]:
  """The values of an axis as numbers of one type, which one compile needs."""
  some = any(isinstance(v, float) for v in values)
  return [float(v) for v in values] if some else list(values)


@dataclasses.dataclass(frozen=True)
class Sweep:
  """What varies.

  Attributes:
    seeds: how many seeds, or which ones.
    first_seed: the first seed when `seeds` is a count.
    fixed: streams held at one seed in all runs, e.g. {'task': 0}.
    streams: the streams a study uses; more than the standard ones is fine.
    traced: config path -> values; the product of the axes is trained.
    static: config path -> values; each combination is a group of its own.
  """

  seeds: int | Sequence[int] = 1
  first_seed: int = 0
  fixed: Mapping[str, int] = dataclasses.field(default_factory=dict)
  streams: Sequence[str] = rng.STREAMS
  traced: Mapping[str, Sequence[float]] = dataclasses.field(
    default_factory=dict
  )
  static: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    for kind in ('fixed', 'traced', 'static'):
      if not isinstance(getattr(self, kind), Mapping):
        raise UserError(f'sweep.{kind} must be a section of names and values')
    for path in set(self.traced) & set(self.static):
      raise UserError(f'{path} is in sweep.traced and in sweep.static')
    if isinstance(self.seeds, str) or not isinstance(
      self.seeds, (int, Sequence)
    ):
      raise UserError(f'sweep.seeds is a count or a list, got {self.seeds!r}')
    for stream in self.fixed:
      if stream not in self.streams:
        raise unknown('seed stream', stream, self.streams)
    if len(set(self.seed_list)) != len(self.seed_list) or not self.seed_list:
      raise UserError(f'sweep.seeds must be distinct and some: {self.seeds}')
    for seed in [*self.seed_list, *self.fixed.values()]:
      if not (isinstance(seed, int) and 0 <= seed < 2**32):
        raise UserError(f'a seed is a whole number below 2**32, got {seed!r}')
    for kind in ('traced', 'static'):
      for path, values in getattr(self, kind).items():
        if isinstance(values, str) or not isinstance(values, Iterable):
          raise UserError(f'sweep.{kind}.{path} must list its values')
        if not len(values) or len(set(values)) != len(values):
          raise UserError(
            f'sweep.{kind}.{path} must be distinct values, got {values}'
          )

  @property
  def seed_list(self) -> list[int]:
    if isinstance(self.seeds, int):
      return list(range(self.first_seed, self.first_seed + self.seeds))
    return list(self.seeds)

  def runs(self) -> list[RunSpec]:
    """All runs: the last traced axis varies fastest, then the seed."""
    axes = [[(k, v) for v in alike(vs)] for k, vs in self.traced.items()]
    return [
      RunSpec(
        seeds={s: self.fixed.get(s, seed) for s in self.streams},
        hparams=dict(cell),
      )
      for cell in itertools.product(*axes)
      for seed in self.seed_list
    ]

  def groups(self) -> list[dict[str, Any]]:
    """The static groups as config overrides; [{}] when nothing is static."""
    axes = [[(k, v) for v in values] for k, values in self.static.items()]
    return [dict(cell) for cell in itertools.product(*axes)]

  def shares(self, reads: Iterable[str]) -> bool:
    """Whether all runs agree, by declaration, on these streams and prefixes.

    Args:
      reads: stream names, and prefixes of config paths ending in a dot.
    """
    streams = [r for r in reads if not r.endswith('.')]
    prefixes = tuple(r for r in reads if r.endswith('.'))
    return all(s in self.fixed for s in streams) and not any(
      path.startswith(prefixes) for path in self.traced if prefixes
    )


def stack(specs: Sequence[RunSpec]) -> Run:
  """RunSpecs as one Run whose leaves are [R] host arrays."""
  seeds = {
    k: np.asarray([s.seeds[k] for s in specs], np.uint32)
    for k in specs[0].seeds
  }
  hparams = {
    k: np.asarray(
      [s.hparams[k] for s in specs],
      np.int32
      if all(isinstance(s.hparams[k], int) for s in specs)
      else np.float32,
    )
    for k in specs[0].hparams
  }
  return Run(seeds=seeds, hparams=hparams)


def one(spec: RunSpec) -> Run:
  """A RunSpec as a Run of scalars, for use by hand in a notebook."""
  return jax.tree.map(lambda x: jnp.asarray(x[0]), stack([spec]))
