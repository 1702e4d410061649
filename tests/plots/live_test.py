"""Live curves show what the events said, in the cell that trains."""

import numpy as np
import pytest

from jaxsynth import progress
from jaxsynth.errors import UserError
from jaxsynth.plots import live
from jaxsynth.train.loop import Event


def event(step, values, path='task.n', last=30):
  loss = np.asarray(values, float)[:, None] + np.asarray([[-1.0, 1.0]])
  hparams = tuple({'a.b': 1, path: n} for n in (2, 2, 8))
  return Event(step, last, 3, {'loss': loss}, {}, (), 1.0, 0, hparams)


def lines(fig):
  return [line.get_xydata().tolist() for line in fig.axes[0].lines]


def test_curves_are_means_of_calls():
  watch = live.Live('loss')
  watch(event(10, [3, 4, 5]))
  watch(event(20, [1, 2, 3]))
  assert lines(watch.figure) == [
    [[10, 3], [20, 1]], [[10, 4], [20, 2]], [[10, 5], [20, 3]]
  ]  # fmt: skip
  colours = [line.get_color() for line in watch.figure.axes[0].lines]
  assert colours[0] == colours[1] != colours[2]
  legend = watch.figure.axes[0].get_legend()
  assert legend.get_title().get_text() == 'n'
  assert [text.get_text() for text in legend.get_texts()] == ['2', '8']


def test_another_group_begins_anew():
  watch = live.Live('loss')
  watch(event(20, [3, 4, 5]))
  watch(event(10, [1, 2, 3]))
  assert lines(watch.figure)[0] == [[10, 1]]


def test_it_draws_where_there_is_a_cell(monkeypatch):
  """At once, not again within a second, and at the end."""
  shown = []
  monkeypatch.setattr(
    progress, 'cell', lambda: lambda data, _: shown.append(data)
  )
  watch = live.Live('loss')
  for step in (10, 20, 30):
    watch(event(step, [3, 4, 5]))
  assert len(shown) == 2
  assert all(data['image/png'].startswith(b'\x89PNG') for data in shown)
  assert shown[0] != shown[1]


def test_a_wrong_name():
  with pytest.raises(UserError, match="did you mean 'loss'"):
    live.Live('los')(event(10, [1, 2, 3]))
