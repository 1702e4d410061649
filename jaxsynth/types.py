"""The words of the library as types, and the glossary of shapes.

Shapes, everywhere in code, docs and on disk:

  R runs        K snapshots   B batch      T sequence length   V vocabulary
  D model width H heads       C head width F MLP width         L layers

The run axis leads: [R, K, ...]. Inside model and task maths a name carries
its shape (`scores_BHTT`).
"""

from typing import Any, NamedTuple

import jax

Array = jax.Array
Key = jax.Array
PyTree = Any
Scalars = dict[str, Array]


class Batch(NamedTuple):
  """What a task hands to a model and a loss.

  Attributes:
    inputs: what the model reads: tokens [B, T] or any pytree, batch first.
    targets: what the prediction is scored against, e.g. next tokens [B, T].
    weights: weight of each target in the loss, [B, T] or broadcastable;
      zero where there is nothing to predict.
    info: the ground truth behind the batch, never shown to the model: a dict
      of arrays, e.g. {'chain': [B]}.
  """

  inputs: PyTree
  targets: PyTree
  weights: Array
  info: dict[str, Array]


class Spec(NamedTuple):
  """What goes in and what comes out of a model for this task.

  Attributes:
    inputs: a pytree of jax.ShapeDtypeStruct, without the batch axis.
    targets: likewise.
    vocab_size: input tokens lie in [0, vocab_size); None for real inputs.
    output_size: size of the last axis of a prediction.
  """

  inputs: PyTree
  targets: PyTree
  vocab_size: int | None
  output_size: int


class Run(NamedTuple):
  """One cell of a sweep, as the pure functions of a study see it.

  Attributes:
    seeds: stream name -> seed (uint32 scalar); see `jaxsynth.rng`.
    hparams: traced hyperparameters of this run under their config path, e.g.
      {'optimizer.peak_lr': 1e-3, 'task.num_chains': 16}.
    constants: what is rebuilt from seeds and hyperparameters and never
      trained: task_params, data sets, frozen networks, evaluation batches.
    parent: in a stage that starts from another training, the full state of
      this run's parent at the chosen step; None otherwise.
    drawn: inside `step`, what the program's `draw` gave for it, if the loop
      drew ahead; None otherwise.
  """

  seeds: dict[str, Array]
  hparams: dict[str, Array]
  constants: PyTree = None
  parent: PyTree = None
  drawn: PyTree = None
