"""The configs of a study's stages: its own config with some other values.

Both ways give complete configs; what cannot be is refused when it is built.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxsynth.build import complete
from jaxsynth.config import override, plain


def of_sections(
  config: ConfigDict, sections: Mapping[str, Mapping[str, Any]]
) -> ConfigDict:
  """The config with other values in some sections.

  Args:
    config: of the study; unchanged.
    sections: section -> values that replace those of the same name; values
      with a 'name' (another task or model) replace the whole section.

  Raises:
    UserError: an unknown section or name.
  """
  full = plain(config)
  for section, values in sections.items():
    whole = 'name' in values
    full[section] = values if whole else {**full.get(section, {}), **values}
  return complete(full)


def of_paths(config: ConfigDict, values: Mapping[str, Any]) -> ConfigDict:
  """The config with other values at some paths, as the command line sets them.

  Args:
    config: of the study; unchanged.
    values: path, as 'train.steps', -> value.

  Raises:
    UserError: an unknown path.
  """
  out = complete(config)
  for path, value in values.items():
    override(out, path, repr(value))
  return out
