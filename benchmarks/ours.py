"""Our side of the race: a training, advanced by the very loop of `stage`.

`Trainer` puts together what `stage.train` puts together (layout, schedule,
engine, blocks) and asks `loop.advance` for calls, so what is timed is what
trains: data made inside, scalars of every step fetched, the next call under
way while one is fetched. Only the writing of files is left out here.

  python -m benchmarks.ours '{"config": "small", "runs": 8, ...}'

is the contestant for `benchmarks.windows`.
"""

import dataclasses
import itertools
import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks import configs, report, windows
from jaxsynth import build, stage
from jaxsynth.config import override
from jaxsynth.train import engine as engines
from jaxsynth.train import layout as layouts
from jaxsynth.train import loop, sweep
from jaxsynth.train.blocks import blocks_of, initial
from jaxsynth.train.program import Program
from jaxsynth.trajectory.plan import Call


def setup_of(
  config: str,
  runs: int = 0,
  layout: str = 'auto',
  overrides: Sequence[str] = (),
) -> build.Setup:
  """A config of `benchmarks.configs`, built.

  Args:
    config: its name.
    runs: how many learning rates; 0 for the config's own.
    layout: 'map', 'vmap' or 'auto'.
    overrides: 'layout.microbatches=1' and the like.

  Raises:
    UserError: an unknown name or an impossible value.
  """
  full = build.complete(configs.get_config(config))
  if runs:
    rates = configs.learning_rates(runs)
    override(full, 'sweep.traced.optimizer.peak_lr', repr(rates))
  override(full, 'layout.mode', layout)
  for item in overrides:
    override(full, *item.split('=', 1))
  return build.build(full)


class Parts(NamedTuple):
  """What `stage.train` puts together before anything runs."""

  layout: layouts.Layout
  engine: engines.Engine
  specs: list[sweep.RunSpec]
  call: Call


def parts_of(
  setup: build.Setup, program: Program | None = None, events: bool = False
) -> Parts:
  """The engine of a setup and the call that is made again and again.

  Args:
    setup: what to train.
    program: the functions of one run; the setup's own by default.
    events: whether the call keeps and measures what the plans of the setup
      say; otherwise it only trains, in a program that could do both.
  """
  program = program or setup.program()
  if not events:
    train = dataclasses.replace(
      setup.train, steps=setup.train.call_steps, snapshots=(0,), evals=(0,)
    )
    setup = dataclasses.replace(setup, train=train)
  layout = stage.layout_of(setup)
  sizes = stage.schedule_of(setup, program)
  shared = setup.sweep.shares(program.constant_streams)
  engine = engines.build(program, layout, sizes, shared)
  call = sizes.calls[-1] if events else _bare(sizes.calls[0])
  return Parts(layout, engine, setup.sweep.runs(), call)


class Trainer:
  """All runs of a setup, ready to be advanced; arguments as of `parts_of`.

  Attributes:
    runs: how many.
    steps: of one call.
    compiled: the call.
    compile_seconds: what it took, unless it was found on disk.
    begun: calls of blocks begun so far.
  """

  def __init__(
    self,
    setup: build.Setup,
    program: Program | None = None,
    events: bool = False,
  ):
    layout, engine, specs, call = parts_of(setup, program, events)
    self.runs = len(specs)
    self.steps = call.stop - call.start
    self._blocks = blocks_of(specs, engine, layout)
    states = initial(self._blocks, engine)
    first = self._blocks[0]
    lowered = engine.call.lower(
      first.run, first.constants, states[0], engines.cuts(call)
    )
    began = time.perf_counter()
    self.compiled = lowered.compile()
    self.compile_seconds = time.perf_counter() - began
    self.begun = 0
    self._left = 0
    self._advanced = loop.advance(
      engine._replace(call=self._call),
      self._blocks,
      states,
      _endless(call),
      want_state=lambda call: False,
      stopping=self._ends,
    )
    self._seconds = None

  def _call(self, *args):
    self.begun += 1
    return self.compiled(*args)

  def _ends(self) -> bool:
    """Whether the call under way ends the window: it is then fetched before
    another begins, so nothing runs on into the next contestant's window."""
    self._left -= 1
    return self._left == 0

  def calls(self, count: int) -> float:
    """Advances all runs by so many calls; seconds a call."""
    self._left = count
    began = time.perf_counter()
    for _ in range(count):
      next(self._advanced)
    self._seconds = (time.perf_counter() - began) / count
    return self._seconds

  def work(self, seconds: float) -> int:
    """Advances all runs for about so long; returns the run-steps done."""
    if self._seconds is None:
      self.calls(1)
    count = max(1, round(seconds / self._seconds))
    self.calls(count)
    return count * self.steps * self.runs

  def step_seconds(self, windows: int = 5, seconds: float = 1.0) -> float:
    """Median seconds of one step of one run, over windows in a row."""
    self.calls(1)
    count = max(1, round(seconds / self.calls(1)))
    each = [self.calls(count) for _ in range(windows)]
    return float(np.median(each)) / (self.steps * self.runs)


