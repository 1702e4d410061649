"""Many segments: memory stays flat, and reading one matrix stays quick.

The training runs in a process of its own, which reports what it holds after
each of its calls; every call ends in a segment and a checkpoint.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxsynth.trajectory.trajectory import Trajectory

CHILD = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import conftest
calls, page = int(sys.argv[3]), 4096
held = []
def told(event):
  held.append(int(Path('/proc/self/statm').read_text().split()[1]) * page)
conftest.go(
  Path(sys.argv[2]), conftest.specs(2), on=conftest.layout('map', 2),
  sizes=conftest.schedule(
    last=2 * calls, snapshots='every:1', evals=(0, 2 * calls), call_steps=2,
  ),
  checkpoint_calls=1, observe=told,
)
print(json.dumps(held))
"""


def trained(folder: Path, calls: int) -> list[int]:
  """Bytes held after each of so many calls, trained in another process."""
  tests = Path(__file__).parents[1]
  done = subprocess.run(
    [sys.executable, '-c', CHILD, str(tests), str(folder), str(calls)],
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


def growth(held: list[int], first: int, last: int) -> float:
  """MiB gained between two calls, each the least of the ten around it."""
  at = lambda i: min(held[i - 10 : i])
  return (at(last) - at(first)) / 2**20


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_500_segments(tmp_path):
  held = trained(tmp_path / 'a', 500)
  print(f'{growth(held, 100, 500):.2f} MiB between segments 100 and 500')
  assert growth(held, 100, 500) < 8
  assert len(list((tmp_path / 'a' / 'segments').glob('*.json'))) == 500
  assert len(list((tmp_path / 'a' / 'checkpoints').glob('*.json'))) == 2

  began = time.monotonic()
  traj = Trajectory(tmp_path / 'a')
  x = traj.leaf('x')[0]
  took = time.monotonic() - began
  print(f'opened and read one array of one run in {took:.2f} s')
  assert x.shape == (1001, 5)
  assert len(np.unique(x, axis=0)) == 1001
  assert took < 10
