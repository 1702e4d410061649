"""The clock of what keeping a history costs."""

import time

import pytest

from benchmarks import capture
from jaxsynth.errors import UserError


def test_the_clock_adds_up_also_what_fails():
  clock = capture.Clock()

  def fail():
    time.sleep(0.01)
    raise KeyError

  assert clock.timed('a', lambda x, y: x + y, 1, y=2) == 3
  before = clock.seconds['a']
  with pytest.raises(KeyError):
    clock.timed('a', fail)
  assert clock.seconds['a'] >= before + 0.01
  assert set(clock.seconds) == {'a'}


def test_an_unknown_config_is_named(monkeypatch):
  monkeypatch.setattr('sys.argv', ['capture', '--config=quik'])
  with pytest.raises(UserError, match="did you mean 'quick'"):
    capture.main()
