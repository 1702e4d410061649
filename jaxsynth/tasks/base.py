"""The Task protocol: a data-generating process whose ground truth is known.

A task is one module in this folder. It holds a frozen dataclass whose fields
are *static structure* (sizes, options), and ends in `TASK = MyTask`; it is
then found by its module name. Numbers one may sweep enter at `init` as
keyword arguments with defaults, and live in the pytree it returns: one
compile serves all their values. Sizes that vary in a sweep are padded to a
static maximum and masked.

All methods are pure, jittable and vmappable over keys and task_params.
"""

from typing import Protocol

from jaxsynth import lookup
from jaxsynth.types import Array, Batch, Key, PyTree, Spec


class Task(Protocol):
  """What every task offers. `self` is a frozen dataclass of static sizes."""

  @property
  def spec(self) -> Spec:
    """Shapes and vocabulary of inputs, targets and predictions."""

  def init(self, key: Key, **hparams) -> PyTree:
    """Draws the task's own constants (chains, grammars, data sets).

    Keyword arguments are the hyperparameters that may be swept as traced
    values; their defaults stand here and nowhere else.
    """

  def sample(
    self, task_params: PyTree, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Draws a training batch.

    The key is this step's own, already folded with it; `step` is there for
    epochs, curricula and mixtures, which are functions of the step.
    """

  def evals(self, task_params: PyTree, key: Key) -> dict[str, Batch]:
    """Fixed evaluation batches by name: in distribution, held out, ..."""

  def reference(self, task_params: PyTree, batch: Batch) -> dict[str, Array]:
    """Predictions of the Bayes optimum and the named algorithms.

    Returns:
      name -> predictions with the shape of a model's prediction; for token
      tasks probabilities [B, T, output_size].
    """


def check_hparams(task: Task, hparams: dict[str, float]) -> None:
  """Refuses impossible hyperparameter values before anything compiles.

  A task that limits its values (no more chains than its padded maximum, say)
  has a method `check(**hparams)` that raises UserError.
  """
  if hasattr(task, 'check'):
    task.check(**hparams)


def names() -> list[str]:
  """Names of all tasks in this folder."""
  return lookup.names('jaxsynth.tasks')


def get(name: str) -> type:
  """The task class of module `name` (or of a dotted path)."""
  return lookup.get('jaxsynth.tasks', name, 'TASK')