def _bare(call: Call) -> Call:
  """A call that only trains, for the same compiled program."""
  bounds = np.full_like(call.bounds, call.stop)
  bounds[0] = call.start
  none = np.full_like(call.snapshot_slots, -1)
  return dataclasses.replace(
    call,
    bounds=bounds,
    snapshot_slots=none,
    eval_slots=none,
    snapshots=(),
    evals=(),
    branch=False,
  )


def _endless(call: Call) -> Iterator[Call]:
  """The call, and then again from where it stopped, for ever."""
  length = call.stop - call.start
  for i in itertools.count():
    yield dataclasses.replace(
      call,
      start=call.start + i * length,
      stop=call.stop + i * length,
      bounds=call.bounds + np.int32(i * length),
    )


def _best(seconds: float, fn, *args) -> float:
  """The least time of one call of a jitted function."""
  jax.block_until_ready(fn(*args))
  best, stop = float('inf'), time.perf_counter() + seconds
  while time.perf_counter() < stop:
    began = time.perf_counter()
    jax.block_until_ready(fn(*args))
    best = min(best, time.perf_counter() - began)
  return best


def matmul_peak(seconds: float = 1.0, size: int = 2048) -> float:
  """FLOP/s of a float32 product [2048, 2048], rows over all devices."""
  rows, whole = _shardings()
  x = jax.device_put(jnp.full((size, size), 1.5), rows)
  w = jax.device_put(jnp.full((size, size), 0.5), whole)
  return 2 * size**3 / _best(seconds, jax.jit(jnp.matmul), x, w)


def bandwidth(seconds: float = 0.5, megabytes: int = 256) -> float:
  """Bytes/s read and written by x + 1 on an array larger than any cache."""
  rows, _ = _shardings()
  x = jax.device_put(jnp.zeros(megabytes << 18, jnp.float32), rows)
  return 2 * x.nbytes / _best(seconds, jax.jit(lambda x: x + 1), x)


def _shardings() -> tuple[NamedSharding, NamedSharding]:
  mesh = jax.make_mesh((len(jax.local_devices()),), ('row',))
  spec = lambda *axes: NamedSharding(mesh, PartitionSpec(*axes))
  return spec('row'), spec()


def peak_memory() -> int:
  """Most bytes held at once: on the device, or by this process on a CPU."""
  stats = jax.local_devices()[0].memory_stats() or {}
  if 'peak_bytes_in_use' in stats:
    return stats['peak_bytes_in_use']
  most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return most * (1 if sys.platform == 'darwin' else 1024)


def facts_of(trainer: Trainer) -> dict[str, Any]:
  """What a benchmark tells of a compiled training."""
  memory = trainer.compiled.memory_analysis()
  return {
    'device': report.device(),
    'platform': jax.local_devices()[0].platform,
    'runs': trainer.runs,
    'compile_seconds': trainer.compile_seconds,
    'temporary_bytes': int(getattr(memory, 'temp_size_in_bytes', 0)),
  }


def main() -> None:
  payload = json.loads(sys.argv[1])
  layouts.configure()
  trainer = Trainer(setup_of(**payload))
  trainer.calls(1)
  facts = facts_of(trainer)
  facts['peak_memory_bytes'] = peak_memory()
  facts['matmul_flops_per_s'] = matmul_peak()
  facts['memory_bytes_per_s'] = bandwidth()
  windows.serve(facts, trainer.work)


if __name__ == '__main__':
  main()
