"""What the study `concept_percolation` claims.

Pilots ran on seeds 1000 and 1001 with one value of ten for an entity, where
the sizes reported have two (see the config): what is gated is about classes,
which this does not touch.
"""

from jaxsynth.studies.claim import Claim, Gate

UNTRAINED = 'the model at step 0, through the same pipeline'
UNORDERED = (
  'the same of grammaticality in unscrambling, for which no order is claimed'
)

CLAIMS = (
  Claim(
    'giant_component',
    'In random pairs of |E| entities and |K| values the share of entities in '
    'the largest component is that of the fixed point: largest distance, of '
    'means over draws, at 1.5 to 3 times the critical number of pairs.',
    'S_E = 1 - exp(-p |K| S_K), S_K = 1 - exp(-p |E| S_E)',
    'the percolation model',
    Gate('<=', 0.03),
    'the share at 1.5 times the critical number, against the fixed point at 3',
  ),
  Claim(
    'no_giant_component_below',
    'At half the critical number there is none: mean share of entities in '
    'the largest component.',
    'p_c = 1 / sqrt(|E| |K|)',
    'the percolation model',
    Gate('<=', 0.1, tests='direction'),
    'the share at three times the critical number',
  ),
  Claim(
    'pairs_grow_as_root',
    'With |E| fixed, the distinct pairs it takes until half of the entities '
    'are in one component grow as a power of |K| of at most 0.6, from |K| = '
    '|E| / 2 to 8 |E|.',
    'N_c = sqrt(|E| |K|): an exponent of 1/2',
    'the percolation model',
    Gate('<=', 0.6),
    'pairs in proportion to |K|',
  ),
  Claim(
    'writes_grammar',
    'A trained network writes sentences that parse: share, in free generation.',
    'the grammar is learnt first',
    'grammaticality of free generation; no number is known here',
    Gate('>=', 0.85, tests='direction'),
    UNTRAINED,
    'Pilots: 0.92 and 0.91, at temperature 1.',
  ),
  Claim(
    'writes_relative_types',
    'Its verbs have subjects and objects of their classes: share of verbs.',
    'relative type constraints are learnt after the grammar',
    'type checks of free generation; no number is known here',
    Gate('>=', 0.8, tests='direction'),
    UNTRAINED,
    'Pilots: 0.92 and 0.91.',
  ),
  Claim(
    'writes_descriptive_types',
    'Its values are of the class of their subject: share of values, at least '
    'halfway between chance and one.',
    'descriptive type constraints are learnt last',
    'type checks of free generation; no number is known here',
    Gate('>=', 0.625, tests='direction'),
    UNTRAINED,
    'Pilots: 0.82 and 0.79.',
  ),
  Claim(
    'grammar_before_relative',
    'Half of the sentences parse before relative types are halfway between '
    'chance and one: how many times as late these are, at least.',
    'grammar first, then relative type constraints',
    'phases of free generation',
    Gate('>=', 1.2, tests='direction'),
    UNORDERED,
    'Pilots: 2.2 and 1.7.',
  ),
  Claim(
    'grammar_before_descriptive',
    'Half of the sentences parse before descriptive types are halfway: how '
    'many times as late these are, at least.',
    'grammar first, descriptive type constraints last',
    'phases of free generation',
    Gate('>=', 1.2, tests='direction'),
    UNORDERED,
    'Pilots: 2.5 and 1.9.',
  ),
  Claim(
    'nine_in_ten_before_descriptive',
    'Even nine of ten sentences parse before descriptive types are halfway: '
    'how many times as late these are, at least.',
    'grammar first, descriptive type constraints last',
    'phases of free generation',
    note='Not gated: 1.3 and 0.8 in pilots. At temperature 1 the share that '
    'parses stays near nine in ten from then on, so that the level is '
    'crossed early or late by chance.',
  ),
  Claim(
    'relative_before_descriptive',
    'The class of objects is right, of the probability that goes to objects '
    'three quarters, before that of values is, halfway between chance and '
    'one: how many times as late this is, at least.',
    'relative before descriptive type constraints',
    'phases of free generation',
    Gate('>=', 1.0, tests='direction'),
    'verbs in the place of values: both are of relative types',
    'Pilots: 1.3 and 1.1.',
  ),
  Claim(
    'relative_written_before_descriptive',
    'The same of what the network writes: relative types are halfway before '
    'descriptive ones.',
    'relative before descriptive type constraints',
    'phases of free generation',
    note='Not gated: 1.0 and 1.0 in pilots, so snapshots and samples only '
    'just tell them apart.',
  ),
  Claim(
    'one_order_in_all_seeds',
    "Kendall's W over seeds of the order of the three onsets.",
    'one order of phases',
    'phases of free generation',
    note='Not gated: one number for all seeds, and its null, the three tasks '
    'in the place of the three rules, may agree by chance.',
  ),
  Claim(
    'relative_is_sharper',
    'The class of verbs becomes right more sharply than that of values: the '
    'width of the logistic fitted to the latter, in the logarithm of steps, '
    'over that of the former.',
    'relative types come sharply, descriptive ones slowly',
    'phases of free generation',
    Gate('>=', 1.5, tests='direction'),
    'grammaticality in unscrambling over that in free generation',
    'Pilots: 2.0 and 1.8.',
  ),
  Claim(
    'narrow_tasks_with_relative_types',
    'Unscrambling comes with relative types: the step at which half of the '
    'tokens are in place over that at which relative types are halfway.',
    'narrow tasks jump together with relative types',
    'phases, remembered from secondary sources',
    note='Not gated: in pilots half of the tokens were in place only after '
    '700 to 800 steps, more than three times as many.',
  ),
  Claim(
    'unseen_pairs_reached',
    'At some step a value of the class of an entity is among the 1.5 |K| most '
    'probable tokens even if the two never occur together: largest share of '
    'such pairs.',
    'unseen pairs become reachable',
    'reachability: rank of the value at most 1.5 |K|; no number is known here',
    Gate('>=', 0.9, tests='direction'),
    UNTRAINED,
    'Pilots: 1.00 and 0.99.',
  ),
  Claim(
    'unseen_pairs_stay_reached',
    'And they stay so: share at the end over the largest.',
    'not stated',
    'reachability over training',
    note='Not gated: in pilots 0.9 and 0.7. It falls again while the network '
    'learns which values each entity has.',
  ),
  Claim(
    'unseen_pairs_reached_unscrambling',
    'The same where the prompt gives the words of the sentence, out of order '
    '(T1): largest share of unseen pairs reached.',
    'measured for T0 and T1; no number is known here',
    'reachability: rank of the value at most 1.5 |K|',
    note='Not gated: no pilot was run. The value stands in the prompt, so '
    'copying reaches it as well.',
  ),
  Claim(
    'pairs_told_apart',
    'Beyond the published checks: probability of values that an entity has '
    'over that of other values of its class, in the mean.',
    'not measured there: values are checked by class only',
    'the density of pairs is part of the language',
    note='Not gated: nothing is published. In pilots 8 and 9; who knows all '
    'pairs gives others none.',
  ),
  Claim(
    'descriptive_exponent',
    'The step at which descriptive types are halfway (of the probability '
    'that goes to values, the share of the right class) grows with a power '
    'of |K|.',
    'an exponent of 1/2, as percolation has it',
    'scaling of the transition of free generation, from secondary sources',
    Gate('>=', 0.3, preset='standard', tests='direction'),
    'the same of the classes of verbs, of which there are as many for all |K|',
    'Two sizes only at quick.',
  ),
  Claim(
    'unscramble_exponent',
    'The step at which half of the tokens are unscrambled grows with a power '
    'of |K|.',
    'an exponent of about 1.5',
    'scaling of the narrow tasks, from secondary sources',
    note='Not gated: the published number was not read in the source.',
  ),
  Claim(
    'conditional_exponent',
    'The step at which a quarter of the conditions are met grows with a '
    'power of |K|.',
    'an exponent of about 1.5',
    'scaling of the narrow tasks, from secondary sources',
    note='Not gated: the published number was not read in the source.',
  ),
  Claim(
    'long_after_percolation',
    'Half of the pairs of entity and value lie in one component of those '
    'seen long before descriptive types are halfway: ratio of the steps.',
    'the transition is one of percolation',
    'the percolation model; ratios of steps are not compared there',
    note='Not gated: the source compares how steps scale, not the steps, and '
    'no pilot was run.',
  ),
)
