"""Training a model by an objective of its own, which may remember.

Such a model (a sparse autoencoder, say) states its loss itself, and keeps a
memory from step to step that is neither parameter nor data (how long each
latent has been silent):

  losses_t, scalars_t, memory = model.objective(params, batch_t, memory, h)
  params = params + optimizer(d mean(losses_t) / d params)

with means over examples under the batch's weights, and h the traced values
`model.*` of the run. All else is as in `train.supervised`. A batch is taken
whole: an objective that counts what happened in it is no mean of its parts.

An objective may ask what a change of its inputs does to the network that they
are activations of (a model whose `asks` is true): it is given `network`, a
function of such inputs that returns the network's prediction, from a task that
has `resumed`, see `jaxsynth.activations`; and `key`, of the update's noise (of
the evaluation sets, always the same one), and `t`, the updates done.
"""

import functools
from collections.abc import Callable

import jax
import optax

from jaxsynth import rng
from jaxsynth.errors import UserError
from jaxsynth.models.base import Model
from jaxsynth.optim.optimizers import Optimizer
from jaxsynth.tasks.base import Task
from jaxsynth.train import data_axis, evaluation, weights
from jaxsynth.train.program import Program, State
from jaxsynth.train.supervised import section, supervised
from jaxsynth.types import Array, Batch, Key, PyTree, Run, Scalars

OWN = 'own'


def check_own(task: Task, model: Model, microbatches: int) -> None:
  """Raises UserError where a model cannot be trained by its own objective."""
  if not hasattr(model, 'objective'):
    raise UserError(
      f"train.loss='{OWN}' needs a model with an objective of its own, "
      f'{type(model).__name__} has none'
    )
  if _asks(model) and not hasattr(task, 'resumed'):
    raise UserError(
      f'this {type(model).__name__} asks what a network does with its '
      f'reconstructions, and {type(task).__name__} has no network: the task '
      'must be jaxsynth.activations'
    )
  if microbatches > 1:
    raise UserError(
      f"train.loss='{OWN}' takes a batch whole: layout.microbatches must be "
      f'0 or 1, got {microbatches}'
    )


def _asks(model: Model) -> bool:
  return getattr(model, 'asks', False)


def objective_of(
  task: Task, model: Model, task_params: PyTree, key: Key, t: Array
) -> Callable:
  """The model's objective, with what it asks for where it asks.

  Returns:
    (params, batch, memory, hparams) -> losses, scalars, memory.
  """
  if not _asks(model):
    return model.objective

  def asking(params, batch, memory, hparams):
    network = functools.partial(task.resumed, task_params, batch)
    return model.objective(
      params, batch, memory, hparams, network=network, key=key, t=t
    )

  return asking


def update(
  objective: Callable, transform: optax.GradientTransformation
) -> Callable[[State, Batch, dict[str, Array]], tuple[State, Scalars]]:
  """One update of {'params', 'opt', 'memory'} on a batch.

  Args:
    objective: from `objective_of`.
    transform: the optimizer.

  Returns:
    (state, batch, hparams) -> state, scalars: loss, grad_norm and the
    objective's own.
  """

  def advance(state, batch, hparams):
    def value(params: PyTree):
      out = objective(params, batch, state['memory'], hparams)
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

  def of_run(run: Run, key: Key, t: Array) -> Callable:
    return objective_of(task, model, run.constants['task_params'], key, t)

  def init(run: Run) -> State:
    state = ordinary.init(run)
    return {**state, 'memory': model.memory(state['params'])}

  def step(run: Run, state: State, t: Array) -> tuple[State, Scalars]:
    batch = ordinary.draw(run, t) if run.drawn is None else run.drawn
    transform = optimizer.build(section(run.hparams, 'optimizer'))
    noise = rng.at(rng.stream(run.seeds, 'noise'), t)
    advance = update(of_run(run, noise, t), transform)
    return advance(state, batch, section(run.hparams, 'model'))

  def evaluate(run: Run, state: State, t: Array) -> Scalars:
    hparams = section(run.hparams, 'model')
    noise = rng.stream(run.seeds, 'eval')
    objective = of_run(run, noise, t)
    params = data_axis.whole(state['params'])

    def measured(batch: Batch):
      losses, scalars, _ = objective(params, batch, state['memory'], hparams)
      mean = lambda x: weights.mean(x, batch.weights)
      return mean(losses), jax.tree.map(mean, scalars)

    return evaluation.measure(measured, run.constants['evals'], None)

  return ordinary._replace(init=init, step=step, evaluate=evaluate)
