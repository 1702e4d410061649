"""Competition of in-context algorithms on mixtures of Markov chains.

A transformer trained on sequences of N Markov chains may retrieve the chain
it sees or infer its statistics, from single tokens or from pairs: four
algorithms, each with a closed form (jaxsynth.tasks.markov_mixture). At every
snapshot of every run, and for short and long contexts, this study asks which
of them predicts like the model, on chains of the mixture and on fresh ones.

Thresholds come from the published finding or from pilot seeds 1000 and 1001;
they were fixed before the reported seeds ran.

Source: Park, Lubana, Pres and Tanaka, "Competition Dynamics Shape Algorithmic
Phases of In-Context Learning" (2024), arXiv 2412.01003.
"""

import numpy as np
import xarray as xr

from jaxsynth.build import complete
from jaxsynth.config import override
from jaxsynth.experiments import _markov_mixture_figures as figures
from jaxsynth.experiments._markov_mixture_measures import measure
from jaxsynth.experiments._markov_mixture_numbers import (
  at,
  loss_after_low,
  margin,
  phase_order,
  retrieval_then_inference,
  rise_after_low,
)
from jaxsynth.studies.claim import Claim, Gate
from jaxsynth.studies.study import Bench, Study

UNTRAINED = 'the model at step 0, through the same pipeline'

CLAIMS = (
  Claim(
    'diversity_threshold',
    'On fresh chains a model trained on few chains is far from the truth, one '
    'trained on many is near: the ratio of KL(model || truth) at the smallest '
    'over the largest N.',
    'fresh-chain KL is high for small N and drops sharply beyond N of about '
    '2^6 to 2^8 at the end of training',
    'phase diagrams over N; no number is stated',
    Gate('>=', 2.5, tests='direction'),
    UNTRAINED,
    'Pilots: 3.7 and 3.9 after 2,000 steps, 5.1 and 5.5 after 12,000.',
  ),
  Claim(
    'inference_at_large_n',
    'At the largest N the KL(model || truth) on fresh chains is at most twice '
    'that of bigram inference itself.',
    'at large N the model behaves as Bi-Inf',
    'out-of-distribution evaluation; no number is stated',
    Gate('<=', 2.0, tests='direction'),
    UNTRAINED,
  ),
  Claim(
    'retrieval_at_small_n',
    'At the smallest N, late in training and in long contexts, Bi-Ret is '
    "nearest: the runner-up's KL over its own.",
    'nearest algorithm: Bi-Ret',
    'algorithmic phases, small N',
    Gate('>', 1.0),
    UNTRAINED,
  ),
  Claim(
    'bi_inf_at_large_n',
    'At the largest N, late in training and in long contexts of fresh chains, '
    "Bi-Inf is nearest: the runner-up's KL over its own.",
    'nearest algorithm: Bi-Inf',
    'algorithmic phases, large N',
    Gate('>', 1.0),
    UNTRAINED,
  ),
  Claim(
    'unigram_before_bigram',
    'At the largest N a unigram algorithm is nearest early in training, '
    'nearer than the uniform prediction, and a bigram one at the end: the '
    'lesser of the two log-ratios of KL.',
    'nearest algorithm: Uni-* first, Bi-* later',
    'algorithmic phases over training',
    Gate('>', 0.0),
    UNTRAINED,
  ),
  Claim(
    'unigram_before_bigram_small_n',
    'The same at the smallest N.',
    'nearest algorithm: Uni-Ret first, Bi-Ret later',
    'algorithmic phases over training',
    note='Not gated: with N = 2 the two stationary laws can be so alike that '
    'nothing is gained from retrieving them; one of two pilots had no '
    'unigram phase.',
  ),
  Claim(
    'short_contexts_retrieve',
    'At the largest N, on fresh chains, retrieval is nearest in the shortest '
    'contexts and inference in the longest: the lesser of the two log-ratios '
    'of KL.',
    'short contexts look like retrieval, long ones like Bi-Inf',
    'phases over context length; direction only',
    Gate('>', 0.0, tests='direction'),
    UNTRAINED,
  ),
  Claim(
    'memorises_small_n',
    'At the smallest N some training chain is nearer to what the model '
    'implies on fresh chains than any of as many random ones: ratio of the '
    'least KL.',
    'training chains are nearer than random ones where N is small',
    'memorisation; no number is stated',
    Gate('>=', 2.0, tests='direction'),
    UNTRAINED,
    'Pilots: 13 and 5.7 at N = 2, 1.0 and 1.0 at N = 256.',
  ),
  Claim(
    'transience',
    'At an intermediate N, trained for long, KL(model || truth) on fresh '
    'chains falls and rises again: its last value over its least.',
    'in-context inference is transient: out-of-distribution KL rises again '
    'as Bi-Inf gives way to Bi-Ret',
    'phase diagrams over training, intermediate N',
    Gate('>=', 1.1, preset='standard', tests='direction'),
    'the largest N, too many chains to retrieve, in the main sweep',
    'Pilots at N = 32: 1.18 and 1.15 after 12,000 steps, 1.18 and 1.35 after '
    '24,000.',
  ),
  Claim(
    'transience_while_loss_falls',
    'The training loss falls meanwhile: its change in nats from the least KL '
    'to the end.',
    'transience is not a failure of training',
    'losses over training',
    Gate('<', 0.0, preset='standard', tests='direction'),
    'no change',
  ),
  Claim(
    'width_delays',
    'A wider model is driven from inference to retrieval later: the step of '
    'the least KL at the largest width over that at the smallest.',
    'wider models favour Bi-Inf for longer',
    'sweeps over width; the direction is known from secondary sources only',
    note='Not gated: the published direction was not read in the source, and '
    'no pilot at this size was long enough to fix a threshold.',
  ),
)


