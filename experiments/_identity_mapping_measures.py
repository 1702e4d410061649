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

from jaxsynth import build
from jaxsynth.analysis import descents, linear_flow
from jaxsynth.analysis.gradient_flow import gradient_flow
from jaxsynth.config import flat, override
from jaxsynth.studies.study import Bench

SPEEDS = {'true': linear_flow.TRUE, 'published': linear_flow.PUBLISHED}
# A fall or a rise below this share of the first loss is no descent.
PROMINENCE = 1e-3


def stage_config(config, name: str):
  """The study's config with what `measure.stages` changes for a stage."""
  out = build.complete(config)
  for path, value in flat(config.measure.stages[name].to_dict()).items():
    override(out, path, repr(value))
  return out


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
  """The tied flow from random starts: how often it descends, where it ends.

  Args:
    bench: the bench; the section `measure` of its config says what is learned
      and how many starts, of which size, are followed for how long in the
      published normalisation.
    name: of the search.

  Returns:
    By (seed, start): descents, of the composition's loss; rise, its largest;
    end, its last value over the first; training, the same of the loss over
    the clusters; and curve (seed, which, time): the composition's loss of the
    start with the most descents and of the one that ends highest.
  """
  m = bench.config.measure
  world = m.searches[name]
  means = jnp.asarray(world.means, jnp.float32)
  moments = jnp.asarray(world.deviations) ** 2 + means**2 / len(means)
  times = jnp.linspace(0.0, m.search_time, 301)
  one = jnp.asarray(linear_flow.PUBLISHED)

  def follow(u):
    w = linear_flow.tied(u, moments, times, one)
    curve = linear_flow.composition_loss(w, means)
    curve = curve / curve[0]
    seen = jax.vmap(linear_flow.population_loss, (0, None))(w, moments)
    count = descents.descents(curve, jnp.asarray(PROMINENCE))
    return {
      'descents': count,
      'rise': descents.swing(curve)['rise'],
      'end': curve[-1],
      'training': seen[-1] / seen[0],
      'curve': curve,
    }

  def one_seed(seed):
    key = jax.random.key(seed)
    shape = (m.starts, len(means), len(means))
    u = m.search_scale * jax.random.normal(key, shape)
    out = jax.lax.map(follow, u, batch_size=64)
    best = (out['descents'] + out['rise']).argmax()
    worst = out['end'].argmax()
    curves = jnp.stack([out['curve'][best], out['curve'][worst]])
    return {k: v for k, v in out.items() if k != 'curve'} | {'curve': curves}

  def compute():
    seeds = build.build(bench.config).sweep.seed_list[:4]
    out = jax.jit(lambda s: jax.lax.map(one_seed, s))(jnp.asarray(seeds))
    dims = {'curve': ('seed', 'which', 'time')}
    return xr.Dataset(
      {
        k: (dims.get(k, ('seed', 'start')), np.asarray(v))
        for k, v in out.items()
      },
      {
        'seed': seeds,
        'time': np.asarray(times),
        'which': ['most descents', 'worst end'],
      },
    )

  return bench.measure(f'search_{name}', compute)
