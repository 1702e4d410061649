"""The host's half of the loop: calls, and what is kept of them.

All runs advance together, block by block and call by call. A call is fetched,
and a segment of calls put together, while the next one runs. Progress,
metrics, saving and stopping happen between calls.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from jaxsynth import leaves, peers
from jaxsynth.train import collect, compiling
from jaxsynth.train import engine as engines
from jaxsynth.train.blocks import Block, blocks_of, gather, initial, scatter
from jaxsynth.train.keeping import nested
from jaxsynth.train.layout import Layout
from jaxsynth.train.sweep import RunSpec
from jaxsynth.trajectory.plan import Call, Schedule
from jaxsynth.trajectory.queue import Memory
from jaxsynth.trajectory.writer import Writer
from jaxsynth.types import PyTree

SEGMENT_BYTES = 256 << 20


class Advanced(NamedTuple):
  """What one call brought back to the host, runs first.

  Attributes:
    call: which one.
    snapshots: leaf name -> pieces [runs, K, ...], block by block and device by
      device, the last ones with dummies; see `collect`.
    scalars: name -> [R, steps].
    evals: name -> [R, E].
    state: the full state after it, [R, ...], where it was asked for.
  """

  call: Call
  snapshots: dict[str, list[np.ndarray]]
  scalars: dict[str, np.ndarray]
  evals: dict[str, np.ndarray]
  state: PyTree | None


class Event(NamedTuple):
  """What an observer is told after each call.

  Attributes:
    step: updates done.
    last: updates in all.
    runs: number of runs.
    scalars: name -> [R, steps of the call].
    evals: name -> [R, E], and at which steps.
    eval_steps: the E steps.
    seconds: since training began in this process.
    first: updates that were already done when this process began.
    hparams: swept values of each of the R runs, by config path.
  """

  step: int
  last: int
  runs: int
  scalars: dict[str, np.ndarray]
  evals: dict[str, np.ndarray]
  eval_steps: tuple[int, ...]
  seconds: float
  first: int
  hparams: tuple[Mapping[str, float], ...] = ()


class Stopped(Exception):  # noqa: N818
  """Training was asked to stop; everything up to `step` is saved."""

  def __init__(self, step: int):
    super().__init__(f'stopped after step {step}')
    self.step = step


def advance(
  engine: engines.Engine,
  blocks: list[Block],
  states: list[PyTree],
  calls: list[Call],
  want_state: Callable[[Call], bool],
  stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Advanced]:
  """Runs the calls in order and yields what each brought back.

  Args:
    engine: compiled functions.
    blocks: the runs.
    states: their states, donated.
    calls: what is left of the schedule.
    want_state: whether the full state after a call is needed; asked once the
      call is under way.
    stopping: whether to fetch a call before the next one begins.
  """
  states = list(states)

  def fetch(call: Call, outputs: list[PyTree], state: PyTree) -> Advanced:
    scalars, evals = gather(blocks, [rows[1:] for rows in outputs], copy=False)
    cut = lambda tree, n: jax.tree.map(lambda x: x[:, :n], tree)
    return Advanced(
      call,
      collect.pieces(
        [rows[0] for rows in outputs], 'snapshots', len(call.snapshots)
      ),
      cut(scalars, call.stop - call.start),
      cut(evals, len(call.evals)),
      state,
    )

  def fetch_state() -> PyTree:
    return gather(blocks, [engine.fetchable(s) for s in states], copy=True)

  pending = None
  for call in calls:
    outputs = []
    for i, block in enumerate(blocks):
      states[i], rows = engine.call(
        block.run, block.constants, states[i], engines.cuts(call)
      )
      outputs.append(rows)
    if pending is not None:
      yield fetch(*pending)
    state = fetch_state() if want_state(call) else None
    pending = (call, outputs, state)
    if stopping():  # there may be no time for another call
      yield fetch(*pending)
      pending = None
  if pending is not None:
    yield fetch(*pending)


def arrays_of(
  parts: list[Advanced], runs: int, memory: Memory
) -> dict[str, np.ndarray]:
  """The outputs of several calls as the named arrays of one segment."""

  def metrics(kind: str) -> dict[str, np.ndarray]:
    trees = [leaves.flatten({kind: nested(getattr(p, kind))}) for p in parts]
    out = {n: np.concatenate([t[n] for t in trees], 1) for n in trees[0]}
    return {n: a for n, a in out.items() if a.shape[1]}

  names = parts[0].snapshots if any(p.call.snapshots for p in parts) else ()
  kept = {
    n: collect.joined([p.snapshots[n] for p in parts], runs, memory.empty)
    for n in names
  }
  return {**kept, **metrics('scalars'), **metrics('evals')}


def _bytes_a_run(done: Advanced) -> int:
  """Bytes of one run's snapshots: the same in every process."""
  pieces = [leaf[0] for leaf in done.snapshots.values()]
  return sum(math.prod(x.shape[1:]) * x.itemsize for x in pieces)


