"""Concept learning on a structured identity mapping.

A network learns y = x from clusters that carry one concept each and is tested
on all concepts at once. One layer has a closed form, the tied two-layer
network an ordinary differential equation (jaxsynth.analysis.linear_flow): the
study draws them over gradient descent from the same start, measures how far
apart they are, and asks what the publication asks: which concept is learned
first, how fast, when the loss of the composition rises on its way down, and
whether losses respect the order of compositions.

The publication's equation for the tied network is the gradient flow of half
the loss it states; the flow of the loss itself runs twice as fast. Both are
integrated, and gradient descent decides.

Thresholds come from the published finding or from pilot seeds of 1000 and
above; they were fixed before the reported seeds ran.

Source: Yang, Park, Lubana, Okawa, Hu and Tanaka, "Dynamics of Concept
Learning and Compositional Generalization" (2024), arXiv 2410.08309.
"""

import numpy as np
import xarray as xr

from jaxsynth.build import complete
from jaxsynth.experiments import _identity_mapping_figures as figures
from jaxsynth.experiments import _identity_mapping_measures as measures
from jaxsynth.experiments import _identity_mapping_numbers as numbers
from jaxsynth.experiments._identity_mapping_claims import CLAIMS
from jaxsynth.studies.study import Bench, Study

# Groups of consecutive seeds in which one number is taken over seeds.
GROUPS = 4


def judge_one_layer(bench: Bench, data: xr.Dataset) -> None:
  """Order, exact solution and terminal speed of one matrix."""
  worst = lambda values: numbers.worst(values, data)
  bench.claim(
    'time_ratio_is_inverse_moment_ratio',
    worst(numbers.order_error(data)),
    null=worst(numbers.order_error(data, swapped=True)),
  )
  bench.claim(
    'deviation_reverses_order',
    numbers.reversal(data, widened=True),
    null=numbers.reversal(data, widened=False),
  )
  bench.claim(
    'one_layer_follows_closed_form',
    worst(numbers.closed_form_error(data)),
    null=worst(numbers.closed_form_error(data, swapped=True)),
  )
  rates, a = numbers.tail_rates(data), data['moments'].values
  off = lambda a: np.abs(rates / a - 1).max(1)
  bench.claim('terminal_slowing', worst(off(a)), null=worst(off(a[:, ::-1])))


def judge_swing(bench: Bench, data: dict, flow: xr.Dataset) -> None:
  """The tied network against its flow; who swings by, and when not."""
  tied = data['train']
  error = lambda speed: numbers.flow_error(tied, flow, speed)
  bench.claim('tied_follows_true_flow', error('true'), null=error('published'))
  rise = lambda d: numbers.by_seed(numbers.swing(numbers.composed(d)))
  control = lambda d: numbers.by_seed(numbers.swing(numbers.trained(d)))
  for name, stage in (
    ('tied_swings_by', 'train'),
    ('untied_swings_by', 'untied'),
    ('three_layers_swing_by', 'three_layer'),
  ):
    bench.claim(name, rise(data[stage]), null=control(data[stage]))
  first = numbers.correlation(tied)
  where = lambda positive: numbers.swing_where(
    first, rise(tied), GROUPS, positive
  )
  bench.claim('swing_by_needs_minor_entries', where(False), null=where(True))
  bench.claim('wide_does_not_swing', rise(data['wide']), null=rise(tied))


def judge_order(bench: Bench, relu: xr.Dataset, linear: xr.Dataset) -> None:
  """Losses over compositions."""
  steps = bench.config.measure.ordered_at
  for name, data, relative in (
    ('relu_orders_compositions', relu, False),
    ('linear_orders_compositions', linear, False),
    ('relu_orders_relative_losses', relu, True),
  ):
    share = lambda shuffled, data=data, relative=relative: numbers.ordered(
      data, steps, relative, shuffled
    )
    bench.claim(name, share(False), null=share(True))


def judge_searches(
  bench: Bench, found: dict[str, xr.Dataset], triple: xr.Dataset
) -> None:
  """Descents of selected starts, trained; and what the flow alone found."""
  bench.claim(
    'three_concepts_three_descents',
    numbers.descents_of(numbers.composed(triple)),
    null=numbers.descents_of(numbers.trained(triple)),
  )
  most = found['quadruple']['descents'].isel(prominence=0)
  bench.claim('four_concepts_four_descents', numbers.most(most, GROUPS))
  ends = found['stuck']['end']
  bench.claim(
    'weak_concept_stays_stuck',
    numbers.most(ends, GROUPS),
    null=float(ends.median()),
  )


def run(bench: Bench) -> None:
  """Trains every stage, integrates the theory, measures, draws, reports."""
  main = complete(bench.config)
  data = {'train': measures.states(bench, 'train', main)}
  flow = measures.flows(bench, 'train', main)
  for name in bench.config.measure.stages:
    config = measures.stage_config(bench.config, 'stages', name)
    data[name] = measures.states(bench, name, config)
  found = {n: measures.search(bench, n) for n in bench.config.measure.searches}
  data['triple'] = measures.selected(bench, found['triple'], 'triple')
  judge_one_layer(bench, data['one_layer'])
  judge_swing(bench, data, flow)
  judge_order(bench, data['relu'], data['linear'])
  judge_searches(bench, found, data['triple'])
  figures.draw(bench, data, flow, found)


STUDY = Study(
  title='Concept learning on a structured identity mapping',
  source='Yang, Park, Lubana, Okawa, Hu and Tanaka, "Dynamics of Concept '
  'Learning and Compositional Generalization" (2024), arXiv 2410.08309',
  claims=CLAIMS,
  run=run,
)
