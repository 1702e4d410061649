"""The lock of a bucket: one holder, whoever comes, and whoever died."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from jaxsynth.errors import UserError
from jaxsynth.trajectory import bucket_lock, object_store, paths


@pytest.fixture
def path(remote):
  return paths.of(remote[1]) / 'lock'


def held_by(path, **changes):
  """Makes the lock one of another process; returns its object."""
  bucket_lock.BucketLock(path).close()
  (last,) = path.parent.glob('lock.*')
  holder = {
    'pid': 1, 'host': 'elsewhere', 'machine': ['elsewhere'], 'started': '1',
    'since': '2026-01-02 03:04:05+00:00', 'token': 'x', 'beats': 0,
  }  # fmt: skip
  last.write_bytes(json.dumps({**holder, **changes}).encode())
  return last


def test_a_second_is_refused_by_name(path):
  with (
    bucket_lock.take(path),
    pytest.raises(UserError, match=f'process {os.getpid()} on .* since 20'),
  ):
    bucket_lock.take(path)
  for _ in range(3):
    bucket_lock.take(path).close()
  (last,) = path.parent.glob('lock.*')
  assert last.read_bytes() == b''
  assert last.name == 'lock.00000004', 'a row that only grows'


def test_locks_of_other_names_are_others(path):
  with (
    bucket_lock.take(path),
    bucket_lock.take(path.with_name('lock-0-of-2')),
    bucket_lock.take(path.with_name('study.lock')),
  ):
    pass


def test_of_many_at_once_one_gets_it(path):
  """First a free lock, then one whose holder died."""
  for _ in range(2):
    got, lost, start = [], [], threading.Barrier(6)

    def rush(got=got, lost=lost, start=start):
      start.wait()
      try:
        got.append(bucket_lock.BucketLock(path))
      except UserError as e:
        lost.append(str(e))

    threads = [threading.Thread(target=rush) for _ in range(6)]
    for t in threads:
      t.start()
    for t in threads:
      t.join()
    assert len(got) == 1
    assert all('is being written by' in line for line in lost)
    got[0].check()
    got[0].close()
    held_by(path, machine=bucket_lock.machine(), pid=999999999)


def test_who_looked_too_early_takes_nothing(path, monkeypatch):
  """At a row of which all has been taken over and cleared since."""
  for _ in range(2):
    bucket_lock.take(path).close()
  with bucket_lock.take(path) as held:
    look, old = bucket_lock.BucketLock._numbers, [[1]]
    monkeypatch.setattr(
      bucket_lock.BucketLock,
      '_numbers',
      lambda self: old.pop() if old else look(self),
    )
    with pytest.raises(UserError, match='is being written by process'):
      bucket_lock.take(path)
    assert not old
    held.check()
    assert [p.name for p in path.parent.glob('lock*')] == ['lock.00000003']


def test_an_answer_that_was_lost(path, monkeypatch):
  """The store put the object, and we heard of a failure."""
  put, failed = path.fs.pipe_file, []

  def pipe_file(*args, **kwargs):
    put(*args, **kwargs)
    if not failed:
      failed.append(1)
      raise OSError('Service Unavailable')

  monkeypatch.setattr(path.fs, 'pipe_file', pipe_file)
  monkeypatch.setattr(object_store, 'WAITS', (0.01,))
  with bucket_lock.take(path) as lock:
    assert failed
    lock.check()


def test_a_dead_process_of_this_machine_does_not_block(path):
  child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1)
  mine = {'machine': bucket_lock.machine(), 'pid': child.pid}
  started = bucket_lock.started(child.pid)
  held_by(path, **mine, started=started)
  with pytest.raises(UserError, match=f'process {child.pid} on elsewhere'):
    bucket_lock.take(path)
  child.kill()
  child.wait()
  child.stdin.close()
  bucket_lock.take(path).close()
  held_by(path, **mine | {'pid': os.getppid()}, started='1')
  bucket_lock.take(path).close()  # another process of that number


def test_another_machine_is_believed_while_it_renews(path, monkeypatch):
  monkeypatch.setattr(bucket_lock, 'SILENCE', 2.0)
  monkeypatch.setattr(bucket_lock, '_GLANCE', 0.05)
  last = held_by(path)
  renewed = json.loads(last.read_bytes()) | {'beats': 1}
  threading.Timer(
    0.2, lambda: last.write_bytes(json.dumps(renewed).encode())
  ).start()
  with pytest.raises(UserError, match='process 1 on elsewhere since 2026-01'):
    bucket_lock.take(path)
  began = time.monotonic()
  with bucket_lock.take(path) as lock:  # silent from then on
    assert time.monotonic() - began < 4
    lock.check()


def test_long_silence_is_not_waited_for(path, monkeypatch):
  held_by(path)
  monkeypatch.setattr(bucket_lock.BucketLock, '_silent', lambda *a: 60.0)
  began = time.monotonic()
  bucket_lock.take(path).close()
  assert time.monotonic() - began < 2


@pytest.mark.slow
def test_silence_is_measured_by_the_clock_of_the_store(path):
  held_by(path)
  time.sleep(2.1)
  lock = object.__new__(bucket_lock.BucketLock)
  lock.path, lock._token = path, 'y'
  (last,) = path.parent.glob('lock.0*')
  number = int(last.name.rpartition('.')[2])
  assert 1 <= lock._silent(number) <= 4  # in whole seconds
  assert list(path.parent.glob('lock.*')) == [last], 'the look leaves nothing'


def test_a_holder_renews_and_notices_a_successor(path, monkeypatch):
  monkeypatch.setattr(bucket_lock, 'BEAT', 0.05)
  lock = bucket_lock.BucketLock(path)
  (own,) = path.parent.glob('lock.*')
  for _ in range(100):
    if json.loads(own.read_bytes())['beats'] > 2:
      break
    time.sleep(0.05)
  else:
    pytest.fail('not renewed')
  lock.check()
  after = path.with_name('lock.00000002')
  after.write_bytes(own.read_bytes())
  with pytest.raises(UserError, match=r'was taken over by process \d+ on'):
    lock.check()
  lock.close()
  assert json.loads(after.read_bytes())['pid'] == os.getpid(), 'left alone'


def test_a_store_without_conditions_is_refused(path, remote):
  remote[0].ignore_conditions = True
  with pytest.raises(UserError, match='knows no conditional writes'):
    bucket_lock.take(path)
  assert remote[0].keys(remote[1]) == []


def test_no_right_to_write_is_a_mistake_of_the_user(path, remote, monkeypatch):
  def denied(*args, **kwargs):
    raise PermissionError('Access Denied')

  monkeypatch.setattr(path.fs, 'pipe_file', denied)
  with pytest.raises(UserError, match=r'cannot write to s3://.*Access Denied'):
    bucket_lock.take(path)


def test_what_belongs_to_a_lock():
  assert all(map(bucket_lock.belongs, ('lock', 'lock.00000012')))
  assert not any(map(bucket_lock.belongs, ('lock.x', 'locks', 'x.lock', 'a')))
