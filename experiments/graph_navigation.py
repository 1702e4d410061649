"""Stepwise inference as graph navigation.

A prompt names two nodes of a fixed acyclic graph; a network says whether a
path leads from one to the other, at once or after writing down a path
(jaxsynth.tasks.graph_navigation). It has been trained on some pairs and is
asked about the others. Chains of motifs (jaxsynth.tasks.graph_motifs) put
exemplars of the way into the context.

Thresholds come from the published finding, from a calibration or from pilot
seeds 1000 and 1001; they were fixed before the reported seeds ran.

Source: Khona, Okawa, Hula, Ramesh, Nishi, Dick, Lubana and Tanaka, "Towards
an Understanding of Stepwise Inference in Transformers: A Synthetic Graph
Navigation Model" (2024), arXiv 2402.07757, as published accounts of it
describe it: its full text was not read.
"""

import functools
from typing import Any

import xarray as xr

from jaxsynth import build
from jaxsynth.config import plain
from jaxsynth.experiments import _graph_navigation_figures as figures
from jaxsynth.experiments import _graph_navigation_measures as measures
from jaxsynth.experiments import _graph_navigation_motifs as motifs
from jaxsynth.experiments import _graph_navigation_numbers as numbers
from jaxsynth.experiments import _graph_navigation_rule as rule
from jaxsynth.experiments._graph_navigation_claims import CLAIMS
from jaxsynth.studies.study import Bench, Study
from jaxsynth.studies.variants import of_sections

# The share from which on steps, and plans, count as learnt.
LEARNT = 0.95
PAIR = ('of_pair',)


def navigated(task, model, options: dict) -> dict[str, Any]:
  """The analysis `navigated` and its names, as `Trajectory.map` takes them."""
  told = ('right', 'steps', 'edges', 'valid', 'arrives')
  of_pairs = ('path', 'span', 'right_by_span')
  return {
    'fn': measures.navigated(task, model, options['pairs']),
    'over': 'run',
    'dims': dict.fromkeys(told, ('snapshot', 'pair'))
    | dict.fromkeys(of_pairs, ('pair',)),
  }


def analyses(name: str, setup: build.Setup) -> dict[str, dict[str, Any]]:
  """What is measured of a variant: result -> arguments of `Trajectory.map`."""
  task, model, o = setup.task, setup.model, setup.measure
  if name == 'one_layer':
    made = rule.additive(task, model, o['pairs'])
    nodes = {n: ('goal', 'node') for n in ('of_goal', 'distance')}
    dims = {**nodes, 'rank': ('node',), 'attention': ('attended',)}
    return {'rule': {'fn': made, 'dims': dims}}
  if name == 'bernoulli':
    sizes = o['length_pairs'], o['length_samples']
    made = measures.lengths(task, model, *sizes)
    names = ('written', 'greedy', 'sampled', 'known', 'varied', 'success')
    return {'lengths': {'fn': made, 'dims': dict.fromkeys(names, PAIR)}}
  if name == 'motifs':
    every = {'split': list(motifs.SPLITS), 'k': list(range(1, task.room + 1))}
    two = {n: ('conflict_k',) for n in ('first', 'second')}
    return {
      'followed': {
        'fn': motifs.followed(task, model, o['chains']),
        'dims': {n: ('split', 'k') for n in ('follows', 'valid')} | two,
        'coords': {**every, 'conflict_k': motifs.conflicts(task)},
      }
    }
  found = {'spans': navigated(task, model, o)}
  if name == 'stepwise':
    heat = tuple(o['temperatures'])
    made = measures.tempered(task, model, heat, o['many_paths'], o['samples'])
    names = ('success', 'different', 'different_valid')
    found['training'] = navigated(task, model, o)
    found['tempered'] = {
      'fn': made,
      'dims': dict.fromkeys(names, ('temperature', *PAIR)) | {'paths': PAIR},
      'coords': {'temperature': list(heat)},
    }
  return found


