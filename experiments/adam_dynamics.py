"""Adam in continuous time: how large updates get, and when they grow.

Adam's update cannot exceed a bound that its two decays set, and that stays
finite only in a stable region of them. This study computes bound and region
in closed form, published and exact, trains a small normalised network at
hundreds of pairs of decays in one sweep to see updates grow outside it,
compares Adam with its flow, follows the norm of a scale-invariant weight, and
tries k-Adam, Adam's normalisation applied k times.

Names are the source's: gamma decays the first moment, beta the second (in
configs b1 and b2), C > 0 is its stable region. It fits exponents to |C| / 2;
the exact rate, ln gamma - ln(beta) / 2, is the same to first order and is what
is found here.

Thresholds come from the published finding, from a reference computation, or
from pilot seeds 1000 and above; they were fixed before the reported seeds ran.

Source: Gould and Tanaka, "Continuous-Time Analysis of Adaptive Optimization
and Normalization" (2024), arXiv 2411.05746.
"""

import numpy as np

from jaxsynth import build
from jaxsynth.errors import UserError
from jaxsynth.experiments import _adam_dynamics_closed as closed
from jaxsynth.experiments import _adam_dynamics_figures as figures
from jaxsynth.experiments import _adam_dynamics_measures as measures
from jaxsynth.experiments import _adam_dynamics_stages as stages
from jaxsynth.experiments._adam_dynamics_claims import CLAIMS, STRATEGY_CLAIMS
from jaxsynth.experiments._adam_dynamics_numbers import (
  at,
  beyond_edge,
  deviation,
  falls_with,
  gain,
  misfit,
  order,
  over,
  per_seed,
  separation,
  strategies_ahead,
)
from jaxsynth.studies.study import Bench, Study


def check(setup: build.Setup) -> None:
  """Refuses cells to be judged that the sweep does not train.

  Raises:
    UserError: before anything is trained.
  """
  axes = setup.sweep.traced
  for name in ('unstable', 'stable'):
    for beta, gamma in setup.measure[name]:
      for path, value in (('optimizer.b2', beta), ('optimizer.b1', gamma)):
        if value not in axes.get(path, ()):
          raise UserError(
            f'measure.{name} has ({beta}, {gamma}), but {value} is not in '
            f'sweep.traced.{path} = {axes.get(path, ())}'
          )


def closed_forms(bench: Bench, setup: build.Setup) -> None:
  """The bound and the two growth rates, without training."""
  axes = setup.sweep.traced
  betas, gammas = (axes[f'optimizer.{n}'] for n in ('b2', 'b1'))
  cells = [(b, g) for b in betas for g in gammas if g > 0]
  beta, gamma = np.asarray(cells).T
  first = setup.sweep.seed_list[0]
  seeds = list(range(first, first + setup.measure['sequences']))
  found = bench.measure(
    'sequences',
    lambda: closed.sequences(beta, gamma, setup.train.steps, seeds),
  )
  off = lambda data: abs(data - 1)
  bench.claim(
    'bound_attained',
    off(found['attained']).max('cell'),
    null=off(found['plain']).min('cell'),
  )
  bench.claim(
    'bound_never_exceeded',
    found['random'].max('cell'),
    null=found['mismatched'].max('cell'),
  )
  bench.claim('published_bound_close', off(found['published']).max('cell'))
  bench.claim('published_bound_from', found['valid'].max('cell').astype(float))
  bench.figure(
    'bounds',
    figures.bounds(found),
    'The published bound on an update after as many steps as a run has, over '
    'the exact one, by the exact growth rate of the cell: below one it is no '
    'bound.',
  )


