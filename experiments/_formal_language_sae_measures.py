"""What the study `formal_language_sae` measures of one network.

  grammatical   how a language model's strings are
  judged        an autoencoder of it: its error, its latents' correlations, and
                the strings that are written with it spliced in
  clamped       what becomes of strings when one latent is held at a value

Source: Menon, Shrivastava, Krueger and Lubana (2024), arXiv 2410.11767.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxsynth.analysis.correlations import pearson
from jaxsynth.generate import generate
from jaxsynth.interventions.splice import Splice, clamp
from jaxsynth.models.base import Edit
from jaxsynth.models.sae import ACTIVE
from jaxsynth.tasks.formal_language import FormalLanguage
from jaxsynth.types import Array, PyTree

# A moved activation changes a feature's linear estimate by so many deviations.
FAR = 2.0


def written(
  task: FormalLanguage,
  model,
  params: PyTree,
  count: int,
  key: Array,
  edit: PyTree = None,
) -> tuple[Array, Array, Array]:
  """What a model writes, `count` strings, as `FormalLanguage.read` reads it."""
  prompts = jnp.tile(task.prompt, (count, 1))
  made = generate(
    model,
    params,
    prompts,
    task.length,
    key=key,
    stop=(task.eos,),
    padding=task.pad,
    edit=edit,
  )
  return task.read(made.tokens)


def grammatical(task: FormalLanguage, model, count: int) -> Callable:
  """The analysis of a language model.

  Returns:
    fn(params, ctx) -> what `summary` says of the strings it writes.
  """

  def measure(params, ctx):
    return summary(*written(task, model, params, count, ctx.key)[1:])

  return measure


def summary(length: Array, valid: Array) -> dict[str, Array]:
  """How strings are.

  Args:
    length: words of each, [B].
    valid: whether it is a sentence, [B].

  Returns:
    valid []: the share of sentences; longer_valid []: that among strings of
    more than one word, 0 if there are none; length []: mean number of words.
  """
  longer = length > 1
  return {
    'valid': valid.mean(),
    'longer_valid': (valid & longer).sum() / jnp.maximum(longer.sum(), 1),
    'length': length.mean(),
  }


def _flat(batch) -> tuple[Array, Array]:
  """Features [N, F] and weights [N] of a batch's positions."""
  truth = batch.info['features']
  return truth.reshape(-1, truth.shape[-1]), batch.weights.reshape(-1)


def judged(task: FormalLanguage, model, sae, site: str, count: int) -> Callable:
  """The analysis of an autoencoder of a language model.

  Args:
    task: of the language model.
    model: the language model.
    sae: the autoencoder.
    site: where it is spliced in.
    count: strings written.

  Returns:
    fn(params, ctx) -> `summary` of strings written with it spliced in; error
    []: squared error over variance, of activations as they are; l0 [];
    dead []: share of latents never active on held-out sentences; best,
    shuffled [F]: the largest absolute correlation of a latent with each
    feature, and with that of another word.
  """

  def measure(params, ctx):
    network, batch = ctx.constants['task_params'], ctx.evals['held_out']
    out = ctx.apply(params, batch.inputs)
    x, rebuilt, codes = (
      v.reshape(-1, v.shape[-1])
      for v in (batch.inputs, out.prediction, out.acts['sae.codes'])
    )
    features, weights = _flat(batch)
    share = weights / weights.sum()
    apart = x - share @ x
    square = lambda v: share @ jnp.square(v).sum(-1)
    active = (codes > ACTIVE) & (weights > 0)[:, None]
    splice = {site: Splice(sae, params)}
    made = written(task, model, network.params, count, ctx.key, splice)
    other = jax.random.permutation(ctx.key, len(weights))
    both = weights * weights[other]
    return {
      **summary(*made[1:]),
      'error': square(rebuilt - x) / square(apart),
      'l0': active.sum() / weights.sum(),
      'dead': 1 - active.any(0).mean(),
      'best': jnp.abs(pearson(codes, features, weights)).max(0),
      'shuffled': jnp.abs(pearson(codes, features[other], both)).max(0),
    }

  return measure


def means(task: FormalLanguage, tokens: Array, length: Array) -> Array:
  """The mean of each feature over the words of each string, [B, F]."""
  total = task.truth(tokens, length).sum(1)
  return total / jnp.maximum(length, 1)[:, None]


def clamped(
  task: FormalLanguage, model, sae, site: str, count: int, most: int
) -> Callable:
  """The analysis of what latents cause.

  Each of the `most` latents that correlate best with any feature is held, at
  every position, at the largest value it has on held-out sentences, and
  strings are written. The effect on a feature is the change of its mean over
  the words of a string, over the deviation of that between strings that are
  not clamped. As a control, activations are moved along the direction in
  which they change with the feature, by FAR of its deviations.

  Args:
    task: of the language model.
    model: the language model.
    sae: the autoencoder.
    site: where it is spliced in.
    count: strings written for each latent.
    most: latents clamped.

  Returns:
    fn(params, ctx) -> r, effect [latents, F]; control [F]: the effect of the
    control.
  """

  def measure(params, ctx):
    network, batch = ctx.constants['task_params'], ctx.evals['held_out']
    features, weights = _flat(batch)
    codes = ctx.apply(params, batch.inputs).acts['sae.codes']
    codes = codes.reshape(-1, codes.shape[-1])
    r = pearson(codes, features, weights)
    chosen = jax.lax.top_k(jnp.abs(r).max(1), most)[1]
    highest = jnp.pad((codes * (weights > 0)[:, None]).max(0), (0, 1))

    def strings(edit):
      tokens, length, _ = written(
        task, model, network.params, count, ctx.key, {site: edit}
      )
      found = means(task, tokens, length)
      return found.mean(0), found.std(0)

    def hold(latent):
      edit = clamp(latent, highest[latent], codes.shape[1])
      return strings(Splice(sae, params, edit))

    def move(direction):
      return strings(Edit(add=direction))

    # The first of each is the one that changes nothing.
    none = jnp.array([codes.shape[1]])
    held, spread = jax.lax.map(hold, jnp.concatenate([none, chosen]))
    x = batch.inputs.reshape(-1, batch.inputs.shape[-1])
    ways = jnp.pad(directions(x, features, weights), ((1, 0), (0, 0)))
    moved, free = jax.lax.map(move, ways)
    over = lambda means, deviations: (
      (means[1:] - means[0]) / jnp.maximum(deviations[0], 1e-6)
    )
    return {
      'r': r[chosen],
      'effect': over(held, spread),
      'control': jnp.diagonal(over(moved, free)),
    }

  return measure


def directions(x: Array, features: Array, weights: Array) -> Array:
  """How vectors change with FAR deviations of each feature, [F, d].

  Args:
    x: vectors [N, d].
    features: [N, F].
    weights: of the vectors [N].
  """
  share = weights / weights.sum()
  apart = lambda v: v - share @ v
  y = apart(features)
  deviation = jnp.sqrt(share @ jnp.square(y))
  cov = (share[:, None] * y).T @ apart(x)
  return FAR * cov / jnp.maximum(deviation, 1e-6)[:, None]
