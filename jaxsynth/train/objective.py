"""Training a model by an objective of its own, which may remember.

Such a model (a sparse autoencoder, say) states its loss itself, and keeps a
memory from step to step that is neither parameter nor data (how long each
latent has been silent):

  losses_t, scalars_t, memory = model.objective(params, batch_t, memory, h)
  params = params + optimizer(d mean(losses_t) / d params)

with means over examples under the batch's weights, and h the traced values
`model.*` of the run. All else is as in `train.supervised`. A batch is taken
whole: an objective that counts what happened in it is no mean of its parts.
"""

from collections.abc import Callable

import jax
import optax

from jaxsynth.errors import UserError
from jaxsynth.models.base import Model
from jaxsynth.optim.optimizers import Optimizer
from jaxsynth.tasks.base import Task
from jaxsynth.train import data_axis, evaluation, weights
from jaxsynth.train.program import Program, State
from jaxsynth.train.supervised import section, supervised
from jaxsynth.types import Array, Batch, PyTree, Run, Scalars

OWN = 'own'


def check_own(model: Model, microbatches: int) -> None:
  """Raises UserError where a model cannot be trained by its own objective."""
  if not hasattr(model, 'objective'):
    raise UserError(
      f"train.loss='{OWN}' needs a model with an objective of its own, "
      f'{type(model).__name__} has none'
    )
  if microbatches > 1:
    raise UserError(
      f"train.loss='{OWN}' takes a batch whole: layout.microbatches must be "
      f'0 or 1, got {microbatches}'
    )


def update(
  model: Model, transform: optax.GradientTransformation
) -> Callable[[State, Batch, dict[str, Array]], tuple[State, Scalars]]:
  """One update of {'params', 'opt', 'memory'} on a batch.

  Args:
    model: with an objective of its own.
    transform: the optimizer.

  Returns:
    (state, batch, hparams) -> state, scalars: loss, grad_norm and the
    objective's own.
  """

  def advance(state, batch, hparams):
    def value(params: PyTree):
      out = model.objective(params, batch, state['memory'], hparams)
      losses, scalars, memory = out
      mean = lambda x: weights.mean(x, batch.weights)
      return mean(losses), (jax.tree.map(mean, scalars), memory)

    grad = jax.value_and_grad(value, has_aux=True)
    (loss, (scalars, memory)), grads = grad(data_axis.whole(state['params']))
    grads = data_axis.summed(grads)
    updates, opt = transform.update(grads, state['opt'], state['params'])
    new = {
      'params': optax.apply_updates(state['params'], updates),
      'opt': opt,
      'memory': memory,
    }
    return new, {'loss': loss, 'grad_norm': optax.tree.norm(grads), **scalars}

  return advance


def own_objective(
  task: Task,
  model: Model,
  optimizer: Optimizer,
  *,
  batch_size: int,
  task_hparams: dict[str, float] | None = None,
) -> Program:
  """The program of training by the model's own objective.

  Args:
    task: where batches come from.
    model: with `hparams`, `memory` and `objective`, see `models.base`.
    optimizer: its traced hyperparameters are `run.hparams['optimizer.*']`.
    batch_size: examples per step.
    task_hparams: values of the task's hyperparameters that no axis replaces.

  Returns:
    A Program whose state is {'params', 'opt', 'memory'} and whose snapshots
    are params.
  """
  ordinary = supervised(
    task,
    model,
    None,  # step and evaluate, which would need a loss, are replaced
    optimizer,
    batch_size=batch_size,
    task_hparams=task_hparams,
  )

  def init(run: Run) -> State:
    state = ordinary.init(run)
    return {**state, 'memory': model.memory(state['params'])}

  def step(run: Run, state: State, t: Array) -> tuple[State, Scalars]:
    batch = ordinary.draw(run, t) if run.drawn is None else run.drawn
    transform = optimizer.build(section(run.hparams, 'optimizer'))
    return update(model, transform)(state, batch, section(run.hparams, 'model'))

  def evaluate(run: Run, state: State, t: Array) -> Scalars:
    del t
    hparams = section(run.hparams, 'model')
    params = data_axis.whole(state['params'])

    def measured(batch: Batch):
      losses, scalars, _ = model.objective(
        params, batch, state['memory'], hparams
      )
      mean = lambda x: weights.mean(x, batch.weights)
      return mean(losses), jax.tree.map(mean, scalars)

    return evaluation.measure(measured, run.constants['evals'], None)

  return ordinary._replace(init=init, step=step, evaluate=evaluate)
