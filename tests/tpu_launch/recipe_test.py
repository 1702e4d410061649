"""The container recipe, and the arithmetic of the page."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from jaxsynth import build, launch
from tpu_launch import slices

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / 'tpu_launch' / 'Dockerfile').read_text(encoding='utf-8')
PAGE = (ROOT / 'docs' / 'launching.md').read_text(encoding='utf-8')


@pytest.mark.parametrize('extra', ['tpu', 'gpu'])
def test_the_container_has_what_setup_asks_for(extra, tmp_path):
  """Its first step, run by a shell as Docker does, lists all of it."""
  steps = RECIPE.replace('\\\n', '')
  (command,) = re.findall(
    r'^RUN (python -c .*?) > needed.txt', steps, re.MULTILINE
  )
  env = {**os.environ, 'EXTRA': extra}
  done = subprocess.run(
    ['sh', '-c', command], cwd=ROOT, env=env, text=True, capture_output=True,
    check=True,
  )  # fmt: skip
  lines = [line for line in done.stdout.splitlines() if line.strip()]
  needed = [Requirement(line.strip()) for line in lines]
  names = {r.name for r in needed}
  assert {'jax', 'flax', 'orbax-checkpoint', 'absl-py'} <= names
  assert any(r.extras & {'tpu', 'cuda13'} for r in needed if r.name == 'jax')


def test_what_the_recipe_copies_is_there():
  for line in re.findall(r'^COPY (.*) \./$', RECIPE, re.MULTILINE):
    assert all((ROOT / name).is_file() for name in line.split())


def test_the_example_on_paper():
  """Runs, steps, chips and sums on the page follow from config and table."""
  config = launch.load_config('markov_mixture:paper', ['sweep.seeds=4'])
  (setup,) = build.groups(config).values()
  runs, steps = len(setup.sweep.runs()), setup.train.steps
  chips, days = slices.find('v5litepod-8').chips, 7
  assert (
    f'is {runs} runs of\n{steps:,} steps; `v5litepod-8` is {chips} chips'
    in PAGE
  )
  short = launch.load_config('markov_mixture:paper', ['train.steps=2000'])
  assert build.build(short).train.steps == 2000
  hours = round(steps / 2000 / 60, 1)
  month = round(1024 * days / 30)
  assert f'= {hours} m hours' in PAGE
  assert f'({chips * hours:g} m + {chips}) x P  +  {month} x F' in PAGE
  assert (
    f'it is {chips * (hours * 10 + 1):g} chip-hours and {month} gig' in PAGE
  )
