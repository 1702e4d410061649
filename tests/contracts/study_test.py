"""What every study must be: checkable, sourced, with a config of its name."""

import inspect

import pytest

from jaxsynth import lookup
from jaxsynth.studies import study
from jaxsynth.studies.claim import PRESETS, Gate

NAMES = study.names()


@pytest.mark.parametrize('name', NAMES)
def test_claims_are_named_stated_and_sourced(name):
  claims = study.get(name).claims
  assert claims
  assert len({c.name for c in claims}) == len(claims)
  for c in claims:
    for text in (c.statement, c.published, c.where):
      assert text.strip(), c.name
    assert len(c.statement.split()) > 2, f'{c.name}: say it in a sentence'


@pytest.mark.parametrize('name', NAMES)
def test_gates_are_valid_and_their_absence_is_explained(name):
  for c in study.get(name).claims:
    if c.gate is None:
      assert c.note.strip(), f'{c.name}: why is it not gated?'
    else:
      assert isinstance(c.gate, Gate)
      assert c.null.strip(), f'{c.name}: what is its null?'


@pytest.mark.parametrize('name', NAMES)
def test_a_config_of_the_same_name_has_every_preset(name):
  get_config = lookup.get('jaxsynth.configs', name, 'get_config')
  assert inspect.signature(get_config).parameters, 'takes the preset'
  for preset in PRESETS:
    assert get_config(preset) is not None


def test_every_study_is_a_study():
  assert all(isinstance(study.get(name), study.Study) for name in NAMES)
