"""What the study `graph_navigation` measures on chains of motifs.

Whether a path goes through the motifs in the exemplars' order, and which of
two chains with the same ends it follows.

Source: Khona et al. (2024), arXiv 2402.07757.
"""

import jax.numpy as jnp

from jaxsynth import rng
from jaxsynth.experiments._graph_navigation_measures import in_groups
from jaxsynth.generate import generate
from jaxsynth.tasks.graph_motifs import SPLITS
from jaxsynth.tasks.lib import traces
from jaxsynth.tasks.lib.motifs import permutations
from jaxsynth.types import Array, Key


def visits(task, told: traces.Trace, chain: Array) -> Array:
  """Whether paths are valid and go through a chain's motifs in order, [B].

  Args:
    task: a GraphMotifs.
    told: paths.
    chain: int32 [B, C], -1 beyond its end.
  """
  motif = jnp.where(told.nodes >= 0, told.nodes // task.motif_nodes, -1)
  new = (motif[:, 1:] != motif[:, :-1]) & (motif[:, 1:] >= 0)
  place = jnp.pad(jnp.cumsum(new, 1), ((0, 0), (1, 0)))
  wide = jnp.pad(chain, ((0, 0), (0, motif.shape[1])), constant_values=-2)
  wanted = jnp.take_along_axis(wide, place, 1)
  through = ((motif == wanted) | (motif < 0)).all(1)
  ends = place[:, -1] == (chain >= 0).sum(1) - 1
  return told.valid & through & ends


def write(
  task, model, params, motifs, context: Array, path: Array
) -> tuple[traces.Trace, Array]:
  """The paths a network writes greedily after a context.

  Args:
    task: a GraphMotifs.
    model: the network.
    params: its parameters.
    motifs: the graphs.
    context: tokens, -1 where there are none, int32 [B, *].
    path: nodes whose first and last are asked for, int32 [B, *].

  Returns:
    The paths, and whether each begins and ends as asked, bool [B].
  """
  tokens = task.documents(context, path)
  start = (tokens == task.num_nodes + 1).argmax(1)
  written = generate(
    model,
    params,
    tokens,
    task.document_length,
    given=start + 2,
    stop=(task.end_token,),
    padding=task.end_token + 1,
  )
  told = traces.read(written.tokens, start + 2, motifs.edges + motifs.ghosts)
  at = lambda i: jnp.take_along_axis(tokens, i[:, None], 1)[:, 0]
  asked = (told.nodes[:, 0] == at(start + 1)) & (told.last == at(start - 1))
  return told, asked & (told.after == task.end_token)


def conflicts(task) -> list[int]:
  """K for which two chains of different motifs fit into one document."""
  M, tokens = task.longest, lambda k: 2 * (k + 1) * (2 * task.longest + 1)
  return [
    k
    for k in range(1, task.max_k + 1)
    if 2 * k + 2 <= task.num_motifs
    and tokens(k) + 4 + (k + 2) * M + 1 <= task.document_length
  ]


def contradictory(task, key: Key, k: int, size: int) -> list[Array]:
  """Two chains with the same ends and no other motif in common.

  Args:
    task: a GraphMotifs.
    key: of the chains.
    k: intermediate motifs of each.
    size: how many, B.

  Returns:
    Two of int32 [B, room + 2], -1 beyond the end.
  """
  order = permutations(key, (size, task.num_motifs))
  fill = ((0, 0), (0, task.room - k))
  return [
    jnp.pad(
      jnp.concatenate([order[:, :1], inner, order[:, -1:]], 1),
      fill,
      constant_values=-1,
    )
    for inner in (order[:, 1 : k + 1], order[:, k + 1 : 2 * k + 1])
  ]


def followed(task, model, size: int):
  """The analysis of paths through chains, and of chains that contradict.

  Args:
    task: a GraphMotifs.
    model: the network.
    size: chains of each K.

  Returns:
    fn(params, ctx) -> follows, valid [2, room]: shares, of seen and unseen
    chains of K = 1..room intermediate motifs, of paths that are valid, go
    through the motifs in order and end as asked; that are valid at all.
    first, second [C]: with two chains with the same ends in the context, for
    each K of `conflicts(task)`, shares of paths that follow either.
  """

  def measure(params, ctx):
    motifs = ctx.constants['task_params']
    at = lambda i: rng.at(ctx.key, i)
    k = jnp.repeat(jnp.arange(1, task.room + 1), size)
    known = [task.chains(motifs, at(i), k, s) for i, s in enumerate(SPLITS)]
    both = [contradictory(task, at(9 + k), k, size) for k in conflicts(task)]
    first = jnp.concatenate([*known, *(a for a, _ in both)])
    second = jnp.full((2 * len(k), task.room + 2), -1)
    second = jnp.concatenate([second, *(b for _, b in both)])
    context = [
      task.exemplars(motifs, at(2 + i), c)
      for i, c in enumerate((first, second))
    ]
    path = task.segments(motifs, at(4), first).reshape(len(first), -1)
    told, asked = in_groups(
      lambda c, p: write(task, model, params, motifs, c, p),
      jnp.concatenate(context, 1),
      path,
    )
    one, other = (visits(task, told, c) & asked for c in (first, second))
    mean = lambda x: x.reshape(-1, size).mean(1)
    whole = lambda x: mean(x)[: 2 * task.room].reshape(2, -1)
    rest = lambda x: mean(x)[2 * task.room :]
    return {
      'follows': whole(one),
      'valid': whole(told.valid),
      'first': rest(one),
      'second': rest(other),
    }

  return measure
