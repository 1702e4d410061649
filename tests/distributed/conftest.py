"""Trainings that several processes share, and what one makes of them."""

import copy

import pytest

from tests.distributed.teams import train


@pytest.fixture(scope='session')
def config(lab):
  """Three runs, which two devices do not divide; saved after every call."""
  out = copy.deepcopy(lab.tiny)
  out['sweep'] = {'seeds': 3}
  out['train'] |= {'checkpoint_calls': 1, 'call_steps': 4}
  return out


@pytest.fixture(scope='session')
def alone(lab, config, tmp_path_factory):
  """What one process with two devices makes of it."""
  return train(lab, config, tmp_path_factory.mktemp('alone') / 'first')


@pytest.fixture(scope='session')
def long(config):
  """A training that is under way for some seconds."""
  more = {'steps': 60, 'call_steps': 2, 'checkpoint_calls': 2}
  plans = {'snapshots': 'log:10', 'evals': 'log:10'}
  return {**config, 'train': {**config['train'], **more, **plans}}


@pytest.fixture(scope='session')
def whole(lab, long, tmp_path_factory):
  return train(lab, long, tmp_path_factory.mktemp('whole') / 'first')
