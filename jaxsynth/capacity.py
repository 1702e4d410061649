"""How many jobs a sweep needs: static groups, and what a run holds of memory.

From shapes alone, so that every machine comes to the same number. Of a group
of runs a device holds all along, for each of its runs, state, constants and
what two calls leave behind (where devices share runs its piece of these, see
`train.data_axis`), and, for the runs that it advances just now, the next state
whole and activations, forward and back:

  blocks   = (SHARE x device - moving) / (runs a block x held)
  capacity = blocks x runs a block x groups of devices             runs of a job

A job trains one static group, or a part that fits: the fewest shards whose
parts do, the same number for each group.
"""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
from rich.filesize import decimal

from jaxsynth import build, split, stage
from jaxsynth.errors import UserError
from jaxsynth.models import base as model_base
from jaxsynth.spawn import LAUNCHER
from jaxsynth.train import data_axis, sweep
from jaxsynth.train import layout as layouts
from jaxsynth.trajectory import cut

AUTO = 'auto'
# What of a device's memory may be planned for; the rest is the program, the
# allocator's, and on a CPU what is being written.
SHARE = 0.8


class Job(NamedTuple):
  """What one job has.

  Attributes:
    devices: how many, over all its processes.
    device_bytes: memory of each.
    vmap: whether `layout.mode='auto'` means vmap there.
  """

  devices: int
  device_bytes: int
  vmap: bool

  def __str__(self) -> str:
    return f'{self.devices} devices of {decimal(self.device_bytes)}'


def parse(text: str) -> Job:
  """A Job of accelerators, DEVICESxGIB as in '8x16'.

  Raises:
    UserError: it is written otherwise.
  """
  found = re.fullmatch(r'([1-9]\d*)x(\d+(?:\.\d+)?)', text)
  if not found or float(found[2]) <= 0:
    raise UserError(f'--job is DEVICESxGIB, as in 8x16, got {text!r}')
  return Job(int(found[1]), int(float(found[2]) * 2**30), True)


def here() -> Job:
  """The devices of this process and its team; starts the backend."""
  device = jax.local_devices()[0]
  limit = (device.memory_stats() or {}).get('bytes_limit')
  if limit is None:  # a CPU: its devices, of all processes here, share memory
    alone = LAUNCHER not in os.environ
    sharing = jax.local_device_count() if alone else jax.device_count()
    limit = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // sharing
  return Job(jax.device_count(), limit, device.platform != 'cpu')


class Need(NamedTuple):
  """What a static group needs of each device.

  Attributes:
    held: bytes for each of its runs, all along.
    shared: bytes that all runs hold together.
    moving: bytes for each run that is advanced just now.
    rows: runs advanced at once.
  """

  held: int
  shared: int
  moving: int
  rows: int


def need(setup: build.Setup, job: Job) -> Need:
  """What a group needs, from the shapes of one run.

  Raises:
    UserError: a run is to be shared by more devices than there are.
  """
  options, program = setup.layout, stage.program_of(setup)
  groups = job.devices // options.data
  if not groups:
    raise UserError(
      f'layout.data={options.data} is more than the {job.devices} devices of a '
      'job'
    )
  one = sweep.one(setup.sweep.runs()[0])
  constants = stage.bytes_of(jax.eval_shape(program.constants, one))
  shared = setup.sweep.shares(program.constant_streams)
  state = stage.abstract_state(program, setup.sweep.runs()[0])
  sizes = stage.schedule_of(setup, program)
  vmap = options.mode == 'vmap' or (options.mode == 'auto' and job.vmap)
  block = options.block or layouts.VMAP_BLOCK * groups
  parts = (options.microbatches or 1) if job.vmap else setup.microbatches
  examples = math.ceil(setup.train.batch_size / (parts * options.data))
  each = model_base.activation_bytes(setup.model, setup.task.spec)
  each_holds = lambda tree: data_axis.bytes_each(tree, options.data)
  kept = each_holds(jax.eval_shape(program.keep, state))
  return Need(
    held=each_holds(state) + 2 * sizes.max_snapshots * kept
    + (0 if shared else constants),
    shared=constants if shared else 0,
    moving=stage.bytes_of(state) + 2 * examples * each,
    rows=max(1, block // groups) if vmap else 1,
  )  # fmt: skip


def runs_of(setup: build.Setup, job: Job) -> int:
  """How many runs of a group a job can hold.

  Raises:
    UserError: not even one block of them.
  """
  n = need(setup, job)
  left = SHARE * job.device_bytes - n.shared - n.rows * n.moving
  blocks = int(left // (n.rows * n.held))
  if blocks < 1:
    wanted = (n.shared + n.rows * (n.moving + n.held)) / SHARE
    raise UserError(
      f'a block of {n.rows} runs needs {decimal(int(wanted))} of a device, a '
      f'job has {job}: lower layout.block, or raise layout.microbatches or '
      'layout.data'
    )
  return blocks * n.rows * (job.devices // setup.layout.data)


def shards(groups: Mapping[str, build.Setup], job: Job) -> int:
  """The fewest shards of which each fits a job, one static group or a part.

  Args:
    groups: of a sweep, see `build.groups`.
    job: what each has.

  Raises:
    UserError: no number of shards does.
  """
  setups = list(groups.values())
  capacity = [runs_of(setup, job) for setup in setups]
  sweeps = [setup.sweep for setup in setups]
  most = split.most(sweeps)
  for count in range(len(sweeps), most + 1, len(sweeps)):
    planned = split.plan(sweeps, count)
    if all(
      split.runs_of(part) <= capacity[part.group]
      for parts in planned
      for part in parts
    ):
      return count
  raise UserError(
    f'{most} shards are the most this sweep can be cut into, and a part does '
    f'not fit {job}: sweep fewer values'
  )


def advice(groups: Mapping[str, build.Setup], job: Job) -> str:
  """One line for a plan: whether the sweep fits one job."""
  try:
    count = shards(groups, job)
  except UserError as e:
    return f'no number of shards fits: {e}'
  if count == 1:
    return f'fits one job of {job}'
  return f'--shards={count} is advised for jobs of {job}'


def choose(
  folder: Path, groups: Mapping[str, build.Setup], job: Job | None
) -> int:
  """What `--shards=auto` means in a stage: as its note says, if it has one.

  Args:
    folder: of the stage, where all shards train.
    groups: of the whole sweep.
    job: what each has; None for what is here.
  """
  note = cut.read(folder)
  return note['shards'] if note else shards(groups, job or here())