def judge(bench: Bench, results: dict[str, xr.Dataset]) -> None:
  """Reports the numbers of the claims that the main stage decides."""
  competition, aligned = results['competition'], results['aligned']
  sizes = np.unique(competition['task_num_chains'])
  small, large = int(sizes[0]), int(sizes[-1])
  kl = competition['kl_to']
  fresh, seen = kl.sel(set='fresh'), kl.sel(set='in_distribution')
  matrix = aligned['kl'].sel(set='fresh').isel(length=-1)
  counted = aligned['algorithm_kl'].sel(set='fresh', algorithm='bi_inf')
  near = aligned['memorised']
  memory = near.sel(chains='random') / near.sel(chains='training')
  held = lambda data: data.isel(snapshot=[0])

  def both(name: str, data: xr.DataArray) -> None:
    bench.claim(
      name,
      data.isel(snapshot=-1, drop=True),
      null=data.isel(snapshot=0, drop=True),
    )

  both('diversity_threshold', at(matrix, small) / at(matrix, large))
  both(
    'inference_at_large_n',
    at(matrix, large) / at(counted.isel(length=-1), large),
  )
  both(
    'retrieval_at_small_n', margin(at(seen, small).isel(context=-1), 'bi_ret')
  )
  both('bi_inf_at_large_n', margin(at(fresh, large).isel(context=-1), 'bi_inf'))
  for name, size in (
    ('unigram_before_bigram', large),
    ('unigram_before_bigram_small_n', small),
  ):
    late = at(seen, size).isel(context=-1)
    bench.claim(name, phase_order(late), null=phase_order(held(late)))
  both('short_contexts_retrieve', retrieval_then_inference(at(fresh, large)))
  both('memorises_small_n', at(memory, small))


