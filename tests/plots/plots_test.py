"""Plots put the data they are given on the axes, and touch nothing else."""

import itertools
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from jaxsynth.errors import UserError
from jaxsynth.plots import curves, heat, points, style

STEPS = [0, 10, 100, 1000]


def kl():
  values = np.arange(24.0).reshape(2, 3, 4)
  return xr.DataArray(
    values,
    dims=('algorithm', 'seed', 'step'),
    coords={'algorithm': ['uni', 'bi'], 'step': STEPS},
  )


def test_curves_draw_median_and_range_in_any_order_of_dims():
  data = kl()
  for given_data in (data, data.transpose('step', 'seed', 'algorithm')):
    _, ax = style.figure()
    lines = curves.curves(ax, given_data, hue='algorithm')
    for i, line in enumerate(lines):
      np.testing.assert_array_equal(line.get_xdata(), STEPS)
      np.testing.assert_array_equal(line.get_ydata(), data.median('seed')[i])
      edge = ax.collections[i].get_paths()[0].vertices
      assert edge[:, 1].min() == data[i].min()
      assert edge[:, 1].max() == data[i].max()
    assert [t.get_text() for t in ax.texts] == ['uni', 'bi']


def test_a_diverged_run_leaves_the_others_and_a_gap_is_a_gap():
  values = np.array([[1.0, np.nan, np.nan], [3.0, 4.0, np.nan]])
  _, ax = style.figure()
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    line = curves.band(ax, [0, 1, 2], values)
  np.testing.assert_array_equal(line.get_ydata(), [2.0, 4.0, np.nan])


def test_the_step_axis_has_a_place_for_step_zero():
  _, ax = style.figure()
  curves.curves(ax, kl(), hue='algorithm')
  assert ax.get_xlim() == (0, 1000)
  ticks = list(ax.get_xticks())
  assert ticks[0] == 0
  at = ax.transData.transform([(s, 0) for s in STEPS])[:, 0]
  # Equal ratios are equally far apart; step 0 is finite and left of the rest.
  assert at[0] < at[1]
  np.testing.assert_allclose(at[2] - at[1], at[3] - at[2])
  assert curves.step_text(0) == '0'
  assert curves.step_text(12500) == '12.5k'
  assert curves.step_text(3264) == '3.26k'
  with pytest.raises(UserError):
    curves.step_axis(ax, [0])


@pytest.mark.parametrize('steps', [[0, 1], [5], [3, 7], [0, 1, 10**7]])
def test_the_step_axis_draws_any_plan(steps):
  fig, ax = style.figure()
  ax.plot(steps, steps)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    curves.step_axis(ax, steps)
    fig.canvas.draw()
  assert ax.get_xticks().size >= 1


@given(
  st.lists(st.floats(-100, 100), min_size=1, max_size=8), st.floats(0.1, 20)
)
def test_labels_are_spread_apart_and_keep_their_order(places, gap):
  moved = curves.spread_out(places, gap)
  order = np.argsort(places, kind='stable')
  assert (np.diff(moved[order]) >= gap - 1e-9).all()
  np.testing.assert_allclose(moved.mean(), np.mean(places), atol=1e-8)
  far = np.arange(len(places)) * gap * 2
  np.testing.assert_allclose(curves.spread_out(far, gap), far)


def test_end_labels_do_not_overlap_and_stay_with_their_lines():
  fig, ax = style.figure()
  lines = [
    curves.band(ax, [1, 2], [0.0, 1 + 1e-3 * i], label=f'curve {i}')
    for i in range(4)
  ]
  curves.end_labels(ax, lines)
  fig.canvas.draw()
  boxes = sorted(
    (t.get_window_extent() for t in ax.texts), key=lambda box: box.y0
  )
  assert all(a.y1 <= b.y0 + 0.5 for a, b in itertools.pairwise(boxes))
  assert [t.xy[1] for t in ax.texts] == [li.get_ydata()[-1] for li in lines]


