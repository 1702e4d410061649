"""What all benchmarks share: the machine, targets, the JSON line, tables.

A benchmark ends in one line of JSON, made by `record` and printed by `emit`:

  benchmark, config     which
  FIGURE                its own headline figure, in the unit its name says
  floor, of_floor       the same figure at the speed of light, and the distance
                        to it: how many times the floor's cost was paid
  targets               name, measured, bound, and whether it was met
  device, machine, busy_before, versions, source, date

Nothing here touches a device: what ran on one says so itself.
"""

import argparse
import datetime
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxsynth import source
from jaxsynth.errors import UserError
from jaxsynth.train import layout as layouts

ROOT = Path(__file__).parents[1]
PACKAGES = ('jax', 'jaxlib', 'torch')
# The share of the cores that others may use before figures count as noisy.
NOISY = 0.1
_before: list[float | None] = [None]


class LostError(RuntimeError):
  """A process that was to be timed ended, or did not answer."""


def machine() -> dict[str, Any]:
  """The host: processor, cores this process may use, memory, system."""
  affinity = getattr(os, 'sched_getaffinity', None)  # not on every system
  cores = len(affinity(0)) if affinity else os.cpu_count()
  memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  return {
    'processor': _cpuinfo('model name') or platform.processor(),
    'cores': cores,
    'memory_gib': round(memory / 2**30),
    'system': f'{platform.system()} {platform.machine()}',
  }


def _cpuinfo(field: str) -> str:
  """A field of Linux's description of the first processor, or ''."""
  try:
    lines = Path('/proc/cpuinfo').read_text().splitlines()
  except OSError:
    return ''
  found = [x.split(':', 1)[1] for x in lines if x.startswith(field)]
  return ' '.join(found[0].split()) if found else ''


def processor_features() -> str:
  """A digest of the processor's instruction sets, which a compiler reads."""
  flags = sorted(_cpuinfo('flags').split()) or [platform.processor()]
  return hashlib.blake2b(' '.join(flags).encode(), digest_size=6).hexdigest()


def busy(seconds: float = 1.0) -> float | None:
  """The share of all cores' time that others use while this process sleeps.

  None where Linux's /proc/stat is not to be had.
  """

  def read() -> tuple[int, int]:
    ticks = [int(x) for x in Path('/proc/stat').read_text().split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]  # all; idle and waiting for disks

  try:
    whole, idle = read()
    time.sleep(seconds)
    after, idle_after = read()
  except (OSError, ValueError):
    return None
  return 1 - (idle_after - idle) / max(after - whole, 1)


def versions() -> dict[str, str | None]:
  """Python and the packages timed; None where one is not installed."""
  out: dict[str, str | None] = {'python': platform.python_version()}
  for name in PACKAGES:
    try:
      out[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      out[name] = None
  return out


def device() -> str:
  """JAX's devices as a training has them, e.g. '2 cpu'; starts the backend."""
  import jax

  layouts.configure()
  devices = jax.local_devices()
  return f'{len(devices)} {devices[0].device_kind}'


def target(
  name: str,
  measured: float | None,
  *,
  at_least: float | None = None,
  at_most: float | None = None,
) -> dict[str, Any]:
  """A stated target and whether it was met; None if it was not measured."""
  if (at_least is None) == (at_most is None):
    raise ValueError('a target has one bound')
  met = None
  if measured is not None:
    met = measured >= at_least if at_most is None else measured <= at_most
  return {
    'name': name,
    'measured': measured,
    **({'at_least': at_least} if at_most is None else {'at_most': at_most}),
    'met': met,
  }


def spread(values: Sequence[float]) -> dict[str, Any]:
  """Median and extremes of repeated measurements."""
  return {
    'median': statistics.median(values),
    'min': min(values),
    'max': max(values),
    'n': len(values),
  }


def record(benchmark: str, config: str, device: str, **fields) -> dict:
  """The one object a benchmark ends in."""
  now = datetime.datetime.now(datetime.UTC)
  return rounded(
    {
      'benchmark': benchmark,
      'config': config,
      **fields,
      'device': device,
      'machine': machine(),
      'busy_before': _before[0],
      'versions': versions(),
      'source': source.source_digest(),
      'date': now.strftime('%Y-%m-%d'),
    }
  )


def rounded(tree: Any) -> Any:
  """JSON values with floats to four digits; what is not finite is None."""
  if isinstance(tree, Mapping):
    return {k: rounded(v) for k, v in tree.items()}
  if isinstance(tree, (list, tuple)):
    return [rounded(v) for v in tree]
  if isinstance(tree, float):
    return float(f'{tree:.4g}') if math.isfinite(tree) else None
  return tree


def emit(made: Mapping[str, Any]) -> None:
  """Prints a record as the last line of standard output."""
  print(json.dumps(made), flush=True)


def say(line: str) -> None:
  """Progress goes to standard error."""
  print(line, file=sys.stderr, flush=True)


def cell(value: Any) -> str:
  """A value as it stands in a table."""
  if value is None:
    return '-'
  if isinstance(value, bool):
    return 'yes' if value else '**no**'
  if isinstance(value, float):
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'
  return f'{value:,}' if isinstance(value, int) else str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
  """A markdown table."""
  lines = [columns, ['---'] * len(columns), *rows]
  return '\n'.join(f'| {" | ".join(map(cell, line))} |' for line in lines)


def parser(module: str, doc: str, examples: Sequence[str]) -> Any:
  """A parser whose --help is the module's docstring and examples."""
  lines = ''.join(f'  python -m {module}{" " * bool(x)}{x}\n' for x in examples)
  return argparse.ArgumentParser(
    prog=f'python -m {module}',
    description=doc,
    epilog=f'examples:\n{lines}',
    allow_abbrev=False,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )


def overrides(rest: Sequence[str]) -> list[str]:
  """What a parser left over, as overrides of a config: 'PATH=VALUE'.

  Raises:
    UserError: something else was left over.
  """
  for item in rest:
    if not item.startswith('--config.') or '=' not in item:
      raise UserError(
        f'unknown option {item}: see --help; a value of the config is '
        '--config.PATH=VALUE'
      )
  return [item.removeprefix('--config.') for item in rest]


def child(module: str, *arguments: str) -> dict:
  """The record of a benchmark that runs in a process of its own."""
  done = subprocess.run(
    [sys.executable, '-m', module, *arguments],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    text=True,
    check=False,
  )
  if done.returncode:
    raise UserError(f'{module} {" ".join(arguments)} failed, see above')
  return json.loads(done.stdout.splitlines()[-1])


def run(main: Callable[[], dict | None]) -> int:
  """Runs a benchmark's main and prints its record.

  Returns:
    The exit code: 2 on a user's mistake, 1 where a process was lost.
  """
  if not {'-h', '--help'} & set(sys.argv):
    _before[0] = others = busy()
    if (others or 0) > NOISY:
      say(f'others use {others:.0%} of the cores: figures will be noisy')
  try:
    made = main()
  except UserError as e:
    print(f'benchmarks: {e}', file=sys.stderr)
    return 2
  except LostError as e:
    print(f'benchmarks: {e}', file=sys.stderr)
    return 1
  if made is not None:
    emit(made)
  return 0
