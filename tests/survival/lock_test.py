"""Two processes on one workdir: the second leaves, and says who is first.

Also where the file system's own lock is granted to everybody.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jaxsynth.errors import UserError
from jaxsynth.trajectory import lock


def state(command):
  """A letter: R running, T stopped, ..."""
  return Path(f'/proc/{command.pid}/stat').read_text().rpartition(')')[2][1]


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_a_second_process_is_refused_by_name(commands, whole, disk, tmp_path):
  first = commands.train(tmp_path, {'at': 'call', 'count': 3, 'do': 'pause'})
  path = disk.trajectory(tmp_path) / 'lock'
  for _ in range(6000):
    if path.exists() and path.read_text():
      break
    time.sleep(0.01)
  second = commands.train(tmp_path)
  assert second.wait() == 2
  (line,) = second.said
  assert f'process {first.pid} on {socket.gethostname()} since 20' in line
  assert line.endswith('wait for it or choose another workdir')
  while state(first) != 'T':
    time.sleep(0.01)
  commands.signal(first, signal.SIGCONT)
  assert first.wait() == 0, first.stderr
  found = disk.contents(disk.trajectory(tmp_path))
  assert disk.differing(found, whole()) == [], 'the first is not disturbed'


@pytest.fixture
def generous(monkeypatch):
  """A file system that grants every lock to everybody."""
  monkeypatch.setattr(fcntl, 'flock', lambda file, operation: None)


def claim(path, pid, host=None, started=None):
  path.write_text(
    json.dumps(
      {
        'pid': pid,
        'host': host or socket.gethostname(),
        'started': lock.started(pid) if started is None else started,
        'since': '2026-01-02 03:04:05+00:00',
      }
    )
  )


def test_without_flock_a_living_process_is_believed(generous, tmp_path):
  child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1)
  path = tmp_path / 'lock'
  claim(path, child.pid)
  match = f'process {child.pid} on .* since 2026-01-02 03:04:05'
  with pytest.raises(UserError, match=match):
    lock.Lock(path)
  child.kill()
  for _ in range(500):
    if lock.started(child.pid) is None:
      break
    time.sleep(0.01)
  lock.Lock(path).close()  # dead, though not yet buried
  child.wait()
  claim(path, child.pid, started='1')
  lock.Lock(path).close()  # buried
  child.stdin.close()


def test_without_flock_another_process_of_that_number_does_not_block(
  generous, tmp_path
):
  path = tmp_path / 'lock'
  claim(path, os.getppid(), started='1')
  lock.Lock(path).close()


def test_without_flock_a_process_is_also_kept_from_itself(generous, tmp_path):
  with (
    lock.Lock(tmp_path / 'lock'),
    pytest.raises(UserError, match=f'process {os.getpid()} on'),
  ):
    lock.Lock(tmp_path / 'lock')
  lock.Lock(tmp_path / 'lock').close()


def test_another_host_is_believed_while_it_renews(generous, tmp_path):
  path, done = tmp_path / 'lock', threading.Event()
  claim(path, 1, host='elsewhere')
  lock.Lock(path, watch=0.3).close()  # silent: dead
  claim(path, 1, host='elsewhere')

  def renew():
    while not done.wait(0.02):
      os.utime(path)

  thread = threading.Thread(target=renew)
  thread.start()
  try:
    with pytest.raises(UserError, match='process 1 on elsewhere since'):
      lock.Lock(path, watch=5)
  finally:
    done.set()
    thread.join()


def test_a_held_lock_is_renewed(monkeypatch, tmp_path):
  monkeypatch.setattr(lock, 'BEAT', 0.02)
  with lock.Lock(tmp_path / 'lock') as held:
    before = held.path.stat().st_mtime_ns
    time.sleep(0.3)
    assert held.path.stat().st_mtime_ns > before
  assert (tmp_path / 'lock').read_text() == ''


@pytest.mark.parametrize('text', ['', 'half', '[]', '{"pid": 3}', 'null'])
def test_a_lock_file_that_names_nobody_does_not_block(tmp_path, text):
  (tmp_path / 'lock').write_text(text)
  lock.Lock(tmp_path / 'lock').close()
