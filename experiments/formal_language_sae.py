"""Sparse autoencoders on language models of formal languages.

Transformers learn languages whose grammar is known
(jaxsynth.tasks.formal_language); autoencoders by many recipes are trained on
an activation of each (jaxsynth.activations, jaxsynth.models.causal_sae). Do
strings stay grammatical when the reconstruction takes the activation's place,
do latents correlate with what is known of every word, do those that correlate
cause anything, and does a loss for causality help?

Validity is the share of strings, written with the autoencoder spliced in at
every position, the prefix included, that the exact parser accepts. Thresholds
come from the published findings and the spec made of them, or from pilot seeds
1000 and 1001; they were fixed before the reported seeds ran.

Source: Menon, Shrivastava, Krueger and Lubana, "Analyzing (In)Abilities of
SAEs via Formal Languages" (2024), arXiv 2410.11767.
"""

from typing import Any

import xarray as xr

from jaxsynth.config import plain
from jaxsynth.errors import UserError
from jaxsynth.experiments import _formal_language_sae_figures as figures
from jaxsynth.experiments import _formal_language_sae_numbers as numbers
from jaxsynth.experiments._formal_language_sae_stages import MAIN, language
from jaxsynth.studies.claim import Claim, Gate
from jaxsynth.studies.study import Bench, Study
from jaxsynth.studies.variants import of_sections

# The language that the claims are about, what it counts, and their recipes.
MEASURED, COUNT = 'expr', 'operands'
NORMALISED, SPARSE = 'topk_input_reconstruction', 'l1'
UNTRAINED = 'the autoencoder before any update, through the same pipeline'
RECIPES = 'the aggregated result files of the released sweeps'

