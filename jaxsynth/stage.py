"""One training of a config, from start to finish, and its way back.

`train` resumes by itself what it finds in the folder; `open_trajectory` reads
what it left. A stage may start from a parent: the full states kept at a step
of another trajectory, matched by run identity.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxsynth import build, leaves, linalg, peers, progress
from jaxsynth.errors import UserError
from jaxsynth.train import compiling, keeping, loop, sweep
from jaxsynth.train import engine as engines
from jaxsynth.train import layout as layouts
from jaxsynth.train.blocks import constants_of
from jaxsynth.train.program import Program
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import (
  manifest,
  parts,
  paths,
  plan,
  shards,
  states,
)
from jaxsynth.trajectory.trajectory import Trajectory
from jaxsynth.types import PyTree, Run


@dataclasses.dataclass(frozen=True)
class Origin:
  """Another training this one retraces, see `jaxsynth.grow`.

  Attributes:
    runs: which of its runs are trained.
    start: updates done before the first step this one has; 0 for all.
    state: the step to train from and the full states [R, ...] there; None
      initialises at step 0.
    record: what the index says of where all this comes from.
    copied: saves of the other training that are taken over as they are.
  """

  runs: Sequence[sweep.RunSpec]
  start: int
  state: tuple[int, PyTree] | None
  record: dict[str, Any]
  copied: Sequence[Path] = ()


@dataclasses.dataclass(frozen=True)
class Parent:
  """Where the runs of a stage start.

  Attributes:
    trajectory: the training that came before.
    step: a step whose full state it kept ('branches' in its config).
    runs: for each run of this stage, the position of its parent in
      `trajectory.runs`; None matches runs whose seeds and shared
      hyperparameters are equal.
  """

  trajectory: Trajectory
  step: int
  runs: Sequence[int] | None = None


def abstract_state(
  program: Program, spec: sweep.RunSpec, parent=None
) -> PyTree:
  """Shapes of one run's state."""

  def start(run: Run, parent) -> PyTree:
    run = run._replace(constants=program.constants(run), parent=parent)
    return program.init(run)

  return jax.eval_shape(start, sweep.one(spec), parent)


def bytes_of(tree: PyTree) -> int:
  return sum(
    math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree)
  )


def schedule_of(
  setup: build.Setup, program: Program, parent: PyTree = None, first: int = 0
) -> plan.Schedule:
  """The calls of a training, sized by its plan and one run's snapshot."""
  state = abstract_state(program, setup.sweep.runs()[0], parent)
  t = setup.train
  return plan.schedule(
    t.steps,
    t.snapshots,
    t.evals,
    t.branches,
    call_steps=t.call_steps,
    call_snapshots=plan.snapshots_per_call(
      bytes_of(jax.eval_shape(program.keep, state))
    ),
    first=first,
  )


def layout_of(setup: build.Setup) -> layouts.Layout:
  o = setup.layout
  return layouts.choose(o.mode, o.block, setup.microbatches, o.data)


def match(parent: Parent, specs: list[sweep.RunSpec]) -> list[int]:
  """The parent's run of each run of this stage, by its position on disk."""
  rows, known = parent.trajectory.run_index, parent.trajectory.index['runs']
  if parent.runs is not None:
    if len(parent.runs) != len(specs):
      raise UserError(
        f'parent.runs names {len(parent.runs)} runs for {len(specs)}'
      )
    beyond = [i for i in parent.runs if not 0 <= i < len(rows)]
    if beyond:
      raise UserError(f'parent.runs names {beyond} of {len(rows)} runs')
    return [int(rows[i]) for i in parent.runs]
  out = []
  for spec in specs:
    found = [
      int(i)
      for i in rows
      if all(spec.seeds.get(k, v) == v for k, v in known[i]['seeds'].items())
      and all(
        spec.hparams.get(k, v) == v for k, v in known[i]['hparams'].items()
      )
    ]
    if len(found) != 1:
      raise UserError(
        f'{len(found)} parent runs match {spec.row()}; name them in '
        'Parent(runs=...)'
      )
    out += found
  return out


def _parent_states(
  parent: Parent | None,
  specs: list[sweep.RunSpec],
  child: Path,
  own: range | None = None,
) -> tuple[PyTree, dict[str, Any] | None]:
  """Full states the runs `own` (all) start from, and what the index says."""
  if parent is None:
    return None, None
  rows = match(parent, specs)
  wanted = [rows[i] for i in own or range(len(rows))]
  tree = states.load(parent.trajectory, parent.step, wanted, ('branches',))
  record = {
    'trajectory': paths.relative(parent.trajectory.folder, child),
    'config_hash': indexes.first_hash(parent.trajectory.index),
    'step': parent.step,
    'run_ids': [parent.trajectory.index['runs'][i]['run_id'] for i in rows],
  }
  return tree, record


def program_of(setup: build.Setup, program: Program | None = None) -> Program:
  """What is trained, with the snapshots that the setup asks for."""
  program = program or setup.program()
  t = setup.train
  return keeping.select(program, t.snapshot_dtype, t.snapshot_leaves)


