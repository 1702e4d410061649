"""The options of a training that are not task, model, optimizer or sweep."""

import dataclasses
from typing import Any

from jaxsynth import leaves
from jaxsynth.errors import UserError, unknown
from jaxsynth.train import keeping
from jaxsynth.train import layout as layouts
from jaxsynth.train.objective import OWN
from jaxsynth.train.supervised import LOSSES
from jaxsynth.train.watch import WATCHES
from jaxsynth.trajectory import plan

# The patterns of every parameter.
EVERYTHING = ('*',)


@dataclasses.dataclass(frozen=True)
class Training:
  """How long to train, on how much, and what to keep.

  Attributes:
    steps: updates in all.
    batch_size: examples per update.
    loss: 'cross_entropy', 'mse', 'half_squared_distance', 'variational' (of
      a diffusion), or 'own' for the model's own objective.
    snapshots: plan of the steps kept for analysis (see trajectory.plan).
    evals: plan of the steps measured on the fixed evaluation batches.
    branches: plan of the steps whose full state is kept for later stages.
    snapshot_dtype: 'float32' keeps snapshots as they are, 'bfloat16' rounds
      their floats: half the bytes. Full states are never rounded.
    snapshot_leaves: patterns of the leaves a snapshot keeps, e.g.
      ('blocks_0.attn.*', 'unembed.kernel').
    trainable: patterns of the parameters that are trained, e.g.
      ('blocks_*.attn.*',); the others stay as they start.
    fresh: patterns of the parameters that start anew where all others start
      from the parent's.
    watch: what to record of every update besides loss and gradient norm:
      'update_max', 'norms' (see train.watch).
    call_steps: most steps in one jitted call: about two seconds' worth.
    checkpoint_calls: calls between two checkpoints to resume from.
  """

  steps: int = 1000
  batch_size: int = 32
  loss: str = 'cross_entropy'
  snapshots: Any = 'log:50'
  evals: Any = 'log:50'
  branches: Any = ()
  snapshot_dtype: str = 'float32'
  snapshot_leaves: Any = ('*',)
  trainable: Any = EVERYTHING
  fresh: Any = ()
  watch: Any = ()
  call_steps: int = 100
  checkpoint_calls: int = 20

  def __post_init__(self):
    for field in ('steps', 'batch_size', 'call_steps', 'checkpoint_calls'):
      if getattr(self, field) < (0 if field == 'steps' else 1):
        raise UserError(
          f'train.{field} must be positive, got {getattr(self, field)}'
        )
    if self.loss not in (*LOSSES, OWN):
      raise unknown('loss', self.loss, (*LOSSES, OWN))
    leaves.check_patterns(self.trainable, 'train.trainable')
    leaves.check_patterns(self.fresh, 'train.fresh', 0)
    part = tuple(self.trainable) != EVERYTHING or self.fresh
    if self.loss == OWN and part:
      raise UserError(
        f"train.loss='{OWN}' trains everything: leave out train.trainable and "
        'train.fresh'
      )
    if isinstance(self.watch, str):
      raise UserError(f'train.watch must list names, got {self.watch!r}')
    for name in self.watch:
      if name not in WATCHES:
        raise unknown('train.watch', name, WATCHES)
    keeping.check_options(self.snapshot_dtype, self.snapshot_leaves)
    for field in ('snapshots', 'evals', 'branches'):
      plan.steps_of(getattr(self, field), self.steps)


@dataclasses.dataclass(frozen=True)
class LayoutOptions:
  """How the work is laid out; it changes speed, memory and the last bits.

  Attributes:
    mode: 'map', 'vmap' or 'auto', see `train.layout`.
    block: runs in a call over all devices, see `train.layout.choose`.
    microbatches: parts a training batch is cut into; 0 for the number that
      suits the backend, see `train.layout.microbatches`.
    data: devices that share each run and split its batch, see
      `train.data_axis`; 1 gives each run to one device.
  """

  mode: str = 'auto'
  block: int = 0
  microbatches: int = 0
  data: int = 1

  def __post_init__(self):
    if self.mode not in layouts.MODES:
      raise unknown('layout', self.mode, layouts.MODES)
    if self.block < 0 or self.microbatches < 0:
      raise UserError(
        'layout.block and layout.microbatches must not be negative, got '
        f'{self.block} and {self.microbatches}'
      )
    if self.data < 1:
      raise UserError(f'layout.data counts from 1, got {self.data}')
