"""Progress: one line of a notebook's cell, and plain lines elsewhere."""

import sys
from types import SimpleNamespace

import pytest

from jaxsynth import progress


@pytest.fixture
def notebook(monkeypatch):
  """A kernel that notes what is displayed and what replaces it."""
  shown = []

  def display(data, raw, metadata, display_id):
    assert (raw, metadata, display_id) == (True, {}, True)
    shown.append(['shown', data])
    again = lambda data, **_: shown.append(['again', data])
    return SimpleNamespace(update=again)

  shell = SimpleNamespace(kernel=object())
  fake = SimpleNamespace(
    get_ipython=lambda: shell, display=SimpleNamespace(display=display)
  )
  monkeypatch.setitem(sys.modules, 'IPython', fake)
  return shown


def test_one_line_written_over(notebook, monkeypatch):
  monkeypatch.setattr(progress, 'CELL_EVERY', 0.0)
  with progress.bar('train', 100) as update:
    for done in (0, 50, 100):
      update(done, 'loss 1.5')
  assert [kind for kind, _ in notebook] == ['shown', 'again', 'again']
  lines = [data['text/plain'] for _, data in notebook]
  assert ['0/100' in lines[0], '50/100' in lines[1]] == [True, True]
  assert lines[1].count('█') == lines[1].count('░') == 12
  assert lines[1].endswith('s left')
  assert lines[2].startswith('train ' + 24 * '█' + ' 100/100  loss 1.5')
  assert 'left' not in lines[2]


def test_seldom_but_the_end_is_shown(notebook):
  with progress.bar('train', 1000) as update:
    for done in range(1001):
      update(done, '')
  assert len(notebook) < 20
  assert '1000/1000' in notebook[-1][1]['text/plain']


def test_quiet_shows_nothing(notebook):
  with progress.bar('train', 2, quiet=True) as update:
    update(2, '')
  assert notebook == []


@pytest.mark.parametrize('shell', [None, SimpleNamespace()])
def test_a_terminal_is_no_notebook(shell, monkeypatch, capsys):
  """Python without IPython, and IPython on a terminal, which has no kernel."""
  fake = SimpleNamespace(get_ipython=lambda: shell)
  monkeypatch.setitem(sys.modules, 'IPython', fake)
  assert progress.cell() is None
  with progress.bar('train', 2) as update:
    update(2, 'loss 1')
  assert capsys.readouterr().err.startswith('train: 2/2 loss 1')
