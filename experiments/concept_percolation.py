"""Emergence as percolation: a context-sensitive formal language.

A network is trained on the language of entities, their values and relations
(jaxsynth.tasks.concept_percolation): free generation, unscrambling, and
conditional generation. At every snapshot it writes sentences of each kind,
which are parsed and whose types are checked. When does it obey the grammar,
the types that verbs demand, and those that properties demand; and how do
these steps move with the number of values |K|? The theory against which the
published account holds the last is percolation on pairs of entity and value.

Thresholds come from the published finding or from pilot seeds 1000 and 1001;
they were fixed before the reported seeds ran.

Source: Lubana, Kawaguchi, Dick and Tanaka (2024), "A percolation model of
emergence: analyzing transformers trained on a formal language", arXiv
2408.12578, and its code, which is followed where the two differ (see
`jaxsynth.tasks.lib.concept_language`).
"""

import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from jaxsynth import build
from jaxsynth.analysis import percolation
from jaxsynth.experiments import _concept_percolation_figures as figures
from jaxsynth.experiments import _concept_percolation_measures as measures
from jaxsynth.experiments import _concept_percolation_numbers as numbers
from jaxsynth.experiments import _concept_percolation_pairs as pairs
from jaxsynth.experiments._concept_percolation_claims import CLAIMS
from jaxsynth.studies.study import Bench, Study
from jaxsynth.studies.variants import of_paths

# Snapshots over which the rates at the end of training are averaged.
LAST = 3


def variant(config: ConfigDict, properties: int, steps: int) -> ConfigDict:
  """The config with so many properties in a class, names included."""
  values = {'task.max_properties': properties, 'train.steps': steps}
  return of_paths(config, values)


def num_values(config: ConfigDict) -> int:
  """|K|, values of a class."""
  task = build.build(config).task
  return int(task.language.described(task.max_properties)[0] * task.values)


def judge(bench: Bench, results: dict) -> None:
  """Reports the numbers of what the main training decides."""
  chance = 1 / bench.config.task.classes
  middle = (1 + chance) / 2
  free = lambda name: numbers.curve(results, name)
  of = lambda name, task: numbers.curve(results, name, task)
  end = lambda data: data.isel(step=slice(-LAST, None)).mean('step')
  start = lambda data: data.isel(step=0, drop=True)

  def ends(name: str, data: xr.DataArray) -> None:
    bench.claim(name, end(data), null=start(data))

  ends('writes_grammar', free('grammatical'))
  ends('writes_relative_types', free('relative'))
  ends('writes_descriptive_types', free('descriptive'))
  grammar = {
    task: numbers.onset(of('grammatical', task), 0.5) for task in measures.TASKS
  }
  types = {
    name: numbers.onset(free(name), middle)
    for name in ('relative', 'descriptive')
  }
  other = numbers.margin(grammar['free'], grammar['unscramble'])
  for name, onset in types.items():
    bench.claim(
      f'grammar_before_{name}',
      numbers.margin(grammar['free'], onset),
      null=other,
    )
  nine = numbers.onset(free('grammatical'), 0.9)
  bench.claim(
    'nine_in_ten_before_descriptive',
    numbers.margin(nine, types['descriptive']),
  )
  objects, verbs = (numbers.onset(free(n), 0.75) for n in ('objects', 'verbs'))
  bench.claim(
    'relative_before_descriptive',
    numbers.margin(objects, numbers.onset(free('values'), middle)),
    null=numbers.margin(objects, verbs),
  )
  bench.claim(
    'relative_written_before_descriptive',
    numbers.margin(types['relative'], types['descriptive']),
  )
  every = [grammar['free'], *types.values()]
  bench.claim(
    'one_order_in_all_seeds',
    numbers.concordance([x['at'] for x in every]),
    null=numbers.concordance([x['at'] for x in grammar.values()]),
  )
  width = lambda curve: numbers.fitted(curve)['width']
  bench.claim(
    'relative_is_sharper',
    width(free('values')) / width(free('verbs')),
    null=width(of('grammatical', 'unscramble')) / width(free('grammatical')),
  )
  narrow = numbers.half_rise(free('accuracy'), 0.0)
  bench.claim(
    'narrow_tasks_with_relative_types',
    narrow['before'].where(narrow['censored'], narrow['half'])
    / types['relative']['at'],
    censored=narrow['censored'],
  )
  reached = free('reached')
  bench.claim('unseen_pairs_reached', reached.max('step'), null=start(reached))
  bench.claim('unseen_pairs_stay_reached', end(reached) / reached.max('step'))
  other = free('reached_unscramble')
  bench.claim(
    'unseen_pairs_reached_unscrambling', other.max('step'), null=start(other)
  )
  apart = free('seen') / free('unseen')
  bench.claim('pairs_told_apart', end(apart), null=start(apart))


