"""Commands on a bucket: the same results, and one line where it cannot be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxsynth import build, cli
from jaxsynth.train import compiling
from jaxsynth.trajectory import check, manifest, object_store, paths
from jaxsynth.trajectory.trajectory import Trajectory

CONFIG = Path(__file__).parents[1] / 'survival' / 'config.py'


@pytest.fixture
def toy(lab, monkeypatch):
  """The toy in place of the config's network."""
  monkeypatch.setattr(build.Setup, 'program', lambda self: lab.toy)


def train(workdir, *more):
  given = [f'--config={CONFIG}', f'--workdir={workdir}', '--quiet', *more]
  return cli.main(['train', *given])


def head(workdir):
  found = check.check(paths.of(workdir) / 'stages' / 'train')
  assert (found.faults, found.warnings) == ([], [])
  return found.head


def line(capsys):
  said = capsys.readouterr().err.splitlines()
  (own,) = [x for x in said if x.startswith('jaxsynth: ')]
  assert said[-1] == own
  return own


@pytest.mark.slow
def test_a_store_that_fails_in_training(
  toy, remote, tmp_path, capsys, monkeypatch
):
  """One line, 1, what was saved is intact; later the same bits."""
  store, url = remote
  assert train(tmp_path / 'run') == 0
  monkeypatch.setattr(object_store, 'WAITS', (0.01,))
  store.refuse = lambda environ: 'segments/0000000012' in environ['PATH_INFO']
  capsys.readouterr()
  assert train(url) == 1
  said = line(capsys)
  assert 'segments/0000000012' in said
  assert 'what was saved before is intact' in said
  store.refuse = lambda environ: False
  begun = store.keys(f'{url}/stages/train/segments')
  assert {k[:10] for k in begun if k.endswith('.json')} == {
    '0000000000', '0000000006'
  }  # fmt: skip
  assert train(url) == 0
  assert head(url) == head(tmp_path / 'run')
  assert cli.main(['check', url, '--quiet']) == 0
  assert train(url, '--config.train.steps=30') == 2
  assert 'config.train.steps: 24 -> 30' in line(capsys)


def test_refused_before_anything_compiles(toy, remote, capsys, monkeypatch):
  def compiled(*args):
    raise AssertionError('compiled')

  monkeypatch.setattr(compiling, 'compile_all', compiled)
  monkeypatch.setattr(compiling, 'trace', compiled)
  store, url = remote
  assert train('s3://nobody/run') == 2
  assert line(capsys) == 'jaxsynth: s3://nobody: there is no such bucket'
  store.refuse = lambda environ: environ['REQUEST_METHOD'] == 'PUT'
  monkeypatch.setattr(object_store, 'WAITS', ())
  assert train(url) == 2
  assert f'cannot write to {url}' in line(capsys)
  assert train(url, '--tensorboard') == 2
  assert '--tensorboard writes only in a local folder' in line(capsys)
  assert cli.main(['reproduce', 'markov_mixture', f'--workdir={url}']) == 2
  assert 'only in a local folder' in line(capsys)
  assert cli.main(['check', url]) == 2
  assert line(capsys) == f'jaxsynth: no folder {url}'


@pytest.mark.slow
def test_a_trajectory_grows_in_a_bucket(toy, remote, tmp_path):
  """Zoomed, extended, given runs and exported, it is what it is in a folder."""
  _, url = remote
  for workdir in (url, tmp_path / 'run'):
    assert train(workdir) == 0
    assert cli.main(['add-seeds', str(workdir), '--seeds=3:5', '--quiet']) == 0
    extend = ['extend', str(workdir), '--steps=30', '--snapshots=every:2']
    assert cli.main([*extend, '--evals=30', '--quiet']) == 0
    zoom = ['zoom', f'{workdir}/stages/train', '--run=1', '--steps=22:26']
    assert cli.main([*zoom, '--quiet']) == 0
    assert cli.main(['check', str(workdir), '--quiet']) == 0
  local, found = (
    [
      (str(p.relative_to(root)), check.check(p).head)
      for p in sorted({p.parent for p in root.rglob('index.json')})
    ]
    for root in (tmp_path / 'run', paths.of(url))
  )
  assert len(found) == 3
  # A zoom's head holds the name of the index of its source, alike in both.
  assert found == local
  output = tmp_path / 'exported'
  export = ['export', f'{url}/stages/train', '--to=safetensors', '--quiet']
  assert cli.main([*export, '--steps=30', f'--output={output}']) == 0
  assert len(list(output.glob('*/*.safetensors'))) == 5
  fork = ['extend', f'{url}/stages/train', '--steps=40', '--quiet']
  assert cli.main([*fork, f'--fork={url}-fork']) == 2, 'runs were added'


@pytest.mark.slow
def test_several_processes_write_one_bucket(remote, tmp_path):
  """Two processes, each its parts: the bits of one process in a folder."""
  store, url = remote
  command = [sys.executable, '-m', 'jaxsynth.cli', 'train', '--quiet']
  for more in (
    [f'--workdir={tmp_path / "run"}', '--cpu_devices=2'],
    [f'--workdir={url}', '--cpu_devices=1', '--processes=2'],
  ):
    done = subprocess.run(
      [*command, f'--config={CONFIG}', *more],
      capture_output=True,
      text=True,
      env=os.environ,
      check=False,
    )
    assert done.returncode == 0, done.stderr
  folders = [paths.of(x) / 'stages' / 'train' for x in (url, tmp_path / 'run')]
  one, two = map(Trajectory, folders)
  for name in one.leaves:
    assert one.leaf(name)[:].tobytes() == two.leaf(name)[:].tobytes()
  assert check.check(folders[0]).faults == []
  first = folders[0] / 'segments' / '0000000000'
  assert any('part-00002' in f for f in manifest.read(first)['files'])
  assert not [k for k in store.keys(url) if '.part' in k or '.json/' in k]
