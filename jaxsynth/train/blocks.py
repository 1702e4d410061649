"""The runs on the devices: in blocks of one size, there and back."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from jaxsynth.train import engine as engines
from jaxsynth.train import placing
from jaxsynth.train.layout import Layout
from jaxsynth.train.sweep import RunSpec, stack
from jaxsynth.types import PyTree, Run


class Block(NamedTuple):
  """One block of runs on the devices.

  Attributes:
    count: rows of this process beyond it are dummies, or another's to keep.
    rows: for each of its rows, where its run stands among the runs held here.
    run: the runs.
    constants: of the runs.
  """

  count: int
  rows: list[int]
  run: Run
  constants: PyTree


def blocks_of(
  specs: list[RunSpec], engine: engines.Engine, layout: Layout
) -> list[Block]:
  """The runs in blocks of one size, with their constants, on the devices."""
  out, last, held = [], len(specs) - 1, layout.held(len(specs))
  states = layout.states(len(specs))
  for slots in layout.slots(len(specs)):
    runs = [min(i, last) for i in slots]  # dummies repeat the last run
    run = engine.put(stack([specs[i] for i in runs]))
    if engine.shared:
      constants = (
        out[0].constants if out else engine.constants(stack(specs[:1]))
      )
    else:
      constants = engine.constants(run)
    count = sum(i in held for i in slots)
    out.append(Block(count, [i - states.start for i in runs], run, constants))
  return out


def constants_of(
  engine: engines.Engine, layout: Layout
) -> Callable[[Run], PyTree] | None:
  """The constants of one run, by the program that trains: no other compile.

  Returns:
    Run (of host scalars) -> its constants, which cannot be traced; None where
    that program makes those of many runs, or this process lacks some of them.
  """
  if layout.mode != 'map' or jax.process_count() > 1:
    return None
  rows = 1 if engine.shared else layout.block

  def of(run: Run) -> PyTree:
    block = jax.tree.map(lambda x: np.stack([x] * rows), run)
    if engine.shared:
      return engine.constants(block)
    made = engine.constants(engine.put(block))
    return jax.tree.map(lambda x: np.asarray(x)[0], made)

  return of


def gather(blocks: list[Block], parts: list[PyTree], copy: bool) -> PyTree:
  """Block trees [block, ...] as one host tree [R, ...] without dummies.

  R are the runs this process holds.
  """

  def join(*leaves):
    trimmed = [placing.local(x)[: b.count] for x, b in zip(leaves, blocks)]
    if len(trimmed) == 1:
      return trimmed[0].copy() if copy else trimmed[0]
    return np.concatenate(trimmed)

  return jax.tree.map(join, *parts)


def scatter(
  tree: PyTree, blocks: list[Block], engine: engines.Engine
) -> list[PyTree]:
  """A host tree of the runs of `Layout.states` as trees on the devices."""
  rows_of = lambda rows: jax.tree.map(lambda x: np.asarray(x)[rows], tree)
  return [engine.put_state(rows_of(b.rows)) for b in blocks]


def initial(
  blocks: list[Block],
  engine: engines.Engine,
  parents: PyTree = None,
) -> list[PyTree]:
  """Every block's state at step 0."""
  starts = (
    [None] * len(blocks)
    if parents is None
    else scatter(parents, blocks, engine)
  )
  return [
    engine.init(b.run, b.constants, parent) for b, parent in zip(blocks, starts)
  ]
