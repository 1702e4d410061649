"""What there is: studies, tasks, models, configs, analyses, trajectories."""

import ast
import functools
import importlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxsynth import lookup
from jaxsynth.errors import UserError, unknown
from jaxsynth.models import base as models
from jaxsynth.studies import study as studies
from jaxsynth.tasks import base as tasks
from jaxsynth.trajectory import paths

ANALYSIS = 'jaxsynth.analysis'


def analyses() -> dict[str, Callable]:
  """Analyses that map over a trajectory: functions of (params, ctx, ...)."""
  out = {}
  for name in lookup.names(ANALYSIS):
    module = importlib.import_module(f'{ANALYSIS}.{name}')
    for key, fn in vars(module).items():
      if not inspect.isfunction(fn) or fn.__module__ != module.__name__:
        continue
      if list(inspect.signature(fn).parameters)[:2] == ['params', 'ctx']:
        out[f'{name}.{key}'] = fn
  return out


def analysis(name: str, arguments: Sequence[str] = ()) -> Callable:
  """An analysis by name, with its further arguments filled in.

  Args:
    name: 'MODULE.FUNCTION'.
    arguments: 'split=fresh' and the like; values are Python literals or
      bare strings.

  Raises:
    UserError: no such analysis or argument, or one is missing.
  """
  known = analyses()
  if name not in known:
    raise unknown('analysis', name, known)
  parameters = dict(list(inspect.signature(known[name]).parameters.items())[2:])
  given = {}
  for item in arguments:
    key, sign, text = item.partition('=')
    if not sign:
      raise UserError(f'--with takes NAME=VALUE, got {item!r}')
    if key not in parameters:
      raise unknown(f'argument of {name}', key, parameters)
    try:
      given[key] = ast.literal_eval(text)
    except (ValueError, SyntaxError):
      given[key] = text
  for key, p in parameters.items():
    if p.default is p.empty and key not in given:
      raise UserError(f'{name} needs --with {key}=VALUE')
  return functools.partial(known[name], **given)


def trajectories(workdir: Path) -> list[Path]:
  """The trajectory folders at or below a workdir.

  Raises:
    UserError: there is none.
  """
  workdir = paths.of(workdir)
  seen = paths.listed(workdir)
  if not seen.is_dir():
    raise UserError(f'no folder {workdir}')
  names = ('index.json', 'segments')
  found = {
    workdir / p.parent.relative_to(seen)
    for name in names
    for p in seen.rglob(name)
  }
  found = sorted(p for p in found if p.name != 'damaged')
  if not found:
    raise UserError(f'{workdir} holds no trajectory')
  return found


def everything() -> dict[str, dict[str, str]]:
  """name -> one line, for studies, tasks, models, configs and analyses."""

  def first_line(text: str | None) -> str:
    return inspect.cleandoc(text or '').split('\n')[0]

  def module_lines(package: str, listed: Sequence[str]) -> dict[str, str]:
    return {
      name: first_line(importlib.import_module(f'{package}.{name}').__doc__)
      for name in listed
    }

  return {
    'studies': {name: studies.get(name).title for name in studies.names()},
    'tasks': module_lines('jaxsynth.tasks', tasks.names()),
    'models': module_lines('jaxsynth.models', models.names()),
    'configs': module_lines(
      'jaxsynth.configs', lookup.names('jaxsynth.configs')
    ),
    'analyses': {n: first_line(fn.__doc__) for n, fn in analyses().items()},
  }


def text() -> str:
  """The catalogue for reading."""
  lines = []
  for kind, entries in everything().items():
    width = max(map(len, entries), default=0)
    lines.append(kind)
    lines += [f'  {n.ljust(width)}  {line}' for n, line in entries.items()]
  return '\n'.join(lines)
