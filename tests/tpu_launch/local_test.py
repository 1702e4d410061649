"""The local backend: a supervisor, and a real job that is preempted."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxsynth.trajectory.trajectory import Trajectory
from tpu_launch import __main__ as tpu_launch
from tpu_launch import local

ROOT = Path(__file__).parents[2]


@pytest.fixture
def starts(fakes, monkeypatch, tmp_path):
  """The interpreter of the training is a fake that ends as it is told."""

  def run(*codes):
    fakes.install('python')
    fakes.answer([['python'], [[code, '', ''] for code in codes]])
    monkeypatch.setattr(local.sys, 'executable', str(tmp_path / 'bin/python'))

  return run


@pytest.mark.parametrize(
  ('codes', 'end', 'count'),
  [
    ((0,), 0, 1),
    ((75, 75, 0), 0, 3),
    ((75, 2), 2, 2),
    ((137, 1), 1, 2),
    ((130,), 130, 1),
    ((75,), 75, 4),
  ],
)
def test_started_again(codes, end, count, starts, arguments, fakes):
  starts(*codes)
  assert tpu_launch.main([*arguments['local'], '--restarts=3']) == end
  calls = fakes.calls()
  assert len(calls) == count
  assert calls[0][:4] == ['python', '-m', 'jaxsynth.cli', 'train']


def test_asked_to_stop_it_stays_stopped(tmp_path):
  """SIGTERM to the supervisor reaches the training, and ends both."""
  code = (
    'import signal, sys, time\n'
    'def stop(*a): sys.exit(75)\n'
    'signal.signal(signal.SIGTERM, stop)\n'
    f'open({str(tmp_path / "up")!r}, "a").write("up ")\n'
    'while True: time.sleep(0.02)'
  )
  program = (
    'import sys; from types import SimpleNamespace as N\n'
    'from tpu_launch import local, plan\n'
    f'c = plan.Command((sys.executable, "-c", {code!r}), tries=5)\n'
    'job = N(launch=lambda: plan.Plan(commands=(c,)), pause=0.0)\n'
    'sys.exit(local.supervise(job))'
  )
  process = subprocess.Popen([sys.executable, '-c', program], cwd=ROOT)
  deadline = time.monotonic() + 30
  while not (tmp_path / 'up').exists():
    assert time.monotonic() < deadline
    time.sleep(0.02)
  process.send_signal(signal.SIGTERM)
  assert process.wait(30) == 75
  assert (tmp_path / 'up').read_text() == 'up '


def test_a_launch_takes_no_device():
  """What checks the config leaves every device to the training."""
  code = (
    'from tpu_launch import flags\n'
    'job = flags.read(["--backend=local", "--name=a", "--workdir=runs/a",'
    ' "--config=markov_mixture:smoke"]).job\n'
    'assert list(job.check()) == [""]\n'
    'import jax._src.xla_bridge as bridge\n'
    'assert not bridge.backends_are_initialized()\n'
  )
  subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)


def command(workdir, *more):
  return [
    *(sys.executable, '-m', 'tpu_launch', '--backend=local', '--name=pod'),
    *('--config=markov_mixture:smoke', f'--workdir={workdir}', *more),
    *('--seeds=4', '--config.train.steps=240', '--config.train.call_steps=5'),
    *('--config.train.snapshots=every:20', '--config.train.evals=every:60'),
  ]


def workers(parent):
  """The processes of the team: children of the child of the supervisor."""
  listed = subprocess.run(
    ['ps', '-eo', 'pid=,ppid='], capture_output=True, text=True, check=True
  ).stdout
  parents = dict(map(int, line.split()) for line in listed.splitlines())
  middle = [p for p, above in parents.items() if above == parent]
  return sorted(p for p, above in parents.items() if above in middle)


@pytest.mark.slow
def test_two_real_processes_preempted_and_resumed(tmp_path):
  """SIGTERM to one of two processes; started again; the same bits."""
  whole, cut = tmp_path / 'whole', tmp_path / 'cut'
  quiet = {'cwd': ROOT, 'text': True, 'stderr': subprocess.PIPE}
  done = subprocess.run(command(whole, '--processes=2'), check=False, **quiet)
  assert done.returncode == 0, done.stderr
  process = subprocess.Popen(command(cut, '--processes=2'), **quiet)
  segments = cut / 'stages' / 'train' / 'segments'
  deadline = time.monotonic() + 240
  while not list(segments.glob('*.json')):
    assert time.monotonic() < deadline
    assert process.poll() is None
    time.sleep(0.05)
  team = workers(process.pid)
  assert len(team) == 2
  os.kill(team[1], signal.SIGTERM)
  _, said = process.communicate(timeout=300)
  assert process.returncode == 0, said
  assert 'start 0 ended with 75' in said
  (stopped,) = re.findall(
    r'stopped after step (\d+), everything is saved', said
  )
  assert 0 < int(stopped) < 240
  one, two = (Trajectory(w / 'stages' / 'train') for w in (whole, cut))
  assert one.steps.tolist() == two.steps.tolist()
  assert one.runs.run_id.tolist() == two.runs.run_id.tolist()
  for name in one.leaves:
    assert one.leaf(name)[:].tobytes() == two.leaf(name)[:].tobytes()
  for name, values in one.metrics.items():
    assert values.to_numpy().tobytes() == two.metrics[name].to_numpy().tobytes()
