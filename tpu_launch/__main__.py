"""From a laptop to a pod: sends a training where it will run.

  python -m tpu_launch --backend=local --name=try --processes=2 \\
    --config=markov_mixture:quick --workdir=runs/try
  python -m tpu_launch --backend=queued_resource --name=sweep \\
    --config=markov_mixture:paper --slice=v5litepod-8 --zone=us-west4-a \\
    --project=MY-PROJECT --nfs=10.0.0.2:/jaxsynth --spot \\
    --image=us-west4-docker.pkg.dev/MY-PROJECT/tpu/jaxsynth --dry_run
  python -m tpu_launch watch --name=sweep

launch (the default) checks everything and sends the job; watch sees it to its
end, asks again for what was taken away, fetches and gives back; status, logs,
fetch and teardown need only --name. --dry_run prints exactly what would be
sent. Run it in the root of a checkout; docs/launching.md tells the whole way.
"""

import json
import sys
from collections.abc import Sequence

from jaxsynth.errors import UserError
from jaxsynth.launch import EXIT_FAILED, EXIT_USER
from tpu_launch import carry, flags, local, plan, watch
from tpu_launch.job import Job


def _say(line: str) -> None:
  print(line, file=sys.stderr, flush=True)


def _refuse_other(request: flags.Request) -> None:
  """Refuses a name under which something else was launched."""
  if not request.record.exists():
    return
  before = json.loads(request.record.read_text(encoding='utf-8'))
  if before != list(request.argv):
    changed = sorted(set(before) ^ set(request.argv))
    raise UserError(
      f'{request.job.name} was launched with other flags '
      f'({" ".join(changed)}): choose another --name, or `teardown` it first'
    )


def _plan(request: flags.Request, jobs: Sequence[Job]) -> plan.Plan:
  """The plan of a verb other than watch, with the record of the jobs."""
  if request.verb == 'fetch':
    jobs = jobs[:1]  # shards share a folder
  made = [getattr(job, request.verb)() for job in jobs]
  path = str(request.record)
  if request.verb == 'launch':
    kept = json.dumps(request.argv, indent=1) + '\n'
    made.append(plan.Plan(files={path: kept}))
  whole = len(jobs) == request.job.shards
  if request.verb == 'teardown' and whole:
    made.append(plan.Plan(removes=(path,)))
  return plan.merged(made)


def _show(request: flags.Request, jobs: Sequence[Job]) -> None:
  """Prints what would be done."""
  if request.verb != 'watch':
    print(plan.text(_plan(request, jobs)), end='')
    return
  for job in jobs:
    for when, commands in watch.steps(job):
      print(when)
      print(plan.text(plan.Plan(commands=commands)), end='')


def _do(request: flags.Request, jobs: Sequence[Job]) -> int:
  """Does it; returns the exit code."""
  if request.verb == 'watch':
    return watch.together(jobs, _say)
  if request.verb == 'launch' and isinstance(request.job, local.Local):
    codes = (local.supervise(job, _say) for job in jobs)
    return next((code for code in codes if code), 0)
  carry.out(_plan(request, jobs), _say)
  return 0


def main(argv: Sequence[str]) -> int:
  """Runs a command line; returns the exit code."""
  try:
    request = flags.read(argv)
    if request is None:
      print(f'{__doc__}\n{flags.help_text()}')
      return 0
    if request.verb == 'launch':
      request.job.check()
      _refuse_other(request)
    jobs = request.job.each()
    if request.dry_run:
      _show(request, jobs)
      return 0
    return _do(request, jobs)
  except UserError as e:
    _say(f'tpu_launch: {e}')
    return EXIT_USER
  except carry.FailedError as e:
    _say(f'tpu_launch: {e}')
    if e.stderr.count('\n') > 1:
      _say(e.stderr.rstrip())
    return EXIT_FAILED
  except KeyboardInterrupt:
    return 130


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