CLAIMS = (
  Claim(
    'model_is_grammatical',
    'The language model has learnt the grammar: share of sentences among the '
    'strings it writes.',
    'grammaticality is monitored; models are near 1',
    'training of the language models',
    Gate('>=', 0.95),
    'the language model at step 0',
  ),
  Claim(
    'topk_keeps_validity',
    'With a TopK autoencoder spliced in, 16 latents active, strings stay '
    'sentences: share of them.',
    '0.999 for TopK without norms on Expr, the mean over its sweep',
    RECIPES,
    Gate('>=', 0.9),
    UNTRAINED,
    'So do recipes whose error is that of the mean or larger, as sparsemax: '
    'to end in time is nearly all that validity asks for.',
  ),
  Claim(
    'normalised_reconstruction_loses_validity',
    'With inputs and reconstructions normalised in training, hardly any '
    'string of two words and more is a sentence: share of them.',
    '0.000 for TopK with input and reconstruction norms on Expr',
    RECIPES,
    Gate('<=', 0.1),
    'TopK without norms, through the same pipeline',
    'Pilots: 0.04 and 0.01. Of strings of any length see the next claim.',
  ),
  Claim(
    'one_word_is_a_sentence',
    'The same among strings of any length.',
    '0.000 for TopK with input and reconstruction norms on Expr',
    RECIPES,
    note='Not gated: six in ten sentences of Expr are one digit, which a '
    'network that always ends gets right. Pilots: 0.09 and 0.03; 0.17, 0.16 '
    'and 0.12 with language models trained for 1,000 steps.',
  ),
  Claim(
    'spliced_strings_keep_their_length',
    'Strings written with TopK spliced in are as long as without: mean number '
    'of words, over that.',
    'not discussed',
    'no published number',
    note='Reported only: validity alone does not tell whether the language is '
    'kept, see the figure of recipes.',
  ),
  Claim(
    'strong_l1_loses_validity',
    'An L1 penalty that is strong enough leaves no language: validity at the '
    'largest weight.',
    '0.333 for L1 on Expr, 1.0 only for weights up to 0.01',
    RECIPES,
    Gate('<=', 0.5),
    'the smallest weight, through the same pipeline',
    'Published weights are of a sum over a batch: about 80 vectors here, so '
    'that the largest weight, 1, corresponds to about 0.0125.',
  ),
  Claim(
    'a_latent_counts_operands',
    'Some latent correlates with the number of operands still to come: the '
    'largest |r|.',
    'latents correlate with features of the grammar',
    'interpretation of latents; no number was read',
    Gate('>=', 0.8, rule=2, tests='direction'),
    'the same with the features of other words',
    'Pilots: 0.90 and 0.88, and 0.86, 0.85 and 0.79 with language models '
    'trained for 1,000 steps. Training does not make it: see '
    'untrained_latents_count_as_well.',
  ),
  Claim(
    'untrained_latents_count_as_well',
    'So it does before the autoencoder is trained: the largest |r|.',
    'not discussed',
    'no published number',
    note='Reported only: a finding of this reproduction. What is to come '
    'is so large a part of the activation that random directions see it. '
    'Pilots: 0.88 and 0.85.',
  ),
  Claim(
    'correlated_is_not_causal',
    'Of the latents with |r| >= 0.5 with that number, most do not cause it: '
    'the share that, held at their largest value at every position, shift its '
    'mean over a string by less than half a deviation between strings.',
    'latents that correlate need not be causal; no share was read',
    'the abstract; clamping experiments',
    Gate('>', 0.5, tests='direction'),
    'activations moved by two deviations along the direction of the feature',
    'Pilots: 1 and 1. Sixteen latents are active at once, and most of them '
    'follow the count: one alone is a small part of it.',
  ),
  Claim(
    'causal_loss_falls',
    'Trained for it, an autoencoder has less causal loss: with weight 1, over '
    'that with weight 0.',
    'the causal loss makes latents act as they should',
    'the causal autoencoders; the spec asks for a fall by 30 %',
    Gate('<=', 0.7, tests='direction'),
    'the two before any update: 1, as they start alike',
    'Pilots: 0.23 and 0.47.',
  ),
  Claim(
    'causal_loss_is_cheap',
    'And hardly more error: mean squared error with weight 1, over that with '
    'weight 0.',
    'near-equal reconstruction',
    'the causal autoencoders; the spec asks for at most 1.5',
    note='Not gated: pilots had 5.7 and 3.9, of errors below 0.001 of the '
    'variance. With weight 0.1 two others had 1.2 and 1.5, but their causal '
    'loss fell by 24 % and 13 % only; weights of 0.003 to 0.03 changed little.',
  ),
  Claim(
    'causal_autoencoder_keeps_validity',
    'With the causal autoencoder spliced in strings stay sentences: share of '
    'them.',
    '0.994 to 1.0 on Expr, one failed run of 0.80',
    'the result files of the causal sweeps',
    Gate('>=', 0.9),
    UNTRAINED,
  ),
)


def check(options: dict[str, Any]) -> None:
  """Raises UserError where `measure` lacks what the claims are about."""
  for section, names in (
    ('languages', (MEASURED,)),
    ('recipes', (MAIN, NORMALISED, SPARSE)),
  ):
    for name in names:
      if name not in options[section]:
        raise UserError(
          f'the claims need {name!r} in measure.{section}, which has '
          f'{", ".join(options[section])}'
        )


