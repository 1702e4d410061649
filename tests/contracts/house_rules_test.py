"""The rules of the house: import floors, one top-level name, lint, layout."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable, '-m']


def _run(*command, cwd, **env):
  return subprocess.run(
    command,
    cwd=cwd,
    env={**os.environ, **env},
    capture_output=True,
    text=True,
    check=False,
  )


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
  """The installed content of a wheel built from a copy of the sources."""
  tmp = tmp_path_factory.mktemp('wheel')
  source, site = tmp / 'source', tmp / 'site'
  names = ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE')
  source.mkdir()
  for name in names:
    shutil.copy(ROOT / name, source)
  ignore = shutil.ignore_patterns('__pycache__', '*.egg-info')
  for name in ('jaxsynth', 'experiments', 'configs'):
    shutil.copytree(ROOT / name, source / name, ignore=ignore)
  done = _run(
    *PYTHON, 'pip', 'install', '-q', '--no-deps', '--no-build-isolation',
    '--target', site, source, cwd=tmp,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  return site


def test_wheel_installs_one_top_level_name(wheel):
  found = {p.name for p in wheel.iterdir() if not p.name.endswith('.dist-info')}
  assert found - {'bin'} == {'jaxsynth'}


def test_wheel_holds_every_module(wheel):
  """A folder missing in setup.cfg's list of packages would be left out."""
  for name, target in (
    ('jaxsynth', ''),
    ('experiments', 'experiments'),
    ('configs', 'configs'),
  ):
    for path in (ROOT / name).rglob('*.py'):
      inside = wheel / 'jaxsynth' / target / path.relative_to(ROOT / name)
      assert inside.exists(), f'{path} is not in the wheel'


def test_command_works_in_an_empty_folder(wheel, tmp_path):
  done = _run(
    *PYTHON, 'jaxsynth.cli', 'list', cwd=tmp_path, PYTHONPATH=str(wheel)
  )
  assert done.returncode == 0, done.stderr
  assert 'markov_mixture' in done.stdout


def test_imports_point_one_way(wheel):
  config = ROOT / '.importlinter'
  code = 'from importlinter.cli import lint_imports_command as c; c()'
  done = _run(
    sys.executable, '-c', code, '--config', str(config), '--no-cache',
    cwd=wheel, PYTHONPATH=str(wheel),
  )  # fmt: skip
  assert done.returncode == 0, done.stdout + done.stderr
  assert '0 broken' in done.stdout


def test_import_is_light():
  code = (
    'import sys, jaxsynth, jaxsynth.build, jaxsynth.stage\n'
    'import jax._src.xla_bridge as bridge\n'
    'assert not {"matplotlib", "orbax", "pandas"} & set(sys.modules)\n'
    'assert not bridge.backends_are_initialized()\n'
  )
  done = _run(sys.executable, '-c', code, cwd=ROOT)
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('command', [('check',), ('format', '--check')])
def test_ruff(command):
  done = _run(*PYTHON, 'ruff', *command, '.', cwd=ROOT)
  assert done.returncode == 0, done.stdout


def test_constraints_pin_every_requirement():
  setup = configparser.ConfigParser()
  setup.read(ROOT / 'setup.cfg')
  wanted = setup['options']['install_requires'].split('\n')
  wanted += setup['options.extras_require']['test'].split('\n')
  plain = lambda name: re.split(r'[^\w.-]', name)[0].replace('_', '-').lower()
  pinned = {
    plain(line)
    for line in (ROOT / 'constraints.txt').read_text().splitlines()
    if '==' in line
  }
  missing = {plain(w) for w in wanted if w} - pinned
  assert not missing


def test_nothing_names_this_or_any_machine():
  """Paths of a machine or a registry host have no place in the repository."""
  listed = subprocess.run(
    ['git', 'ls-files'], cwd=ROOT, capture_output=True, text=True, check=False
  ).stdout.split()
  pattern = re.compile(r'(?<![\w.])/(home|root|Users|work)/\w|://pypi\.')
  for name in listed:
    path = ROOT / name
    if path.suffix in ('.py', '.md', '.cfg', '.toml', '.txt', '.yaml'):
      found = pattern.search(path.read_text(encoding='utf-8'))
      assert not found or name.endswith('house_rules_test.py'), name