def scale(bench: Bench, results: dict) -> dict[int, dict]:
  """Trains other numbers of properties and fits exponents."""
  sweep = bench.config.measure.sweep
  by_size = {num_values(bench.config): results}
  for properties in sweep.properties:
    config = variant(bench.config, properties, sweep.steps)
    by_size[num_values(config)] = measures.measure(
      bench, f'properties_{properties}', config
    )
  middle = (1 + 1 / bench.config.task.classes) / 2

  def power(name, level):
    onsets = {
      size: numbers.onset(numbers.curve(r, name), level)['at']
      for size, r in by_size.items()
    }
    return numbers.exponents(onsets)

  bench.claim(
    'descriptive_exponent', power('values', middle), null=power('verbs', 0.75)
  )
  bench.claim('unscramble_exponent', power('accuracy', 0.5))
  bench.claim('conditional_exponent', power('conditioned', 0.25))
  return by_size


def percolate(bench: Bench, results: dict) -> xr.Dataset:
  """Random pairs against the fixed point, and the pairs of the training."""
  options = bench.config.measure.percolation.to_dict()
  seeds = results['curves']['run'].values
  simulated = bench.measure(
    'percolation',
    lambda: xr.concat(
      [pairs.simulated(int(s), options) for s in seeds],
      xr.Variable('run', seeds),
    ),
  )
  shares, null = simulated['share'].mean('draw'), options['null']
  early = shares.sel(times=null, drop=True)
  bench.claim(
    'giant_component',
    numbers.farthest(simulated),
    null=abs(early - simulated['solved'].sel(times=2 * null, drop=True)),
  )
  bench.claim(
    'no_giant_component_below',
    shares.sel(times=options['times'][0], drop=True),
    null=shares.sel(times=options['times'][-1], drop=True),
  )
  sizes = simulated['size'].values
  fit = {int(k): simulated['pairs'].sel(size=k, drop=True) for k in sizes}
  bench.claim('pairs_grow_as_root', numbers.exponents(fit), null=1.0)
  return simulated


def draw(
  bench: Bench,
  by_size: dict[int, dict],
  simulated: xr.Dataset,
  shown: xr.Dataset,
) -> None:
  """Draws the figures."""
  results, chance = (
    by_size[num_values(bench.config)],
    1 / bench.config.task.classes,
  )
  bench.figure(
    'phases',
    figures.phases(results, chance),
    'Over training, of what the network writes at temperature 1, how much is '
    'right: left, sentences that parse, verbs whose subjects and objects are '
    'of its classes, values of the class of their subject, and values that '
    'this very subject can have; right, what the narrow tasks ask for. Median '
    'and range over seeds.',
  )
  bench.figure(
    'losses',
    figures.losses(results, results['known']),
    'Cross-entropy of the tokens of sentences in free generation, over '
    'training. Dashed: three who know the grammar; the classes as well; and '
    'which values an entity can have as well.',
  )
  bench.figure(
    'priors',
    figures.priors(results),
    'Cross-entropy of free generation over training, prompt included, on '
    'sentences of the language and on others: values drawn from all of the '
    'class, values that the entity cannot have, each word replaced by any of '
    'its kind, and words out of order.',
  )
  bench.figure(
    'unseen',
    figures.unseen(results),
    'After "entity is": the probability of a value of the class of the '
    'entity, over that of all of them alike, for pairs of the language and '
    'for others, which training never showed; and how many of these have '
    'their value among the 1.5 |K| most probable tokens.',
  )
  options = bench.config.measure.percolation
  E, K = options.entities, options['values']
  times = np.linspace(min(options.times), max(options.times), 200)
  critical = percolation.threshold(E, K)['probability']
  solved = percolation.giant(times * critical, E, K)['entities']
  bench.figure(
    'percolation',
    figures.percolation(
      simulated, xr.DataArray(np.asarray(solved), {'times': times}, 'times')
    ),
    'Left: entities in the largest component of random pairs, one dot a '
    'draw, and the fixed point. Right: distinct pairs until it has half of '
    'them, which grow as the root of |K|.',
  )
  bench.figure(
    'scaling',
    figures.scaling(by_size, shown, chance),
    'Left: of the probability that goes to values where one stands, the '
    'share of the right class, by number of values of a class |K|; grey: how '
    'many pairs of entity and value lie in the largest component of those '
    'that training showed so far (of the largest |K|). Right: the same with '
    'steps scaled as percolation has it.',
  )


def run(bench: Bench) -> None:
  """Trains, measures, reports and draws."""
  results = measures.measure(
    bench, 'main', bench.config, ('curves', 'known', 'metrics')
  )
  judge(bench, results)
  by_size = scale(bench, results)
  simulated = percolate(bench, results)
  shown = bench.measure(
    'pairs',
    lambda: pairs.shown(bench.config, bench.config.measure.shown),
  )
  told = numbers.curve(results, 'values')
  middle = (1 + 1 / bench.config.task.classes) / 2
  connected = numbers.crossing(shown['inferable'], 0.5)
  bench.claim(
    'long_after_percolation', numbers.onset(told, middle)['at'] / connected
  )
  draw(bench, by_size, simulated, shown)


STUDY = Study(
  title='Emergence as percolation: a context-sensitive formal language',
  source='Lubana, Kawaguchi, Dick and Tanaka, "A percolation model of '
  'emergence: analyzing transformers trained on a formal language" (2024), '
  'arXiv 2408.12578',
  claims=CLAIMS,
  run=run,
)
