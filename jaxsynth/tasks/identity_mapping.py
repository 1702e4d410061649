"""Structured identity mapping: learn y = x from one cluster per concept.

Every training point carries one concept: it lies near mu_p on axis p, at zero
on all other axes. A network that learns the identity on these clusters has
never seen two concepts at once; the test asks for all of them together. Which
concept is learned first, how fast, and whether the error of their composition
falls steadily, has closed forms for linear networks
(jaxsynth.analysis.linear_flow).

Source: Yang, Park, Lubana, Okawa, Hu and Tanaka (2024), "Swing-by dynamics in
concept learning and compositional generalization", arXiv 2410.08309.

Process, in dimension d with s <= d concepts:

  concept p ~ Uniform(1..s)
  z ~ N(mu_p e_p, Sigma),  Sigma = diag(sigma_1^2, .., sigma_s^2, 0, .., 0)
  x = z R^T,  y = x,  R a random rotation that all data share

A finite data set has n points of each concept; batches are drawn from it with
replacement (the published code runs through it in epochs: s n / batch_size
steps are one). The loss of the publication is half the squared distance,
train.loss='half_squared_distance'.

Evaluation sets:

  in_distribution   points as in training, none of them in the data set
  composed          N(sum_p mu_p e_p, Sigma): all concepts at once; the info
                    `concept` is s, which names no one

The publication tests on one point, the mean of `composed`: see `compositions`.

Glossary: concept, an axis p with its mean mu_p and deviation sigma_p;
centroid, mu_p e_p rotated; composition, the sum of some centroids; own
coordinates, z = x R; moments, a_p = E z_p^2 = sigma_p^2 + mu_p^2 / s.
"""

import itertools
import math
import zlib
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.errors import UserError
from jaxsynth.types import Array, Batch, Key, Spec


class World(NamedTuple):
  """The clusters, and the data set if it is finite.

  Attributes:
    basis: R [d, d]; column p is the axis of concept p, for p < s.
    centroids: [s, d].
    deviations: sigma in own coordinates [d], 0 beyond the concepts.
    moments: a [d], the second moments in own coordinates.
    concepts: concept of each point [s n], or [0].
    points: the data set [s n, d], or [0, d].
  """

  basis: Array
  centroids: Array
  deviations: Array
  moments: Array
  concepts: Array
  points: Array


