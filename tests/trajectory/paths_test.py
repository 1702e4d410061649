"""A remote path is refused at once, not made as a local folder named 'gs:'."""

from pathlib import Path

import pytest

from jaxsynth.errors import UserError
from jaxsynth.trajectory import paths, writer
from jaxsynth.trajectory.trajectory import Trajectory


@pytest.mark.parametrize('as_given', [str, Path])
@pytest.mark.parametrize('name', ['gs://bucket/run', 's3://b/r', 'memory://x'])
def test_remote_paths_are_refused(tmp_path, monkeypatch, as_given, name):
  monkeypatch.chdir(tmp_path)
  for use in (paths.local, Trajectory, lambda p: writer.Writer(p, {})):
    with pytest.raises(UserError, match=name):
      use(as_given(name))
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', ['runs/a', '/tmp/x', '.', 'a b/c:d', 'C:/x'])
def test_folders_are_themselves(name):
  assert paths.local(name) == Path(name)
