"""The layout: everything besides code, config and seeds that can change a bit.

Two ways to advance many runs:

  map    one run per device at a time, time inside: a run stays in cache.
  vmap   a block of runs per device at once: small products become large ones.

A CPU is slow at batched small products, and one single-threaded device per
core, each with one run, was the fastest layout of a prototype; an accelerator
is expected to want the opposite. Neither is measured here yet: `python -m
benchmarks.throughput --layout=vmap` against `--layout=map` tells. `auto` reads
the backend and the device count, never the number of runs: runs go in blocks of
one fixed size, so adding a run changes no other.

A run that outgrows a device is shared by a group of them (`data`, see
`train.data_axis`): a row of the mesh, over which batch and state are split. "A
device" then reads "a group of devices" in all of the above.

A batch is cut into parts on a CPU, so that what one of them leaves for its
backward pass stays near the core's cache (`microbatches`).

`configure` must run before JAX first touches a device; the command line does
it, a notebook may.

Where several processes train together the mesh spans all their devices, and
every process holds the runs of its own: consecutive ones, in blocks as one
process would. What a device computes knows neither their number nor its own.
"""

import dataclasses
import os
import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxsynth.errors import UserError, unknown
from jaxsynth.train import data_axis

MODES = ('auto', 'map', 'vmap')
# Runs per device in a vmapped block: enough to fill a matrix unit with small
# models, few enough that a handful of runs wastes little.
VMAP_BLOCK = 16
# What of a layout changes no bit: how many devices and processes share it.
SPREAD = ('block', 'device_count', 'process_count')
# Bytes of activations that one CPU core works on at a time.
CPU_ACTIVATIONS = 8 << 20


def configure(cpu_devices: int | None = None, cache: bool = True) -> None:
  """Splits the CPU into one single-threaded device per core; sets the cache.

  Does nothing to a backend that is already running, and nothing to
  accelerators. Sets XLA_FLAGS in the environment. Compiled programs are kept
  between processes in $JAX_COMPILATION_CACHE_DIR, by default the user's cache
  folder.

  Args:
    cpu_devices: number of CPU devices; None takes one per available core.
    cache: keep compiled programs on disk.
  """
  flags = os.environ.get('XLA_FLAGS', '')
  chosen = 'xla_force_host_platform_device_count' in flags
  if cpu_devices is None and jax.config.jax_num_cpu_devices > 0:
    chosen = True  # by an earlier call
  if not chosen and 'JAX_NUM_CPU_DEVICES' not in os.environ:
    count = cpu_devices or cores()
    try:
      jax.config.update('jax_num_cpu_devices', count)
      if 'xla_cpu_multi_thread_eigen' not in flags:
        os.environ['XLA_FLAGS'] = (
          f'{flags} --xla_cpu_multi_thread_eigen=false'.strip()
        )
    except RuntimeError:  # a backend is running: take it as it is
      pass
  if cache and not jax.config.jax_compilation_cache_dir:
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    folder = Path(base) / 'jaxsynth' / 'compiled'
    jax.config.update('jax_compilation_cache_dir', str(folder))
  if cache:
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)


def cores() -> int:
  """The cores this process may use."""
  if hasattr(os, 'sched_getaffinity'):  # not on every system
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


