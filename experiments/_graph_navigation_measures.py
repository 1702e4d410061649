"""What the study `graph_navigation` measures of a trained network.

  navigated   greedy answers to pairs that were not in training
  tempered    valid and different paths by temperature
  lengths     lengths of sampled paths against those of all paths

Source: Khona et al. (2024), arXiv 2402.07757.
"""

import jax
import jax.numpy as jnp

from jaxsynth import rng
from jaxsynth.generate import generate
from jaxsynth.tasks import graph_navigation
from jaxsynth.tasks.lib import graphs, traces
from jaxsynth.types import Array

PROMPT = graph_navigation.PROMPT
# Sequences written together: their key-value cache stays near the cores.
ROWS = 512


def write(task, model, params, world, source, goal, **how) -> traces.Trace:
  """What a network writes about pairs: its path and what follows it.

  Args:
    task: a GraphNavigation.
    model: the network.
    params: its parameters.
    world: the graph.
    source: int32 [B].
    goal: int32 [B].
    **how: key and temperature, as `generate` takes them; greedy without.
  """
  nothing = jnp.zeros((len(source), 0), jnp.int32)
  prompts = task.documents(world, source, goal, nothing)[:, :PROMPT]
  written = generate(
    model,
    params,
    prompts,
    task.document_length,
    stop=(task.end_token,),
    padding=task.end_token + 1,
    **how,
  )
  return traces.read(written.tokens, PROMPT, world.edges)


def in_groups(fn, *arrays: Array):
  """fn of rows, ROWS at a time, joined again."""
  size = len(arrays[0])
  rows = min(ROWS, size)

  def cut(x):
    fill = [(0, -size % rows)] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, fill, 'edge').reshape(-1, rows, *x.shape[1:])

  out = jax.lax.map(lambda part: fn(*part), tuple(map(cut, arrays)))
  return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:size], out)


def by_span(task, world, span: Array) -> Array:
  """Whether there is a path, judged by the span alone: bool [B].

  The better guess of each span on the training mixture; a path where it never
  had any such pair.
  """
  every = world.rank - world.rank[:, None]
  ratio = []
  for kind in (0, 1):
    of_kind = jnp.bincount(
      every.ravel(), 1.0 * (world.kind == kind).ravel(), length=task.num_nodes
    )
    ratio.append(of_kind / jnp.maximum(world.count[kind], 1))
  return (ratio[1] >= ratio[0])[span]


def navigated(task, model, size: int):
  """The analysis of greedy answers about unseen pairs of any span.

  Half of the pairs have a path; they are the same at every step.

  Args:
    task: a GraphNavigation.
    model: the network.
    size: pairs B.

  Returns:
    fn(params, ctx) over 'run' -> of each pair [B]: path, span; right_by_span,
    whether the span alone decides it; and at each step [K, B]: right, whether
    the label is; steps, edges, how many steps its path has and how many of
    them are edges, the first node counting as one; valid, whether all are;
    arrives, whether it ends at the goal.
  """

  def measure(params, ctx):
    world = ctx.constants['task_params']
    pairs = task.pairs(world, ctx.key, size, 'unseen')
    source, goal = pairs
    path = world.paths[source, goal] > 0
    span = world.rank[goal] - world.rank[source]
    label = jnp.where(path, task.path_token, task.path_token + 1)

    def one(p):
      told = in_groups(lambda s, g: write(task, model, p, world, s, g), *pairs)
      begins = told.nodes[:, 0] == source
      return {
        'right': told.after == label,
        'steps': jnp.maximum(told.length, 1),
        'edges': told.edges + begins,
        'valid': told.valid & begins,
        'arrives': told.last == goal,
      }

    return jax.lax.map(one, params) | {
      'path': path,
      'span': span,
      'right_by_span': by_span(task, world, span) == path,
    }

  return measure


def distinct(rows: Array, counted: Array) -> Array:
  """How many different rows [S, M] there are among those counted, bool [S]."""
  rows = jnp.where(counted[:, None], rows, -2)
  order = jnp.lexsort(rows.T)
  rows, counted = rows[order], counted[order]
  new = (rows[1:] != rows[:-1]).any(1)
  return (counted & jnp.append(True, new)).sum()


def tempered(task, model, temperatures, pairs: int, samples: int):
  """The analysis of paths sampled at each temperature.

  Args:
    task: a GraphNavigation.
    model: the network.
    temperatures: X of them.
    pairs: how many, P: the unseen ones with most paths.
    samples: of each pair at each temperature.

  Returns:
    fn(params, ctx) -> success [X, P]: share of paths that are valid and
    arrive; different, different_valid [X, P]: how many different ones, and
    how many of them arrive; paths [P]: how many there are.
  """

  def measure(params, ctx):
    world = ctx.constants['task_params']
    unseen = jnp.where(world.kind == 3, world.paths, -1).ravel()
    paths, code = jax.lax.top_k(unseen, pairs)
    source, goal = code // task.num_nodes, code % task.num_nodes
    rows = lambda x: jnp.repeat(x, samples)

    def one(item):
      number, temperature = item
      how = {'key': rng.at(ctx.key, number), 'temperature': temperature}
      told = write(task, model, params, world, rows(source), rows(goal), **how)
      good = told.valid & (told.nodes[:, 0] == rows(source))
      good &= told.last == rows(goal)
      nodes = told.nodes.reshape(pairs, samples, -1)
      good = good.reshape(pairs, samples)
      return {
        'success': good.mean(1),
        'different': jax.vmap(distinct)(nodes, jnp.ones_like(good)),
        'different_valid': jax.vmap(distinct)(nodes, good),
      }

    items = jnp.arange(len(temperatures)), jnp.asarray(temperatures)
    return jax.lax.map(one, items) | {'paths': paths}

  return measure


def lengths(task, model, pairs: int, samples: int):
  """The analysis of how long sampled paths are.

  Args:
    task: a GraphNavigation.
    model: the network.
    pairs: unseen pairs with a path that are drawn, P.
    samples: paths of each pair.

  Returns:
    fn(params, ctx) -> of each pair [P]: written, the mean number of edges of
    the sampled paths that arrive, NaN if none does; greedy, of the one written
    greedily, NaN if it does not arrive; sampled, of as many paths drawn
    uniformly; known, of all paths; varied, whether these differ in length;
    success, the share that arrives.
  """

  def measure(params, ctx):
    world = ctx.constants['task_params']
    source, goal = task.pairs(world, ctx.key, pairs, 'unseen', True)
    known = graphs.mean_path_length(world.edges, world.paths)[source, goal]
    shortest = graphs.distances(world.edges)[source, goal]
    many = [jnp.repeat(x, samples) for x in (source, goal)]
    drawn = task.traces(world, rng.at(ctx.key, 1), *many)
    told = write(task, model, params, world, *many, key=rng.at(ctx.key, 2))
    best = write(task, model, params, world, source, goal)
    good = lambda t, s, g: t.valid & (t.nodes[:, 0] == s) & (t.last == g)
    edges = lambda t, *pair: jnp.where(good(t, *pair), t.length - 1, jnp.nan)
    of_pair = lambda x: x.reshape(pairs, samples)
    return {
      'written': jnp.nanmean(of_pair(edges(told, *many)), 1),
      'greedy': edges(best, source, goal),
      'sampled': of_pair(drawn.length - 1).mean(1),
      'known': known,
      'varied': known > shortest + 1e-4,
      'success': of_pair(good(told, *many)).mean(1),
    }

  return measure
