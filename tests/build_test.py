"""From a config to what is trained: complete, typed, and checked at once."""

import copy
import time

import jax
import pytest
from ml_collections import ConfigDict

from jaxsynth import build, config, lookup
from jaxsynth.errors import UserError


def changed(base, **paths):
  """A copy of a config with values at paths such as `model__d_model`."""
  out = copy.deepcopy(base)
  for path, value in paths.items():
    *parents, last = path.split('__')
    node = out
    for part in parents:
      node = node.setdefault(part, {})
    node[last] = value
  return out


def test_build_states_what_the_config_does_not(lab):
  setup = build.build(lab.tiny)
  assert setup.task.num_states == 3
  assert setup.model.d_model == 8
  assert setup.task_hparams == {'num_chains': None, 'concentration': 1.0}
  assert setup.train.loss == 'cross_entropy'
  assert setup.train.snapshots == (0, 1, 5, 6, 11, 12)
  assert setup.optimizer.hparams['peak_lr'] == 1e-3
  assert [r.hparams for r in setup.sweep.runs()] == [
    {'task.num_chains': n} for n in (2, 2, 4, 4)
  ]


def test_complete_is_complete_and_stays_so(lab):
  full = build.complete(lab.tiny)
  assert build.complete(full) == full
  assert full.optimizer.b2 == 0.999
  assert full.task.concentration == 1.0
  assert full.measure == ConfigDict()
  assert build.build(full) == build.build(lab.tiny)
  assert build.build(full).config_hash == build.build(lab.tiny).config_hash
  changed_hash = build.build(changed(lab.tiny, optimizer__b2=0.9)).config_hash
  assert changed_hash != build.build(full).config_hash
  config.override(full, 'optimizer.b2', '0.9')
  assert build.build(full).config_hash == changed_hash
  as_read_back = build.build(build.build(full).config)
  assert as_read_back.config_hash == changed_hash


def test_the_config_is_left_as_it_was(lab):
  before = copy.deepcopy(lab.tiny)
  given = ConfigDict(lab.tiny)
  build.groups(given)
  assert config.plain(given) == config.plain(before)


def test_traced_values_take_the_type_they_are_declared_with(lab):
  """So that 1 and 1.0 name one run, and compile one program."""
  axes = {'optimizer': {'weight_decay': (0, 1)}, 'task': {'num_chains': (2,)}}
  runs = build.build(changed(lab.tiny, sweep__traced=axes)).sweep.runs()
  kinds = {k: type(v) for k, v in runs[0].hparams.items()}
  assert kinds == {'optimizer.weight_decay': float, 'task.num_chains': int}
  axes['optimizer']['weight_decay'] = (0.0, 1.0)
  same = build.build(changed(lab.tiny, sweep__traced=axes)).sweep.runs()
  assert [r.id for r in runs] == [r.id for r in same]


def test_axes_are_sections_or_dotted_paths(lab):
  dotted = changed(lab.tiny, sweep__traced={'task.num_chains': (2, 4)})
  assert build.build(dotted) == build.build(lab.tiny)
  assert build.build(dotted).config_hash == build.build(lab.tiny).config_hash


def test_groups(lab):
  axes = {'model': {'d_model': (8, 16)}, 'train': {'loss': ('cross_entropy',)}}
  got = build.groups(changed(lab.tiny, sweep__static=axes))
  labels = [f'd_model={d},loss=cross_entropy' for d in (8, 16)]
  assert list(got) == labels
  assert [s.model.d_model for s in got.values()] == [8, 16]
  assert all(not s.sweep.static for s in got.values())
  assert len({s.config_hash for s in got.values()}) == 2
  assert list(build.groups(lab.tiny)) == ['']


def test_hparams_are_read_off_init():
  class Some:
    def init(self, key, a=1, *, b=2.5, **kw):
      """Never called."""

  assert build.task_hparams(Some) == {'a': 1, 'b': 2.5}


