"""Finding a task, model, config or study by the name of its module.

Nothing is registered: `tasks/my_task.py` that ends in `TASK = MyTask` *is*
the task `my_task`. A dotted path ('my_package.my_task') names a module
outside the library, so a user's own task needs no fork.
"""

import importlib
import importlib.util
import pkgutil
from typing import Any

from jaxsynth.errors import UserError, unknown


def names(package: str) -> list[str]:
  """The public module names in a package, e.g. names('jaxsynth.tasks')."""
  path = importlib.import_module(package).__path__
  return sorted(
    m.name
    for m in pkgutil.iter_modules(path)
    if not m.ispkg and not m.name.startswith('_') and m.name != 'base'
  )


def get(package: str, name: str, constant: str, kind: str = '') -> Any:
  """The `constant` of module `name` in `package`, or at a dotted path.

  Args:
    package: where short names are looked up ('jaxsynth.tasks').
    name: a module name in that package, or a dotted path outside it.
    constant: the attribute the module must end in ('TASK').
    kind: what it is to the user; the constant in lower case by default.

  Raises:
    UserError: no such module, or the module lacks the constant.
  """
  kind = kind or constant.lower()
  if not isinstance(name, str):
    raise UserError(f'{kind}.name must be a string, got {name!r}')
  if '.' in name:
    target = name
    try:
      found = importlib.util.find_spec(target) is not None
    except (ImportError, ValueError):
      found = False
    if not found:
      raise UserError(f'no module {name!r} can be imported for the {kind}')
  else:
    known = names(package)
    if name not in known:
      raise unknown(kind, name, known)
    target = f'{package}.{name}'
  module = importlib.import_module(target)
  if not hasattr(module, constant):
    raise UserError(f'{target} does not end in `{constant} = ...`')
  return getattr(module, constant)
