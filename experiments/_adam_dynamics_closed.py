"""What `adam_dynamics` computes in double precision, without training.

Bounds and sequences for every cell of the sweep, and Adam's flow against Adam
on the very network the sweep trains.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jax.flatten_util import ravel_pytree

from jaxsynth import build, rng
from jaxsynth.analysis import adam_bounds, adam_flow
from jaxsynth.train.sweep import stack
from jaxsynth.types import Array, Batch, PyTree, Run

# Times at which flow and Adam are compared.
POINTS = 21
ORDERS = (1, 2)


def sequences(
  beta: np.ndarray, gamma: np.ndarray, count: int, seeds: list[int]
) -> xr.Dataset:
  """Gradients made up: those that attain the bound, and random ones.

  Args:
    beta: decays of the second moment [cell].
    gamma: decays of the first moment [cell], positive.
    count: gradients in a sequence.
    seeds: of the random sequences.

  Returns:
    C, exact_rate, published_rate [cell]; attained [cell], the last |u| of the
    adversarial sequence over the exact bound; random [seed, cell], the largest
    |u_n| over the bound at n > 0, among 16 sequences of normal gradients with
    sizes over twelve orders of magnitude, and mismatched [seed, cell] over the
    bound of another cell; plain [seed, cell], the last |u| over the bound, of
    sequences with sizes of one; published [cell], the published bound over the
    exact one at the end, and valid [cell], the first n from which on it is not
    below it.
  """
  with jax.enable_x64(True):
    step = jnp.arange(count)
    bound = adam_bounds.bounds(beta, gamma, step)
    exact, continuous = map(np.asarray, (bound['exact'], bound['continuous']))
    each = jax.jit(jax.vmap(adam_bounds.updates))
    worst = adam_bounds.adversarial(
      jnp.asarray(beta), jnp.asarray(gamma), count
    )
    last = np.asarray(each(worst, beta, gamma))[:, -1]

    @jax.jit
    def ratios(key: jax.Array, spread: Array) -> dict[str, Array]:
      of_size, of_sign = jax.random.split(key)
      shape = count, 16
      size = 10 ** (spread * jax.random.uniform(of_size, shape, minval=-1))
      g = size * jax.random.normal(of_sign, shape)
      u = jax.vmap(adam_bounds.updates, (None, 0, 0))(g, beta, gamma)
      u = jnp.abs(u).max(-1)  # [cell, n]
      own, other = u / bound['exact'], u / jnp.roll(bound['exact'], 1, 0)
      # The first is one, and so is its bound, in every cell.
      most = lambda ratio: ratio[:, 1:].max(-1)
      return {'own': most(own), 'other': most(other), 'last': own[:, -1]}

    keys = [jax.random.key(s) for s in seeds]
    sized, plain = (
      jax.tree.map(lambda *x: np.stack(x), *(ratios(k, s) for k in keys))
      for s in (6.0, 0.0)
    )
    rates = {
      k: np.asarray(v) for k, v in adam_bounds.rates(beta, gamma).items()
    }
  below = continuous < exact
  valid = np.where(below.any(1), count - below[:, ::-1].argmax(1), 0)
  return xr.Dataset(
    {
      'C': ('cell', rates['C']),
      'exact_rate': ('cell', rates['exact']),
      'published_rate': ('cell', rates['continuous']),
      'attained': ('cell', last / exact[:, -1]),
      'random': (('seed', 'cell'), sized['own']),
      'mismatched': (('seed', 'cell'), sized['other']),
      'plain': (('seed', 'cell'), plain['last']),
      'published': ('cell', continuous[:, -1] / exact[:, -1]),
      'valid': ('cell', valid),
    },
    {'beta': ('cell', beta), 'gamma': ('cell', gamma), 'seed': seeds},
  )


def flow(setup: build.Setup) -> xr.Dataset:
  """How far Adam's flow is from Adam, over a fixed eta n.

  Args:
    setup: whose task and network are taken, from the first seeds of its sweep,
      with all training points as one batch.

  Returns:
    error [seed, eta, order]: the largest distance at any of 21 times, over how
    far Adam went; unpaired [seed, eta, order]: the same with the flow of
    another seed; loss [seed, eta] at the end.
  """
  m = setup.measure['flow']
  specs = dataclasses.replace(
    setup.sweep,
    seeds=m['seeds'],
    first_seed=setup.sweep.seed_list[0],
    traced={},
  ).runs()
  starts = jax.jit(jax.vmap(lambda run: _start(setup, run)))(stack(specs))
  with jax.enable_x64(True):
    doubled = jax.tree.map(_double, starts)
    each = jax.jit(
      lambda starts: jax.lax.map(lambda x: _paths(setup, *x), starts)
    )(doubled)
    adam, flows, loss = map(np.asarray, each)
  # adam [seed, eta, time, P], flows [seed, eta, order, time, P]
  went = np.linalg.norm(adam - adam[:, :, :1], axis=-1).max(-1)[..., None]
  distance = lambda f: (
    np.linalg.norm(adam[:, :, None] - f, axis=-1).max(-1) / went
  )
  dims = ('seed', 'eta', 'order')
  return xr.Dataset(
    {
      'error': (dims, distance(flows)),
      'unpaired': (dims, distance(np.roll(flows, 1, 0))),
      'loss': (('seed', 'eta'), loss),
    },
    {
      'seed': [spec.seeds['init'] for spec in specs],
      'order': list(ORDERS),
      'eta': list(m['etas']),
    },
  )


def _start(setup: build.Setup, run: Run) -> tuple[PyTree, Batch]:
  """The parameters a run of the sweep starts from, and all its points."""
  teacher = setup.task.init(rng.stream(run.seeds, 'task'), **setup.task_hparams)
  params = setup.model.init(rng.stream(run.seeds, 'init'), setup.task.spec)
  points = setup.task.sample(
    teacher, rng.stream(run.seeds, 'data'), 0, setup.task.num_points
  )
  return params, points


def _paths(
  setup: build.Setup, params: PyTree, batch: Batch
) -> tuple[Array, Array, Array]:
  """Adam [eta, time, P], its flows [eta, order, time, P], the loss [eta]."""
  m = setup.measure['flow']
  horizon, decays = m['horizon'], jnp.asarray(m['decays'])
  most = round(horizon / min(m['etas']))
  theta, restore = ravel_pytree(params)

  def loss(theta: Array) -> Array:
    logits = setup.model.apply(restore(theta), batch.inputs).prediction
    return optax.softmax_cross_entropy_with_integer_labels(
      logits, batch.targets
    ).mean()

  gradient = jax.grad(loss)

  def one_eta(eta: Array) -> tuple[Array, Array, Array]:
    times = jnp.linspace(0.0, 1.0, POINTS) * (horizon / eta)
    path = adam_flow.adam(gradient, theta, most, eta, decays)
    path = path[jnp.round(times).astype(int)]
    near = [
      adam_flow.flow(gradient, theta, times, eta, decays, o, m['tolerance'])
      for o in ORDERS
    ]
    return path, jnp.stack(near), loss(path[-1])

  return jax.lax.map(one_eta, jnp.asarray(m['etas']))


def _double(x: Array) -> Array:
  return x.astype(jnp.float64) if x.dtype == jnp.float32 else x
