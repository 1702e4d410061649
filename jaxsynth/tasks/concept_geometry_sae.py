"""Concepts as clusters whose geometry favours one autoencoder or another.

Points of a few concepts, to be reconstructed from sparse codes. Two processes
break what sparse autoencoders presume: concepts that no half-space or cone
separates from the others, and concepts of unequal intrinsic dimension.

Source: Hindupur, Lubana, Fel and Ba (2025), "Projecting Assumptions: The
Duality Between Sparse Autoencoders and Concept Geometry", arXiv 2503.01822,
sections on separability and heterogeneity; numbers from its code,
Sai-Sumedh/SaeConceptDuality-SpaDE.

Process: concept c uniform, raw point y = m_c + e, e ~ N(0, D_c) with D_c
diagonal of trace v, the same for all concepts; then x = s (y - mean(y)), with
s such that E|x|^2 = d. Mean and scale are those of the process, not estimates.

  separability    d = 2; six centres at 0, 60, ..., 300 degrees, alternately
                  at radius 3/2 (even concepts: outer) and 1/2 (odd: inner);
                  isotropic, v = 2^-4.5
  heterogeneity   d = 128; concept c varies along the first n_c axes only,
                  n = (6, 14, 30, 62, 126), alike along each; v = 1/50;
                  centres uniform in [0, 0.046875]^d

The set `held_out` has eval_size points of each concept, in order. Where the
paper draws a data set and splits it, every training batch here is new.

Glossary: concept, one of C clusters; intrinsic dimension n_c, the rank of
D_c; d, the size of a point; x̂, a reconstruction.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.errors import UserError, unknown
from jaxsynth.types import Array, Batch, Key, Spec

PROCESSES = ('separability', 'heterogeneity')
RADII = (1.5, 0.5, 1.5, 0.5, 1.5, 0.5)
VARIANCE = {'separability': 2**-4.5, 'heterogeneity': 1 / 50}
SIDE = 0.046875
# Below this variance a direction is taken to have none: posterior only.
FLOOR = 1e-6


class Concepts(NamedTuple):
  """Clusters in standardised coordinates.

  Attributes:
    centres: [C, d].
    deviations: standard deviation along each axis, [C, d].
  """

  centres: Array
  deviations: Array


@dataclass(frozen=True)
class ConceptGeometry:
  """Points of concepts; see the module's docstring.

  Attributes:
    process: 'separability' or 'heterogeneity'.
    size: d of heterogeneity; separability is planar.
    intrinsic: n_c of heterogeneity, one a concept, increasing.
    eval_size: held-out points of each concept.
  """

  process: str = 'separability'
  size: int = 128
  intrinsic: tuple[int, ...] = (6, 14, 30, 62, 126)
  eval_size: int = 64

  def __post_init__(self):
    if self.process not in PROCESSES:
      raise unknown('process', self.process, PROCESSES)
    if self.eval_size < 1:
      raise UserError(f'eval_size must be at least 1, got {self.eval_size}')
    n = self.intrinsic
    if (
      not n or list(n) != sorted(set(n)) or not 1 <= n[0] <= n[-1] <= self.size
    ):
      raise UserError(
        f'intrinsic must increase within 1..size = 1..{self.size}, got {n}'
      )

  @property
  def dim(self) -> int:
    """d."""
    return 2 if self.process == 'separability' else self.size

  @property
  def num_concepts(self) -> int:
    """C."""
    plane = self.process == 'separability'
    return len(RADII) if plane else len(self.intrinsic)

  @property
  def dims(self) -> tuple[int, ...]:
    """Intrinsic dimension of each concept."""
    plane = self.process == 'separability'
    return (2,) * len(RADII) if plane else tuple(self.intrinsic)

  @property
  def spec(self) -> Spec:
    """float32 points [d] in and out."""
    point = jax.ShapeDtypeStruct((self.dim,), jnp.float32)
    return Spec(point, point, None, self.dim)

  def check(self, variance=None, spread=None):
    """Raises UserError unless variance and spread are positive and finite."""
    for name, value in (('variance', variance), ('spread', spread)):
      if value is not None and not 0 < value < math.inf:
        raise UserError(f'{name} must be positive, got {value}')

  def init(
    self,
    key: Key,
    variance: Array | float | None = None,
    spread: Array | float = 1.0,
  ) -> Concepts:
    """The clusters.

    Args:
      key: of the centres of heterogeneity.
      variance: v, of all axes of a concept together; None as published.
      spread: the raw centres are multiplied by this.
    """
    variance = VARIANCE[self.process] if variance is None else variance
    if self.process == 'separability':
      angles = np.arange(len(RADII)) * np.pi / 3
      directions = np.stack([np.cos(angles), np.sin(angles)], 1)
      centres = jnp.asarray(np.asarray(RADII)[:, None] * directions)
    else:
      shape = (self.num_concepts, self.dim)
      centres = SIDE * jax.random.uniform(key, shape)
    centres = spread * centres.astype(jnp.float32)
    centres -= centres.mean(0)
    dims = np.asarray(self.dims)[:, None]
    used = (np.arange(self.dim) < dims) / dims  # [C, d], rows sum to one
    power = jnp.square(centres).sum(-1).mean() + variance
    scale = jnp.sqrt(self.dim / power)
    deviations = jnp.sqrt(variance * used.astype(np.float32))
    return Concepts(scale * centres, scale * deviations)

  def sample(
    self, task_params: Concepts, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Points of random concepts, by one law at every step."""
    del step
    concept_key, point_key = jax.random.split(key)
    concept = jax.random.randint(
      concept_key, (batch_size,), 0, self.num_concepts
    )
    return self._points(task_params, point_key, concept)

  def evals(self, task_params: Concepts, key: Key) -> dict[str, Batch]:
    """{'held_out'}: eval_size points of each concept, in order."""
    concept = jnp.repeat(jnp.arange(self.num_concepts), self.eval_size)
    return {'held_out': self._points(task_params, key, concept)}

  def posterior(self, task_params: Concepts, inputs: Array) -> Array:
    """p(concept | x) of points [..., d], [..., C]."""
    variance = jnp.square(task_params.deviations) + FLOOR
    far = jnp.square(inputs[..., None, :] - task_params.centres) / variance
    return jax.nn.softmax(-0.5 * (far + jnp.log(variance)).sum(-1))

  def reference(self, task_params: Concepts, batch: Batch) -> dict[str, Array]:
    """Reconstructions that know less than the point, [B, d].

    Returns:
      mean: of all points, 0; concept_mean: E[m_c | x], the centre of the
      point's concept as far as x tells it: what a code of the concept alone
      can reconstruct.
    """
    known = self.posterior(task_params, batch.inputs)
    return {
      'mean': jnp.zeros_like(batch.inputs),
      'concept_mean': known @ task_params.centres,
    }

  def _points(self, concepts: Concepts, key: Key, concept: Array) -> Batch:
    noise = jax.random.normal(key, (len(concept), self.dim))
    x = concepts.centres[concept] + concepts.deviations[concept] * noise
    ones = jnp.ones(len(concept))
    return Batch(x, x, ones, {'concept': concept.astype(jnp.int32)})


TASK = ConceptGeometry
