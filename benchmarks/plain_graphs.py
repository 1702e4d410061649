"""Generators of paths on graphs as one would write them plainly.

Dicts of neighbours and one walk at a time, in Python: what the samplers of
`jaxsynth.tasks.graph_navigation` and `graph_motifs` are timed against. They
do the same work and draw by the same laws.
"""

import bisect
import itertools
import random
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def _neighbours(edges: np.ndarray) -> list[list[int]]:
  return [np.flatnonzero(row).tolist() for row in edges]


def _padded(rows: list[list[int]], length: int, end: int) -> tuple:
  """Inputs, targets and weights of documents that finish with `end`."""
  tokens = np.full((len(rows), length), end + 1, np.int32)
  for row, document in zip(tokens, rows):
    row[: len(document)] = document
  targets = tokens[:, 1:]
  return tokens[:, :-1], targets, (targets <= end).astype(np.float32)


def graph_navigation(task: Any, params: Any, batch: int) -> Callable:
  """Documents about pairs of nodes, with a path or a walk."""
  world = jax.tree.map(np.asarray, params)
  n, rng = task.num_nodes, random.Random(0)
  after, rank = _neighbours(world.edges), world.rank.tolist()
  kinds = [np.argwhere(world.kind == kind).tolist() for kind in (0, 1)]
  # Of each node and goal: the neighbours that lead there, and how often.
  ways: dict = {}

  def onward(node: int, goal: int) -> int:
    if (node, goal) not in ways:
      some = [x for x in after[node] if world.paths[x, goal]]
      counts = itertools.accumulate(world.paths[x, goal] for x in some)
      ways[node, goal] = some, list(counts)
    some, counts = ways[node, goal]
    return some[bisect.bisect(counts, rng.random() * counts[-1])]

  def one() -> list[int]:
    path = rng.random() < 0.5
    source, goal = rng.choice(kinds[path])
    trace = [source]
    while path and trace[-1] != goal:
      trace.append(onward(trace[-1], goal))
    while not path and len(trace) < task.longest:
      if rank[trace[-1]] >= rank[goal] or not after[trace[-1]]:
        break
      trace.append(rng.choice(after[trace[-1]]))
    label = task.path_token + (not path)
    told = trace if task.stepwise else []
    return [n, goal, n + 1, source, *told, label, task.end_token]

  def sample():
    rows = [one() for _ in range(batch)]
    return _padded(rows, task.document_length, task.end_token)

  return sample


def graph_motifs(task: Any, params: Any, batch: int) -> Callable:
  """Documents of exemplars and a path through a chain of motifs."""
  known = jax.tree.map(np.asarray, params)
  n, rng = task.num_nodes, random.Random(0)
  after = _neighbours(known.edges)
  starts = [
    [x for x in range(n) if known.source[x] and x // task.motif_nodes == a]
    for a in range(task.num_motifs)
  ]
  coins: dict = {}

  def segment(motif: int) -> list[int]:
    walk = [rng.choice(starts[motif])]
    while after[walk[-1]]:
      walk.append(rng.choice(after[walk[-1]]))
    return walk

  def one() -> list[int]:
    k = rng.randint(1, task.max_k)
    while True:
      chain = tuple(rng.sample(range(task.num_motifs), k + 2))
      if coins.setdefault(chain, rng.random()) < known.share:
        break
    out = []
    for a, b in itertools.pairwise(chain):
      out += [*segment(a), *segment(b), task.separator]
    path = [node for a in chain for node in segment(a)]
    return [*out, n, path[-1], n + 1, path[0], *path, task.end_token]

  def sample():
    rows = [one() for _ in range(batch)]
    return _padded(rows, task.document_length, task.end_token)

  return sample