def measure(bench: Bench, name: str, changes: dict) -> dict[str, xr.Dataset]:
  """Trains a variant and measures it: result -> Dataset.

  What is sampled, and what is looked at all through training, is of the runs
  with all spans in training; the rest is of all runs, at both ends.
  """
  config = of_sections(bench.config, changes)
  traj = bench.train(name, config)
  setup = build.build(config)
  whole = traj
  if 'task.max_span' in traj.runs:
    whole = traj.sel(max_span=traj.runs['task.max_span'].max())

  def mapped(result, fn, over='snapshot', coords=None, **how):
    of = traj if result == 'spans' else whole
    if result != 'training':
      of = of.sel(steps=[traj.steps[0], traj.steps[-1]])
    steps = {'snapshot': of.steps} if over == 'run' else {}
    coords = {**steps, **(coords or {})}
    return of.map(fn, over=over, coords=coords, title=result, **how)

  return {
    result: bench.measure(
      f'{name}_{result}', functools.partial(mapped, result, **how)
    )
    for result, how in analyses(name, setup).items()
  }


def by_limit(results: dict[str, dict]) -> dict[str, dict[int, xr.Dataset]]:
  """Answers of both formats by the longest span in training."""
  found = {}
  for name in figures.FORMATS:
    data = results[name]['spans']
    limits = sorted(set(data['task_max_span'].values.tolist()))
    found[name] = {k: numbers.by_seed(data, max_span=k) for k in limits}
  return found


def judge(bench: Bench, results: dict[str, dict], spans: dict) -> None:
  """Reports the numbers of the claims that were measured."""
  last = lambda data: data.isel(snapshot=-1, drop=True)
  first = lambda data: data.isel(snapshot=0, drop=True)
  full = {n: spans[n][max(spans[n])] for n in figures.FORMATS}
  step = numbers.by_seed(results['stepwise']['training'])
  right = {n: numbers.accuracy(full[n]) for n in figures.FORMATS}
  gap = right['stepwise'] - right['direct']
  bench.claim('stepwise_beats_direct', last(gap), null=first(gap))
  alone = numbers.span_alone(full['stepwise'])
  above = lambda of: of(right['stepwise']) - alone
  bench.claim('stepwise_beats_span', above(last), null=above(first))
  bench.claim('direct_reads_more_than_span', last(right['direct']) - alone)

  limits = sorted(spans['stepwise'])
  gaps = {
    k: numbers.accuracy(spans['stepwise'][k])
    - numbers.accuracy(spans['direct'][k])
    for k in limits
  }
  more = gaps[limits[0]] - gaps[limits[-1]]
  bench.claim('gap_grows_with_shorter_spans', last(more))

  edges, plans = numbers.edge_accuracy(step), numbers.planning_accuracy(step)
  end = int(step['snapshot'].values[-1])
  onsets = [numbers.onset(c, LEARNT) for c in (edges, plans)]
  late = onsets[1] - onsets[0]
  bench.claim('edges_before_plans', late, null=-late, last_step=end)
  missing = lambda of: (
    of(numbers.planning_failures(step)) - of(numbers.missteps(step))
  )
  bench.claim('failures_are_of_planning', missing(last), null=missing(first))

  of_seed = lambda data: numbers.by_seed(data).isel
  ends = lambda fn, data: [
    fn(of_seed(data)(step=i, drop=True)) for i in (-1, 0)
  ]
  tempered = results['stepwise']['tempered']
  for name, fn in (
    (
      'accuracy_falls_with_temperature',
      lambda d: numbers.fall(numbers.success(d)),
    ),
    ('accuracy_never_rises', lambda d: numbers.rise(numbers.success(d))),
    ('diversity_peaks_inside', lambda d: numbers.peak(numbers.found(d))),
  ):
    value, null = ends(fn, tempered)
    bench.claim(name, value, null=null)

  lengths = of_seed(results['bernoulli']['lengths'])(step=-1, drop=True)
  uniform = numbers.shorter(lengths, 'sampled')
  for name, what in (('', 'written'), ('_greedily', 'greedy')):
    share = numbers.shorter(lengths, what)
    bench.claim(f'short_paths_preferred{name}', share, null=uniform)
    bench.claim(f'short_path_bias{name}', numbers.bias(lengths, what))

  read = results['one_layer']['rule']
  for name, fn in (
    ('additive_rule_is_valid', lambda d: d['rule_valid']),
    ('additive_rule_everywhere', lambda d: d['valid_everywhere']),
    ('additive_rule_is_the_network', lambda d: d['agrees']),
    ('goals_point_to_near_nodes', numbers.nearness),
  ):
    value, null = ends(fn, read)
    bench.claim(name, value, null=null)
  judge_motifs(bench, numbers.by_seed(results['motifs']['followed']))


