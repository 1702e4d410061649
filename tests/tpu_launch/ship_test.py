"""The code of a job: all of the checkout, the same bytes for the same files."""

import gzip
import io
import json
import subprocess
import tarfile

import pytest

from jaxsynth.errors import UserError
from tpu_launch import __main__ as tpu_launch
from tpu_launch import ship


@pytest.fixture
def checkout(tmp_path, monkeypatch):
  """A small repository, shipped instead of this one."""
  root = tmp_path / 'checkout'
  (root / 'tpu_launch').mkdir(parents=True)
  (root / 'a.py').write_text('a = 1\n')
  (root / 'tpu_launch' / 'Dockerfile').write_text('FROM x\n')
  (root / '.gitignore').write_text('/runs/\n')
  (root / 'run.sh').write_text('true\n')
  (root / 'run.sh').chmod(0o755)
  git = ('git', '-c', 'user.name=x', '-c', 'user.email=x@x')
  for argv in (('init', '-q'), ('add', '-A'), ('commit', '-qm', 'x')):
    subprocess.run([*git, *argv], cwd=root, check=True)
  (root / 'mine.py').write_text('mine = 1\n')
  (root / 'runs').mkdir()
  (root / 'runs' / 'big').write_text('x')
  monkeypatch.setattr(ship, 'ROOT', root)
  monkeypatch.setattr(ship.archive, '__defaults__', (root,))
  monkeypatch.setattr(ship.files, '__defaults__', (root,))
  return root


def members(data):
  with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
    return {m.name: (m.mode, tar.extractfile(m).read()) for m in tar}


def test_what_is_shipped(checkout):
  packed, _ = ship.archive(checkout)
  found = members(packed.data)
  assert set(found) == set(packed.names) == {
    '.gitignore', 'Dockerfile', 'a.py', 'mine.py', 'run.sh',
    'tpu_launch/Dockerfile',
  }  # fmt: skip
  assert found['Dockerfile'] == (0o644, b'FROM x\n')
  assert found['run.sh'][0] == 0o755


def test_the_digest_is_of_the_files(checkout):
  first, digest = ship.archive(checkout)
  (checkout / 'a.py').touch()
  assert ship.archive(checkout) == (first, digest)
  (checkout / 'mine.py').write_text('mine = 2\n')
  assert ship.archive(checkout)[1] != digest


def test_a_folder_without_git_is_refused(tmp_path):
  with pytest.raises(UserError, match='no git checkout'):
    ship.files(tmp_path)


@pytest.mark.parametrize('backend', ['queued_resource', 'gke'])
def test_an_image_without_a_tag_is_built(
  backend, checkout, arguments, fakes, tmp_path
):
  """From the archive, under its digest, before anything asks for a slice."""
  image = 'us-docker.pkg.dev/my-project-1/tpu/jaxsynth'
  argv = [*arguments[backend], f'--image={image}']
  assert tpu_launch.main(argv) == 0
  packed, digest = ship.archive(checkout)
  build, send = fakes.calls()
  path = f'runs/launch/sweep/{digest}.tar.gz'
  assert build[:5] == [
    'gcloud',
    'builds',
    'submit',
    path,
    f'--tag={image}:{digest}',
  ]
  assert send[0] in ('gcloud', 'kubectl')
  assert (tmp_path / path).read_bytes() == packed.data
  texts = [
    p.read_text() for p in (tmp_path / 'runs/launch/sweep').glob('*[hl]')
  ]
  assert any(f'{image}:{digest}' in text for text in texts)
  kept = json.loads((tmp_path / 'runs/launch/sweep/flags.json').read_text())
  assert f'--image={image}' in kept


def test_a_config_that_would_not_be_shipped(
  checkout, arguments, fakes, monkeypatch, capsys
):
  monkeypatch.chdir(checkout)
  text = 'from jaxsynth.configs.markov_mixture import get_config\n'
  image = '--image=us-docker.pkg.dev/my-project-1/tpu/jaxsynth'
  for path, code in (('config.py', 0), ('runs/config.py', 2)):
    (checkout / path).write_text(text)
    argv = [
      *arguments['gke'],
      image,
      f'--config={path}:smoke',
      f'--name=s{code}',
    ]
    assert tpu_launch.main(argv) == code
  assert 'runs/config.py would not be shipped' in capsys.readouterr().err
