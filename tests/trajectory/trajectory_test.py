"""Reading a trajectory: the arrays are numpy's, the labels are right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth.errors import UserError
from jaxsynth.train import sweep
from jaxsynth.trajectory.trajectory import Trajectory

STEPS = [0, 1, 2, 7, 10, 11, 20]


@pytest.fixture(scope='module')
def traj(lab, tmp_path_factory):
  """Six runs, seven snapshots in several segments."""
  folder = tmp_path_factory.mktemp('trajectory') / 'traj'
  runs = lab.specs(3, (0.1, 0.3))
  return lab.go(folder, runs, checkpoint_calls=1)


@pytest.fixture(scope='module')
def full(traj):
  """The whole of leaf x, [R, K, 5], read snapshot by snapshot."""
  parts = [
    [traj.params(step, run)['x'] for step in traj.steps] for run in range(6)
  ]
  return np.asarray(parts)


def test_whole(traj, full):
  assert len(traj.segments) == 4
  assert traj.leaves == ['count', 'x']
  leaf = traj.leaf('x')
  assert (leaf.shape, leaf.dtype) == ((6, 7, 5), np.float32)
  np.testing.assert_array_equal(leaf[:], full)
  np.testing.assert_array_equal(leaf[...], full)
  assert traj.leaf('count').dtype == np.int32
  assert len(np.unique(full)) > 0.9 * full.size, 'else indices prove nothing'


mask = lambda n: st.lists(st.booleans(), min_size=n, max_size=n).map(np.array)


def one_axis(n):
  position = st.integers(-n, n - 1)
  return (
    position
    | position.map(np.int64)
    | st.slices(n)
    | st.just(slice(None, 2 * n))
    | st.lists(position, max_size=4).map(lambda x: np.asarray(x, int))
    | mask(n)
  )


indices = st.tuples(one_axis(6), one_axis(7), one_axis(5))


def outer(array, index):
  """Numpy's own indexing, one axis after the other, from the last."""
  for axis in reversed(range(len(index))):
    array = array[(slice(None),) * axis + (index[axis],)]
  return array


@settings(max_examples=60, deadline=None)
@given(indices, st.integers(0, 3))
def test_any_index(traj, full, index, count):
  got = traj.leaf('x')[index[:count]]
  np.testing.assert_array_equal(got, outer(full, index[:count]), strict=True)


@settings(max_examples=20, deadline=None)
@given(indices)
def test_ellipsis(traj, full, index):
  leaf = traj.leaf('x')
  for some in (
    (..., index[2]),
    (index[0], ..., index[2]),
    (index[0], ...),
    (*index, ...),
  ):
    expected = full[..., index[2]] if some[-1] is index[2] else full
    if some[0] is index[0]:
      expected = expected[index[0]]
    if len(some) == 4:
      expected = outer(full, index)
    np.testing.assert_array_equal(leaf[some], expected)


@pytest.mark.parametrize('index', [6, -7, (0, 7), (0, 0, 5), (0, 0, 0, 0)])
def test_beyond_the_end(traj, index):
  with pytest.raises(IndexError):
    traj.leaf('x')[index]


def test_params(traj, full):
  got = traj.params(7, 4)
  assert set(got) == {'x', 'count'}
  np.testing.assert_array_equal(got['x'], full[4, 3])
  np.testing.assert_array_equal(traj.params(7)['x'], full[:, 3])
  np.testing.assert_array_equal(traj.params(7, slice(1, 3))['x'], full[1:3, 3])
  assert traj.params(20, -1)['count'] == 20


def test_views(traj, full):
  view = traj.sel(peak_lr=0.3, init=(0, 2))
  assert view.runs['optimizer.peak_lr'].tolist() == [0.3, 0.3]
  assert view.runs['seed.init'].tolist() == [0, 2]
  rows = view.sel(steps=(20, 2))
  assert rows.steps.tolist() == [20, 2]
  np.testing.assert_array_equal(rows.leaf('x')[:], full[[3, 5]][:, [6, 2]])
  np.testing.assert_array_equal(rows.params(2, 1)['x'], full[5, 2])
  np.testing.assert_array_equal(
    rows.metrics['loss'], traj.metrics['loss'][[3, 5]]
  )
  last = view.sel(run=-1)
  assert last.runs.run_id.tolist() == [traj.runs.run_id[5]]
  by_name = traj.sel(**{'seed.data': 1})
  np.testing.assert_array_equal(by_name.leaf('x')[:], full[[1, 4]])
  assert traj.steps.tolist() == STEPS, 'a view changes nothing else'


