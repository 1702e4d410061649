"""Several processes train one sweep: the same bits, saved and resumed together.

Each test starts processes of its own and waits for them no longer than
PATIENCE seconds. What one process makes of the same config, in this one, is
what they are compared with.
"""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxsynth import build, cli, spawn, stage
from jaxsynth.errors import UserError
from jaxsynth.train import loop
from jaxsynth.trajectory import check, manifest, writer

PATIENCE = 150
CHILD = Path(__file__).with_name('child.py')


@pytest.fixture(scope='session')
def config(lab):
  """Three runs, which two devices do not divide; saved after every call."""
  out = copy.deepcopy(lab.tiny)
  out['sweep'] = {'seeds': 3}
  out['train'] |= {'checkpoint_calls': 1, 'call_steps': 4}
  return out


@pytest.fixture(scope='session')
def alone(lab, config, tmp_path_factory):
  """What one process with two devices makes of it."""
  return train(lab, config, tmp_path_factory.mktemp('alone') / 'first')


def train(lab, config, folder, **options):
  """Trains the toy in this process."""
  options = {'program': lab.toy, **options}
  return stage.train(build.build(config), folder, quiet=True, **options)


def team(folder, config, count=2, devices=1, **options):
  """Runs `count` processes; returns their exit codes and what they said."""
  options |= {
    'count': count,
    'devices': devices,
    'config': config,
    'folder': str(folder),
    'coordinator': f'127.0.0.1:{spawn.free_port()}',
  }
  processes = [
    subprocess.Popen(
      [sys.executable, CHILD, json.dumps({**options, 'id': i})],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for i in range(count)
  ]
  deadline = time.monotonic() + PATIENCE
  try:
    said = [
      p.communicate(timeout=deadline - time.monotonic())[0] for p in processes
    ]
  finally:
    for p in processes:
      p.kill()
  return [p.returncode for p in processes], said


def assert_same(lab, folder, alone):
  """Every bit of every run, and files that are as they were written."""
  traj = stage.open_trajectory(folder)
  got, expected = lab.contents(traj), lab.contents(alone)
  assert list(got) == list(expected)
  assert [lab.differing(got[r], expected[r]) for r in got] == [[]] * len(got)
  assert check.check(folder).faults == []


def test_two_processes_equal_one(lab, config, alone, tmp_path):
  codes, said = team(tmp_path, config)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'first', alone)
  for part in ('segments', 'checkpoints', 'branches'):
    saves = writer.committed(tmp_path / 'first' / part)
    names = {p.name for p in (tmp_path / 'first' / part).iterdir()}
    assert names == {p.name for p in (alone.folder / part).iterdir()}
    for save in saves:
      inside = sorted(p.name for p in save.iterdir())
      assert inside == ['part-00000', 'part-00002']
  index = manifest.load_json(tmp_path / 'first' / 'index.json')
  assert index['spread'] == {
    'block': 2, 'device_count': 2, 'process_count': 2,
  }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(('count', 'devices'), [(1, 1), (2, 2), (3, 1), (4, 1)])
def test_any_number_of_processes_and_devices(
  lab, config, alone, tmp_path, count, devices
):
  """Four processes for three runs: the last one has only dummies."""
  codes, said = team(tmp_path, config, count, devices)
  assert codes == [0] * count, said
  assert_same(lab, tmp_path / 'first', alone)


@pytest.mark.slow
def test_vmap(lab, config, tmp_path):
  """Equal rows a device: equal bits; else close after the first steps."""
  config = {**config, 'layout': {'mode': 'vmap', 'block': 4}}
  one = train(lab, config, tmp_path / 'one')
  codes, said = team(tmp_path, config)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'first', one)
  wider = {**config, 'layout': {'mode': 'vmap', 'block': 8}}
  codes, said = team(tmp_path / 'wider', wider)
  assert codes == [0, 0], said
  two = stage.open_trajectory(tmp_path / 'wider' / 'first')
  got, expected = (t.metrics['loss'].to_numpy()[:, :10] for t in (two, one))
  np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('shared', [False, True])
