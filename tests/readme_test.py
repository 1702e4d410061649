"""README's own example of a task: one file, one config, trained and mapped."""

import re
from pathlib import Path

from jaxsynth import cli, lookup, stage

README = (Path(__file__).parents[1] / 'README.md').read_text(encoding='utf-8')


def python_blocks() -> list[str]:
  return re.findall(r'^```python\n(.*?)^```', README, re.MULTILINE | re.DOTALL)


def test_a_task_is_one_file_and_one_config(tmp_path, monkeypatch):
  """The toy task learns to copy, and README's reading code runs on it."""
  monkeypatch.chdir(tmp_path)
  reading, task, config = python_blocks()
  Path('copy_task.py').write_text(task)
  Path('copy_config.py').write_text(config)
  command = ['train', '--config=copy_config.py', '--workdir=runs/mine']
  assert cli.main([*command, '--quiet', '--seeds=2']) == 0
  traj = stage.open_trajectory('runs/mine/stages/train')
  accuracy = traj.metrics['held_out/accuracy']
  assert (accuracy.isel(eval_step=0) < 0.5).all()
  assert (accuracy.isel(eval_step=-1) > 0.95).all()
  scope: dict = {}
  exec(compile(reading, 'README.md', 'exec'), scope)
  assert scope['traj'].map(scope['logit_norm'])['norm'].dims == ('run', 'step')


def test_results_in_readme_are_those_on_disk():
  """README's numbers are the committed verdicts, not somebody's memory."""
  path = Path(__file__).parents[1] / 'docs' / 'results' / 'update_readme.py'
  update = lookup.load_file(str(path))
  assert update.results()
  assert update.updated(README) == README
