"""Local folders are themselves; what is none is never made here as one."""

from pathlib import Path

import pytest

from jaxsynth.errors import UserError
from jaxsynth.trajectory import paths, writer
from jaxsynth.trajectory.trajectory import Trajectory


@pytest.mark.parametrize('as_given', [str, Path])
def test_other_storages_are_refused(tmp_path, monkeypatch, as_given):
  monkeypatch.chdir(tmp_path)
  for use in (paths.of, Trajectory, lambda p: writer.Writer(p, {})):
    with pytest.raises(UserError, match='unknown storage'):
      use(as_given('memory://x'))
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', ['gs://bucket/run', 's3://b/r'])
def test_what_only_a_folder_takes(tmp_path, monkeypatch, name):
  monkeypatch.chdir(tmp_path)
  for given in (name, Path(name)):
    with pytest.raises(UserError, match=f'^{name}: a page is written only in'):
      paths.local(given, 'a page is written')
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', ['runs/a', '/tmp/x', '.', 'a b/c:d', 'C:/x'])
def test_folders_are_themselves(name):
  assert paths.of(name) == paths.local(name, '') == Path(name)
