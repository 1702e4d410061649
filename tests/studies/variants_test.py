"""Configs of stages: what changes, what stays, what is refused."""

import pytest

from jaxsynth import build
from jaxsynth.config import plain
from jaxsynth.errors import UserError
from jaxsynth.studies import variants


@pytest.fixture
def config(lab):
  return build.complete(lab.tiny)


def test_sections_and_paths_change_the_same(config):
  before = plain(config)
  one = variants.of_sections(
    config, {'train': {'steps': 7}, 'model': {'num_heads': 1}}
  )
  two = variants.of_paths(config, {'train.steps': 7, 'model.num_heads': 1})
  assert plain(one) == plain(two) != before
  changed = {**before['train'], 'steps': 7}
  assert plain(one)['train'] == changed
  assert plain(config) == before


def test_a_section_with_a_name_is_another_one(config):
  """Nothing of the transformer is left in the LSTM's section."""
  got = variants.of_sections(config, {'model': {'name': 'lstm', 'd_model': 4}})
  assert got.model == build.complete({**plain(config), 'model': {
    'name': 'lstm', 'd_model': 4}}).model  # fmt: skip
  assert 'num_heads' not in got.model


@pytest.mark.parametrize(
  'change',
  [
    lambda c: variants.of_sections(c, {'train': {'stepz': 7}}),
    lambda c: variants.of_sections(c, {'trane': {'steps': 7}}),
    lambda c: variants.of_paths(c, {'train.stepz': 7}),
    lambda c: variants.of_paths(c, {'train.steps': 'many'}),
  ],
)
def test_what_no_config_holds_is_refused(config, change):
  with pytest.raises(UserError, match=r'tra[ni]'):
    build.build(change(config))
