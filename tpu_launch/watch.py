"""Sees a queued resource to its end: asks again for what was taken away.

What it knows it reads from gcloud and the record of the job, so it may be
stopped and started again at any time.
"""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread

from jaxsynth.errors import UserError
from jaxsynth.launch import EXIT_FAILED
from tpu_launch import carry, ends
from tpu_launch.plan import Command, Plan
from tpu_launch.queued import ACTIVE, FAILED, TAKEN, QueuedResource

# Failures of gcloud in a row after which the loop gives up.
PATIENCE = 10


def steps(job: QueuedResource) -> list[tuple[str, tuple[Command, ...]]]:
  """What `watch` may run, and when; for `--dry_run`."""
  end = () if job.keep else (job.delete(),)
  return [
    (f'every {job.poll:g} s', (job.describe(),)),
    (f'while {ACTIVE}', (job.ended(),)),
    (f'once {TAKEN}, at most {job.recreations} times',
     (job.delete(), job.create())),
    (f'once {FAILED}', (job.explain(),)),
    ('once the job has ended', (*job.fetch().commands, *end)),
  ]  # fmt: skip


def watch(
  job: QueuedResource,
  say: Callable[[str], None] = print,
  fetches: Callable[[], bool] = lambda: True,
) -> int:
  """Waits for the end of a job, fetches it, and gives the slice back.

  Args:
    job: as it was launched; its startup script is still there.
    say: takes one line.
    fetches: asked once, when the job has ended: whether to fetch the folder,
      which shards share.

  Returns:
    The exit code of the training; 1 if gcloud keeps failing, if the request
    failed, or if the results could not be fetched (the slice then stays).

  Raises:
    UserError: the job was not launched from here.
  """
  if not Path(job.script).exists():
    raise UserError(f'no {job.script}: `launch` {job.title} first')
  marker = Path(job.marker)
  if marker.exists():
    fetches()
    say(f'{job.title} has ended before, and its slice is deleted')
    return int(marker.read_text(encoding='utf-8'))
  failures = recreated = 0
  before = ''
  while True:
    try:
      state = _state(job)
      if state != before:
        say(f'{job.title}: {state or "not there"}')
      before = state
      if state == FAILED:
        say(carry.output(job.explain()).strip())
        return EXIT_FAILED
      if state == ACTIVE:
        code = _ended(job)
        if code is not None:
          return _finish(job, code, say, fetches())
      if state in (TAKEN, '') and recreated == job.recreations:
        say(f'{job.title}: asked {recreated} times again, no more')
        return EXIT_FAILED
      if state == TAKEN:
        carry.output(job.delete())
        state = ''
      if state == '':
        carry.output(job.create())
        recreated += 1
        say(f'{job.title}: asked for the slice again')
      failures = 0
    except carry.FailedError as e:
      failures += 1
      say(f'{job.title}: {e}')
      if failures == PATIENCE:
        say(
          f'{job.title}: {failures} failures in a row, no more; `watch` again'
        )
        return EXIT_FAILED
    time.sleep(job.poll)


def _state(job: QueuedResource) -> str:
  """The state of the request, '' if there is none."""
  try:
    return carry.output(job.describe()).strip()
  except carry.FailedError as e:
    if 'NOT_FOUND' in e.stderr:
      return ''
    raise


def _ended(job: QueuedResource) -> int | None:
  """The code the job ended with, None while it has not, as far as one sees."""
  try:
    said = carry.output(job.ended())
  except carry.FailedError:
    return None  # no such file yet, or the host is not up, or no more
  return int(said) if re.fullmatch(r'\s*\d+\s*', said) else None


def _finish(
  job: QueuedResource, code: int, say: Callable[[str], None], fetch: bool
) -> int:
  say(f'{job.title}: {ends.meaning(code)}')
  try:
    if fetch:
      carry.out(job.fetch(), say)
  except carry.FailedError as e:
    say(f'{job.title}: {e}; the slice is kept, and costs: `fetch`, `teardown`')
    return code or EXIT_FAILED
  if not job.keep:
    carry.out(Plan(commands=(job.delete(),)), say)
    Path(job.marker).write_text(f'{code}\n', encoding='utf-8')
  return code


def together(
  jobs: Sequence[QueuedResource], say: Callable[[str], None] = print
) -> int:
  """Watches the shards of a sweep; the last to end fetches for all.

  Returns:
    The first exit code that is not 0.
  """
  if len(jobs) == 1:
    return watch(jobs[0], say)
  ended: list[None] = []
  codes = [EXIT_FAILED] * len(jobs)

  def last() -> bool:
    ended.append(None)
    return len(ended) == len(jobs)

  def one(i: int) -> None:
    try:
      codes[i] = watch(jobs[i], say, last)
    except (carry.FailedError, UserError) as e:
      say(f'{jobs[i].title}: {e}')

  # Daemons, so that Ctrl-C ends them all.
  threads = [
    Thread(target=one, args=(i,), daemon=True) for i in range(len(jobs))
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  if len(ended) < len(jobs):
    say('not all shards have ended, so nothing was fetched')
  return next((code for code in codes if code), 0)
