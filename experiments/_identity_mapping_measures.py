"""What the study `identity_mapping` measures, trained and in theory.

  states     outputs, losses and Jacobian of every snapshot of every run
  flow       the same along the gradient flow from each run's own start
  search     the tied flow from many random starts

Everything is in own coordinates (jaxsynth.tasks.identity_mapping), where
concept p is axis p. Time is learning rate times steps.

Source: Yang, Park, Lubana, Okawa, Hu and Tanaka (2024), arXiv 2410.08309.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxsynth import build, rng
from jaxsynth.analysis import descents, linear_flow
from jaxsynth.analysis.gradient_flow import gradient_flow
from jaxsynth.config import flat, override
from jaxsynth.studies.study import Bench
from jaxsynth.studies.variants import of_paths

SPEEDS = {'true': linear_flow.TRUE, 'published': linear_flow.PUBLISHED}
# Shares of the first loss: least falls, and rises between, that are descents.
PROMINENCES = (1e-3, 3e-3, 1e-2)


def stage_config(config, section: str, name: str):
  """The study's config with what a part of its section `measure` changes.

  Args:
    config: of the study.
    section: 'stages' or 'searches'.
    name: of one of these.
  """
  return of_paths(config, flat(config.measure[section][name].to_dict()))


def state(task, apply, world, params) -> dict:
  """What a network does to the compositions.

  Args:
    task: an IdentityMapping.
    apply: the model's.
    world: the task's parameters.
    params: the model's.

  Returns:
    output [s], own coordinates of the prediction at the full composition;
    losses [2^s], half squared distances at all compositions; jacobian [s, s],
    its informative block there; major, minor, irrelevant: root mean squares
    of its informative diagonal, of what else stands in informative rows and
    columns, and of the rest.
  """
  s, basis = task.num_concepts, world.basis
  points = task.compositions(world)
  out = apply(params, points).prediction
  one = lambda z: (apply(params, (basis @ z)[None]).prediction @ basis)[0]
  jacobian = jax.jacfwd(one)(basis.T @ points[-1])
  inside = jnp.arange(task.dim) < s
  near = inside[:, None] | inside[None, :]
  major = jnp.diag(inside)
  rms = lambda mask: jnp.sqrt(
    jnp.where(mask, jacobian**2, 0).sum() / jnp.maximum(mask.sum(), 1)
  )
  return {
    'output': (out[-1] @ basis)[:s],
    'losses': 0.5 * jnp.square(out - points).sum(-1),
    'jacobian': jacobian[:s, :s],
    'major': rms(major),
    'minor': rms(near & ~major),
    'irrelevant': rms(~near),
  }


def flow(task, rate: float):
  """The analysis that follows the gradient flow from step 0 of a run.

  Args:
    task: an IdentityMapping.
    rate: the learning rate.

  Returns:
    fn(params, ctx) over 'run', of linear networks without biases: `state` at
    the times of the snapshots, [K, ...], and training [K], the loss over the
    clusters, each once for the true normalisation and once for the published
    one: [N, K, ...].
  """

  def measure(params, ctx):
    world = ctx.constants['task_params']
    # Half the mean squared distance over all x depends on E x x^T alone.
    inputs = (world.basis * jnp.sqrt(world.moments)).T

    def loss(p):
      out = ctx.apply(p, inputs).prediction
      return 0.5 * jnp.square(out - inputs).sum()

    def along(speed):
      times = 0.5 * speed * rate * ctx.step.astype(jnp.float32)
      path = gradient_flow(loss, jax.tree.map(lambda x: x[0], params), times)
      at = lambda p: state(task, ctx.apply, world, p) | {'training': loss(p)}
      return jax.lax.map(at, path)

    return jax.lax.map(along, jnp.asarray(list(SPEEDS.values())))

  return measure


def _dims(task) -> tuple[dict, dict]:
  """Names and coordinates of the axes of `state`."""
  names = [''.join(map(str, row)) for row in task.codes]
  dims = {
    'output': ('concept',),
    'losses': ('composition',),
    'jacobian': ('out', 'into'),
    'major': (),
    'minor': (),
    'irrelevant': (),
    'moments': ('concept',),
    'means': ('concept',),
  }
  concepts = np.arange(1, task.num_concepts + 1)
  return dims, {'concept': concepts, 'composition': names}


def states(bench: Bench, name: str, config) -> xr.Dataset:
  """Trains a stage and measures every snapshot.

  Args:
    bench: the bench.
    name: of the stage.
    config: what it trains.

  Returns:
    `state` by (run, step); moments and means of each run's concepts; training:
    the loss on fresh points of the clusters; coordinate time [step].
  """
  traj = bench.train(name, config)
  setup = build.build(config)
  task, rate = setup.task, setup.optimizer.peak_lr
  dims, coords = _dims(task)

  def measure(params, ctx):
    world = ctx.constants['task_params']
    s = task.num_concepts
    return state(task, ctx.apply, world, params) | {
      'moments': world.moments[:s],
      'means': jnp.linalg.norm(world.centroids, axis=-1),
    }

  def compute():
    data = traj.map(measure, dims=dims, coords=coords, title=name)
    loss = traj.metrics['in_distribution/loss'].rename(eval_step='step')
    time = ('step', rate * traj.steps)
    return data.assign(
      training=loss.sel(step=traj.steps),
      moments=data['moments'].isel(step=0, drop=True),
      means=data['means'].isel(step=0, drop=True),
    ).assign_coords(time=time)

  return bench.measure(f'{name}_states', compute)


def flows(bench: Bench, name: str, config) -> xr.Dataset:
  """The gradient flow from step 0 of every run of a trained stage.

  Returns:
    As `states`, with a dimension `speed`: 'true' and 'published'.
  """
  traj = bench.train(name, config)
  setup = build.build(config)
  dims, coords = _dims(setup.task)
  dims = {k: ('speed', 'step', *v) for k, v in dims.items()}
  dims['training'] = ('speed', 'step')
  coords |= {'speed': list(SPEEDS), 'step': traj.steps}
  rate = setup.optimizer.peak_lr
  return bench.measure(
    f'{name}_flows',
    lambda: traj.map(
      flow(setup.task, rate),
      over='run',
      dims=dims,
      coords=coords,
      title=f'{name}: flow',
    ).assign_coords(time=('step', rate * traj.steps)),
  )


def search(bench: Bench, name: str) -> xr.Dataset:
  """The tied flow from the starts of many seeds, untrained.

  Args:
    bench: the bench; `measure.starts` of its config says how many seeds,
      `measure.search_time` for how long in the published normalisation.
    name: of the search.

  Returns:
    By start, named by its seed: descents (prominence) of the composition's
    loss over its first value; end, its last value; curve (start, time).
  """
  config = stage_config(bench.config, 'searches', name)
  setup, m = build.build(config), bench.config.measure
  task, first = setup.task, setup.sweep.seed_list[0]
  means = jnp.asarray(task.means)
  moments = jnp.asarray(task.deviations) ** 2 + means**2 / len(means)
  times = jnp.linspace(0.0, m.search_time, 301)

  def follow(seed):
    # Without a rotation the kernel is U in own coordinates.
    key = rng.stream({'init': seed}, 'init')
    u = setup.model.init(key, task.spec)['layers_0']['kernel']
    w = linear_flow.tied(u, moments, times, linear_flow.PUBLISHED)
    curve = linear_flow.composition_loss(w, means)
    curve = curve / curve[0]
    count = lambda p: descents.descents(curve, p)
    return {
      'descents': jax.vmap(count)(jnp.asarray(PROMINENCES)),
      'end': curve[-1],
      'curve': curve,
    }

  def compute():
    seeds = first * m.starts + np.arange(m.starts, dtype=np.uint32)
    out = jax.jit(lambda s: jax.lax.map(follow, s, batch_size=64))(seeds)
    dims = {'descents': ('prominence',), 'curve': ('time',), 'end': ()}
    return xr.Dataset(
      {k: (('start', *dims[k]), np.asarray(v)) for k, v in out.items()},
      {
        'start': seeds,
        'time': np.asarray(times),
        'prominence': list(PROMINENCES),
      },
    )

  return bench.measure(f'search_{name}', compute)


def selected(bench: Bench, found: xr.Dataset, name: str) -> xr.Dataset:
  """Trains the starts of a search whose flow descends most, and measures them.

  Args:
    bench: the bench; `measure.selected` of its config says how many.
    found: what `search` returned.
    name: of the search, and of the stage.

  Returns:
    As `states`.
  """
  score = found['descents'].sum('prominence').values
  best = np.argsort(-score, kind='stable')[: bench.config.measure.selected]
  seeds = tuple(sorted(found['start'].values[best].tolist()))
  config = stage_config(bench.config, 'searches', name)
  override(config, 'sweep.seeds', repr(seeds))
  return states(bench, name, config)
