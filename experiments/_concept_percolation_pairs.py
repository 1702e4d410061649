"""How pairs percolate in the study `concept_percolation`: no network is asked.

  seen       the pairs of entity and value that training showed, step by step
  simulated  random pairs, against the fixed point

Source: the theory is that of Lubana, Kawaguchi, Dick and Tanaka (2024), arXiv
2408.12578, see `jaxsynth.analysis.percolation`; the percolation of the very
pairs that a training showed is ours.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxsynth import build, rng
from jaxsynth.analysis import percolation
from jaxsynth.tasks.lib import concept_words as words
from jaxsynth.tasks.lib.concept_word_laws import KIND, read
from jaxsynth.types import Array


def seen(task, seeds: dict[str, Array], batch_size: int, steps: int):
  """How the pairs of entity and value in training percolate.

  The very batches that a run of these seeds was trained on are drawn again.

  Args:
    task: a ConceptPercolation.
    seeds: of the run, by stream; may be traced.
    batch_size: sequences of a batch.
    steps: how many batches.

  Returns:
    pairs [steps]: distinct pairs seen of a class, mean over classes; entities,
    values, inferable [steps]: shares in the largest component, likewise.
  """
  language = task.language
  table = words.lexicon(language)
  kind, prop, number = (
    jnp.asarray(x) for x in (table.kind, table.prop, table.number)
  )
  facts = task.init(rng.stream(seeds, 'task'))
  size = int(np.max(language.described(task.max_properties))) * task.values
  key = rng.stream(seeds, 'data')

  def step(seen_CEK, t):
    batch = task.sample(facts, rng.at(key, t), t, batch_size)
    state = read(language, batch.inputs)
    place = jnp.arange(task.seq_len - 1)
    here = (place >= batch.info['first'][:, None]) & (
      kind[batch.inputs] == KIND['value']
    )
    column = prop[batch.inputs] * task.values + number[batch.inputs]
    column = jnp.where(here, column, size)  # beyond the end: dropped
    seen_CEK = seen_CEK.at[state.group, state.key, column].set(
      True, mode='drop'
    )
    found = jax.vmap(percolation.largest_component)(seen_CEK)
    out = {'pairs': seen_CEK.sum((1, 2)).mean()}
    return seen_CEK, out | jax.tree.map(jnp.mean, found)

  none = jnp.zeros((task.classes, task.generic, size), bool)
  return jax.lax.scan(step, none, jnp.arange(steps))[1]


@functools.partial(jax.jit, static_argnums=(2, 3))
def _shares(keys, probabilities, entities: int, values: int):
  """Shares of entities in the largest component [probabilities, keys]."""

  def one(p, key):
    return percolation.simulate(key, p, entities, values)['entities']

  each = lambda p: jax.lax.map(lambda key: one(p, key), keys)
  return jax.lax.map(each, probabilities)


def simulated(seed: int, options: dict) -> xr.Dataset:
  """Random pairs of |E| entities and |K| values, and the fixed point.

  Args:
    seed: of the draws.
    options: entities, values; times: multiples of p_c; draws of each; scaling:
      numbers of values for which the pairs are counted that it takes until
      half of the entities are in the largest component, in the mean of
      scaling_draws.

  Returns:
    share [times, draw] of entities in the largest component; solved [times];
    pairs [size], simulated, and theory [size], at which the share is a half.
  """
  E, K = options['entities'], options['values']
  times, draws = np.asarray(options['times']), options['draws']
  keys = jax.random.split(rng.stream({'eval': seed}, 'eval'), draws)

  few = keys[: options['scaling_draws']]
  critical = percolation.threshold(E, K)['probability']
  share = _shares(keys, times * critical, E, K)
  solved = percolation.giant(times * critical, E, K)['entities']
  sizes = np.asarray(options['scaling'])
  grid = np.linspace(0.9, 1.9, 11)
  pairs, theory = [], []
  for size in sizes.tolist():
    most = percolation.threshold(E, size)['pairs']
    mean = _shares(few, grid * most / (E * size), E, size).mean(1)
    rising = np.maximum.accumulate(mean)
    pairs.append(np.interp(0.5, rising, grid) * most)
    theory.append(percolation.probability_at(0.5, E, size) * E * size)
  return xr.Dataset(
    {
      'share': (('times', 'draw'), np.asarray(share)),
      'solved': (('times',), np.asarray(solved)),
      'pairs': (('size',), np.asarray(pairs)),
      'theory': (('size',), np.asarray(theory)),
    },
    {'times': times, 'size': sizes},
  )


def shown(config, steps: int) -> xr.Dataset:
  """`seen` of every seed of a training: dims run and step."""
  setup = build.build(config)
  runs = setup.sweep.runs()
  one = jax.jit(  # for all runs
    lambda seeds: seen(setup.task, seeds, setup.train.batch_size, steps)
  )
  found = [one({k: np.uint32(s) for k, s in r.seeds.items()}) for r in runs]
  stacked = jax.tree.map(lambda *x: np.stack(x), *found)
  return xr.Dataset(
    {name: (('run', 'step'), x) for name, x in stacked.items()},
    {
      'run': [r.seeds['init'] for r in runs],
      'step': np.arange(1, steps + 1),
    },
  )