def index_of(
  setup: build.Setup,
  layout: layouts.Layout,
  parent: dict | None,
  state: PyTree,
  program: Program | None = None,
  origin: Origin | None = None,
) -> dict[str, Any]:
  """What a trajectory says of itself.

  Args:
    setup: what is trained.
    layout: on what.
    parent: what the index says of it.
    state: of one run, its shapes.
    program: if it is not the ordinary one.
    origin: what is retraced.
  """
  record = layout.record()
  whole = program or setup.program()
  kept = leaves.flatten(jax.eval_shape(whole.keep, state))
  specs = origin.runs if origin else setup.sweep.runs()
  cut = {'start': origin.start, 'origin': origin.record} if origin else {}
  return {
    **cut,
    'format': manifest.FORMAT,
    'config': setup.config,
    'config_hash': setup.config_hash,
    'source_digest': setup.source_digest,
    # What can change a bit, and over how many devices it was spread.
    'layout': layouts.lasting(record),
    'spread': {k: record[k] for k in layouts.SPREAD},
    'parent': parent,
    'program': 'own' if program else 'of the config',
    'leaves': {name or 'snapshots': x.dtype.name for name, x in kept.items()},
    'steps': setup.train.steps,
    'runs': [
      {'run_id': s.id, 'seeds': dict(s.seeds), 'hparams': dict(s.hparams)}
      for s in specs
    ],
  }


def _text(event: loop.Event) -> str:
  loss = event.scalars.get('loss')
  if loss is None or not loss.shape[1]:
    return ''
  last = loss[:, -1]
  fine = last[np.isfinite(last)]
  shown = f'loss {np.median(fine):.4f}' if len(fine) else 'loss not finite'
  if len(fine) > 1:
    shown += f' ({fine.min():.4f}..{fine.max():.4f})'
  if len(fine) < len(last):
    shown += f', {len(last) - len(fine)} diverged'
  rate = event.runs * (event.step - event.first) / max(event.seconds, 1e-9)
  return f'{shown}, {rate:.0f} run-steps/s'


def train(
  setup: build.Setup,
  folder: Path,
  *,
  program: Program | None = None,
  parent: Parent | None = None,
  origin: Origin | None = None,
  title: str = 'train',
  observers: Sequence[Callable[[loop.Event], None]] = (),
  stopping: Callable[[], bool] = lambda: False,
  allow: tuple[str, ...] = (),
  quiet: bool = False,
) -> Trajectory:
  """Trains every run of a setup, resuming what is there, and opens it.

  Args:
    setup: a built config.
    folder: where the trajectory goes; one that holds another training is
      refused, one that holds this training is continued.
    program: what is trained; the setup's ordinary training by default.
    parent: where the runs start.
    origin: what this training retraces, see `jaxsynth.grow`.
    title: what the progress bar says.
    observers: told after each call.
    stopping: asked between calls; see `loop.train`.
    allow: parts of the index that may have changed since ('layout',
      'source_digest').
    quiet: no progress bar.

  Raises:
    UserError: the folder cannot be used.
    loop.Stopped: `stopping` said so; what was done is saved.
  """
  if setup.sweep.static:
    raise UserError(
      f'sweep.static ({", ".join(setup.sweep.static)}) makes several groups: '
      'train each of build.groups(config)'
    )
  own, program = program, program_of(setup, program)
  specs = list(origin.runs) if origin else setup.sweep.runs()
  layout = layout_of(setup)
  needed = layout.states(len(specs))
  parents, record = _parent_states(parent, specs, folder, needed)
  one_parent = jax.tree.map(lambda x: x[0], parents)
  first = origin.start if origin else 0
  schedule = schedule_of(setup, program, one_parent, first)
  shared = setup.sweep.shares(program.constant_streams)
  engine = engines.build(program, layout, schedule, shared)
  traced = compiling.trace(engine, specs, schedule, layout, parents)
  keeping.check_storable(traced)
  for fn in traced:
    linalg.warn_of_waiting(fn.jaxpr.jaxpr, layout.mesh.size)
  state = jax.eval_shape(
    lambda tree: jax.tree.map(lambda x: x[0], tree), traced.init.out_info
  )
  index = index_of(setup, layout, record, state, own, origin)
  held, allow = layout.held(len(specs)), (*allow, 'spread')
  begins = origin and (origin.copied or origin.state)
  zooms = origin and origin.record['kind'] == 'zoom'
  if (begins or zooms) and peers.count() > 1:
    raise UserError(
      'one process zooms and forks, as it copies and compares saves of another '
      'training: start it without the others'
    )
  with parts.open_writer(folder, index, allow, held, needed) as out:
    if begins:
      out.begin(origin.copied, origin.state)
    if not out.finished(setup.train.steps):
      with progress.bar(title, setup.train.steps, quiet) as update:

        def observe(event: loop.Event) -> None:
          update(event.step, _text(event))
          for other in observers:
            other(event)

        loop.train(
          engine,
          specs,
          schedule,
          layout,
          out,
          parents=parents,
          checkpoint_calls=setup.train.checkpoint_calls,
          observe=observe,
          stopping=stopping,
        )
  opened = open_trajectory(folder, setup, program, added=False)
  return opened.view(compiled_constants=constants_of(engine, layout))


def open_trajectory(
  folder: Path | str,
  setup: build.Setup | None = None,
  program: Program | None = None,
  added: bool = True,
  damaged: str = 'raise',
) -> Trajectory:
  """Opens a trajectory with what `map` needs of its config.

  Args:
    folder: as given to `train`, or one above it that holds no other.
    setup: of the training; rebuilt from the index by default.
    program: of the training, if not the ordinary one.
    added: with the runs that `jaxsynth add-seeds` added since.
    damaged: 'raise', or 'skip' to leave out damaged segments; see
      `Trajectory`.
  """
  opened = shards.opened if added else Trajectory
  bare = opened(shards.find(paths.of(folder)), damaged=damaged)
  setup = setup or build.build(bare.index['config'])
  program = program or setup.program()
  return bare.view(apply=setup.model.apply, constants=program.constants)