def test_a_stage_from_a_parent(lab, config, tmp_path, shared):
  config = copy.deepcopy(config)
  if shared:
    config['sweep']['fixed'] = {'task': 1}
  first = train(lab, config, tmp_path / 'a')
  again = lab.toy._replace(init=lambda run: run.parent)
  parent = stage.Parent(first, 6)
  one = train(lab, config, tmp_path / 'b', program=again, parent=parent)
  codes, said = team(tmp_path / 'team', config, second=True)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'team' / 'first', first)
  assert_same(lab, tmp_path / 'team' / 'second', one)


@pytest.mark.slow
@pytest.mark.parametrize('count', [1, 2, 3])
def test_stopped_by_one_and_resumed_by_another_number(
  lab, config, alone, tmp_path, count
):
  codes, said = team(tmp_path, config, stop=[1, 2])
  assert codes == [75, 75], said
  assert len({s.splitlines()[-1] for s in said}) == 1, said
  reached = len(writer.committed(tmp_path / 'first' / 'segments'))
  assert 0 < reached < len(writer.committed(alone.folder / 'segments'))
  codes, said = team(tmp_path, config, count)
  assert codes == [0] * count, said
  assert_same(lab, tmp_path / 'first', alone)


@pytest.mark.slow
def test_begun_by_one_and_finished_by_two(lab, config, alone, tmp_path):
  seen = []
  with pytest.raises(loop.Stopped):
    train(
      lab,
      config,
      tmp_path / 'first',
      observers=[seen.append],
      stopping=lambda: len(seen) >= 2,
    )
  codes, said = team(tmp_path, config)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'first', alone)


@pytest.mark.slow
def test_another_number_of_rows_a_device_is_refused(lab, config, tmp_path):
  """The same block over four devices, then over two."""
  vmap = {**config, 'layout': {'mode': 'vmap', 'block': 4}}
  codes, said = team(tmp_path, vmap, devices=2, stop=[0, 1])
  assert codes == [75, 75], said
  with pytest.raises(UserError, match=r'runs_per_device: 1 -> 2.*--allow lay'):
    train(lab, vmap, tmp_path / 'first')


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


@pytest.fixture(scope='session')
def shared(config):
  """A transformer, each run on two devices."""
  train = {**config['train'], 'branches': (0, 6, 12)}
  return {**config, 'train': train, 'layout': {'data': 2}}


@pytest.mark.slow
def test_a_run_on_devices_of_two_processes(lab, shared, tmp_path):
  """The batch is split between them; the first one writes."""
  one = train(lab, shared, tmp_path / 'one', program=None)
  codes, said = team(tmp_path / 'two', shared, own=True)
  assert codes == [0, 0], said
  folder = tmp_path / 'two' / 'first'
  traj = stage.open_trajectory(folder)
  assert check.check(folder).faults == []
  index = manifest.load_json(folder / 'index.json')
  assert index['layout']['data_processes'] == 2
  got, expected = lab.contents(traj), lab.contents(one)
  assert list(got) == list(expected)
  for run, content in expected.items():
    for name, value in content.items():
      np.testing.assert_allclose(
        got[run][name], value, rtol=1e-3, atol=1e-5, err_msg=name
      )


@pytest.mark.slow
def test_groups_within_processes(lab, shared, tmp_path):
  """Two processes of two devices, a group each, are one process of two, bit for
  bit; and after one of them died, one process continues."""
  one = train(lab, shared, tmp_path / 'one', program=None)
  options = {'devices': 2, 'own': True}
  codes, said = team(tmp_path / 'two', shared, **options)
  assert codes == [0, 0], said
  assert_same(lab, tmp_path / 'two' / 'first', one)
  died = tmp_path / 'died'
  codes, said = team(died, shared, **options, die=[1, 1], heartbeat=10)
  assert 0 not in codes, said
  train(lab, shared, died / 'first', program=None)
  assert_same(lab, died / 'first', one)


