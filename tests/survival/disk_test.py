"""A disk that is full or read-only: one line, exit code 1, nothing lost.

Once there is room, the same command goes on to the same bits. A small real
file system where the test may mount one, and always an injected error.
"""

import os
import subprocess

import pytest

from jaxsynth import errors
from jaxsynth.trajectory import check, manifest, writer

SAVE = 'jaxsynth.trajectory.store:save'
COMMIT = 'jaxsynth.trajectory.manifest:commit'
JSON = 'jaxsynth.trajectory.manifest:write_json'
REST = (
  'what was saved before is intact: once the storage takes more, run the same '
  'command again to continue'
)


@pytest.fixture
def small(tmp_path):
  """mount(options) of a tmpfs, which can be called again to change it."""
  folder, mounted = tmp_path / 'small', []
  folder.mkdir()

  def mount(options):
    more = [f'remount,{options}'] if mounted else [options]
    done = subprocess.run(
      ['mount', '-t', 'tmpfs', '-o', *more, 'tmpfs', str(folder)],
      capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
      pytest.skip(f'no file system may be mounted: {done.stderr.strip()}')
    mounted.append(options)
    return folder

  yield mount
  if mounted:
    subprocess.run(['umount', '-l', str(folder)], check=True)


@pytest.mark.slow
def test_a_full_file_system(commands, assert_survived, disk, small):
  workdir = small('size=400k') / 'run'
  full = commands.train(workdir)
  assert full.wait(120) == 1, full.stderr
  # Threads of a library may print a traceback of their own beside the line.
  assert full.said == [f'jaxsynth: No space left on device; {REST}']
  folder = disk.trajectory(workdir)
  kept = writer.committed(folder / 'segments')
  assert kept, 'the disk was meant to take some'
  assert [f for path in kept for f in manifest.faults(path)] == []
  assert disk.leftovers(folder) == [], 'room is given back'
  small('size=40m')
  assert_survived(workdir)


@pytest.mark.slow
def test_a_read_only_file_system(commands, small):
  folder = small('size=2m')
  small('ro')
  refused = commands.train(folder / 'run')
  assert refused.wait() == 2
  assert refused.said == [
    f'jaxsynth: cannot write to {folder}/run: Read-only file system'
  ]


@pytest.mark.parametrize(
  ('at', 'count', 'what', 'words'),
  [
    (SAVE, 4, 'full', 'No space left on device'),
    pytest.param(
      SAVE, 3, 'read_only', 'Read-only file system', marks=pytest.mark.slow
    ),
    pytest.param(
      COMMIT, 5, 'full', 'No space left on device', marks=pytest.mark.slow
    ),
    pytest.param(
      JSON, 1, 'full', 'No space left on device', marks=pytest.mark.slow
    ),
  ],
)
def test_a_write_that_fails(
  commands, assert_survived, disk, tmp_path, at, count, what, words
):
  broken = commands.train(tmp_path, {'at': at, 'count': count, 'do': what})
  assert broken.wait() == 1, broken.stderr
  assert broken.said == [f'jaxsynth: {words}; {REST}']
  assert 'Traceback' not in broken.stderr
  assert disk.leftovers(tmp_path) == []
  if at != JSON:
    assert check.check(disk.trajectory(tmp_path)).faults == []
  assert_survived(tmp_path)


def test_whose_words_mean_a_disk():
  trouble = errors.disk_trouble
  quoted = ValueError("RESOURCE_EXHAUSTED: ...: No space left on device ['28']")
  assert trouble(quoted) == 'No space left on device'
  assert trouble(OSError(28, 'a library wrote\nmany lines')) == (
    'No space left on device'
  )
  named = OSError(30, os.strerror(30), 'x.png')
  assert trouble(named) == 'x.png: Read-only file system'
  assert trouble(ValueError('no')) is None
  assert trouble(FileNotFoundError(2, 'No such file', 'x')) is None
  assert trouble(KeyError('No space left on device')) is None