def growth(bench: Bench, setup: build.Setup) -> None:
  """Trains the sweep over all cells: where and how fast updates grow."""
  m = setup.measure
  traj = bench.train('train')
  found = bench.measure(
    'growth',
    lambda: measures.growth(traj, tuple(m['window']), tuple(m['stable'][0])),
  )
  unstable = [tuple(c) for c in m['unstable']]
  stable = [tuple(c) for c in m['stable']]
  near = deviation(found['slope'], found['exact_rate'])
  published = deviation(found['slope'], found['published_rate'])
  outside, inside = (
    deviation(part['slope'], part['exact_rate'])
    for part in (beyond_edge(found, 1), beyond_edge(found, -1))
  )
  bench.claim(
    'growth_rate',
    per_seed(outside, np.median),
    null=per_seed(inside, np.median),
  )
  bench.claim('growth_everywhere', per_seed(outside < 0.1, np.mean))
  bench.claim(
    'growth_at_four_cells',
    over(near, unstable, 'max'),
    null=over(near, stable, 'min'),
  )
  bench.claim(
    'stable_updates',
    over(found['largest'], stable, 'max'),
    null=over(found['largest'], unstable, 'min'),
  )
  region = found.isel(run=np.flatnonzero(found['gamma'] > 0))
  bench.claim(
    'stable_region',
    separation(region, region['C'].values),
    null=separation(
      region, np.roll(region['C'].values, region.sizes['run'] // 3)
    ),
  )
  bench.claim(
    'updates_within_bound',
    per_seed(found['of_bound'], np.max),
    null=per_seed(found['of_stable_bound'], np.max),
  )
  bench.claim('published_rate', over(published, unstable, 'max'))
  calm = region.isel(run=np.flatnonzero(region['C'] > 0))
  for name, step in (('early', 1), ('late', -1)):
    loss = calm['held_out_loss'].isel(eval_step=step)
    other = calm['C'].copy(data=np.roll(calm['C'], calm.sizes['run'] // 3))
    bench.claim(
      f'stability_and_loss_{name}',
      falls_with(loss, calm['C']),
      null=falls_with(loss, other),
    )
  bench.figure(
    'region',
    figures.region(found),
    'The largest update of any weight in any step, in learning rates, median '
    'over seeds, by the decays of the two moments. Lines: the published edge '
    'of the stable region, C = 0, and the exact one, gamma = sqrt(beta).',
  )
  bench.figure(
    'growth',
    figures.growth(found, tuple(m['window'])),
    'How fast the largest update grows late in training, one dot a run, '
    'against the exact rate and against the published one. On the diagonal '
    'the rate is the one predicted; outside the unstable region (rates below '
    'zero) updates do not shrink at it, for gradients go on.',
  )
  bench.figure(
    'updates',
    figures.updates(found),
    'The largest update over training at one beta, by gamma; band: range over '
    'seeds.',
  )
  bench.figure(
    'loss',
    figures.loss(calm),
    'Held-out loss in the stable region by C, one dot a run (each seed is a '
    'cloud of its own), early in training and at its end.',
  )


def adams_flow(bench: Bench, setup: build.Setup) -> None:
  """Adam against its flow."""
  found = bench.measure('flow', lambda: closed.flow(setup))
  bench.claim(
    'flow_order',
    order(found['error'].sel(order=2)),
    null=order(found['unpaired'].sel(order=2)),
  )
  least = found['error'].isel(eta=-1)
  bench.claim(
    'flow_close',
    least.sel(order=2),
    null=found['unpaired'].isel(eta=-1).sel(order=2),
  )
  bench.claim('second_order_helps', least.sel(order=1) / least.sel(order=2))
  bench.figure(
    'flow',
    figures.flow(found),
    'Largest distance between Adam and its flow over a fixed time eta n, over '
    'how far Adam went; band: range over seeds. Dashed: proportional to eta.',
  )


def weight_norms(bench: Bench) -> None:
  """The norm of a scale-invariant weight, and its moving average."""
  traj = bench.train('norms', stages.norms(bench.config))
  found = bench.measure('norms', lambda: measures.norms(traj))
  gammas = np.unique(found['gamma'])
  none, usual = misfit(found, gammas[0]), misfit(found, gammas[-1])
  bench.claim('norm_is_average', none, null=usual)
  bench.claim('norm_with_momentum', usual)
  bench.figure(
    'norms',
    figures.norms(found),
    'Norm of the hidden weights over training with noisy gradients and weight '
    'decay, and the moving average of squared updates that would equal it if '
    'updates were orthogonal to the weights.',
  )


def k_adam(bench: Bench) -> None:
  """Adam against k-Adam with every strategy."""
  parts = {
    (name, k): bench.train(f'k_adam_{name}_{k}', config)
    for (name, k), config in stages.k_adam(bench.config).items()
  }
  found = bench.measure('k_adam', lambda: measures.learning(parts))
  for strategy, claim in STRATEGY_CLAIMS.items():
    bench.claim(claim, gain(found, strategy, 'accuracy'))
  bench.claim('two_stages_train_faster', strategies_ahead(found))
  bench.figure(
    'k_adam',
    figures.k_adam(found),
    'Held-out accuracy at the end of training, and training loss, one dot a '
    'seed: Adam, and k-Adam by strategy and number of stages.',
  )


def transformer(bench: Bench) -> None:
  """The same cells on a transformer, whose gradients never vanish."""
  m = bench.config.measure.transformer
  if not m.steps:
    return
  traj = bench.train('transformer', stages.transformer(bench.config))
  found = bench.measure('transformer', lambda: measures.transformer(traj))
  largest = found['update_max'].max('step').astype(float)
  usual = at(largest, (0.999, 0.9))
  times = lambda cell: dict(
    zip(usual['run'].values, at(largest, cell).values / usual.values)
  )
  bench.claim('transformer', times((0.9, 0.98)), null=times((0.999, 0.98)))
  bench.figure(
    'transformer',
    figures.transformer(found),
    'The largest update of a transformer on fresh sequences over training.',
  )


def run(bench: Bench) -> None:
  """Closed forms, the sweep over decays, the flow, norms, k-Adam."""
  setup = build.build(bench.config)
  check(setup)
  closed_forms(bench, setup)
  growth(bench, setup)
  adams_flow(bench, setup)
  weight_norms(bench)
  k_adam(bench)
  transformer(bench)


STUDY = Study(
  title='Adam in continuous time: stable region, growth, k-Adam',
  source='Gould and Tanaka, "Continuous-Time Analysis of Adaptive Optimization '
  'and Normalization" (2024), arXiv 2411.05746',
  claims=CLAIMS,
  run=run,
)
