"""Config values: plain data, overrides, and frozen dataclasses made of them.

A config is an ml_collections ConfigDict of sections; a dotted path such as
'optimizer.peak_lr' names one value in it. What the sections mean stands in
`jaxsynth.build`.
"""

import ast
import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

import numpy as np
from ml_collections import ConfigDict

from jaxsynth.errors import UserError, unknown

# Sections in which an override may add a key that is not there yet.
_OPEN = ('sweep.traced', 'sweep.static', 'sweep.fixed', 'measure')


def override(config: ConfigDict, path: str, text: str) -> None:
  """Sets one value of a complete config, as `--config.PATH=TEXT` does.

  Args:
    config: complete; changed in place.
    path: dotted, e.g. 'optimizer.peak_lr'.
    text: a Python literal (3e-4, True, (1, 2)) or a bare string.

  Raises:
    UserError: the path is not in the config.
  """
  try:
    value = ast.literal_eval(text)
  except (ValueError, SyntaxError):
    value = text
  node, parts = config, path.split('.')
  for depth, part in enumerate(parts):
    here = '.'.join(parts[:depth])
    last = depth == len(parts) - 1
    if not isinstance(node, ConfigDict):
      raise UserError(f'config.{here} is a value, it has no part {part!r}')
    if part not in node:
      if not here.startswith(_OPEN):
        near = [f'{here}.{k}'.lstrip('.') for k in node]
        raise unknown('config key', '.'.join(parts[: depth + 1]), near)
      with node.unlocked():
        node[part] = value if last else ConfigDict()
    elif last:
      if isinstance(node[part], ConfigDict) and not isinstance(value, dict):
        raise UserError(f'config.{path} is a section: name one of its keys')
      with node.unlocked(), node.ignore_type():
        node[part] = value
    node = node[part]


def plain(config: Any) -> Any:
  """A config as JSON values: dicts, lists, numbers, strings."""
  if isinstance(config, ConfigDict):
    config = config.to_dict()
  if isinstance(config, Mapping):
    return {str(k): plain(v) for k, v in config.items()}
  if isinstance(config, (np.ndarray, np.generic)):
    config = config.tolist()
  if isinstance(config, (list, tuple)):
    return [plain(v) for v in config]
  return config


def config_hash(config: Any) -> str:
  """A short digest of a config, equal for equal contents."""
  text = json.dumps(plain(config), sort_keys=True)
  return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def flat(section: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """Nested axes as dotted paths: {'task': {'k': v}} -> {'task.k': v}."""
  out = {}
  for key, value in section.items():
    here = f'{prefix}{key}'
    if isinstance(value, Mapping):
      out |= flat(value, here + '.')
    else:
      out[here] = tuple(value) if isinstance(value, list) else value
  return out


def nested(axes: Mapping[str, Any]) -> dict[str, Any]:
  """The inverse of `flat`, which a ConfigDict needs: no dots in its keys."""
  out: dict[str, Any] = {}
  for path, value in flat(axes).items():
    *parents, last = path.split('.')
    node = out
    for parent in parents:
      node = node.setdefault(parent, {})
    node[last] = value
  return out


def coerce(value: Any, wanted: Any, where: str) -> Any:
  """The value as the annotated type, where that is a plain one."""
  if isinstance(value, list):
    value = tuple(value)
  if type(None) in get_args(wanted):  # int | None
    if value is None:
      return None
    (wanted,) = (t for t in get_args(wanted) if t is not type(None))
  if wanted is float and isinstance(value, int) and not isinstance(value, bool):
    return float(value)
  if wanted is int and isinstance(value, float) and value.is_integer():
    return int(value)
  if wanted in (int, float, str, bool) and type(value) is not wanted:
    raise UserError(
      f'{where} must be {wanted.__name__}, got {value!r} '
      f'({type(value).__name__})'
    )
  return value


def make(cls: type, section: Mapping[str, Any], where: str) -> Any:
  """A frozen dataclass from a config section; unknown keys are refused."""
  fields = {f.name for f in dataclasses.fields(cls)}
  hints = get_type_hints(cls)
  for key in section:
    if key not in fields:
      raise unknown(
        'config key', f'{where}.{key}', [f'{where}.{f}' for f in fields]
      )
  return cls(
    **{k: coerce(v, hints.get(k), f'{where}.{k}') for k, v in section.items()}
  )


def of_preset(
  presets: Mapping[str, Callable[[], dict]], preset: str
) -> ConfigDict:
  """The config of one preset, which says of itself which it is.

  Args:
    presets: name -> what makes it.
    preset: one of the names.

  Raises:
    UserError: there is no such preset.
  """
  if preset not in presets:
    raise unknown('preset', preset, presets)
  return ConfigDict({**presets[preset](), 'preset': preset})
