"""Progress of long work: a bar on a terminal and in a notebook, else lines.

Everything goes to standard error, so that results can be piped; in a notebook
it is one line of the cell, written over again and again.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

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
# And between two versions of what a notebook shows.
CELL_EVERY = 0.25

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
  elif show := cell():
    yield _in_cell(show, title, total)
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


def cell() -> Callable[..., None] | None:
  """Where a notebook shows something that will change, in the running cell.

  Returns:
    show(data, about), which puts data, MIME type -> content, in the place of
    what it showed before, with what is known `about` it, MIME type -> names
    and values; None outside a notebook.
  """
  ipython = sys.modules.get('IPython')
  shell = ipython and ipython.get_ipython()
  if getattr(shell, 'kernel', None) is None:
    return None
  place: list = []

  def show(data: dict[str, Any], about: dict[str, Any] | None = None) -> None:
    rest = {'raw': True, 'metadata': about or {}}
    if place:
      place[0].update(data, **rest)
    else:
      place.append(ipython.display.display(data, display_id=True, **rest))

  return show


def _in_cell(show: Callable, title: str, total: int) -> Update:
  """A bar as one line of text in a notebook's cell."""

  def write(done: int, text: str, took: float, left: float) -> None:
    full = round(24 * done / total) if total else 24
    bar = f'{"█" * full}{"░" * (24 - full)} {done}/{total}'
    more = f', {left:.0f} s left' if done < total and left else ''
    show({'text/plain': f'{title} {bar}  {text}  {took:.0f} s{more}'})

  return _seldom(write, total, CELL_EVERY)


def _lines(title: str, total: int) -> Update:
  def write(done: int, text: str, took: float, left: float) -> None:
    more = f', {left:.0f} s left' if left else ''
    print(
      f'{title}: {done}/{total} {text} ({took:.0f} s{more})',
      file=sys.stderr,
      flush=True,
    )

  return _seldom(write, total, LINE_EVERY)


def _seldom(write: Callable, total: int, every: float) -> Update:
  """Updates that are written every so many seconds, and the last one.

  Args:
    write: write(done, text, seconds since the start, seconds left or 0).
    total: units in all.
    every: seconds between two.
  """
  began = time.monotonic()
  shown = [began - every]
  start: list[int] = []

  def update(done: int, text: str = '') -> None:
    now = time.monotonic()
    start.append(done) if not start else None
    if now - shown[0] < every and done < total:
      return
    shown[0] = now
    rate = (done - start[0]) / (now - began) if now > began else 0
    write(done, text, now - began, (total - done) / rate if rate else 0)

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