def judge_motifs(bench: Bench, followed: xr.Dataset) -> None:
  """Reports the numbers of the claims about chains of motifs."""
  max_k = bench.config.measure.variants.motifs.task.max_k
  unseen = followed['follows'].sel(split='unseen', drop=True)
  inside = unseen.sel(k=slice(1, max_k)).min('k')
  drop = inside - unseen.isel(k=-1, drop=True)
  first, second = (followed[n].mean('conflict_k') for n in ('first', 'second'))
  share = first / (first + second)
  ends = lambda data: [data.isel(step=i, drop=True) for i in (-1, 0)]
  for name, each in (
    ('unseen_orders_are_followed', inside),
    ('longer_chains_fail', drop),
    ('first_chain_wins', share),
  ):
    value, null = ends(each)
    bench.claim(name, value, null=null)


def draw(bench: Bench, results: dict[str, dict], spans: dict) -> None:
  """Draws the figures."""
  whole = {n: spans[n][max(spans[n])] for n in figures.FORMATS}
  bench.figure(
    'accuracy',
    figures.accuracy(whole),
    'Share of right labels on pairs that were not in training, half of them '
    'with a path, written freely, and of who reads only how many layers lie '
    'between the nodes; one dot a seed.',
  )
  bench.figure(
    'spans',
    figures.spans(spans),
    'Share of right labels on unseen pairs, half for each label, by how many '
    'layers lie between the nodes and by the longest span in training; median '
    'and range over seeds.',
  )
  bench.figure(
    'training',
    figures.training(numbers.by_seed(results['stepwise']['training'])),
    'Unseen pairs with a path, over training: share of written steps that are '
    'edges, and share of valid paths that reach the goal; missteps and '
    'failures of planning as shares of all paths; median and range over seeds.',
  )
  bench.figure(
    'temperature',
    figures.temperature(results['stepwise']['tempered']),
    'Sampled paths between the unseen pairs with most paths: share that is '
    'valid and arrives, and how many different ones of all there are were '
    'found, by temperature; median and range over seeds.',
  )
  bench.figure(
    'lengths',
    figures.lengths(results['bernoulli']['lengths']),
    'Bernoulli graph: mean length of the valid paths sampled for each unseen '
    'pair against that of all its paths, and the same for paths drawn '
    'uniformly; one colour a seed. Points below the line are shorter.',
  )
  bench.figure(
    'rule',
    figures.rule(results['one_layer']['rule']),
    'One layer, one head: what a goal adds to the logit of each candidate, '
    'and how many edges lead from the candidate to the goal (grey: none); '
    'nodes sorted by layer, first seed.',
  )
  bench.figure(
    'motifs',
    figures.motifs(results['motifs']['followed']),
    'Share of paths that go through the motifs in the order of the '
    'exemplars and end as asked, by the number of intermediate motifs; and '
    'with two chains of the same ends in the context, which is followed; '
    'median and range over seeds.',
  )


def run(bench: Bench) -> None:
  """Trains and measures every variant, reports and draws."""
  variants = plain(bench.config)['measure']['variants']
  results = {n: measure(bench, n, c) for n, c in variants.items()}
  spans = by_limit(results)
  judge(bench, results, spans)
  draw(bench, results, spans)


STUDY = Study(
  title='Stepwise inference as graph navigation',
  source='Khona, Okawa, Hula, Ramesh, Nishi, Dick, Lubana and Tanaka, '
  '"Towards an Understanding of Stepwise Inference in Transformers" (2024), '
  'arXiv 2402.07757',
  claims=CLAIMS,
  run=run,
)
