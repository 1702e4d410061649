"""Supervised training as four pure functions: read this file first.

A run draws a fresh batch from its task at every step,

  batch_t = task.sample(task_params, key(data, t), t, batch_size)
  grads   = d loss(apply, params, batch_t, key(noise, t), t) / d params
  params  = params + optimizer(grads)

and is measured on its task's fixed evaluation batches. Everything that
differs between runs (seeds, swept hyperparameters) enters through `run`;
everything else is fixed when the program is compiled.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from jaxsynth import rng
from jaxsynth.errors import UserError
from jaxsynth.models.base import Model
from jaxsynth.optim.optimizers import Optimizer
from jaxsynth.tasks.base import Task
from jaxsynth.train import data_axis, evaluation, watch, weights
from jaxsynth.train.denoising import variational
from jaxsynth.train.program import Program, State
from jaxsynth.types import Array, Batch, Key, PyTree, Run, Scalars

Loss = Callable[..., tuple[Array, Scalars]]


def section(hparams: dict[str, Array], name: str) -> dict[str, Array]:
  """The traced values of one config section: 'optimizer.peak_lr' -> peak_lr."""
  prefix = name + '.'
  return {
    k.removeprefix(prefix): v
    for k, v in hparams.items()
    if k.startswith(prefix)
  }


def cross_entropy(
  apply: Callable, params: PyTree, batch: Batch, key: Key, t: Array
) -> tuple[Array, Scalars]:
  """Mean next-token cross-entropy in nats over the weighted targets.

  Args:
    apply: (params, inputs, key=) -> Output with logits [B, T, V].
    params: model parameters.
    batch: tokens [B, T], integer targets [B, T], weights [B, T].
    key: noise of this step, handed to the model.
    t: the step; unused here.

  Returns:
    The loss and {'accuracy'}: the share of argmax predictions that hit.
  """
  del t
  logits = apply(params, batch.inputs, key=key).prediction.astype(jnp.float32)
  size = logits.shape[-1]
  # A one-hot sum instead of a gather: gathers have slow gradients on CPUs.
  hit = batch.targets[..., None] == jnp.arange(size)
  chosen = jnp.where(hit, logits, 0).sum(-1)
  nll = jax.nn.logsumexp(logits, -1) - chosen
  correct = chosen >= logits.max(-1)
  accuracy = weights.mean(correct, batch.weights)
  return weights.mean(nll, batch.weights), {'accuracy': accuracy}


def mean_squared_error(
  apply: Callable, params: PyTree, batch: Batch, key: Key, t: Array
) -> tuple[Array, Scalars]:
  """Mean squared error over weighted targets [B, ..., V]; no scalars."""
  del t
  prediction = apply(params, batch.inputs, key=key).prediction
  error = jnp.square(prediction - batch.targets).mean(-1)
  return weights.mean(error, batch.weights), {}


def half_squared_distance(
  apply: Callable, params: PyTree, batch: Batch, key: Key, t: Array
) -> tuple[Array, Scalars]:
  """Half the squared distance, summed over V, its mean over weighted targets.

  The loss whose gradient flow theory is written for; no scalars.
  """
  del t
  prediction = apply(params, batch.inputs, key=key).prediction
  distance = 0.5 * jnp.square(prediction - batch.targets).sum(-1)
  return weights.mean(distance, batch.weights), {}


LOSSES = {
  'cross_entropy': cross_entropy,
  'mse': mean_squared_error,
  'half_squared_distance': half_squared_distance,
  'variational': variational,
}


def supervised(
  task: Task,
  model: Model,
  loss: Loss,
  optimizer: Optimizer,
  *,
  batch_size: int,
  microbatches: int = 1,
  task_hparams: dict[str, float] | None = None,
  trainable: Callable[[PyTree], PyTree] | None = None,
  fresh: Callable[[PyTree], PyTree] | None = None,
  watched: Sequence[str] = (),
) -> Program:
  """The program of ordinary training on a task.

  Args:
    task: where batches come from.
    model: what is trained.
    loss: (apply, params, batch, key, t) -> (loss, scalars).
    optimizer: its traced hyperparameters are `run.hparams['optimizer.*']`.
    batch_size: sequences per step.
    microbatches: cut each batch into this many parts of equally many examples
      and average losses, scalars and gradients by the parts' weights: for a
      loss that is a weighted mean the same mathematics in less memory.
    task_hparams: values of the task's own hyperparameters that no sweep axis
      replaces.
    trainable: params -> pytree of bools of the same structure; the others
      stay as they were initialised, and out of the gradient's norm. None
      trains everything.
    fresh: the same for what starts anew in a stage with a parent, while all
      else starts from the parent's; None starts nothing anew.
    watched: what else to record of every update, of `watch.WATCHES`.

  Returns:
    A Program whose state is {'params', 'opt'} and whose snapshots are params.
  """
  fixed = dict(task_hparams or {})

  def fast(params, inputs, *, key=None):
    return model.apply(params, inputs, key=key, fast=True)

  def transform(run: Run) -> optax.GradientTransformation:
    return optimizer.build(section(run.hparams, 'optimizer'))

  def constants(run: Run) -> PyTree:
    task_params = task.init(
      rng.stream(run.seeds, 'task'),
      **{**fixed, **section(run.hparams, 'task')},
    )
    evals = task.evals(task_params, rng.stream(run.seeds, 'eval'))
    return {'task_params': task_params, 'evals': evals}

  def init(run: Run) -> State:
    drawn = lambda: model.init(rng.stream(run.seeds, 'init'), task.spec)
    if run.parent is None:
      if fresh is not None:
        raise UserError('train.fresh needs a stage that starts from a parent')
      params = drawn()
    else:
      params = run.parent['params']
      if fresh is not None:
        pick = lambda new, old, anew: new if anew else old
        params = jax.tree.map(pick, drawn(), params, fresh(params))
    return {'params': params, 'opt': transform(run).init(params)}

  def gradient(params, batch, key, t):
    value = lambda p, b, key: loss(fast, p, b, key, t)
    grad = jax.value_and_grad(value, has_aux=True)
    params = data_axis.whole(params)
    if microbatches == 1:
      out, grads = grad(params, batch, key)
      return out, data_axis.summed(grads)
    parts = jax.tree.map(
      lambda x: x.reshape(microbatches, -1, *x.shape[1:]), batch
    )
    parts = data_axis.split(parts, axis=1)

    def add(total, part):
      rows, number, share = part
      new = grad(params, rows, jax.random.fold_in(key, number))
      new = new[0], data_axis.summed(new[1])
      return jax.tree.map(lambda a, x: a + share * x, total, new), None

    one = jax.tree.map(lambda x: x[0], parts)
    zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(grad, params, one, key))
    numbers = jnp.arange(microbatches)
    return jax.lax.scan(
      add, zero, (parts, numbers, weights.shares(parts.weights))
    )[0]

  def only_trainable(tree: PyTree, params: PyTree) -> PyTree:
    if trainable is None:
      return tree
    return jax.tree.map(
      lambda x, on: jnp.where(on, x, 0), tree, trainable(params)
    )

  def draw(run: Run, t: Array) -> Batch:
    key = rng.at(rng.stream(run.seeds, 'data'), t)
    batch = task.sample(run.constants['task_params'], key, t, batch_size)
    return data_axis.split(batch)

  def step(run: Run, state: State, t: Array) -> tuple[State, Scalars]:
    params = state['params']
    batch = draw(run, t) if run.drawn is None else run.drawn
    noise = rng.at(rng.stream(run.seeds, 'noise'), t)
    (value, scalars), grads = gradient(params, batch, noise, t)
    grads = only_trainable(grads, params)
    updates, opt = transform(run).update(grads, state['opt'], params)
    updates = only_trainable(updates, params)
    new = {'params': optax.apply_updates(params, updates), 'opt': opt}
    norm = optax.tree.norm(grads)
    scalars = {'loss': value, 'grad_norm': norm, **scalars}
    if watched:
      scalars |= watch_update(run, params, updates, t)
    return new, scalars

  def watch_update(
    run: Run, params: PyTree, updates: PyTree, t: Array
  ) -> Scalars:
    h = {**optimizer.hparams, **section(run.hparams, 'optimizer')}
    u = watch.direction(params, updates, optimizer.lr(h, t), h['weight_decay'])
    u = only_trainable(u, params)
    found = [watch.WATCHES[name](params, u) for name in watched]
    return {k: v for scalars in found for k, v in scalars.items()}

  def evaluate(run: Run, state: State, t: Array) -> Scalars:
    params = data_axis.whole(state['params'])
    measured = lambda batch: loss(fast, params, batch, None, t)
    rows = batch_size // microbatches if microbatches > 1 else None
    return evaluation.measure(measured, run.constants['evals'], rows)

  return Program(
    init=init,
    step=step,
    keep=lambda state: state['params'],
    evaluate=evaluate,
    constants=constants,
    draw=draw,
  )
