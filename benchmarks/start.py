"""Time from pressing return to the first finished step.

  python -m benchmarks.start --config=small

runs `jaxsynth train` with one step in a fresh process, until it says that the
step is done: first with an empty folder of compiled programs (cold), then
again and again with what the first one left there (warm).
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import configs, report
from jaxsynth.errors import UserError
from jaxsynth.train import layout as layouts


def first_step(config: str, cache: Path, workdir: Path) -> tuple[float, float]:
  """Seconds to the first step, and to the end of the command.

  Args:
    config: of `benchmarks.configs`.
    cache: the folder of compiled programs.
    workdir: a folder that does not exist.
  """
  command = [
    sys.executable, '-m', 'jaxsynth.cli', 'train',
    f'--config={Path(__file__).parent / "configs.py"}:{config}',
    f'--workdir={workdir}', '--config.train.steps=1',
  ]  # fmt: skip
  env = {**os.environ, 'JAX_COMPILATION_CACHE_DIR': str(cache)}
  began, first, lines = time.perf_counter(), None, []
  with subprocess.Popen(
    command,
    cwd=report.ROOT,
    env=env,
    stderr=subprocess.PIPE,
    stdout=subprocess.DEVNULL,
    text=True,
  ) as process:
    for line in process.stderr:
      lines.append(line)
      if first is None and line.startswith('train: 1/1 '):
        first = time.perf_counter() - began
  if process.returncode or first is None:
    raise UserError(f'jaxsynth train failed: {"".join(lines[-5:])}')
  return first, time.perf_counter() - began


def measure(config: str, times: int = 3) -> dict:
  """Cold and warm seconds, and the targets they are held to."""
  configs.size(config)
  with tempfile.TemporaryDirectory() as tmp:
    cache = Path(tmp) / 'compiled'
    each = [
      first_step(config, cache, Path(tmp) / f'run{i}') for i in range(times + 1)
    ]
  cold, warm = each[0][0], statistics.median(e[0] for e in each[1:])
  return {
    'cold_seconds': cold,
    'warm_seconds': warm,
    'warm_each': [e[0] for e in each[1:]],
    'cold_to_end_seconds': each[0][1],
    'targets': [
      report.target('seconds to the first step, cold', cold, at_most=10.0),
      report.target('seconds to the first step, warm', warm, at_most=4.0),
    ],
  }


def main() -> dict:
  parser = report.parser(
    'benchmarks.start', __doc__, ['--config=tiny', '--config=paper --times=5']
  )
  parser.add_argument('--config', default='small', help='tiny, small or paper')
  parser.add_argument('--times', type=int, default=3, help='warm starts')
  args = parser.parse_args()
  made = measure(args.config, args.times)
  layouts.configure()
  return report.record('start', args.config, report.device(), **made)


if __name__ == '__main__':
  sys.exit(report.run(main))