MISTAKES = [
  ({'taks': {}}, "unknown config section 'taks': did you mean 'task'"),
  ({'task': 'markov_mixture'}, 'config.task must be a section'),
  ({'task__name': 'markov_mixtur'}, "did you mean 'markov_mixture'"),
  ({'task': {}}, 'config has no task.name'),
  ({'task__name': 3}, 'task.name must be a string'),
  ({'task__name': 'no.such.module'}, "no module 'no.such.module'"),
  ({'task__num_state': 3}, "did you mean 'task.num_states'"),
  ({'task__num_states': 'three'}, 'task.num_states must be int'),
  ({'task__concentration': 'x'}, 'task.concentration must be float'),
  ({'task__num_chains': 5}, r'num_chains must be in 1..4 \(max_chains\)'),
  ({'model': {}}, 'config has no model.name'),
  ({'model__name': 'transfomer'}, "did you mean 'transformer'"),
  ({'model__d_modle': 8}, "did you mean 'model.d_model'"),
  ({'model__d_model': 8.5}, 'model.d_model must be int'),
  ({'model__num_heads': 3}, 'num_heads 3 must divide d_model 8'),
  ({'model__max_len': 7}, r'7'),
  ({'optimizer__name': 'adamx'}, "did you mean 'adamw'"),
  ({'optimizer__peak_lr': '1e-3'}, 'optimizer.peak_lr must be float'),
  ({'optimizer__lr': 1.0}, 'unknown config key .optimizer.lr.'),
  ({'optimizer': 'adamw'}, 'config.optimizer must be a section'),
  ({'train__steps': 'many'}, 'train.steps must be int'),
  ({'train__steps': -1}, 'train.steps must be positive'),
  ({'train__batch_size': 0}, 'train.batch_size must be positive'),
  ({'train__loss': 'cross_entrpy'}, "did you mean 'cross_entropy'"),
  ({'train__evals': (0, 13)}, r'step 13, but the training has steps 0..12'),
  ({'train__branches': 'evry:5'}, "did you mean 'every:N'"),
  ({'layout__mode': 'vmpa'}, "did you mean 'vmap'"),
  ({'layout__block': -1}, 'layout.block and layout.microbatches must not'),
  ({'layout__microbatches': 3}, 'microbatches=3 does not divide'),
  ({'sweep__seed': 3}, "did you mean 'sweep.seeds'"),
  ({'sweep__seeds': 'x'}, 'a count or a list'),
  ({'sweep__fixed': {'taks': 0}}, "did you mean 'task'"),
  ({'sweep__traced': 3}, 'sweep.traced must be a section'),
  (
    {'sweep__traced': {'model': {'d_model': (8, 16)}}},
    'model.d_model changes the compiled program: put it in sweep.static',
  ),
  (
    {'sweep__traced': {'optimizer': {'peak_lf': (1.0,)}}},
    "did you mean 'optimizer.peak_lr'",
  ),
  (
    {'sweep__traced': {'optimizer': {'peak_lr': ('a',)}}},
    'sweep.traced.optimizer.peak_lr must be float',
  ),
  (
    {'sweep__traced': {'optimizer': {'b1': (0.5, 1.5)}}},
    r'optimizer.b1 must lie in \[0, 1\)',
  ),
  (
    {'sweep__traced': {'task': {'num_chains': (2, 5)}}},
    'num_chains must be in 1..4',
  ),
  (
    {'sweep__traced': {'task': {'num_chains': (True,)}}},
    'must be numbers, got True',
  ),
  (
    {'sweep__static': {'model': {'d_modle': (8, 16)}}},
    "did you mean 'model.d_model'",
  ),
  ({'sweep__static': {'model': {'num_heads': (2, 3)}}}, 'must divide d_model'),
  ({'sweep__static': {'task': {'num_chains': (2,)}}}, 'is in sweep.traced'),
]


@pytest.mark.parametrize(('paths', 'says'), MISTAKES)
def test_mistakes_fail_at_once_in_one_line(lab, paths, says, monkeypatch):
  """Before anything is compiled: with the compiler taken away."""

  def never(*_, **__):
    raise AssertionError('a mistake reached the compiler')

  for name in lookup.names('jaxsynth.tasks'):  # imported before the clock runs
    lookup.get('jaxsynth.tasks', name, 'TASK')
  monkeypatch.setattr(jax._src.compiler, 'compile_or_get_cached', never)
  began = time.perf_counter()
  with pytest.raises(UserError, match=says) as e:
    build.groups(changed(lab.tiny, **paths))
  assert time.perf_counter() - began < 1
  assert '\n' not in str(e.value)