def judge(bench: Bench, results: dict[str, xr.Dataset]) -> None:
  """Reports the numbers of all claims, on Expr."""
  spoken, judged = results['language'], results['recipes']
  latents, metrics = results['latents'], results['metrics']
  end = judged.sel(step='end', drop=True)
  start = judged.sel(step='start', drop=True)
  main = lambda data: numbers.first(data, MAIN)
  bench.claim(
    'model_is_grammatical',
    spoken['valid'].isel(step=-1, drop=True),
    null=spoken['valid'].isel(step=0, drop=True),
  )
  valid, untrained = end['valid'], start['valid']
  bench.claim('topk_keeps_validity', main(valid), null=main(untrained))
  normalised = lambda key: numbers.first(end[key], NORMALISED)
  bench.claim(
    'normalised_reconstruction_loses_validity',
    normalised('longer_valid'),
    null=main(end['longer_valid']),
  )
  bench.claim('one_word_is_a_sentence', normalised('valid'))
  bench.claim(
    'spliced_strings_keep_their_length',
    main(end['length']) / spoken['length'].isel(step=-1, drop=True),
  )
  bench.claim(
    'strong_l1_loses_validity',
    numbers.last(valid, SPARSE),
    null=numbers.first(valid, SPARSE),
  )
  bench.claim(
    'causal_autoencoder_keeps_validity',
    numbers.last(valid, MAIN),
    null=numbers.last(untrained, MAIN),
  )
  count = lambda data: main(data).sel(feature=COUNT, drop=True)
  bench.claim(
    'a_latent_counts_operands',
    count(end['best']),
    null=count(end['shuffled']),
  )
  bench.claim('untrained_latents_count_as_well', count(start['best']))
  bench.claim(
    'correlated_is_not_causal',
    numbers.idle(count(latents['r']), count(latents['effect'])),
    null=numbers.moved(count(latents['control'])),
  )
  last = metrics.isel(eval_step=-1, drop=True)
  first = metrics.isel(eval_step=0, drop=True)
  ratio = lambda data: numbers.over(data['causal_loss'], MAIN)
  bench.claim('causal_loss_falls', ratio(last), null=ratio(first))
  bench.claim('causal_loss_is_cheap', numbers.over(last['mse'], MAIN))


def draw(bench: Bench, results: dict[str, dict[str, xr.Dataset]]) -> None:
  """Draws the figures."""
  bench.figure(
    'training',
    figures.training({n: r['language'] for n, r in results.items()}),
    'The language models: share of sentences among the strings they write, '
    'and loss on new sentences, over training; median and range over seeds.',
  )
  for name, found in results.items():
    bench.figure(
      f'recipes_{name}',
      figures.recipes(found['recipes'], found['language']),
      'Strings written with an autoencoder spliced in: share of sentences, '
      'among all and among those of two words and more, and mean length; and '
      'its squared error over the variance of the activation, by recipe. One '
      'dot a seed, hollow: the autoencoder before training; dashed: the '
      f'language model without one. Language: {name}.',
    )
    bench.figure(
      f'features_{name}',
      figures.features(numbers.first(found['recipes'], MAIN)),
      'The largest correlation of a TopK latent with each feature of the '
      'grammar; one dot a seed. Hollow: left, the autoencoder before training, '
      f'right, features of other words. Language: {name}.',
    )
    bench.figure(
      f'clamps_{name}',
      figures.clamps(numbers.first(found['latents'], MAIN)),
      'Latents held at their largest value at every position while strings '
      'are written: how far the mean of a feature moves, against how well the '
      'latent correlates with it; all seeds. Triangles: the activation moved '
      f'along the direction of the feature. Language: {name}.',
    )
    bench.figure(
      f'causal_{name}',
      figures.causal(found['metrics']),
      'Causal loss and squared error over training, by the weight of the '
      f'causal loss; median and range over seeds. Language: {name}.',
    )


def run(bench: Bench) -> None:
  """Trains and measures every language and recipe, reports and draws."""
  options = plain(bench.config)['measure']
  check(options)
  results = {}
  for name, changes in options['languages'].items():
    config = of_sections(bench.config, changes)
    results[name] = language(bench, name, config)
  judge(bench, results[MEASURED])
  draw(bench, results)


STUDY = Study(
  title='Sparse autoencoders on language models of formal languages',
  source='Menon, Shrivastava, Krueger and Lubana, "Analyzing (In)Abilities of '
  'SAEs via Formal Languages" (2024), arXiv 2410.11767',
  claims=CLAIMS,
  run=run,
)