def draw(bench: Bench, results: dict[str, xr.Dataset]) -> None:
  """Draws the figures of the main stage."""
  competition, aligned = results['competition'], results['aligned']
  bench.figure(
    'phases',
    figures.phases(competition),
    'The algorithm nearest to the model in long contexts, by KL(model || '
    'algorithm), median over seeds: rows are numbers of training chains N, '
    'columns snapshots.',
  )
  bench.figure(
    'fresh_kl',
    figures.fresh_kl(aligned),
    'How far the transition matrix that the model implies is from the true '
    'one, over training, by N; band: range over seeds. The line is bigram '
    'inference itself. Where a curve falls and rises again, in-context '
    'inference was transient.',
  )
  bench.figure(
    'threshold',
    figures.threshold(aligned),
    'The same on fresh chains at the end of training, one dot a seed; hollow: '
    'the untrained model.',
  )
  bench.figure(
    'weights',
    figures.weights(competition),
    'The mixture of the four algorithms that predicts most like the model '
    '(linear interpolation of algorithms, by EM), over training.',
  )
  bench.figure(
    'contexts',
    figures.contexts(competition),
    'The nearest algorithm at the end of training, by length of the context.',
  )
  bench.figure(
    'losses',
    figures.losses(results['metrics']),
    'Cross-entropy on held-out sequences over training, by N.',
  )
  bench.figure(
    'heads',
    figures.heads(results['reading']),
    'The strongest previous-token head of the first layer, and in the last '
    'layer the attention that goes to the successors of earlier occurrences '
    'of the current token, less what uniform attention would put there.',
  )
  bench.figure(
    'memory',
    figures.memory(aligned, results['reading']),
    'Left: KL of the nearest random chain over that of the nearest training '
    'chain, to the matrix implied on fresh chains; above one, training chains '
    'are remembered. Right: how far the last prediction moves when all but '
    'the last two tokens are shuffled.',
  )


def transience(bench: Bench, main: dict[str, xr.Dataset]) -> None:
  """Trains one N for long at several widths: does inference last?"""
  long = bench.config.measure.long
  if not long.widths:
    return
  kls, losses = {}, {}
  for width in long.widths:
    config = complete(bench.config)
    override(config, 'sweep.traced.task.num_chains', f'({long.num_chains},)')
    override(config, 'train.steps', str(long.steps))
    override(config, 'model.d_model', str(width))
    results = measure(bench, f'width_{width}', config, ('aligned', 'metrics'))
    kl = results['aligned']['kl'].sel(set='fresh').isel(length=-1)
    kls[width] = at(kl, long.num_chains)
    losses[width] = results['metrics']['training']
  own = bench.config.model.d_model
  own = own if own in kls else long.widths[0]
  control = main['aligned']['kl'].sel(set='fresh').isel(length=-1)
  control = at(control, int(control['task_num_chains'].max()))
  bench.claim(
    'transience', rise_after_low(kls[own]), null=rise_after_low(control)
  )
  changes = loss_after_low(kls[own], losses[own])
  seeds = [int(s) for s in kls[own]['run'].values]
  bench.claim(
    'transience_while_loss_falls',
    dict(zip(seeds, changes.values.tolist())),
    null=0.0,
  )
  narrow, wide = kls[min(kls)], kls[max(kls)]
  low = lambda kl: kl['snapshot'].isel(snapshot=kl.argmin('snapshot'))
  bench.claim(
    'width_delays',
    dict(zip(seeds, (low(wide).values / low(narrow).values).tolist())),
    null=1.0,
  )
  everything = xr.concat(kls.values(), xr.Variable('width', list(kls)))
  everything = everything.rename(run='seed', snapshot='step')
  rise = rise_after_low(everything.rename(step='snapshot'))
  bench.figure(
    'widths',
    figures.widths(everything, rise),
    f'Long training on N = {long.num_chains} chains, by width of the model. '
    'Left: KL of the implied matrix to the truth on fresh chains; right: its '
    'last value over its least, one dot a seed.',
  )


def run(bench: Bench) -> None:
  """Trains the sweep over N, measures, draws and reports; then for long."""
  results = measure(bench, 'train', bench.config)
  judge(bench, results)
  draw(bench, results)
  transience(bench, results)


STUDY = Study(
  title='Competition of in-context algorithms on mixtures of Markov chains',
  source='Park, Lubana, Pres and Tanaka, "Competition Dynamics Shape '
  'Algorithmic Phases of In-Context Learning" (2024), arXiv 2412.01003',
  claims=CLAIMS,
  run=run,
)
