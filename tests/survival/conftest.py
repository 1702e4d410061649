"""What the survival tests share: commands in processes of their own.

`commands` runs `jaxsynth` commands in real processes (see zygote.py), with or
without a fault, and tells how they ended. `whole` is a training that nothing
interrupted; `same` says where another differs from it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxsynth.trajectory import check, manifest, store, writer
from jaxsynth.trajectory.trajectory import Trajectory

HERE = Path(__file__).parent
CONFIG = HERE / 'config.py'


class Command:
  """A command under way.

  Attributes:
    pid: its process.
    out, err: files of what it printed.
  """

  def __init__(self, zygote, pid, out, err):
    self.zygote, self.pid, self.out, self.err = zygote, pid, out, err
    self._code = None

  def wait(self, seconds: float = 300) -> int:
    """How it ended: exit code, negative for a signal."""
    if self._code is None:
      self._code = self.zygote.ask({'wait': self.pid, 'seconds': seconds})
    assert self._code is not None, f'still running: {self.stderr}'
    return self._code

  @property
  def stderr(self) -> str:
    return self.err.read_text()

  @property
  def said(self) -> list[str]:
    """Its lines on standard error that are not progress."""
    return [x for x in self.stderr.splitlines() if x.startswith('jaxsynth: ')]


class Zygote:
  """The process that starts commands, and where they print."""

  def __init__(self, folder: Path):
    self.folder, self.count = folder, 0
    self.process = subprocess.Popen(
      [sys.executable, str(HERE / 'zygote.py')],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      cwd=folder,
    )
    assert self.process.stdout.readline() == 'ready\n'

  def ask(self, request: dict):
    self.process.stdin.write(json.dumps(request) + '\n')
    self.process.stdin.flush()
    return json.loads(self.process.stdout.readline())

  def start(self, argv, faults=(), program='toy') -> Command:
    """Starts a command.

    Args:
      argv: of `jaxsynth`.
      faults: see zygote.py.
      program: what is trained in place of the config's network, None for it.
    """
    self.count += 1
    out, err = (self.folder / f'{self.count}.{x}' for x in ('out', 'err'))
    out.touch(), err.touch()
    request = {
      'argv': [str(a) for a in argv],
      'faults': list(faults),
      'program': program,
      'out': str(out),
      'err': str(err),
    }
    return Command(self, self.ask(request), out, err)

  def train(self, workdir, *faults, more=(), **options) -> Command:
    """Starts the training of config.py."""
    argv = ['train', f'--config={CONFIG}', f'--workdir={workdir}', *more]
    return self.start(argv, faults, **options)

  def signal(self, command: Command, number: int):
    os.kill(command.pid, number)

  def close(self):
    self.process.stdin.close()
    self.process.wait()
    self.process.stdout.close()


@pytest.fixture(scope='session')
def commands(tmp_path_factory):
  zygote = Zygote(tmp_path_factory.mktemp('commands'))
  yield zygote
  zygote.close()


def trajectory(workdir: Path) -> Path:
  return workdir / 'stages' / 'train'


def contents(folder: Path) -> dict[str, np.ndarray]:
  """Every array of a finished trajectory, by what it is and where it starts.

  Snapshots and metrics over all steps, and every full state that is kept.
  """
  traj = Trajectory(folder)
  out = {f'leaf.{n}': traj.leaf(n)[:] for n in traj.leaves}
  out |= {f'metric.{n}': v.to_numpy() for n, v in traj.metrics.items()}
  out['steps'] = traj.steps
  out['eval_steps'] = traj.metrics.eval_step.to_numpy()
  for path in writer.committed(folder / 'branches'):
    names = list(manifest.read(path)['arrays'])
    for name, array in store.load(path, names).items():
      out[f'{path.name}.{name}'] = array
  return out


def differing(one: dict, two: dict) -> list[str]:
  """Names of what differs in a single bit."""
  bits = lambda a: (a.dtype, a.shape, a.tobytes())
  same = lambda n: n in one and n in two and bits(one[n]) == bits(two[n])
  return [n for n in sorted({*one, *two}) if not same(n)]


def leftovers(folder: Path) -> list[str]:
  """Names below a folder that no finished command leaves."""
  found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob('*'))
  return [n for n in found if 'tmp' in n or n.endswith('.part')]


@pytest.fixture(scope='session')
def whole(commands, tmp_path_factory):
  """Contents of a training that nothing interrupted, by program."""
  kept = {}

  def of(program='toy'):
    if program not in kept:
      workdir = tmp_path_factory.mktemp('whole') / 'run'
      done = commands.train(workdir, program=program)
      assert done.wait(120) == 0, done.stderr
      kept[program] = contents(trajectory(workdir))
    return kept[program]

  return of


@pytest.fixture
def assert_survived(commands, whole):
  """Continues a training and compares all of it with one never touched."""

  def survived(workdir, program='toy'):
    done = commands.train(workdir, program=program)
    assert done.wait() == 0, done.stderr
    folder = trajectory(workdir)
    assert differing(contents(folder), whole(program)) == []
    assert check.check(folder).faults == []
    assert leftovers(folder) == []
    assert not (folder / 'damaged').exists(), 'no kill damages a save'

  return survived


@pytest.fixture(scope='session')
def disk():
  """Ways to look at what a command left."""
  return SimpleNamespace(
    trajectory=trajectory,
    contents=contents,
    differing=differing,
    leftovers=leftovers,
    config=CONFIG,
  )
