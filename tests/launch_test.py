"""Training from Python: names, dicts and strings will do; observers watch."""

from pathlib import Path

import pytest

from jaxsynth import build, launch, source, stage
from jaxsynth.config import plain
from jaxsynth.errors import UserError

TASK = """
from jaxsynth.tasks.markov_mixture import MarkovMixture

TASK = MarkovMixture
"""


@pytest.fixture(scope='module')
def config(lab, tmp_path_factory):
  """conftest's tiny sweep as a plain dict, its task in a file outside."""
  file = tmp_path_factory.mktemp('own') / 'mine.py'
  file.write_text(TASK)
  return {**lab.tiny, 'task': {**lab.tiny['task'], 'name': str(file)}}


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
  """The sweep, trained into a folder given as a string."""
  workdir, seen = tmp_path_factory.mktemp('launched') / 'work', []
  groups = launch.train(
    config, str(workdir), observers=[seen.append], say=str, quiet=True
  )
  return workdir, groups[''], seen


def test_a_dict_is_the_config_that_it_completes(trained, config):
  _, traj, _ = trained
  assert traj.index['config_hash'] == build.build(config).config_hash
  assert traj.index['config'] == plain(build.complete(config))


def test_observers_know_the_runs(trained, tiny):
  setup, _ = tiny
  _, traj, seen = trained
  assert [event.step for event in seen][-1] == seen[-1].last == 12
  for event in seen:
    assert [dict(h) for h in event.hparams] == [
      dict(spec.hparams) for spec in setup.sweep.runs()
    ]
    assert len(event.scalars['loss']) == len(event.hparams)
  assert len(traj.runs) == len(seen[0].hparams)


def test_a_name_is_a_config(tmp_path):
  with pytest.raises(UserError, match="did you mean 'markov_mixture'"):
    launch.train('markov_mixtur', tmp_path / 'x')
  assert not (tmp_path / 'x').exists()


def test_the_only_trajectory_below_a_folder_is_opened(trained, lab, tmp_path):
  workdir, traj, _ = trained
  assert stage.open_trajectory(str(workdir)).folder == traj.folder
  with pytest.raises(UserError, match='holds no trajectory'):
    stage.open_trajectory(tmp_path)
  for name in ('one', 'two'):
    lab.go(tmp_path / 'stages' / name, lab.specs(1))
  with pytest.raises(
    UserError, match=r'2 trajectories, name one: .*one, .*two'
  ):
    stage.open_trajectory(tmp_path)


def test_an_edited_task_is_another_training(trained, config, lab):
  """What its file says counts, as the library's own code does."""
  workdir, traj, _ = trained
  first = build.build(config).source_digest
  assert (
    traj.index['source_digest'] == first == build.build(config).source_digest
  )
  assert first != build.build(lab.tiny).source_digest == source.source_digest()
  file = Path(config['task']['name'])
  file.write_text(TASK + '# another process\n')
  try:
    assert build.build(config).source_digest != first
    with pytest.raises(UserError, match='--allow source_digest'):
      launch.train(config, workdir, say=str, quiet=True)
  finally:
    file.write_text(TASK)
  launch.train(config, workdir, say=str, quiet=True)
