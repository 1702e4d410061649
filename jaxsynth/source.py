"""Digests of the library's own code, recorded beside every result."""

import hashlib
from pathlib import Path

# What an analysis, a figure or the command line does cannot change a
# training: these parts are left out of a trajectory's source digest.
_READING = ('analysis', 'plots', 'studies', 'interventions', 'cli.py')


def source_digest(everything: bool = False) -> str:
  """A digest of the library's code.

  Args:
    everything: include analyses, figures and experiments; by default only
      what can change a training.
  """
  root = Path(__file__).parent
  files = [
    p
    for p in sorted(root.rglob('*.py'))
    if everything or p.relative_to(root).parts[0] not in _READING
  ]
  if everything:
    from jaxsynth import experiments

    files += sorted(Path(experiments.__path__[0]).glob('*.py'))
  h = hashlib.blake2b(digest_size=8)
  for path in files:
    h.update(path.name.encode() + b'\0' + path.read_bytes() + b'\0')
  return h.hexdigest()
