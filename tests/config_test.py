"""Config values: overrides by path, plain data, digests."""

from dataclasses import dataclass

import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxsynth import config
from jaxsynth.errors import UserError


def some():
  return ConfigDict(
    {
      'optimizer': {'peak_lr': 1e-3, 'name': 'adamw'},
      'train': {'snapshots': 'log:50', 'steps': 10},
      'sweep': {'traced': {}, 'seeds': 2},
      'measure': {'width': 8},
    }
  )


@pytest.mark.parametrize(
  ('path', 'text', 'value'),
  [
    ('optimizer.peak_lr', '3e-4', 3e-4),
    ('optimizer.name', 'sgd', 'sgd'),
    ('train.steps', '20', 20),
    ('train.snapshots', "('log:5', 3)", ('log:5', 3)),
    ('train.snapshots', '()', ()),
    ('measure.new.deep', 'True', True),
    ('measure.width', 'None', None),
    ('sweep.traced.task.num_chains', '(2, 4)', (2, 4)),
  ],
)
def test_override(path, text, value):
  c = some()
  config.override(c, path, text)
  node = c
  for part in path.split('.'):
    node = node[part]
  assert node == value
  assert type(node) is type(value)
  untouched = [k for k in some() if k != path.split('.')[0]]
  assert all(c[k] == some()[k] for k in untouched)


@pytest.mark.parametrize(
  ('path', 'says'),
  [
    ('optimizer.peek_lr', "did you mean 'optimizer.peak_lr'"),
    ('optimiser.peak_lr', "did you mean 'optimizer'"),
    ('optimizer', 'config.optimizer is a section'),
    ('train.steps.more', 'config.train.steps is a value, it has no part'),
    ('sweep.seed', "did you mean 'sweep.seeds'"),
  ],
)
def test_bad_overrides(path, says):
  c = some()
  with pytest.raises(UserError, match=says):
    config.override(c, path, '1')
  assert c == some()


def test_override_runs_no_code():
  c = some()
  config.override(c, 'optimizer.name', '__import__("os").getcwd()')
  assert c.optimizer.name == '__import__("os").getcwd()'


def test_plain_and_hash():
  c = ConfigDict({'b': (1, [2, 'x']), 'a': {'n': np.int64(3), 'v': np.ones(2)}})
  expected = {'a': {'n': 3, 'v': [1.0, 1.0]}, 'b': [1, [2, 'x']]}
  assert config.plain(c) == expected
  assert config.config_hash(c) == config.config_hash(expected)
  reordered = {'b': expected['b'], 'a': expected['a']}
  assert config.config_hash(reordered) == config.config_hash(c)
  for other in (
    {**expected, 'b': [1, [2, 'y']]},
    {**expected, 'c': None},
    {**expected, 'b': [1.5, [2, 'x']]},
  ):
    assert config.config_hash(other) != config.config_hash(c)


def test_flat_and_nested():
  axes = {'task': {'k': [1, 2], 'deep': {'x': (3,)}}, 'a.b': (4,)}
  assert config.flat(axes) == {
    'task.k': (1, 2), 'task.deep.x': (3,), 'a.b': (4,),
  }  # fmt: skip

  assert config.nested({**axes, 'a.c': 5}) == {
    'task': {'k': (1, 2), 'deep': {'x': (3,)}}, 'a': {'b': (4,), 'c': 5},
  }  # fmt: skip


@dataclass(frozen=True)
class Thing:
  whole: int = 1
  real: float = 2.0
  word: str = 'x'
  switch: bool = False
  maybe: int | None = None
  many: tuple = ()


def test_make_coerces_what_loses_nothing():
  got = config.make(Thing, {'whole': 3.0, 'real': 4, 'many': [1, 2]}, 't')
  assert got == Thing(3, 4.0, many=(1, 2))
  assert [type(v) for v in (got.whole, got.real)] == [int, float]


@pytest.mark.parametrize(
  ('section', 'says'),
  [
    ({'whole': 1.5}, r't.whole must be int, got 1.5 \(float\)'),
    ({'whole': True}, 't.whole must be int'),
    ({'real': '1e-3'}, "t.real must be float, got '1e-3'"),
    ({'real': True}, 't.real must be float'),
    ({'word': 3}, 't.word must be str'),
    ({'switch': 1}, 't.switch must be bool'),
    ({'whole': None}, 't.whole must be int'),
    ({'wohle': 1}, "unknown config key 't.wohle': did you mean 't.whole'"),
  ],
)
def test_make_refuses(section, says):
  with pytest.raises(UserError, match=says):
    config.make(Thing, section, 't')
