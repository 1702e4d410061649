"""Processes of a team that die, hang or are told to stop; then all continue."""

import os
import signal
import time
from pathlib import Path

import pytest

from jaxsynth import spawn
from jaxsynth.trajectory import writer
from tests.distributed.teams import (
  PATIENCE,
  assert_same,
  children,
  launched,
  needs_proc,
  team,
  under_way,
)


@pytest.mark.slow
@pytest.mark.parametrize('process', [0, 1])
def test_a_dead_peer_ends_the_others(lab, config, alone, tmp_path, process):
  """Started by hand: nobody but JAX's service is there to notice."""
  began = time.monotonic()
  codes, said = team(tmp_path, config, die=[process, 2], heartbeat=10)
  assert time.monotonic() - began < 10 + 60
  assert codes[process] == -signal.SIGKILL, said
  assert codes[1 - process] not in (0, 2), said
  codes, said = team(tmp_path, config)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'first', alone)


@pytest.mark.slow
@pytest.mark.parametrize('process', [0, 1])
def test_a_peer_that_hangs_is_left(lab, config, alone, tmp_path, process):
  """It lives, and its heart beats; the other waits no longer than told."""
  began = time.monotonic()
  hang = {'hang': [process, 1], 'patience': 8, 'heartbeat': 10}
  codes, said = team(tmp_path, config, **hang)
  assert time.monotonic() - began < 8 + 60
  assert codes[1 - process] == spawn.HUNG, said
  assert 'lives but does not answer' in said[1 - process]
  assert codes[process] not in (0, 2), said
  codes, said = team(tmp_path, config)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'first', alone)


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize(
  ('number', 'target', 'says'),
  [
    (signal.SIGTERM, 'launcher', 'stopped'),
    (signal.SIGINT, 'launcher', 'stopped'),
    (signal.SIGTERM, 1, 'stopped'),
    (signal.SIGKILL, 1, 'process 1 ended with -9'),
    (signal.SIGKILL, 0, 'process 0 ended with -9'),
  ],
)
def test_a_signal_ends_all_and_a_second_start_continues(
  lab, long, whole, tmp_path, number, target, says
):
  process = launched(tmp_path, long, pause=0.1)
  try:
    under_way(tmp_path, process)
    found = children(process)
    began = time.monotonic()
    os.kill(process.pid if target == 'launcher' else found[target], number)
    said = ''.join(process.communicate(timeout=PATIENCE))
  finally:
    process.kill()
  assert process.returncode == 75, said
  assert says in said
  if number == signal.SIGKILL:
    assert time.monotonic() - began < 10
  assert all(not Path(f'/proc/{pid}').exists() for pid in found)
  assert len(writer.committed(tmp_path / 'first' / 'segments')) < len(
    writer.committed(whole.folder / 'segments')
  )
  process = launched(tmp_path, long)
  said = process.communicate(timeout=PATIENCE)
  assert process.returncode == 0, said
  assert_same(lab, tmp_path / 'first', whole)


@pytest.mark.slow
@needs_proc
def test_a_dead_launcher_stops_all(lab, long, whole, tmp_path):
  process = launched(tmp_path, long, pause=0.1)
  under_way(tmp_path, process)
  found = children(process)
  process.kill()
  deadline = time.monotonic() + PATIENCE
  while any(Path(f'/proc/{pid}').exists() for pid in found):
    assert time.monotonic() < deadline
    time.sleep(0.1)
  process.communicate()
  process = launched(tmp_path, long)
  said = process.communicate(timeout=PATIENCE)
  assert process.returncode == 0, said
  assert_same(lab, tmp_path / 'first', whole)
