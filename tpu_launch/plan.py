"""What would be sent, as data: files to write, then commands to run.

A backend only makes plans; whoever asked prints one (`--dry_run`) or carries
it out (`tpu_launch.carry`). So what is printed is what is sent.
"""

import dataclasses
import json
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Command:
  """One command.

  Attributes:
    argv: the program and its arguments; no shell reads them.
    stdin: what it reads, a manifest or a script.
    tries: how often it is tried; above 1 only where twice is as good as once.
  """

  argv: tuple[str, ...]
  stdin: str | None = None
  tries: int = 1


@dataclasses.dataclass(frozen=True)
class Archive:
  """A file that is not text: named by a digest of what is in it."""

  names: tuple[str, ...]
  data: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Plan:
  """What to write on this machine, then commands to run, in order.

  Attributes:
    folders: made where they are not there.
    files: path -> content.
    commands: each must succeed before the next.
    removes: files to remove once all have.
  """

  folders: tuple[str, ...] = ()
  files: dict[str, str | Archive] = dataclasses.field(default_factory=dict)
  commands: tuple[Command, ...] = ()
  removes: tuple[str, ...] = ()


def merged(plans: Sequence[Plan]) -> Plan:
  """Several plans as one, in order; what they share is done once."""
  files = {}
  for plan in plans:
    files |= plan.files
  once = lambda lists: tuple(dict.fromkeys(x for xs in lists for x in xs))
  return Plan(
    once(p.folders for p in plans),
    files,
    once(p.commands for p in plans),
    once(p.removes for p in plans),
  )


def _indented(text: str) -> list[str]:
  return [f'  {line}'.rstrip() for line in text.splitlines()]


def text(plan: Plan) -> str:
  """A plan for a reader: each argv as a JSON list, each file in full."""
  out = [f'make {path}/' for path in plan.folders]
  for path, content in plan.files.items():
    if isinstance(content, Archive):
      out.append(f'write {path}: an archive of {len(content.names)} files')
    else:
      out += [f'write {path}', *_indented(content)]
  for command in plan.commands:
    tries = f', up to {command.tries} times' if command.tries > 1 else ''
    out.append(f'run{tries} {json.dumps(command.argv)}')
    if command.stdin is not None:
      out += ['with standard input', *_indented(command.stdin)]
  out += [f'remove {path}' for path in plan.removes]
  return '\n'.join(out) + '\n'
