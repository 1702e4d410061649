"""Digests of the library's own code, recorded beside every result."""

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

# What an analysis, a figure or the command line does cannot change a
# training: these parts are left out of a trajectory's source digest.
_READING = (
  'analysis',
  'catalogue.py',
  'cli.py',
  'commands.py',
  'commands_grow.py',
  'estimate.py',
  'export.py',
  'plots',
  'studies',
  'verify.py',
)


def source_digest(everything: bool = False, files: Sequence[Path] = ()) -> str:
  """A digest of the library's code.

  Args:
    everything: include analyses, figures and experiments; by default only
      what can change a training.
    files: outside the library that count too: a task of the user's own.
  """
  root = Path(__file__).parent
  own = [
    p
    for p in sorted(root.rglob('*.py'))
    if everything or p.relative_to(root).parts[0] not in _READING
  ]
  if everything:
    studies = importlib.util.find_spec('jaxsynth.experiments')
    own += sorted(Path(studies.origin).parent.glob('*.py'))
  h = hashlib.blake2b(digest_size=8)
  for path in (*own, *files):
    h.update(path.name.encode() + b'\0' + path.read_bytes() + b'\0')
  return h.hexdigest()
