"""Points labelled by a linear teacher: separable classes, exactly learnable.

A finite set of random points, each labelled by the largest of C linear
functions drawn once. The classes are separable by construction, so a network
can drive the loss to zero and its gradients with it, which is what brings out
the unstable region of Adam; with batches smaller than the set, gradients are
noisy until then.

Source: the setting (a small network trained to interpolate separable labels)
is ours, chosen for Gould and Tanaka (2024), arXiv 2411.05746, whose own
experiments use a transformer on text.

Process, with d inputs, C classes and n points:

  teacher     A ~ normal(0, 1)^{d x C}
  points      x_j ~ normal(0, 1)^d, j = 1..n;   y_j = argmax_c (x_j A)_c
  batch       B of the points without replacement; all of them, in random
              order, where B = n
  held out    fresh points, labelled by the same teacher
  label_noise each training label is replaced by a uniform one with this
              probability; held-out labels are clean

Glossary: teacher, the matrix A; margin, how far the largest of the linear
functions lies above the second at a point.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError
from jaxsynth.types import Array, Batch, Key, Spec


class Teacher(NamedTuple):
  """The task's constants.

  Attributes:
    matrix: A [d, C].
    points: training inputs [n, d].
    labels: their classes [n], int32.
  """

  matrix: Array
  points: Array
  labels: Array


@dataclass(frozen=True)
class LinearTeacher:
  """Points labelled by a linear teacher; see the module's docstring.

  Attributes:
    num_inputs: d.
    num_classes: C.
    num_points: n, training points; a batch may not be larger.
    eval_size: held-out points.
  """

  num_inputs: int = 16
  num_classes: int = 3
  num_points: int = 128
  eval_size: int = 256

  def __post_init__(self):
    for name, least in (
      ('num_inputs', 1), ('num_classes', 2), ('num_points', 1),
      ('eval_size', 1),
    ):  # fmt: skip
      if getattr(self, name) < least:
        raise UserError(
          f'{name} must be at least {least}: {getattr(self, name)}'
        )

  @property
  def spec(self) -> Spec:
    """Real vectors [d] in, a class out."""
    return Spec(
      inputs=jax.ShapeDtypeStruct((self.num_inputs,), jnp.float32),
      targets=jax.ShapeDtypeStruct((), jnp.int32),
      vocab_size=None,
      output_size=self.num_classes,
    )

  def check(self, *, label_noise: float = 0.0) -> None:
    """Refuses a label noise that is no probability."""
    if not 0 <= label_noise <= 1:
      raise UserError(f'task.label_noise must lie in [0, 1]: {label_noise}')

  def init(self, key: Key, *, label_noise: float | Array = 0.0) -> Teacher:
    """Draws teacher and training points.

    Args:
      key: of the task.
      label_noise: share of training labels that are replaced.
    """
    of_matrix, of_points, of_noise, of_label = (
      jax.random.fold_in(key, i) for i in range(4)
    )
    matrix = jax.random.normal(of_matrix, (self.num_inputs, self.num_classes))
    points = jax.random.normal(of_points, (self.num_points, self.num_inputs))
    wrong = jax.random.uniform(of_noise, (self.num_points,)) < label_noise
    other = jax.random.randint(
      of_label, (self.num_points,), 0, self.num_classes
    )
    labels = jnp.where(wrong, other, _labels(matrix, points))
    return Teacher(matrix, points, labels)

  def sample(
    self, task_params: Teacher, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Some of the training points, none twice.

    Raises:
      UserError: the batch is larger than the set.
    """
    del step
    if batch_size > self.num_points:
      raise UserError(
        f'train.batch_size={batch_size} exceeds task.num_points='
        f'{self.num_points}'
      )
    chosen = jax.random.permutation(key, self.num_points)[:batch_size]
    return _batch(task_params.points[chosen], task_params.labels[chosen])

  def evals(self, task_params: Teacher, key: Key) -> dict[str, Batch]:
    """Fresh points, labelled by the teacher: 'held_out'."""
    points = jax.random.normal(key, (self.eval_size, self.num_inputs))
    return {'held_out': _batch(points, _labels(task_params.matrix, points))}

  def reference(self, task_params: Teacher, batch: Batch) -> dict[str, Array]:
    """The teacher's answer, as probabilities [B, C] of zero and one."""
    chosen = _labels(task_params.matrix, batch.inputs)
    return {'teacher': jax.nn.one_hot(chosen, self.num_classes)}


def _labels(matrix: Array, points: Array) -> Array:
  return jnp.argmax(points @ matrix, -1).astype(jnp.int32)


def _batch(points: Array, labels: Array) -> Batch:
  return Batch(points, labels, jnp.ones(labels.shape), {})


TASK = LinearTeacher