def test_metrics_have_the_right_labels(traj, full, lab):
  m = traj.metrics
  assert m['loss'].dims == ('run', 'step')
  assert m['probe'].dims == ('run', 'eval_step')
  assert m.step.values.tolist() == list(range(1, 21))
  # The loss of update s is that of the parameters before it.
  for i, spec in enumerate(lab.specs(3, (0.1, 0.3))):
    a = np.asarray(lab.toy.constants(sweep.one(spec))['a'], np.float64)
    for k, step in enumerate(STEPS[:-1]):
      x = full[i, k].astype(np.float64)
      loss = m['loss'].sel(step=step + 1)[i]
      np.testing.assert_allclose(loss, 0.5 * x @ a @ x, rtol=1e-5)


def test_the_table_of_runs(traj, lab):
  runs = lab.specs(3, (0.1, 0.3))
  table = traj.runs
  assert table.run_id.tolist() == [s.id for s in runs]
  assert table['seed.task'].tolist() == [0, 1, 2, 0, 1, 2]
  assert table['optimizer.peak_lr'].tolist() == [0.1] * 3 + [0.3] * 3
  assert table['diverged_at'].isna().all()


@pytest.mark.parametrize(('mode', 'block'), [('map', 2), ('vmap', 4)])
def test_a_diverged_run_is_marked_and_harms_no_other(
  lab, tmp_path, mode, block
):
  """Run 1 is NaN from the outset, run 2 explodes; both sit between others."""
  on, bad = lab.layout(mode, block), (float('nan'), 1e30)
  runs = lab.specs(1, (0.1, *bad, 0.3))
  traj = lab.go(tmp_path / 'bad', runs, on=on)
  at = traj.runs['diverged_at'].to_numpy()
  assert np.isnan(at).tolist() == [True, False, False, True]
  loss = traj.metrics['loss'].to_numpy()
  for i in (1, 2):
    first = int(at[i])
    assert np.isfinite(loss[i, : first - 1]).all()
    assert not np.isfinite(loss[i, first - 1])
  alone = lab.contents(lab.go(tmp_path / 'a', lab.specs(1, (0.1, 0.3)), on=on))
  got = lab.contents(traj)
  assert [lab.differing(got[run], alone[run]) for run in alone] == [[], []]
  assert traj.sel(peak_lr=0.3).runs['diverged_at'].isna().all()


@pytest.mark.parametrize(
  ('ask', 'says'),
  [
    (lambda t: t.leaf('y'), r"unknown leaf 'y': choose from count, x"),
    (lambda t: t.leaf('coumt'), "did you mean 'count'"),
    (lambda t: t.params(8), 'no snapshot at step 8; the nearest is at 7'),
    (lambda t: t.sel(steps=19), 'the nearest is at 20'),
    (lambda t: t.sel(peek_lr=1), "did you mean 'peak_lr'"),
    (lambda t: t.sel(peak_lr=7), 'no run has'),
    (lambda t: t.sel(steps=()).params(0), 'no snapshot at step 0, nor'),
    (lambda t: t.branch(7), 'no full state was kept at step 7 .* kept: 20'),
  ],
)
def test_mistakes_name_a_way_out(traj, ask, says):
  with pytest.raises(UserError, match=says) as e:
    ask(traj)
  assert '\n' not in str(e.value)


def test_a_folder_without_a_trajectory(tmp_path):
  with pytest.raises(UserError, match='holds no trajectory'):
    Trajectory(tmp_path)
  (tmp_path / 'index.json').write_text('{"runs": []}')
  with pytest.raises(UserError, match='no finished segment'):
    Trajectory(tmp_path)
