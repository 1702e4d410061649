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
  accelerators. Compiled programs are kept between processes in
  $JAX_COMPILATION_CACHE_DIR, by default the user's cache folder.

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
      device count.
    microbatches: parts each training batch is cut into.
    devices: the devices, in mesh order.
  """

  mode: str
  block: int
  microbatches: int
  devices: tuple[jax.Device, ...]

  @property
  def mesh(self) -> Mesh:
    return Mesh(np.asarray(self.devices), ('run',))

  @property
  def runs_per_device(self) -> int:
    return self.block // len(self.devices)

  def slots(self, runs: int) -> list[range]:
    """The runs this process advances, block by block.

    Args:
      runs: number of runs of the sweep; numbers from there on are dummies.

    Returns:
      One range per block, of equal length in all blocks and processes.
    """
    own = [d.process_index == jax.process_index() for d in self.devices]
    size = sum(own) * self.runs_per_device
    blocks = -(-runs // self.block)
    start = own.index(True) * self.runs_per_device * blocks
    return [
      range(start + i * size, start + (i + 1) * size) for i in range(blocks)
    ]

  def states(self, runs: int) -> range:
    """The runs whose states it needs to start: with one for its dummies."""
    held = self.held(runs)
    return held or range(runs - 1, runs)

  def held(self, runs: int) -> range:
    """The runs this process holds and writes: all of them if it is alone."""
    slots = self.slots(runs)
    return range(min(slots[0].start, runs), min(slots[-1].stop, runs))

  def record(self) -> dict[str, Any]:
    """What the trajectory index states and a resume compares."""
    first = self.devices[0]
    return {
      'mode': self.mode,
      'block': self.block,
      'runs_per_device': self.runs_per_device,
      'microbatches': self.microbatches,
      'backend': first.platform,
      'device_kind': first.device_kind,
      'device_count': len(self.devices),
      'process_count': jax.process_count(),
      'machine': platform.machine(),
      'xla_flags': sorted(os.environ.get('XLA_FLAGS', '').split()),
      'versions': {'jax': jax.__version__, 'jaxlib': _jaxlib()},
    }


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


def choose(mode: str = 'auto', block: int = 0, microbatches: int = 1) -> Layout:
  """The layout for the devices at hand.

  Args:
    mode: 'map', 'vmap', or 'auto': map on a CPU, vmap elsewhere.
    block: runs per call over all devices; 0 means one per device for map and
      VMAP_BLOCK per device for vmap.
    microbatches: parts of a training batch.

  Raises:
    UserError: an unknown mode, a block no device count divides, or processes
      with unequal numbers of devices.
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
  if mode == 'auto':
    mode = 'map' if devices[0].platform == 'cpu' else 'vmap'
  if mode == 'map':
    if block not in (0, count):
      raise UserError(
        f'layout.block is the device count ({count}) with map, got {block}'
      )
    block = count
  else:
    block = block or VMAP_BLOCK * count
    if block < 1 or block % count:
      raise UserError(
        f'layout.block must be a multiple of the {count} devices, got {block}'
      )
  return Layout(mode, block, microbatches, devices)
