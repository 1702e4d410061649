"""What one more run costs, and one more hyperparameter.

  python -m benchmarks.sweep --config=tiny

1. Run-steps per second, and seconds until all is compiled and warm, as the
   number of runs grows; and what each run beyond those of the row before
   added to a step, as a share of a step with a single run.
2. A traced axis of --values learning rates in one job, against one job for
   each value, started as a user would (`jaxsynth train`, two at a time or
   whatever number of cores there is) with an empty and with a filled folder
   of compiled programs. Starting, compiling and saving count.

The floor of a job is its run-steps at the full rate of 1, with nothing else.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import configs, report, windows
from jaxsynth.errors import UserError


def growth(config: str, runs: Sequence[int], seconds: float) -> list[dict]:
  """Run-steps per second and seconds to be ready at each number of runs."""
  out = []
  for count in runs:
    payload = {'config': config, 'runs': count}
    began = time.perf_counter()
    with windows.Contestant('benchmarks.ours', [payload]) as entrant:
      ready = time.perf_counter() - began
      entrant.rate(1.0)
      rates = [entrant.rate(seconds) for _ in range(3)]
    made = {
      'runs': count,
      'run_steps_per_s': report.spread(rates)['median'],
      'ready_seconds': ready,
    }
    report.say(f'{count} runs: {made["run_steps_per_s"]:.4g} run-steps/s')
    out.append(made)
  return out


def marginal(rows: Sequence[dict]) -> list[dict]:
  """The rows with what each run beyond those of the row before cost.

  `step_seconds` is one step of all runs; `marginal_seconds` the difference
  to the row before for each run added; `marginal_share` that over the seconds
  a step takes with a single run.
  """
  out, before = [], None
  for row in rows:
    whole = row['runs'] / row['run_steps_per_s']
    added = None
    if before is not None:
      step = whole - before[1]
      added = step / (row['runs'] - before[0])
    first = out[0]['step_seconds'] if out else whole
    out.append(
      {
        **row,
        'step_seconds': whole,
        'marginal_seconds': added,
        'marginal_share': None if added is None else added / first,
      }
    )
    before = row['runs'], whole
  return out


def job(config: str, rates: Sequence[float], steps: int, tmp: Path) -> None:
  """One `jaxsynth train` of these learning rates, to its end."""
  name = f'{time.monotonic_ns()}'
  command = [
    sys.executable, '-m', 'jaxsynth.cli', 'train', '--quiet',
    f'--config={Path(__file__).parent / "configs.py"}:{config}',
    f'--workdir={tmp / name}',
    f'--config.train.steps={steps}',
    f'--config.sweep.traced.optimizer.peak_lr={list(rates)}',
  ]  # fmt: skip
  env = {**os.environ, 'JAX_COMPILATION_CACHE_DIR': str(tmp / 'compiled')}
  done = subprocess.run(
    command, cwd=report.ROOT, env=env, capture_output=True, text=True,
    check=False,
  )  # fmt: skip
  if done.returncode:
    raise UserError(f'jaxsynth train failed: {done.stderr[-500:]}')


def jobs(config: str, values: int, steps: int) -> dict:
  """Wall seconds of one sweep and of separate jobs, cold and warm."""
  rates, cores = configs.learning_rates(values), report.machine()['cores']

  def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

  out: dict[str, float] = {}
  with (
    tempfile.TemporaryDirectory() as one,
    tempfile.TemporaryDirectory() as two,
  ):
    for state in ('cold', 'warm'):  # the second time finds the first's programs
      together = lambda: job(config, rates, steps, Path(one))
      out[f'one_job_{state}_seconds'] = timed(together)

      def apart():
        with ThreadPoolExecutor(cores) as pool:
          alone = lambda rate: job(config, [rate], steps, Path(two))
          list(pool.map(alone, rates))

      out[f'separate_jobs_{state}_seconds'] = timed(apart)
      report.say(f'{state}: {out}')
  for state in ('cold', 'warm'):
    one_job = out[f'one_job_{state}_seconds']
    out[f'gain_{state}'] = out[f'separate_jobs_{state}_seconds'] / one_job
  return out


def main() -> dict:
  parser = report.parser(
    'benchmarks.sweep', __doc__, ['--config=tiny', '--config=small --steps=200']
  )
  add = parser.add_argument
  add('--config', default='tiny', help='tiny, small or paper')
  add('--runs', default='1,2,4,8,16,32,64', help='numbers of runs, growing')
  add('--values', type=int, default=8, help='learning rates swept')
  add('--steps', type=int, default=1000, help='of each job')
  add('--seconds', type=float, default=2.0, help='of a window')
  args = parser.parse_args()
  configs.size(args.config)
  counts = [int(r) for r in args.runs.split(',')]
  rows = marginal(growth(args.config, counts, args.seconds))
  swept = jobs(args.config, args.values, args.steps)
  best = max(r['run_steps_per_s'] for r in rows)
  floor = args.values * args.steps / best
  return report.record(
    'sweep',
    args.config,
    report.device(),
    run_steps_per_s=rows[-1]['run_steps_per_s'],
    last_run_share=rows[-1]['marginal_share'],
    growth=rows,
    values=args.values,
    steps=args.steps,
    jobs=swept,
    floor=floor,
    of_floor=swept['one_job_warm_seconds'] / floor,
  )


if __name__ == '__main__':
  sys.exit(report.run(main))