@dataclass(frozen=True)
class IdentityMapping:
  """Clusters of a structured identity mapping; see the module's docstring.

  Attributes:
    dim: d. Published: 64, and 2 to 4.
    means: mu of each concept, positive.
    deviations: sigma of each concept.
    samples: points n of each concept in the data set, 0 for fresh points at
      every step. Published: 5000.
    rotate: whether a random rotation hides the axes, as published.
    exclusion: training points nearer than this to the full composition, in
      units of the least mean, have no weight. Published as a control: 0.5.
    eval_size: points in each evaluation set.
  """

  dim: int = 8
  means: tuple[float, ...] = (1.0, 2.0)
  deviations: tuple[float, ...] = (0.05, 0.05)
  samples: int = 64
  rotate: bool = True
  exclusion: float = 0.0
  eval_size: int = 64

  def __post_init__(self):
    for name in ('means', 'deviations'):
      values = getattr(self, name)
      if not isinstance(values, tuple) or not all(map(_number, values)):
        raise UserError(f'{name} is a tuple of numbers: {values!r}')
    if not 1 <= len(self.means) <= min(self.dim, 10):
      raise UserError(
        f'means must be 1 to {min(self.dim, 10)} numbers (dim, and at most '
        f'10), got {len(self.means)}'
      )
    if len(self.deviations) != len(self.means):
      raise UserError(
        f'{len(self.deviations)} deviations for {len(self.means)} means'
      )
    for name, least in (('samples', 0), ('exclusion', 0), ('eval_size', 1)):
      if getattr(self, name) < least:
        raise UserError(f'{name} must be at least {least}')
    for mean in self.means:
      self.check(first_mean=mean)
    for deviation in self.deviations:
      self.check(first_deviation=deviation)

  @property
  def spec(self) -> Spec:
    """float32 vectors [d] in and out."""
    vector = jax.ShapeDtypeStruct((self.dim,), jnp.float32)
    return Spec(vector, vector, None, self.dim)

  @property
  def num_concepts(self) -> int:
    """s."""
    return len(self.means)

  def check(self, first_mean=None, first_deviation=None):
    """Raises UserError for a value that `init` cannot honour.

    A mean is positive and finite, a deviation not negative and finite.
    """
    if first_mean is not None and not 0 < first_mean < math.inf:
      raise UserError(f'a mean must be positive, got {first_mean}')
    if first_deviation is not None and not 0 <= first_deviation < math.inf:
      raise UserError(f'a deviation must be >= 0, got {first_deviation}')

  def init(
    self,
    key: Key,
    first_mean: Array | float | None = None,
    first_deviation: Array | float | None = None,
  ) -> World:
    """The clusters and the data set.

    Args:
      key: of rotation and data set.
      first_mean: mu_1, in place of the first of `means`. May be traced.
      first_deviation: sigma_1, likewise.

    Raises:
      UserError: a value that is not traced fails `check`.
    """
    given = {'first_mean': first_mean, 'first_deviation': first_deviation}
    traced = jax.core.Tracer
    self.check(**{n: v for n, v in given.items() if not isinstance(v, traced)})
    s, d = self.num_concepts, self.dim
    means, deviations = jnp.asarray(self.means), jnp.asarray(self.deviations)
    if first_mean is not None:
      means = means.at[0].set(first_mean)
    if first_deviation is not None:
      deviations = deviations.at[0].set(first_deviation)
    basis = jnp.eye(d)
    if self.rotate:
      basis = jax.random.orthogonal(_named(key, 'rotation'), d)
    world = World(
      basis=basis,
      centroids=means[:, None] * basis[:, :s].T,
      deviations=jnp.zeros(d).at[:s].set(deviations),
      moments=jnp.zeros(d).at[:s].set(deviations**2 + means**2 / s),
      concepts=jnp.repeat(jnp.arange(s), self.samples),
      points=jnp.zeros((0, d)),
    )
    points = self._near(
      world, _named(key, 'data'), world.centroids[world.concepts]
    )
    return world._replace(points=points)

  def sample(
    self, task_params: World, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Training points, by one law at every step; info has the `concept` [B]."""
    del step
    world = task_params
    if self.samples:
      rows = jax.random.randint(key, (batch_size,), 0, len(world.concepts))
      concept, points = world.concepts[rows], world.points[rows]
    else:
      concept, points = self._fresh(world, key, batch_size)
    return self._batch(world, points, concept, self.exclusion)

  def evals(self, task_params: World, key: Key) -> dict[str, Batch]:
    """The evaluation sets listed in the module's docstring."""
    world, size = task_params, self.eval_size
    seen = self._fresh(world, _named(key, 'in_distribution'), size)
    full = jnp.broadcast_to(world.centroids.sum(0), (size, self.dim))
    composed = self._near(world, _named(key, 'composed'), full)
    every = jnp.full(size, self.num_concepts)
    return {
      'in_distribution': self._batch(world, seen[1], seen[0]),
      'composed': self._batch(world, composed, every),
    }

  def reference(self, task_params: World, batch: Batch) -> dict[str, Array]:
    """Predictions [B, d] of the truth and of a network that only remembers.

    Returns:
      identity: the input.
      nearest_centroid: the training centroid nearest to it: no composition.
    """
    centroids = task_params.centroids
    apart = batch.inputs[:, None] - centroids[None]
    nearest = jnp.square(apart).sum(-1).argmin(-1)
    return {'identity': batch.inputs, 'nearest_centroid': centroids[nearest]}

  @property
  def codes(self) -> np.ndarray:
    """Which concepts are in each composition: 0 or 1, int [2^s, s].

    The first is the origin, the last the composition of all concepts.
    """
    return np.array(list(itertools.product((0, 1), repeat=self.num_concepts)))

  def compositions(self, task_params: World) -> Array:
    """The sums of centroids that `codes` names, [2^s, d]."""
    return self.codes.astype(np.float32) @ task_params.centroids

  def _near(self, world: World, key: Key, centres: Array) -> Array:
    noise = jax.random.normal(key, centres.shape) * world.deviations
    return centres + noise @ world.basis.T

  def _fresh(self, world: World, key: Key, size: int) -> tuple[Array, Array]:
    concept = jax.random.randint(
      _named(key, 'concept'), (size,), 0, self.num_concepts
    )
    return concept, self._near(
      world, _named(key, 'point'), world.centroids[concept]
    )

  def _batch(
    self, world: World, points: Array, concept: Array, exclusion: float = 0.0
  ) -> Batch:
    """Points as a batch; those within `exclusion` weigh nothing."""
    apart = jnp.linalg.norm(points - world.centroids.sum(0), axis=-1)
    least = jnp.linalg.norm(world.centroids, axis=-1).min()
    weights = (apart >= exclusion * least).astype(jnp.float32)
    return Batch(points, points, weights, {'concept': concept})


def _number(value) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)


def _named(key: Key, name: str) -> Key:
  """The key of one named draw: adding a draw changes no other."""
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


TASK = IdentityMapping
