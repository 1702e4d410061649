"""Finding a task, model, config or study by the name of its module.

Nothing is registered: `tasks/my_task.py` that ends in `TASK = MyTask` *is*
the task `my_task`. A dotted path ('my_package.my_task') or the path of a file
('here/my_task.py') names a module outside the library, so a user's own task
needs no fork.
"""

import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType
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


def load_file(path: str) -> ModuleType:
  """The module in a file of the user's.

  Raises:
    UserError: there is no such file.
  """
  file = Path(path)
  if not file.is_file():
    raise UserError(f'no file {path}')
  spec = importlib.util.spec_from_file_location(file.stem, file)
  module = importlib.util.module_from_spec(spec)
  sys.modules.setdefault(spec.name, module)  # dataclasses look themselves up
  spec.loader.exec_module(module)
  return module


def outside(name: str) -> Path | None:
  """The file of a module that is not in the library; None for a short name.

  Args:
    name: as for `get`, of a module that `get` has found.
  """
  if name.endswith('.py'):
    return Path(name)
  spec = importlib.util.find_spec(name) if '.' in name else None
  return Path(spec.origin) if spec and spec.origin else None


def get(package: str, name: str, constant: str, kind: str = '') -> Any:
  """The `constant` of module `name` in `package`, or at a dotted path.

  Args:
    package: where short names are looked up ('jaxsynth.tasks').
    name: a module name in that package, or a dotted path or a file
      outside it.
    constant: the attribute the module must end in ('TASK').
    kind: what it is to the user; the constant in lower case by default.

  Raises:
    UserError: no such module, or the module lacks the constant.
  """
  kind = kind or constant.lower()
  if not isinstance(name, str):
    raise UserError(f'{kind}.name must be a string, got {name!r}')
  if name.endswith('.py'):
    return _constant(load_file(name), constant)
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
  return _constant(importlib.import_module(target), constant)


def _constant(module: ModuleType, constant: str) -> Any:
  if not hasattr(module, constant):
    raise UserError(f'{module.__name__} does not define {constant}')
  return getattr(module, constant)