def test_labels_beside_the_panel_and_levels():
  _, ax = style.figure()
  curves.curves(ax, kl(), hue='algorithm', ordered=True, labels='legend')
  texts = [t.get_text() for t in ax.get_legend().get_texts()]
  assert texts == ['uni', 'bi']
  line = curves.level(ax, 0.3, 'chance')
  np.testing.assert_array_equal(line.get_ydata(), [0.3, 0.3])
  assert ax.texts[-1].get_text() == 'chance'


def test_curves_refuse_dimensions_they_cannot_draw():
  _, ax = style.figure()
  with pytest.raises(UserError, match='select or average'):
    curves.curves(ax, kl())
  with pytest.raises(UserError, match='one number per x'):
    curves.band(ax, [1, 2], [[1, 2, 3]])


def test_heatmap_holds_the_matrix_and_names_its_cells():
  data = xr.DataArray(
    [[1.0, 2.0, np.nan], [4.0, 5.0, 6.0]],
    dims=('layer', 'head'),
    coords={'layer': ['L0', 'L1']},
  )
  _, ax = style.figure()
  mesh = heat.heatmap(ax, data, label='effect')
  np.testing.assert_array_equal(
    np.ma.filled(mesh.get_array(), np.nan).reshape(2, 3), data
  )
  assert sorted(t.get_text() for t in ax.texts) == ['1', '2', '4', '5', '6']
  assert [t.get_text() for t in ax.get_yticklabels()] == ['L0', 'L1']
  assert ax.yaxis_inverted()
  one = heat.heatmap(style.figure()[1], data, centre=0)
  assert one.get_clim() == (-6.0, 6.0)
  with pytest.raises(UserError):
    heat.heatmap(ax, data[0])


def test_a_phase_map_shows_the_nearest_of_each_cell():
  near = xr.DataArray(
    np.array([['b', 'a'], ['b', np.nan]], object),
    dims=('N', 'step'),
    coords={'N': [2, 16], 'step': [0, 3264]},
  )
  _, ax = style.figure()
  mesh = heat.phase_map(ax, near, ['a', 'b', 'c'])
  codes = np.ma.filled(mesh.get_array().astype(float), np.nan).reshape(2, 2)
  np.testing.assert_array_equal(codes, [[1, 0], [1, np.nan]])
  texts = [t.get_text() for t in ax.get_legend().get_texts()]
  assert texts == ['a', 'b', 'c', 'none']
  faces = mesh.cmap(mesh.norm(np.array([0, 1, 2])))
  shown = [matplotlib.colors.to_hex(f).upper() for f in faces]
  assert shown == [c.upper() for c in style.PALETTE[:3]]
  assert [t.get_text() for t in ax.get_xticklabels()] == ['0', '3.26k']
  assert not ax.yaxis_inverted()
  with pytest.raises(UserError, match='every name'):
    heat.phase_map(ax, near, ['a'])


def test_every_seed_of_every_group_is_a_dot():
  data = xr.DataArray(
    [[1.0, 2.0], [3.0, 5.0]],
    dims=('width', 'seed'),
    coords={'width': [16, 64]},
  )
  for null in (0.1, xr.DataArray([0.1, 0.1], dims='width')):
    _, ax = style.figure()
    points.by_group(ax, data.T, null=null)
    drawn = [list(line.get_ydata()) for line in ax.lines]
    assert drawn == [
      [1, 2],
      [1.5, 1.5],
      [0.1],
      [3, 5],
      [4, 4],
      [0.1],
    ]
  with pytest.raises(UserError):
    points.by_group(ax, data.rename(seed='run'))