def train(
  engine: engines.Engine,
  specs: list[RunSpec],
  schedule: Schedule,
  layout: Layout,
  writer: Writer,
  *,
  parents: PyTree = None,
  checkpoint_calls: int = 20,
  observe: Callable[[Event], None] = lambda event: None,
  stopping: Callable[[], bool] = lambda: False,
) -> None:
  """Trains all runs of one group to the end, or continues where it stopped.

  Args:
    engine: what is trained, built for this schedule and layout.
    specs: the runs.
    schedule: calls and what they keep.
    layout: how runs lie on devices.
    writer: where the trajectory goes.
    parents: full states the runs of `layout.states` start from, or None.
    checkpoint_calls: a checkpoint every so many calls. A segment ends there,
      and where it holds SEGMENT_BYTES.
    observe: told after each call.
    stopping: asked between calls; True in any process saves, then raises
      Stopped in all of them.

  Raises:
    Stopped: `stopping` said so and there are steps left.
  """
  last = schedule.calls[-1].stop
  stop = lambda: peers.anywhere(stopping())
  compiling.compile_all(
    compiling.trace(engine, specs, schedule, layout, parents)
  )
  blocks = blocks_of(specs, engine, layout)
  states = initial(blocks, engine, parents)
  resumed = writer.latest(states[0])
  first = -1
  if resumed is not None:
    first, tree = resumed
    if first >= last:
      return
    states = scatter(tree, blocks, engine)
  elif schedule.branch_start:
    start = [engine.fetchable(state) for state in states]
    writer.checkpoint(0, gather(blocks, start, copy=True), keep=True)
  calls = [c for c in schedule.calls if c.start >= max(first, 0)]
  if first < 0:
    first = 0
  own = layout.held(len(specs))
  held, hparams = len(own), tuple(specs[i].hparams for i in own)
  began, parts, size, since = time.monotonic(), [], 0, 0
  target, limit = writer.committed_stop(first), writer.next_start(first)

  def wants_state(call: Call) -> bool:
    asked = stop()  # from now on a signal waits for what is under way
    if target is not None and call.stop != target:
      return False  # segments of a second try end where they did
    whole = limit is None or call.stop == target  # no hole is half filled
    due = since + 1 >= checkpoint_calls or (whole and asked)
    return call.branch or call.stop == last or due

  for done in advance(engine, blocks, states, calls, wants_state, stop):
    parts.append(done)
    since += 1
    size += _bytes_a_run(done) * len(specs)
    observe(
      Event(
        done.call.stop,
        last,
        len(specs),
        done.scalars,
        done.evals,
        done.call.evals,
        time.monotonic() - began,
        first,
        hparams,
      )
    )
    step = done.call.stop
    if done.state is None and (target or limit) and stop():
      # There are later segments on disk; the next start recomputes.
      raise Stopped(parts[0].call.start)
    full = step == target
    if target is None:
      full = step == limit or size >= SEGMENT_BYTES
    if done.state is None and not full:
      continue
    writer.segment(
      parts[0].call.start,
      step,
      [s for p in parts for s in p.call.snapshots],
      [s for p in parts for s in p.call.evals],
      arrays_of(parts, held, writer.memory),
    )
    parts, size = [], 0
    target, limit = writer.committed_stop(step), writer.next_start(step)
    if done.state is None:
      continue
    writer.checkpoint(step, done.state, keep=done.call.branch)
    since = 0
    if step < last and stop():
      writer.wait()
      raise Stopped(step)
  writer.wait()
