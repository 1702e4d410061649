"""Data of the studies: which trainings there are, and what is kept of each."""

import json

import jax
import pytest

from benchmarks import generators, page, report, studies
from jaxsynth import lookup
from jaxsynth.errors import UserError
from jaxsynth.tasks import base

# Study, training -> the task whose data it draws.
TASKS = {
  ('matrix_completion', 'main'): 'matrix_completion',
  ('matrix_completion', 'gpt'): 'matrix_completion',
  ('function_composition', 'main'): 'function_composition',
  ('function_composition', 'direct'): 'function_composition',
  ('function_composition', 'base'): 'function_composition',
  ('function_composition', 'combos'): 'function_composition',
  ('graph_navigation', 'main'): 'graph_navigation',
  ('graph_navigation', 'direct'): 'graph_navigation',
  ('graph_navigation', 'bernoulli'): 'graph_navigation',
  ('graph_navigation', 'one_layer'): 'graph_navigation',
  ('graph_navigation', 'motifs'): 'graph_motifs',
  ('concept_percolation', 'main'): 'concept_percolation',
  ('knowledge_editing', 'main'): 'knowledge_graph',
}


def test_every_training_with_data_of_its_own_is_named():
  named = [
    (s, t) for s in studies.STUDIES for t in studies.trainings(s, 'quick')
  ]
  assert set(named) == TASKS.keys()
  assert len(named) == len(TASKS)


@pytest.mark.parametrize(('study', 'training'), TASKS)
def test_trainings_are_those_of_the_study(study, training):
  setup = studies.setup_of(study, training, 'quick')
  name = TASKS[study, training]
  assert type(setup.task) is base.get(name)
  assert name in generators.NUMPY
  assert len(setup.sweep.runs()) == len(jax.local_devices())
  config = lookup.get('jaxsynth.configs', study, 'get_config')('quick')
  assert setup.train.batch_size == config.train.batch_size


def test_a_variant_draws_the_data_of_that_variant():
  setup = studies.setup_of('graph_navigation', 'bernoulli', 'quick')
  assert setup.task.graph == 'bernoulli'
  assert studies.setup_of('graph_navigation', 'main', 'quick').task.graph == (
    'hierarchical'
  )


@pytest.fixture
def measured(monkeypatch):
  """The record of all studies, of made-up records of each training."""

  def child(module, study, training, preset):
    assert (module, preset) == ('benchmarks.generators', '--preset=quick')
    study, training = (x.split('=')[1] for x in (study, training))
    fed = {
      'task': TASKS[study, training], 'batch': 4, 'times_numpy': 0.25,
      'seconds': {'ours': 2e-5, 'numpy': 8e-5},
    }  # fmt: skip
    share = 0.2 if training == 'motifs' else 0.05
    return {
      'device': '2 cpu', 'tasks': [fed, {'task': 'another'}],
      'share_of_step': share, 'seconds_of_step': 4e-3,
    }  # fmt: skip

  monkeypatch.setattr(report, 'child', child)
  monkeypatch.setattr('sys.argv', ['x'])
  return studies.main()


def test_a_study_that_waits_for_its_data_misses_its_target(measured):
  assert measured['largest_share_of_step'] == 0.2
  missed = [t['name'] for t in measured['targets'] if not t['met']]
  assert missed == [
    'graph_navigation, motifs (graph_motifs): share of the step it feeds'
  ]
  assert len(measured['targets']) == len(TASKS)


def test_the_page_names_study_training_and_task(measured, tmp_path):
  (tmp_path / 'studies-quick.json').write_text(json.dumps(measured))
  text = page.render(tmp_path)
  assert (
    '| quick | graph_navigation | motifs | graph_motifs | 4 | 20 | 0.25 | 4 '
    '| 0.2 |' in text
  )
  assert (
    '| studies quick | matrix_completion, gpt (matrix_completion): share of '
    'the step it feeds | 0.05 | ≤ 0.1 | yes |' in text
  )


def test_unknown_names_are_refused(monkeypatch):
  with pytest.raises(UserError, match="did you mean 'motifs'"):
    studies.setup_of('graph_navigation', 'motif', 'quick')
  with pytest.raises(UserError, match='preset'):
    studies.trainings('graph_navigation', 'quik')
  monkeypatch.setattr('sys.argv', ['x', '--study=matrix_completio'])
  with pytest.raises(UserError, match="did you mean 'matrix_completion'"):
    studies.main()


@pytest.mark.slow
def test_the_data_of_a_training_are_a_part_of_its_step(monkeypatch):
  options = ['--study=knowledge_editing', '--preset=smoke', '--batches=4']
  monkeypatch.setattr('sys.argv', ['x', *options])
  kept = studies.row('knowledge_editing', 'main', generators.main())
  assert kept['task'] == 'knowledge_graph'
  assert kept['batch'] == 4
  assert 0 < kept['share_of_step'] < 1
  assert kept['seconds_of_step'] > 0