@dataclasses.dataclass(frozen=True)
class Layout:
  """How runs are laid over devices.

  Attributes:
    mode: 'map' or 'vmap'.
    block: runs advanced by one call over all devices: a multiple of the
      number of groups.
    microbatches: parts each training batch is cut into.
    devices: the devices, in mesh order, group by group.
    data: devices in a group, which share their runs.
  """

  mode: str
  block: int
  microbatches: int
  devices: tuple[jax.Device, ...]
  data: int = 1

  @property
  def mesh(self) -> Mesh:
    devices = np.asarray(self.devices)
    if self.data == 1:
      return Mesh(devices, ('run',))
    return Mesh(devices.reshape(-1, self.data), ('run', data_axis.AXIS))

  @property
  def groups(self) -> list[tuple[jax.Device, ...]]:
    """The devices that share runs."""
    starts = range(0, len(self.devices), self.data)
    return [self.devices[i : i + self.data] for i in starts]

  @property
  def runs_per_device(self) -> int:
    """The runs that a device, or each device of a group, advances at once."""
    return self.block * self.data // len(self.devices)

  def slots(self, runs: int) -> list[range]:
    """The runs this process advances, block by block.

    Args:
      runs: number of runs of the sweep; numbers from there on are dummies.

    Returns:
      One range per block, of equal length in all blocks and processes.
    """
    me = jax.process_index()
    own = [any(d.process_index == me for d in group) for group in self.groups]
    size = sum(own) * self.runs_per_device
    blocks = -(-runs // self.block)
    start = own.index(True) * self.runs_per_device * blocks
    return [
      range(start + i * size, start + (i + 1) * size) for i in range(blocks)
    ]

  def states(self, runs: int) -> range:
    """The runs whose states it needs to start: with one for its dummies."""
    return self._advanced(runs) or range(runs - 1, runs)

  def held(self, runs: int) -> range:
    """The runs this process holds and writes: all of them if it is alone.

    Of several processes that share a group, the first holds its runs.
    """
    mine, me = self._advanced(runs), jax.process_index()
    leads = any(group[0].process_index == me for group in self.groups)
    return mine if leads else mine[:0]

  def _advanced(self, runs: int) -> range:
    """The runs of its slots, without dummies."""
    slots = self.slots(runs)
    return range(min(slots[0].start, runs), min(slots[-1].stop, runs))

  def record(self) -> dict[str, Any]:
    """What the trajectory index states and a resume compares."""
    first = self.devices[0]
    return {
      'mode': self.mode,
      'block': self.block,
      'runs_per_device': self.runs_per_device,
      **self._group_record(),
      'microbatches': self.microbatches,
      'backend': first.platform,
      'device_kind': first.device_kind,
      'device_count': len(self.devices),
      'process_count': jax.process_count(),
      'machine': platform.machine(),
      'xla_flags': sorted(os.environ.get('XLA_FLAGS', '').split()),
      'versions': {'jax': jax.__version__, 'jaxlib': _jaxlib()},
    }

  @property
  def group_processes(self) -> int:
    """How many processes the devices of a group belong to."""
    return len({d.process_index for d in self.groups[0]})

  def _group_record(self) -> dict[str, int]:
    """What a record says of groups, if there are any."""
    if self.data == 1:
      return {}
    return {'data': self.data, 'data_processes': self.group_processes}


def lasting(record: dict[str, Any]) -> dict[str, Any]:
  """What of a layout's record can change a bit."""
  return {k: v for k, v in record.items() if k not in SPREAD}


def _jaxlib() -> str:
  import jaxlib.version

  return jaxlib.version.__version__


def microbatches(example_bytes: int, batch_size: int) -> int:
  """Into how many parts a batch is best cut on the devices at hand.

  On a CPU so many that the activations of a part stay near the core's cache,
  but no part of a single example; elsewhere 1.

  Args:
    example_bytes: activations of one example.
    batch_size: examples; the parts divide it.
  """
  if jax.default_backend() != 'cpu':
    return 1
  divisors = (n for n in range(1, batch_size + 1) if batch_size % n == 0)
  fits = lambda n: batch_size // n * example_bytes <= CPU_ACTIVATIONS
  pairs = [n for n in divisors if 2 * n <= batch_size] or [1]
  return next(filter(fits, pairs), pairs[-1])


def choose(
  mode: str = 'auto', block: int = 0, microbatches: int = 1, data: int = 1
) -> Layout:
  """The layout for the devices at hand.

  Args:
    mode: 'map', 'vmap', or 'auto': map on a CPU, vmap elsewhere.
    block: runs per call over all devices; 0 means one per group for map and
      VMAP_BLOCK per group for vmap.
    microbatches: parts of a training batch.
    data: devices in a group; 1 gives each run to one device.

  Raises:
    UserError: an unknown mode, devices that cannot be grouped so, a block that
      is no multiple of the groups, or processes with unequal numbers of
      devices.
  """
  if mode not in MODES:
    raise unknown('layout', mode, MODES)
  devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
  devices, count = tuple(devices), len(devices)
  if count != jax.process_count() * jax.local_device_count():
    raise UserError(
      f'{jax.process_count()} processes have {count} devices together and '
      f'process {jax.process_index()} has {jax.local_device_count()}: give '
      'each as many as the others'
    )
  _check_groups(data, count)
  if mode == 'auto':
    mode = 'map' if devices[0].platform == 'cpu' else 'vmap'
  groups, kind = count // data, 'device' if data == 1 else 'group'
  if mode == 'map':
    if block not in (0, groups):
      raise UserError(
        f'layout.block is the {kind} count ({groups}) with map, got {block}'
      )
    block = groups
  else:
    block = block or VMAP_BLOCK * groups
    if block < 1 or block % groups:
      raise UserError(
        f'layout.block must be a multiple of the {groups} {kind}s, got {block}'
      )
  return Layout(mode, block, microbatches, devices, data)


def _check_groups(data: int, devices: int) -> None:
  """Refuses groups that do not come out even, in devices or in processes."""
  local = devices // jax.process_count()
  even = lambda n: local % n == 0 or n % local == 0
  fits = [n for n in data_axis.divisors(devices) if even(n)]
  if data not in fits:
    where = f'{jax.process_count()} x {local}' if local < devices else devices
    raise UserError(
      f'layout.data={data} does not divide the {where} devices: the nearest '
      f'that does is {data_axis.nearest(data, fits)}'
    )
