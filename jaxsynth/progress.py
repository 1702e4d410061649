"""Progress of long work: a bar on a terminal, plain lines elsewhere.

Everything goes to standard error, so that results can be piped.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
  BarColumn,
  MofNCompleteColumn,
  Progress,
  TextColumn,
  TimeElapsedColumn,
  TimeRemainingColumn,
)

# Seconds between two plain lines where there is no terminal.
LINE_EVERY = 15.0

Update = Callable[[int, str], None]


@contextmanager
def bar(title: str, total: int, quiet: bool = False) -> Iterator[Update]:
  """A progress bar over `total` units of work.

  Args:
    title: what is being done.
    total: units in all.
    quiet: show nothing.

  Yields:
    update(done, text): units done so far and what to show beside them.
  """
  console = Console(stderr=True)
  if quiet:
    yield lambda done, text='': None
  elif console.is_terminal:
    columns = (
      TextColumn('[bold]{task.description}'),
      BarColumn(bar_width=24),
      MofNCompleteColumn(),
      TextColumn('{task.fields[text]}'),
      TimeElapsedColumn(),
      TextColumn('left'),
      TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
      task = progress.add_task(title, total=total, text='')
      yield lambda done, text='': progress.update(
        task, completed=done, text=text
      )
  else:
    yield _lines(title, total)


def _lines(title: str, total: int) -> Update:
  began = time.monotonic()
  shown = [began - LINE_EVERY]
  start: list[int] = []

  def update(done: int, text: str = '') -> None:
    now = time.monotonic()
    start.append(done) if not start else None
    if now - shown[0] < LINE_EVERY and done < total:
      return
    shown[0] = now
    rate = (done - start[0]) / (now - began) if now > began else 0
    left = f', {(total - done) / rate:.0f} s left' if rate else ''
    print(
      f'{title}: {done}/{total} {text} ({now - began:.0f} s{left})',
      file=sys.stderr,
      flush=True,
    )

  return update


def note(line: str) -> None:
  """One line beside whatever progress is shown."""
  print(f'jaxsynth: {line}', file=sys.stderr, flush=True)


def track(
  items: Iterable, title: str, total: int, quiet: bool = False
) -> Iterator:
  """Yields the items with a progress bar."""
  with bar(title, total, quiet) as update:
    for i, item in enumerate(items):
      yield item
      update(i + 1, '')