def small(workdir, *more):
  """`jaxsynth train` of the smallest transformer there is."""
  command = [
    *(sys.executable, '-m', 'jaxsynth.cli', 'train'),
    *('--config=markov_mixture:smoke', '--config.train.steps=4'),
    *('--config.train.call_steps=2', '--config.task.aligned_reps=0'),
    *('--seeds=3', '--cpu_devices=1', f'--workdir={workdir}', '--quiet'),
  ]
  return subprocess.run(
    [*command, *more],
    capture_output=True,
    text=True,
    timeout=2 * PATIENCE,
    check=False,
  )


@pytest.mark.slow
def test_the_command(lab, tmp_path):
  """A transformer; process 0 speaks for all, and a mistake is said once."""
  done = small(tmp_path / 'two', '--processes=2')
  assert done.returncode == 0, done.stderr
  assert done.stdout.count('6 runs') == 1
  assert small(tmp_path / 'one').returncode == 0
  alone = stage.open_trajectory(tmp_path / 'one' / 'stages' / 'train')
  assert_same(lab, tmp_path / 'two' / 'stages' / 'train', alone)
  refused = ('--processes=2', '--config.train.batch_size=2')
  done = small(tmp_path / 'two', *refused)
  assert done.returncode == 2, done.stderr
  assert done.stderr.count('holds another training') == 1
  assert done.stderr.count('\n') == 2, 'how many runs, and the mistake'


LAUNCHER = """
import json, sys
from jaxsynth import spawn
options, child = json.loads(sys.argv[1]), sys.argv[2]
def command(i, at):
  own = options | dict(id=i, coordinator=at)
  return [sys.executable, child, json.dumps(own)]
sys.exit(spawn.run(command, options['count']))
"""


def launched(folder, config, **options):
  """A launcher of two processes that take their time."""
  options |= {
    'count': 2,
    'devices': 1,
    'config': config,
    'folder': str(folder),
  }
  return subprocess.Popen(
    [sys.executable, '-c', LAUNCHER, json.dumps(options), CHILD],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def children(process):
  """The processes the launcher started, in order."""
  path = Path(f'/proc/{process.pid}/task/{process.pid}/children')
  return [int(pid) for pid in path.read_text().split()]


def under_way(folder, process):
  """Waits for the first checkpoint."""
  deadline = time.monotonic() + PATIENCE
  while not writer.committed(folder / 'first' / 'checkpoints'):
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < deadline
    time.sleep(0.02)


@pytest.fixture(scope='session')
def long(config):
  """A training that is under way for some seconds."""
  more = {'steps': 60, 'call_steps': 2, 'checkpoint_calls': 2}
  plans = {'snapshots': 'log:10', 'evals': 'log:10'}
  return {**config, 'train': {**config['train'], **more, **plans}}


@pytest.fixture(scope='session')
def whole(lab, long, tmp_path_factory):
  return train(lab, long, tmp_path_factory.mktemp('whole') / 'first')


needs_proc = pytest.mark.skipif(
  not Path('/proc/self/task').exists(), reason='finds children in /proc'
)


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


@pytest.mark.slow
def test_reproduce(tmp_path):
  """Process 0 measures, all read the same file back and agree."""
  said = subprocess.run(
    [
      *(sys.executable, '-m', 'jaxsynth.cli', 'reproduce', 'markov_mixture'),
      *('--preset=smoke', f'--workdir={tmp_path}', '--processes=2', '--quiet'),
    ],
    capture_output=True,
    text=True,
    timeout=3 * PATIENCE,
    check=False,
  )
  assert said.returncode == 0, said.stderr
  assert (tmp_path / 'report.html').exists()
  verdict = manifest.load_json(tmp_path / 'verdict.json')
  assert verdict['layout']['process_count'] == 2
  assert cli.main(['check', str(tmp_path)]) == 0
