"""Sparse autoencoders on language models of formal languages.

Transformers learn languages whose grammar is known
(jaxsynth.tasks.formal_language); autoencoders by many recipes are trained on
an activation of each (jaxsynth.activations, jaxsynth.models.causal_sae). Do
strings stay grammatical when the reconstruction takes the activation's place,
do latents correlate with what is known of every word, do those that correlate
cause anything, and does a loss for causality help?

Validity is the share of strings, written with the autoencoder spliced in at
every position, the prefix included, that the exact parser accepts.

Source: Menon, Shrivastava, Krueger and Lubana, "Analyzing (In)Abilities of
SAEs via Formal Languages" (2024), arXiv 2410.11767.
"""

from typing import Any

import xarray as xr

from jaxsynth.config import plain
from jaxsynth.errors import UserError
from jaxsynth.experiments import _formal_language_sae_claims as claims
from jaxsynth.experiments import _formal_language_sae_figures as figures
from jaxsynth.experiments import _formal_language_sae_numbers as numbers
from jaxsynth.experiments._formal_language_sae_stages import MAIN, language
from jaxsynth.studies.study import Bench, Study
from jaxsynth.studies.variants import of_sections

# What the claims are about: features of Dyck and Expr, recipes by language.
COUNT, DEPTH = 'operands', 'depth'
NORMALISED, SPARSE, JUMP = 'topk_input_reconstruction', 'l1', 'jumprelu'
NEEDED = {
  'expr': (MAIN, NORMALISED, SPARSE, JUMP),
  'dyck': (MAIN, NORMALISED, SPARSE),
  'english': (MAIN, NORMALISED, SPARSE),
}


def check(options: dict[str, Any]) -> None:
  """Raises UserError where `measure` lacks what the claims are about."""
  languages = options['languages']
  for name, recipes in NEEDED.items():
    _check_has('languages', languages, name)
    own = {**options, **languages[name].get('measure', {})}
    for recipe in recipes:
      _check_has(f'recipes of {name}', own['recipes'], recipe)


def _check_has(what: str, found: dict[str, Any], name: str) -> None:
  if name not in found:
    raise UserError(
      f'the claims need {name!r} in measure: {what} are {", ".join(found)}'
    )


def main(data: xr.DataArray) -> xr.DataArray:
  """The main recipe, without the causal loss."""
  return numbers.first(data, MAIN)


def judge_recipes(
  bench: Bench, results: dict[str, xr.Dataset], before: str = ''
) -> None:
  """Reports what is claimed of every language.

  Args:
    bench: takes the numbers.
    results: of the language.
    before: what names of claims begin with.
  """
  spoken, judged = results['language']['valid'], results['recipes']
  end = judged.sel(step='end', drop=True)
  bench.claim(
    f'{before}model_is_grammatical',
    spoken.isel(step=-1, drop=True),
    null=spoken.isel(step=0, drop=True),
  )
  bench.claim(
    f'{before}topk_keeps_validity',
    main(end['valid']),
    null=main(judged['valid'].sel(step='start', drop=True)),
  )
  bench.claim(
    f'{before}normalised_reconstruction_loses_validity',
    numbers.first(end['longer_valid'], NORMALISED),
    null=main(end['longer_valid']),
  )
  bench.claim(
    f'{before}strong_l1_loses_validity',
    numbers.last(end['valid'], SPARSE),
    null=numbers.first(end['valid'], SPARSE),
  )


def judge_expr(bench: Bench, results: dict[str, xr.Dataset]) -> None:
  """Reports what is claimed of Expr only."""
  spoken, judged = results['language'], results['recipes']
  latents, metrics = results['latents'], results['metrics']
  end = judged.sel(step='end', drop=True)
  start = judged.sel(step='start', drop=True)
  valid, untrained = end['valid'], start['valid']
  bench.claim('one_word_is_a_sentence', numbers.first(valid, NORMALISED))
  bench.claim(
    'spliced_strings_keep_their_length',
    main(end['length']) / spoken['length'].isel(step=-1, drop=True),
  )
  bench.claim(
    'jumprelu_keeps_validity',
    numbers.last(valid, JUMP),
    null=numbers.last(untrained, JUMP),
  )
  bench.claim('jumprelu_is_sparse', numbers.last(end['l0'], JUMP))
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


