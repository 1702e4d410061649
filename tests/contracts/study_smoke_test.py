"""What every study must do: run at `smoke`, by README's own command.

The command that README opens with is taken apart here: its first lines make
an environment and install, its last one runs the main job, and that one is
run at `smoke` for every study in an empty folder; for the one that README
opens with, and in the slow tests for all, twice in two of them. The others run
once, compiled with little optimisation: nearly all of their time is compiling.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jaxsynth.studies import study as studies

ROOT = Path(__file__).parents[2]
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def blocks() -> list[list[str]]:
  """The lines of README's fenced shell blocks."""
  found = re.findall(r'^```bash\n(.*?)^```', README, re.MULTILINE | re.DOTALL)
  return [block.strip().splitlines() for block in found]


def test_readme_opens_with_the_two_commands():
  for block, extra in ((blocks()[0], '.'), (blocks()[1], "'.[test]'")):
    assert block[0] == 'python3 -m venv .venv'
    assert block[1].startswith('.venv/bin/pip install')
    assert '-c constraints.txt' in block[1]
    assert block[1].endswith(f'-e {extra}')
  assert blocks()[0][2] == '.venv/bin/jaxsynth reproduce markov_mixture'
  assert blocks()[1][2] == '.venv/bin/python -m pytest'


# For programs that run for less time than they take to compile.
QUICKLY = {'XLA_FLAGS': '--xla_backend_optimization_level=0'}


def reproduce(name: str, folder: Path, **env: str) -> dict:
  """Runs README's command for a study at smoke in an empty folder."""
  folder.mkdir()
  command = shlex.split(blocks()[0][2].replace('markov_mixture', name))
  command[0] = str(Path(sys.executable).with_name('jaxsynth'))
  done = subprocess.run(
    [*command, '--preset=smoke', '--quiet'],
    cwd=folder,
    env={k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'} | env,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  workdir = folder / 'runs' / f'{name}-smoke'
  verdict = json.loads((workdir / 'verdict.json').read_text())
  assert (workdir / 'report.html').stat().st_size > 10_000
  assert list((workdir / 'figures').glob('*.png'))
  assert list((workdir / 'results').glob('*.nc'))
  for claim in verdict['claims']:
    assert claim['statement'] in done.stdout or claim['name'] in done.stdout
    assert claim['measured'], f'{claim["name"]} was not measured at smoke'
  return verdict


OTHERS = [name for name in studies.names() if name != 'markov_mixture']
# A minute of compiling and more: run on demand.
SLOW = (
  'concept_space',
  'formal_language_sae',
  'function_composition',
  'graph_navigation',
)


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else [])
    for n in OTHERS
  ],
)
def test_smoke(name, tmp_path):
  assert reproduce(name, tmp_path / 'one', **QUICKLY)['passed']


@pytest.mark.parametrize(
  'name',
  [
    'markov_mixture',
    *(pytest.param(n, marks=pytest.mark.slow) for n in OTHERS),
  ],
)
def test_smoke_twice_gives_the_same_numbers(name, tmp_path):
  first = reproduce(name, tmp_path / 'one')
  second = reproduce(name, tmp_path / 'two')
  assert first['passed']
  for a, b in zip(first['claims'], second['claims']):
    assert a == b
  assert first['config_hash'] == second['config_hash']
