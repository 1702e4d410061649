"""What the study `markov_mixture` measures at every snapshot of every run.

  competition   KL(model || algorithm) by context length, interpolation weights
  aligned       the transition matrix the model implies against the true one
  reading       attention scores, shuffle probes

Source: Park, Lubana, Pres and Tanaka (2024), arXiv 2412.01003.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxsynth import build
from jaxsynth.analysis import attention, markov, mixture
from jaxsynth.studies.study import Bench

SETS = ('in_distribution', 'fresh')
ALGORITHMS = ('uni_ret', 'uni_inf', 'bi_ret', 'bi_inf')
# The uniform prediction competes too: an untrained model is near it, and near
# a unigram predictor only because that is near it as well.
CANDIDATES = (*ALGORITHMS, 'uniform')
EM_STEPS = 1000
SHUFFLES = ('all', 'history', 'recent')
RESULTS = ('competition', 'aligned', 'reading', 'metrics')


def bands(length: int) -> list[tuple[int, int]]:
  """Context lengths 1, 2-3, 4-7, ... up to `length`, as [first, last]."""
  firsts = [2**i for i in range(length.bit_length())]
  return [(a, min(2 * a - 1, length)) for a in firsts]


def competition(task):
  """The analysis that compares a model with every algorithm.

  Args:
    task: a MarkovMixture.

  Returns:
    fn(params, ctx) over 'run' -> kl_to [K, S, G, A], kl_from [K, S, G, A],
    weights [K, S, 4], weights_kl, weights_gap [K, S]: divergences in nats of
    the model to and from each candidate A in each band G of context lengths of
    each set S; the interpolation of the four algorithms in the last two bands,
    its own divergence, and a bound on what more updates would gain.
  """
  k, length = task.num_states, task.seq_len - 1
  spans = bands(length)
  late = spans[-2][0] - 1
  inside = np.asarray(
    [[a <= n + 1 <= b for n in range(length)] for a, b in spans]
  )
  share = inside / inside.sum(1, keepdims=True)  # [G, T]

  def measure(params, ctx):
    chains = ctx.constants['task_params']

    def one_set(inputs):
      batch = ctx.evals['fresh']._replace(inputs=inputs)
      known = task.reference(chains, batch)
      known['uniform'] = jnp.full_like(known['bi_inf'], 1 / k)
      known = jnp.stack([known[a][..., :k] for a in CANDIDATES])  # [A, B, T, k]

      def snapshot(p):
        model = jax.nn.softmax(ctx.apply(p, inputs).prediction[..., :k])
        kl = jax.vmap(mixture.kl_to_algorithms, (1, 2))(model, known)  # [T, A]
        blend = mixture.interpolation_weights(
          model[::2, late:].reshape(-1, k),
          known[:-1, ::2, late:].reshape(len(ALGORITHMS), -1, k),
          EM_STEPS,
        )
        return {
          'kl_to': share @ kl['model_to_algorithm'],
          'kl_from': share @ kl['algorithm_to_model'],
          'weights': blend['weights'],
          'weights_kl': blend['kl'],
          'weights_gap': blend['gap'],
        }

      return jax.lax.map(snapshot, params)

    return _each_set(one_set, jnp.stack([ctx.evals[s].inputs for s in SETS]))

  return measure


def _each_set(fn, stacked):
  """fn of each set, whose results [K, ...] are stacked to [K, S, ...]."""
  out = jax.lax.map(fn, stacked)
  return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), out)


def aligned(task, lengths):
  """The analysis of the transition matrices a model implies.

  Args:
    task: a MarkovMixture.
    lengths: context lengths in tokens, the longest last.

  Returns:
    fn(params, ctx) over 'run', for contexts of each length G in each set S,
    means over the repetitions, in nats: kl [K, S, G] of the model's matrix to
    the true one, algorithm_kl [S, G, A] of each algorithm's; and after the
    longest fresh contexts memorised [K, 2]: the least divergence of a
    training chain, and of equally many random ones, to the model's matrix.
  """
  k = task.num_states

  def measure(params, ctx):
    chains = ctx.constants['task_params']
    used = jnp.isfinite(chains.log_prior)
    others = task.init(ctx.key).transitions
    apply = lambda p, tokens: ctx.apply(p, task.encode(tokens))

    def one_set(data):
      tokens, truth, valid = data
      mean = lambda kl: jnp.where(valid, kl, 0).sum(-1) / valid.sum()
      distance = lambda p: mean(
        markov.transition_kl(markov.implied_matrix(p), truth)
      )

      def known(n):
        inputs = task.encode(tokens[:, -n:])
        ref = task.reference(chains, fresh._replace(inputs=inputs))
        return distance(jnp.stack([ref[a][:, -1, :k] for a in ALGORITHMS]))

      def snapshot(p):
        predict = lambda n: markov.predict_aligned(apply, p, tokens, n, k)
        predicted = jax.lax.map(predict, jnp.asarray(lengths))  # [G, R k, k]
        near = markov.memorisation(
          markov.implied_matrix(predicted[-1]), chains.transitions, others, used
        )
        least = [mean(near['train_min']), mean(near['random_min'])]
        return {'kl': distance(predicted), 'memorised': jnp.stack(least)}

      theirs = jnp.stack([known(n) for n in lengths])
      again = jnp.broadcast_to(theirs, (len(ctx.step), *theirs.shape))
      return jax.lax.map(snapshot, params) | {'algorithm_kl': again}

    fresh = ctx.evals['aligned_fresh']
    stacked = [
      jnp.stack([part(ctx.evals[f'aligned_{s}']) for s in SETS])
      for part in (
        lambda b: task.decode(b.inputs),
        lambda b: b.info['transition'][::k],
        lambda b: b.info['valid'][::k],
      )
    ]
    out = _each_set(one_set, stacked)
    return {
      'kl': out['kl'],
      'algorithm_kl': out['algorithm_kl'][0],
      'memorised': out['memorised'][:, SETS.index('fresh')],
    }

  return measure


def reading(task):
  """The analysis of what the model reads: its heads, and shuffled contexts.

  Returns:
    fn(params, ctx) over 'snapshot' -> previous_token, induction [L, H], excess
    attention in-distribution; shuffled [3]: mean movement of the last
    prediction in nats when all tokens, all but the last two, or the last two
    change places.
  """

  def measure(params, ctx):
    heads = attention.model_scores(params, ctx, 'in_distribution')
    apply = lambda p, tokens: ctx.apply(p, task.encode(tokens))
    tokens = task.decode(ctx.evals['in_distribution'].inputs)
    moved = markov.shuffle_probe(
      apply, params, tokens, ctx.key, 2, task.num_states
    )
    return {
      'previous_token': heads['previous_token'],
      'induction': heads['induction_all_excess'],
      'shuffled': jnp.stack([moved[n].mean() for n in SHUFFLES]),
    }

  return measure


def measure(
  bench: Bench, stage: str, config, wanted: tuple[str, ...] = RESULTS
) -> dict[str, xr.Dataset]:
  """Trains a stage and computes its results.

  Args:
    bench: the bench.
    stage: its name.
    config: what it trains.
    wanted: names of results, of RESULTS.
  """
  traj = bench.train(stage, config)
  setup = build.build(config)
  task, lengths = setup.task, tuple(setup.measure['lengths'])
  spans = [f'{a}-{b}' if a < b else str(a) for a, b in bands(task.seq_len - 1)]
  named = {'set': list(SETS), 'snapshot': traj.steps}
  cells = ('snapshot', 'set', 'context', 'algorithm')
  compute = {
    'competition': lambda: traj.map(
      competition(task),
      over='run',
      dims={
        'kl_to': cells,
        'kl_from': cells,
        'weights': ('snapshot', 'set', 'blended'),
        'weights_kl': ('snapshot', 'set'),
        'weights_gap': ('snapshot', 'set'),
      },
      coords=named
      | {
        'context': spans,
        'algorithm': list(CANDIDATES),
        'blended': list(ALGORITHMS),
      },
      title='algorithms',
    ),
    'aligned': lambda: traj.map(
      aligned(task, lengths),
      over='run',
      dims={
        'kl': ('snapshot', 'set', 'length'),
        'algorithm_kl': ('set', 'length', 'algorithm'),
        'memorised': ('snapshot', 'chains'),
      },
      coords=named
      | {
        'length': list(lengths),
        'algorithm': list(ALGORITHMS),
        'chains': ['training', 'random'],
      },
      title='implied matrices',
    ),
    'reading': lambda: traj.map(
      reading(task),
      dims={
        'previous_token': ('layer', 'head'),
        'induction': ('layer', 'head'),
        'shuffled': ('shuffle',),
      },
      coords={'shuffle': list(SHUFFLES)},
      title='heads',
    ),
    'metrics': lambda: metrics(traj),
  }
  return {n: bench.measure(f'{stage}_{n}', compute[n]) for n in wanted}


def metrics(traj) -> xr.Dataset:
  """Losses at the evaluations, and the training loss between them."""
  full = traj.metrics
  out = full[[n for n in full if n.endswith('/loss')]]
  out = out.rename({n: n.removesuffix('/loss') for n in out})
  steps = out['eval_step'].values
  before = np.maximum(np.searchsorted(steps, steps, 'left') - 1, 0)
  means = [
    full['loss'].sel(step=slice(steps[b] + 1, max(s, 1))).mean('step')
    for b, s in zip(before, steps)
  ]
  out['training'] = xr.concat(means, 'eval_step').transpose('run', 'eval_step')
  return out.assign_coords(
    num_chains=('run', traj.runs['task.num_chains'].to_numpy()),
    seed=('run', traj.runs['seed.init'].to_numpy()),
  )