def test_embedding_and_paths_hold_their_points():
  xy = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
  _, ax = style.figure()
  points.embedding(ax, xy, 'abc', edges=[(0, 1), (1, 2)])
  np.testing.assert_array_equal(ax.collections[1].get_offsets(), xy)
  segments = ax.collections[0].get_segments()
  np.testing.assert_array_equal(segments, [xy[[0, 1]], xy[[1, 2]]])
  path = xr.DataArray(
    np.arange(12.0).reshape(3, 2, 2),
    dims=('step', 'coordinate', 'seed'),
    coords={'coordinate': ['colour', 'size']},
  )
  _, ax = style.figure()
  points.paths(ax, path, x='size', y='colour', labels=['a', 'b'])
  np.testing.assert_array_equal(ax.lines[0].get_xdata(), [2, 6, 10])
  np.testing.assert_array_equal(ax.lines[3].get_ydata(), [1, 5, 9])
  with pytest.raises(UserError):
    points.embedding(ax, np.zeros((3, 3)))


def test_colours_can_be_told_apart_or_are_refused():
  assert len(set(style.colours(8))) == 8
  with pytest.raises(UserError, match='shades'):
    style.colours(9)
  light = [
    matplotlib.colors.rgb_to_hsv(matplotlib.colors.to_rgb(c))[2]
    for c in style.shades(4)
  ]
  assert light == sorted(light)
  assert style.ink_on('white') != 'white'
  assert style.ink_on('navy') == 'white'


def test_colours_of_a_ring_come_round_in_small_steps():
  rgb = np.array([matplotlib.colors.to_rgb(c) for c in style.cycle(24)])
  steps = np.linalg.norm(rgb - np.roll(rgb, 1, axis=0), axis=1)
  assert len(set(style.cycle(24))) == 24
  assert steps.max() < 0.25


def test_grid_titles_panels_in_reading_order():
  _, axes = style.grid(2, 2, titles=['a', 'b', 'c'])
  titles = [ax.get_title(loc='left') for ax in axes.flat]
  assert titles == ['a', 'b', 'c', '']
  assert axes[1, 1].figure is None
  style.tidy(axes[0, 0], y='nats')
  assert axes[0, 0].get_title(loc='left') == 'a'
  with pytest.raises(UserError):
    style.grid(1, 1, titles=['a', 'b'])


def test_saved_bytes_are_stable_and_pyplot_is_never_loaded(tmp_path):
  code = """
import sys, matplotlib, numpy as np, xarray as xr
from jaxsynth.plots import curves, heat, points, style
before = matplotlib.rcParams.copy()
for path in sys.argv[1:]:
  fig, ax = style.figure()
  curves.curves(ax, xr.DataArray(np.ones((2, 3)), dims=('seed', 'step'),
                coords={'step': [0, 1, 9]}, name='kl'))
  style.save(fig, path)
assert matplotlib.rcParams.copy() == before
assert 'matplotlib.pyplot' not in sys.modules
"""
  paths = [str(tmp_path / n) for n in ('a.png', 'b.png')]
  subprocess.run([sys.executable, '-c', code, *paths], check=True)
  a, b = ((tmp_path / n).read_bytes() for n in ('a.png', 'b.png'))
  assert a == b


def test_log_values_are_plain_numbers():
  _, ax = style.figure()
  ax.plot([0, 1], [0.15, 0.8])
  curves.log_values(ax)
  text = ax.yaxis.get_minor_formatter()
  assert [text(v) for v in (0.2, 0.3, 0.4, 0.5)] == ['0.2', '0.3', '', '0.5']
  _, ax = style.figure()
  ax.plot([0, 1], [0.001, 10])
  curves.log_values(ax)
  assert ax.yaxis.get_minor_formatter()(0.2) == ''
  assert ax.yaxis.get_major_formatter()(0.01) == '0.01'


def test_a_notebook_shows_a_figure_at_its_size():
  """By IPython's own formatter, without pyplot's help."""
  from IPython.core.formatters import DisplayFormatter

  fig, ax = style.figure(width=5, height=2)
  ax.plot([0, 1])
  data, about = DisplayFormatter().format(fig)
  assert data['image/png'] == style.png(fig)
  assert about['image/png'] == {'width': 480, 'height': 192}
