"""Learning dynamics in concept space: hidden capabilities of diffusion.

A diffusion model is trained on classes with at most one of two concepts and
asked for both. At every snapshot points are generated and read: the path of the
held-out class through concept space says which concept is learned when. Is
there, before prompts bring it out, a network that already holds the capability?
Pushed prompts, a direction added to the embedded condition, and the embedding
of the last snapshot are tried at every snapshot as well.

The quick preset works on vectors (jaxsynth.tasks.concept_vectors), where the
best denoiser is known; images (jaxsynth.tasks.concept_images) are a stage of
their own, judged by trained classifiers. The formulation is variational, in
continuous time, with a learned schedule; one stage is plain DDPM.

Source: Park, Okawa, Lee, Lubana and Tanaka, "Emergence of Hidden Capabilities:
Exploring Learning Dynamics in Concept Space" (2024), arXiv 2406.19370.
"""

import numpy as np
import xarray as xr

from jaxsynth.build import complete
from jaxsynth.experiments import _concept_space_figures as figures
from jaxsynth.experiments import _concept_space_image_figures as image_figures
from jaxsynth.experiments import _concept_space_judge as judges
from jaxsynth.experiments import _concept_space_measures as measures
from jaxsynth.experiments import _concept_space_numbers as numbers
from jaxsynth.experiments._concept_space_claims import VECTORS
from jaxsynth.experiments._concept_space_image_claims import IMAGES
from jaxsynth.studies.study import Bench, Study

SIGNAL, MASKING = 'task_colour_signal', 'task_masking'
SIZE_SIGNAL = 'task_size_signal'
JUDGED = 'images'  # the stage that classifiers judge
MASKED_LEVEL = 0.8  # published for underspecified prompts


def equal(data: xr.Dataset, size_signal: float) -> xr.Dataset:
  """The cell whose colour is as strong as its size, or nearest to it."""
  values = numbers.values_of(data, SIGNAL)
  return numbers.cell(data, int(abs(values - size_signal).argmin()), SIGNAL)


def worst(data: xr.Dataset, values: np.ndarray, largest: bool) -> dict:
  """The largest or least of a number [R] over the cells of each seed."""
  seeds = {'seed': ('run', data['seed_init'].values)}
  table = xr.DataArray(values, seeds, 'run')
  groups = table.groupby('seed')
  found = groups.max() if largest else groups.min()
  return dict(zip(found['seed'].values.tolist(), found.values.tolist()))


def judge_paths(
  bench: Bench, data: xr.Dataset, near: xr.Dataset, signal: float
) -> None:
  """Reports order and speed of concepts, and turns."""
  naive = numbers.naive(data)
  bench.claim(
    'learns_the_held_out_class',
    worst(data, naive[:, -3:].mean(1), largest=False),
    null=worst(data, naive[:, 0], largest=False),
  )
  bench.claim(
    'near_the_best_denoiser',
    worst(near, near['excess'].isel(step=-1).values, largest=True),
  )
  bench.claim(
    'speed_follows_signal',
    numbers.follows(data, numbers.COLOUR, SIGNAL),
    null=numbers.follows(data, numbers.SIZE, SIGNAL),
  )
  middle = equal(data, signal)
  bench.claim(
    'paths_lean_to_the_stronger_concept',
    numbers.leaning(data, SIGNAL),
    null=numbers.seeds_of(middle, abs(numbers.departures(middle))),
  )
  strong = numbers.cell(data, -1, SIGNAL)
  bench.claim(
    'paths_turn',
    numbers.seeds_of(strong, numbers.turns(strong)),
    null=numbers.seeds_of(middle, numbers.turns(middle)),
  )


def judge_interventions(bench: Bench, data: xr.Dataset) -> None:
  """Reports what brings out the held-out class where colour is strongest."""
  strong = numbers.cell(data, -1, SIGNAL)
  best = lambda what, concept=numbers.SIZE: numbers.best(strong, what, concept)
  hidden = lambda curves: numbers.hidden(strong, curves)
  steer, random = best('steer'), best('random')
  bench.claim(
    'steering_shows_a_hidden_capability', hidden(steer), null=hidden(random)
  )
  bench.claim(
    'overprompting_shows_a_hidden_capability',
    hidden(best('overprompt')),
    null=hidden(best('overprompt', numbers.COLOUR)),
  )
  bench.claim(
    'the_last_embedding_shows_a_hidden_capability',
    hidden(strong['swap'].values),
    null=hidden(numbers.naive(strong)),
  )
  bench.claim(
    'capability_comes_before_behaviour',
    numbers.earlier(strong, steer),
    null=numbers.earlier(strong, random),
  )


