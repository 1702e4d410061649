"""The compiled half of the loop: one block of runs, one call.

A call is one jitted advance of a fixed-size block. Its shape comes from the
schedule alone; where it starts, stops, keeps and measures is traced, so a
whole training is one compile whatever its plan. Inside,

  for boundary in boundaries:            (traced, padded)
    for t in steps up to the boundary:   (traced bounds)
      state, scalars[t] = step(run, state, t)
    snapshots[slot] = keep(state)
    evals[slot] = evaluate(run, state)   (only where one is due)

the functions see one run (`map`) or are vmapped over the block's runs on a
device (`vmap`): time outside, runs inside, the step counter shared.

What a step draws (its batch) is drawn for several steps at once, so that a
sampler's walk along the positions is made once for all of them. Steps are drawn
in groups that start at multiples of the group's size, so a step's place in its
group, and with it every bit, is the same wherever a call starts.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxsynth.train import data_axis, placing
from jaxsynth.train.layout import Layout
from jaxsynth.train.program import Program, check_state
from jaxsynth.trajectory.plan import Call, Schedule
from jaxsynth.types import Array, PyTree, Run

_RUN, _ALL = P('run'), P()
# What is drawn ahead may take this much memory per run and this many steps.
AHEAD_BYTES, AHEAD_STEPS = 4 << 20, 32


class Engine(NamedTuple):
  """Jitted functions over one block of runs, leaves [block, ...].

  Attributes:
    constants: run -> constants, [block, ...]; or, where the sweep shares
      them, the host's one run, [1] -> one unbatched copy.
    init: (run, constants, parent) -> state; parent is None or [block, ...].
    call: (run, constants, state, cuts) -> (state, outputs); the state is
      donated. outputs = (snapshots, scalars, evals), leaves [block, rows, ...].
    put: the runs of this process -> on the devices, sharded over the run axis.
    put_state: states of this process, on the host -> on the devices, as `init`
      returns them: where devices share runs, in pieces.
    fetchable: state -> state of which this process can fetch its rows.
    shared: whether the constants are one unbatched copy.
  """

  constants: Callable[[Run], PyTree]
  init: Callable[..., PyTree]
  call: Callable[..., tuple[PyTree, tuple]]
  put: Callable[[PyTree], PyTree]
  put_state: Callable[[PyTree], PyTree]
  fetchable: Callable[[PyTree], PyTree]
  shared: bool


class Cuts(NamedTuple):
  """The traced boundaries of a call, see `trajectory.plan.Call`."""

  bounds: Array
  snapshot_slots: Array
  eval_slots: Array


def cuts(call: Call) -> Cuts:
  return Cuts(call.bounds, call.snapshot_slots, call.eval_slots)


def _rows(tree: PyTree, count: int) -> PyTree:
  """Zeroed buffers of `count` rows, and one more that is thrown away."""
  return jax.tree.map(lambda x: jnp.zeros((count + 1, *x.shape), x.dtype), tree)


def _write(buffer: PyTree, value: PyTree, row: Array) -> PyTree:
  return jax.tree.map(
    lambda b, x: lax.dynamic_update_index_in_dim(b, x.astype(b.dtype), row, 0),
    buffer,
    value,
  )


def _row(slot: Array, count: int) -> Array:
  return jnp.where(slot < 0, count, slot)


def steps_ahead(draw: Callable, runs: int) -> int:
  """For how many steps `draw` (t -> pytree of `runs` runs) is called at once.

  A power of two, 1 where nothing is drawn or one draw is large.
  """
  shapes = jax.tree.leaves(jax.eval_shape(draw, jnp.int32(0)))
  size = sum(math.prod(x.shape) * x.dtype.itemsize for x in shapes) / runs
  ahead = 1
  while size and 2 * ahead * size <= AHEAD_BYTES and ahead < AHEAD_STEPS:
    ahead *= 2
  return ahead


def advance(
  step: Callable,
  keep: Callable,
  evaluate: Callable,
  draw: Callable,
  ahead: int,
  sizes: Schedule,
  state: PyTree,
  cut: Cuts,
) -> tuple[PyTree, tuple[PyTree, PyTree, PyTree]]:
  """One call over whatever `step`, `keep` and `evaluate` are mapped over.

  Args:
    step: (state, t, drawn) -> (state, scalars).
    keep: state -> pytree.
    evaluate: (state, t) -> scalars.
    draw: t -> pytree that `step` takes.
    ahead: for how many steps `draw` is called at once.
    sizes: static buffer sizes.
    state: where to start.
    cut: boundaries.

  Returns:
    The new state, and (snapshots, scalars, evals) with a leading row axis.
  """
  t0 = cut.bounds[0]
  after, scalars = jax.eval_shape(lambda s, t: step(s, t, draw(t)), state, t0)
  check_state(state, after)
  shapes = (
    jax.eval_shape(keep, state),
    scalars,
    jax.eval_shape(evaluate, state, t0),
  )
  for name in set(shapes[1]) & set(shapes[2]):
    raise ValueError(f'step and evaluate both return {name!r}: rename one')
  counts = (sizes.max_snapshots, sizes.max_steps, sizes.max_evals)
  buffers = tuple(_rows(s, n) for s, n in zip(shapes, counts))

  group = jax.vmap(draw)

  def drawn_at(t, drawn):
    if ahead == 1:
      return draw(t), drawn
    first = t - t % ahead
    drawn = lax.cond(
      (t == first) | (t == t0),
      lambda _: group(first + jnp.arange(ahead)),
      lambda old: old,
      drawn,
    )
    row = lambda x: lax.dynamic_index_in_dim(x, t % ahead, keepdims=False)
    return jax.tree.map(row, drawn), drawn

  def one(t, carry):
    state, scalars, drawn = carry
    now, drawn = drawn_at(t, drawn)
    state, new = step(state, t, now)
    return state, _write(scalars, new, t - t0), drawn

  def piece(j, carry):
    state, (snapshots, scalars, evals), drawn = carry
    stop = cut.bounds[j + 1]
    state, scalars, drawn = lax.fori_loop(
      cut.bounds[j], stop, one, (state, scalars, drawn)
    )
    row = _row(cut.snapshot_slots[j], counts[0])
    snapshots = _write(snapshots, keep(state), row)
    slot = cut.eval_slots[j]
    if counts[2] and jax.tree.leaves(shapes[2]):
      evals = lax.cond(
        slot >= 0,
        lambda e: _write(e, evaluate(state, stop), _row(slot, counts[2])),
        lambda e: e,
        evals,
      )
    return state, (snapshots, scalars, evals), drawn

  pieces = cut.snapshot_slots.shape[0]
  drawn = None
  if ahead > 1:
    drawn = jax.tree.map(
      jnp.zeros_like, jax.eval_shape(group, t0 + jnp.arange(ahead))
    )
  state, buffers, _ = lax.fori_loop(0, pieces, piece, (state, buffers, drawn))
  trim = lambda buffer, n: jax.tree.map(lambda b: b[:n], buffer)
  return state, tuple(map(trim, buffers, counts))


def build(
  program: Program, layout: Layout, sizes: Schedule, shared: bool
) -> Engine:
  """Compiles (lazily) the functions of a program for one layout.

  Args:
    program: the functions of one run.
    layout: mode and devices.
    sizes: the schedule whose static sizes the call is built for.
    shared: whether all runs share one copy of the constants.
  """
  # Traced twice, for its shapes and for itself: the second time is for free.
  program = program._replace(
    step=jax.jit(program.step, inline=True),
    evaluate=jax.jit(program.evaluate, inline=True),
  )
  mesh = layout.mesh
  const_spec = _ALL if shared else _RUN
  const_axis = None if shared else 0

  # Along `data` the compiler follows the marks of the program, and of what
  # goes in and out. Of processes that share a group the first writes for all.
  across = layout.group_processes > 1
  whole = lambda tree, lead: data_axis.whole(tree)
  fetched = whole if across else data_axis.spread
  gathered = jax.jit(lambda x: x, out_shardings=NamedSharding(mesh, _RUN))
  # Where what is made once lies is said: of an empty array XLA keeps no place,
  # and a call that finds one elsewhere than it was compiled for compiles anew.
  placed = {'out_shardings': NamedSharding(mesh, _RUN)}
  started = placed if layout.data == 1 else {}  # else in pieces

  def sharded(
    fn: Callable,
    in_specs: Any,
    axes: tuple[str, ...] = ('run',),
    **jit_options,
  ) -> Callable:
    return jax.jit(
      jax.shard_map(
        fn,
        mesh=mesh,
        in_specs=in_specs,
        out_specs=_RUN,
        axis_names=set(axes),
        check_vma=False,
      ),
      **jit_options,
    )

  # What runs once goes through the runs one by one in either layout: the same
  # constants and the same initialisation, bit for bit.
  def init(run, constants, parent):
    def start(row):
      run, own, parent = row
      own = constants if shared else own
      state = program.init(run._replace(constants=own, parent=parent))
      return data_axis.spread(state)

    states = lax.map(start, (run, None if shared else constants, parent))
    return data_axis.spread(states, lead=1)

  def call(run, constants, state, cut):
    if layout.mode == 'vmap':
      lift = lambda fn, *axes: jax.vmap(fn, in_axes=(0, const_axis, *axes))
      front = lambda tree: jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), tree)
    else:
      lift = lambda fn, *axes: fn
      front = lambda tree: tree
      run, state = jax.tree.map(lambda x: x[0], (run, state))
      if not shared:
        constants = jax.tree.map(lambda x: x[0], constants)
    full = lambda run, constants: run._replace(constants=constants)
    step = lift(
      lambda r, c, s, t, d: program.step(full(r, c)._replace(drawn=d), s, t),
      0,
      None,
      0,
    )
    lifted = lift(lambda r, c, t: program.draw(full(r, c), t), None)
    draw = lambda t: lifted(run, constants, t)
    measure = lift(
      lambda r, c, s, t: program.evaluate(full(r, c), s, t), 0, None
    )
    keep = jax.vmap(program.keep) if layout.mode == 'vmap' else program.keep
    lead = int(layout.mode == 'vmap')

    def spread_step(state, t, drawn):
      state, scalars = step(run, constants, state, t, drawn)
      return data_axis.spread(state, lead), scalars

    state, rows = advance(
      spread_step,
      lambda s: data_axis.spread(keep(s), lead),
      lambda s, t: measure(run, constants, s, t),
      draw,
      steps_ahead(draw, layout.runs_per_device),
      sizes,
      state,
      cut,
    )
    rows = front(rows)
    if layout.mode == 'map':
      state, rows = jax.tree.map(lambda x: x[None], (state, rows))
    snapshots, *rest = rows
    rest = data_axis.whole(tuple(rest))
    return data_axis.spread(state, 1), (fetched(snapshots, lead=2), *rest)

  if shared:
    constants = jax.jit(
      lambda run: program.constants(jax.tree.map(lambda x: x[0], run)),
      out_shardings=NamedSharding(mesh, _ALL),
    )
  else:
    constants = sharded(
      lambda run: lax.map(program.constants, run),
      (_RUN,),
      mesh.axis_names,
      **placed,
    )
  return Engine(
    constants=constants,
    init=sharded(init, (_RUN, const_spec, _RUN), **started),
    call=sharded(call, (_RUN, const_spec, _RUN, _ALL), donate_argnums=2),
    put=lambda tree: placing.put(
      tree, layout.block, lambda shape: NamedSharding(mesh, _RUN)
    ),
    put_state=lambda tree: placing.put(
      tree, layout.block, placing.states_on(mesh)
    ),
    fetchable=gathered if across else lambda tree: tree,
    shared=shared,
  )
