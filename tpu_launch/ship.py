"""The code of a job: this checkout as an archive named by what is in it.

All files that git knows or would add, with the Dockerfile at the root: equal
files make equal bytes, so the digest names the code that ran.
"""

import gzip
import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

from jaxsynth.errors import UserError
from tpu_launch.plan import Archive

ROOT = Path(__file__).resolve().parents[1]
RECIPE = 'tpu_launch/Dockerfile'


def files(root: Path = ROOT) -> list[str]:
  """The files of a checkout, untracked ones too, ignored ones not.

  Raises:
    UserError: it is not under git.
  """
  argv = ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
  try:
    done = subprocess.run(argv, cwd=root, capture_output=True, check=True)
  except (OSError, subprocess.CalledProcessError) as e:
    raise UserError(
      f'{root} is no git checkout, so what to ship is not known: clone the '
      'repository, or name an --image with a tag'
    ) from e
  names = sorted(set(done.stdout.decode().split('\0')) - {''})
  return [name for name in names if (root / name).is_file()]


def archive(root: Path = ROOT) -> tuple[Archive, str]:
  """The checkout, packed, and a digest of it."""
  names = files(root)
  content = {name: root / name for name in names}
  if RECIPE in content:
    content['Dockerfile'] = root / RECIPE
  out = io.BytesIO()
  with tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT) as tar:
    for name, path in sorted(content.items()):
      data = path.read_bytes()
      info = tarfile.TarInfo(name)
      info.size = len(data)
      info.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
      tar.addfile(info, io.BytesIO(data))
  digest = hashlib.blake2b(out.getvalue(), digest_size=8).hexdigest()
  packed = gzip.compress(out.getvalue(), mtime=0)
  return Archive(tuple(sorted(content)), packed), digest