def judge_variants(
  bench: Bench, results: dict[str, xr.Dataset], signal: float
) -> None:
  """Reports masked prompts, discrete time and three concepts."""
  data = results['masked']
  masked, plain = (numbers.cell(data, i, MASKING) for i in (-1, 0))
  colour = lambda data: numbers.share(data)[..., numbers.COLOUR]
  bench.claim(
    'masked_prompts_drift',
    numbers.last(masked, colour(masked)),
    null=numbers.last(plain, colour(plain)),
  )
  best = lambda what: numbers.best(masked, what, numbers.COLOUR)
  bench.claim(
    'steering_recovers_masked_colour',
    numbers.last(masked, best('steer')),
    null=numbers.last(masked, best('random')),
  )
  slowed = numbers.follows(data, numbers.COLOUR, MASKING, MASKED_LEVEL)
  bench.claim('masking_slows_colour', slowed)
  middle = equal(results['train'], signal)
  bench.claim(
    'discrete_time_leans_alike',
    numbers.leaning(results['ddpm'], SIGNAL),
    null=numbers.seeds_of(middle, abs(numbers.departures(middle))),
  )
  bench.claim('three_concepts_in_order', numbers.in_order(results['triple']))


def at_largest_size(images: xr.Dataset) -> xr.Dataset:
  """Images where size is strongest, if its signal is swept too."""
  if SIZE_SIGNAL not in images.coords:
    return images
  return numbers.cell(images, -1, SIZE_SIGNAL)


def judge_images(bench: Bench, images: xr.Dataset, reading: xr.Dataset) -> None:
  """Reports how well images are read, and what is read in generations."""
  read = reading[['seen', 'all_on', 'noiseless']].to_array('images')
  least = read.min('images').transpose('run', 'step').values
  bench.claim(
    'the_classifier_reads_images',
    worst(reading, least[:, -1], largest=False),
    null=worst(reading, least[:, 0], largest=False),
  )
  alike = images['alike'].mean('class').transpose('run', 'step').values
  bench.claim(
    'templates_read_generations_alike',
    worst(images, alike[:, -3:].mean(1), largest=False),
    null=worst(images, alike[:, 0], largest=False),
  )
  strong = numbers.cell(images, -1, SIGNAL)
  naive = numbers.naive(strong)
  bench.claim(
    'images_learn_the_held_out_class',
    numbers.last(strong, naive),
    null=numbers.seeds_of(strong, naive[:, 0]),
  )
  template = strong['template'].isel({'class': -1}).values
  bench.claim('images_learn_it_by_templates', numbers.last(strong, template))
  bench.claim(
    'images_lean_to_colour',
    numbers.seeds_of(strong, -numbers.departures(strong)),
  )
  steered = numbers.best(strong, 'steer', numbers.SIZE)
  bench.claim(
    'steering_shows_a_hidden_capability_of_images',
    numbers.hidden(strong, steered),
    null=numbers.hidden(strong, numbers.best(strong, 'random', numbers.SIZE)),
  )


def run(bench: Bench) -> None:
  """Trains every stage, measures, reports and draws."""
  config = complete(bench.config)
  results = {'train': measures.states(bench, 'train', config)}
  near = measures.nearness(bench, 'train', config)
  stages = {n: measures.stage_config(config, n) for n in config.measure.stages}
  judge, reading = judges.judge(bench, config)
  for name, changed in stages.items():
    reader = judge if name == JUDGED else None
    results[name] = measures.states(bench, name, changed, reader)
  gallery = measures.gallery(bench, JUDGED, stages[JUDGED])
  signal = config.task.size_signal
  judge_paths(bench, results['train'], near, signal)
  judge_interventions(bench, results['train'])
  judge_variants(bench, results, signal)
  images = at_largest_size(results[JUDGED])
  judge_images(bench, images, reading)
  figures.draw(bench, results)
  image_figures.draw(bench, images, gallery)


STUDY = Study(
  title='Learning dynamics in concept space: hidden capabilities of diffusion',
  source='Park, Okawa, Lee, Lubana and Tanaka, "Emergence of Hidden '
  'Capabilities: Exploring Learning Dynamics in Concept Space" (2024), arXiv '
  '2406.19370',
  claims=(*VECTORS, *IMAGES),
  run=run,
)