def judge_dyck(bench: Bench, results: dict[str, xr.Dataset]) -> None:
  """Reports what is claimed of Dyck only."""
  depth = lambda data: main(data).sel(feature=DEPTH, drop=True)
  judged = results['recipes']
  end = judged.sel(step='end', drop=True)
  bench.claim(
    'a_latent_follows_depth',
    depth(end['best']),
    null=depth(end['shuffled']),
  )
  bench.claim(
    'untrained_latents_follow_depth_as_well',
    depth(judged['best'].sel(step='start', drop=True)),
  )
  inside = [f for f in end['feature'].values if str(f).startswith('inside')]
  kinds = lambda data: main(data).sel(feature=inside).min('feature')
  bench.claim(
    'latents_tell_the_open_bracket',
    kinds(end['best']),
    null=kinds(end['shuffled']),
  )


def judge_english(bench: Bench, results: dict[str, xr.Dataset]) -> None:
  """Reports what is claimed of English only."""
  judged = results['recipes']
  told = lambda data: numbers.told(main(data))
  end = judged.sel(step='end', drop=True)
  bench.claim(
    'latents_tell_parts_of_speech',
    told(end['best']),
    null=told(end['shuffled']),
  )
  bench.claim(
    'untrained_latents_tell_them_as_well',
    told(judged['best'].sel(step='start', drop=True)),
  )


def judge_clamps(
  bench: Bench, results: dict[str, xr.Dataset], before: str
) -> None:
  """Reports what latents cause, over all features of a language."""
  latents = {k: main(v) for k, v in results['latents'].items()}
  bench.claim(
    f'{before}correlated_is_not_causal',
    numbers.idle(latents['r'], latents['effect']),
    null=numbers.moved(latents['control']).mean('feature'),
  )


def judge(bench: Bench, results: dict[str, dict[str, xr.Dataset]]) -> None:
  """Reports the numbers of all claims."""
  judge_recipes(bench, results['expr'])
  judge_expr(bench, results['expr'])
  for name in ('dyck', 'english'):
    judge_recipes(bench, results[name], f'{name}_')
    judge_clamps(bench, results[name], f'{name}_')
  judge_dyck(bench, results['dyck'])
  judge_english(bench, results['english'])


def draw(bench: Bench, results: dict[str, dict[str, xr.Dataset]]) -> None:
  """Draws the figures."""
  bench.figure(
    'training',
    figures.training({n: r['language'] for n, r in results.items()}),
    'The language models: share of sentences among the strings they write, '
    'and loss on new sentences, over training; median and range over seeds.',
  )
  bench.figure(
    'features',
    figures.features({n: main(r['recipes']) for n, r in results.items()}),
    'The largest correlation of a TopK latent with each feature of the '
    'grammar, by language; one dot a seed. Hollow: above, the autoencoder '
    'before training; below, features of other words.',
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
      f'clamps_{name}',
      figures.clamps(main(found['latents'])),
      'Latents held at their largest value at every position while strings '
      'are written: how far the mean of a feature moves, against how well the '
      'latent correlates with it; all seeds. Triangles: the activation moved '
      f'along the direction of the feature. Language: {name}.',
    )
    if 'causal_loss' in found['metrics']:
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
  judge(bench, results)
  draw(bench, results)


STUDY = Study(
  title='Sparse autoencoders on language models of formal languages',
  source='Menon, Shrivastava, Krueger and Lubana, "Analyzing (In)Abilities of '
  'SAEs via Formal Languages" (2024), arXiv 2410.11767',
  claims=claims.CLAIMS,
  run=run,
)
