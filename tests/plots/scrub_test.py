"""Scrubbing: a slider that redraws, or a grid that shows the same."""

import builtins

import pytest

from jaxsynth.errors import UserError
from jaxsynth.plots.scrub import scrub
from jaxsynth.plots.style import Figure


def draw(ax, step):
  ax.plot([0, step], [0, 1])


def without(monkeypatch):
  """As where ipywidgets is not installed."""
  real = builtins.__import__

  def refuse(name, *args, **options):
    if name == 'ipywidgets':
      raise ImportError(name)
    return real(name, *args, **options)

  monkeypatch.setattr(builtins, '__import__', refuse)


def test_the_grid_spans_all_values(monkeypatch):
  without(monkeypatch)
  fig = scrub(draw, range(100), panels=4)
  assert isinstance(fig, Figure)
  titles = [ax.get_title(loc='left') for ax in fig.axes]
  assert titles == ['step 0', 'step 33', 'step 66', 'step 99']
  ends = [ax.lines[0].get_xdata()[1] for ax in fig.axes]
  assert ends == [0, 33, 66, 99]


def test_few_values_are_drawn_once_each():
  fig = scrub(draw, [5, 7], panels=6, widget=False)
  assert [ax.get_title(loc='left') for ax in fig.axes] == ['step 5', 'step 7']


def test_the_slider_draws_what_it_points_at():
  drawn = []

  def note(ax, step):
    drawn.append(step)
    draw(ax, step)

  box = scrub(note, [0, 10, 20], widget=True)
  controls, image = box.children
  play, slider = controls.children
  assert drawn == [0]
  first = bytes(image.value)
  assert first.startswith(b'\x89PNG')
  slider.value = 2
  last = bytes(image.value)
  assert drawn == [0, 20]
  assert first != last
  assert play.value == 2
  play.value = 1
  assert drawn == [0, 20, 10]
  assert slider.value == 1
  slider.value = 0
  assert drawn == [0, 20, 10]  # kept, not drawn again
  assert bytes(image.value) == first


def test_what_cannot_be_scrubbed(monkeypatch):
  with pytest.raises(UserError, match='at least one step'):
    scrub(draw, [])
  without(monkeypatch)
  with pytest.raises(UserError, match='needs ipywidgets'):
    scrub(draw, [1], widget=True)
