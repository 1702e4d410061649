"""The loop: neither neighbours, nor cuts into calls, change a bit of a run."""

import jax
import numpy as np
import pytest

from jaxsynth.train import sweep
from jaxsynth.trajectory import manifest, store
from jaxsynth.types import Run

RATES = (0.1, 0.3)
LAYOUTS = {'map': ('map', 2), 'vmap': ('vmap', 4)}


def different(lab, got, expected):
  """What differs between two trainings, for the runs both have."""
  pairs = {run: lab.differing(got[run], expected[run]) for run in got}
  return {run: names for run, names in pairs.items() if names}


@pytest.fixture(scope='module', params=LAYOUTS)
def trained(request, lab, tmp_path_factory):
  """Three seeds x two rates, which leaves dummies in the last vmapped block."""
  on = lab.layout(*LAYOUTS[request.param])
  folder = tmp_path_factory.mktemp('loop') / 'all'
  runs = lab.specs(3, RATES)
  traj = lab.go(folder, runs, on=on)
  return on, runs, traj, lab.contents(traj)


@pytest.mark.parametrize(
  'chosen', [slice(None, None, -1), slice(3, 4), slice(1, None), [5, 0, 3]]
)
def test_other_runs_change_no_bit(lab, trained, tmp_path, chosen):
  on, runs, _, everything = trained
  some = np.asarray(runs, object)[chosen].tolist()
  got = lab.contents(lab.go(tmp_path / 'some', some, on=on))
  assert list(got) == [s.id for s in some]
  assert different(lab, got, everything) == {}


def test_added_runs_change_no_bit(lab, trained, tmp_path):
  """New seeds before the old ones, so that every run changes its place."""
  on, runs, _, everything = trained
  more = [*lab.specs((8, 9, 10), RATES), *runs]
  got = lab.contents(lab.go(tmp_path / 'more', more, on=on))
  assert len(got) == 12
  assert different(lab, everything, got) == {}


def test_dummies_are_never_written(lab, trained, tmp_path):
  on, runs, _, everything = trained
  traj = lab.go(tmp_path / 'one', runs[1:2], on=on)
  saves = [*(m for _, m in traj.segments), manifest.read(traj.branch(20))]
  shapes = [a['shape'] for m in saves for a in m['arrays'].values()]
  assert len(shapes) == 2 + 4 + 3, 'snapshots, metrics, state'
  assert {shape[0] for shape in shapes} == {1}
  assert different(lab, lab.contents(traj), everything) == {}


def test_runs_do_differ(trained):
  """Else the tests above would hold for a loop that ignores its runs."""
  _, runs, traj, _ = trained
  assert len({x.tobytes() for x in traj.leaf('x')[:, -1]}) == len(runs)


@pytest.mark.parametrize(
  'sizes',
  [
    {'call_steps': 1},
    {'call_steps': 7},
    {'call_steps': 1000},
    {'call_steps': 1000, 'call_snapshots': 1},
    {'branches': (3, 10)},
  ],
)
def test_cuts_into_calls_change_no_bit(lab, trained, tmp_path, sizes):
  on, runs, _, everything = trained
  cut = lab.schedule(**sizes)
  got = lab.contents(lab.go(tmp_path / 'cut', runs, on=on, sizes=cut))
  assert different(lab, got, everything) == {}


def test_snapshots_are_after_their_step(lab, trained):
  """Snapshot s is the state after s updates; metric s is of update s."""
  _, _, traj, _ = trained
  assert traj.steps.tolist() == [0, 1, 2, 7, 10, 11, 20]
  counts = traj.leaf('count')[:]
  np.testing.assert_array_equal(counts, np.tile(traj.steps, (6, 1)))
  assert traj.metrics.step.values.tolist() == list(range(1, 21))
  assert traj.metrics.eval_step.values.tolist() == [0, 5, 10, 20]
  at = traj.metrics['at'].to_numpy()
  np.testing.assert_array_equal(at, np.tile([0, 5, 10, 20], (6, 1)))


def stacked(lab, runs, layout):
  """A run (map) or all runs (vmap), init, and step, by hand."""
  lift = jax.vmap if layout.mode == 'vmap' else lambda fn, **_: fn
  constants = jax.jit(lift(lab.toy.constants))
  init = jax.jit(lift(lambda r, c: lab.toy.init(r._replace(constants=c))))
  step = jax.jit(
    lift(
      lambda r, c, s, t: lab.toy.step(r._replace(constants=c), s, t),
      **({'in_axes': (0, 0, 0, None)} if layout.mode == 'vmap' else {}),
    )
  )
  return constants, init, step


def test_a_plain_python_loop_of_step_gives_the_same(lab, trained):
  """Bitwise in both layouts: the loop compiles the same step.

  XLA promises no such thing, so elsewhere a difference in the last bits would
  be no defect; here it would be a surprise worth knowing of.
  """
  on, runs, traj, _ = trained
  constants, init, step = stacked(lab, runs, on)
  groups = [runs[:2], runs[3:5]] if on.mode == 'vmap' else [[r] for r in runs]
  for group in groups:
    one = sweep.stack(group) if on.mode == 'vmap' else sweep.one(group[0])
    here = traj.runs.run_id.isin([s.id for s in group]).to_numpy()
    fixed = constants(one)
    state = init(one, fixed)
    kept, losses = [], []
    for t in range(20):
      kept.append(np.asarray(state['x']))
      state, scalars = step(one, fixed, state, t)
      losses.append(np.asarray(scalars['loss']))
    kept.append(np.asarray(state['x']))
    shape = (len(group), 21, 5)
    kept = np.moveaxis(kept, 0, -2).reshape(shape)[:, traj.steps]
    np.testing.assert_array_equal(kept, traj.leaf('x')[here])
    losses = np.moveaxis(losses, 0, -1).reshape(len(group), 20)
    np.testing.assert_array_equal(losses, traj.metrics['loss'][here])


def test_evaluation_inside_the_call_equals_one_afterwards(lab, trained):
  _, runs, traj, _ = trained
  evaluate = jax.jit(
    lambda run, x, t: lab.toy.evaluate(
      run._replace(constants=lab.toy.constants(run)), {'x': x}, t
    )['probe']
  )
  for i, spec in enumerate(runs):
    run = sweep.one(spec)
    for j, step in enumerate((0, 10, 20)):
      after = evaluate(run, traj.params(step, i)['x'], step)
      inside = traj.metrics['probe'].sel(eval_step=step)[i]
      np.testing.assert_allclose(inside, after, rtol=1e-6)
      assert inside != traj.metrics['probe'][i, j - 1], 'it does change'


def test_metrics_of_every_step_of_every_run_are_kept(lab, trained):
  """The scalar 'noise' names run and step: it is their key's first number."""
  _, runs, traj, _ = trained
  noise = jax.jit(lambda seed, t: lab.toy.draw(Run({'data': seed}, {}), t)[0])
  expected = [
    [noise(np.uint32(s.seeds['data']), t) for t in range(20)] for s in runs
  ]
  np.testing.assert_array_equal(traj.metrics['noise'], np.asarray(expected))


def test_equal_seeds_give_equal_init_and_data(trained):
  """Runs are rates x seeds: run i and run i + 3 are a pair."""
  _, _, traj, _ = trained
  noise, start = traj.metrics['noise'].to_numpy(), traj.leaf('x')[:, 0]
  np.testing.assert_array_equal(noise[:3], noise[3:])
  np.testing.assert_array_equal(start[:3], start[3:])
  assert len(np.unique(noise[:3])) == noise[:3].size
  assert not np.array_equal(traj.leaf('x')[:3, 1], traj.leaf('x')[3:, 1])


@pytest.mark.parametrize('held', ['init', 'data', 'task'])
def test_a_stream_held_fixed(lab, trained, tmp_path, held):
  """It becomes equal across runs; the others stay what they were."""
  on, _, traj, _ = trained
  fixed = lab.go(tmp_path / 'held', lab.specs(3, RATES, **{held: 2}), on=on)
  free = {
    'init': lambda t: t.leaf('x')[:, 0],
    'data': lambda t: t.metrics['noise'].to_numpy(),
  }
  for name, read in free.items():
    got, before = read(fixed)[:3], read(traj)[:3]
    if name == held:
      np.testing.assert_array_equal(got, np.tile(before[2], (3, 1)))
    else:
      np.testing.assert_array_equal(got, before)
  if held == 'task':
    same = lambda t: [
      float(lab.toy.constants(sweep.one(s))['a'][0, 0])
      for s in lab.specs(3, RATES, task=2)
    ]
    assert len(set(same(fixed))) == 1


def test_shared_constants_change_no_bit(lab, trained, tmp_path):
  """One copy for all runs, or one each: the same training."""
  on, _, _, _ = trained
  runs = lab.specs(3, RATES, task=1)
  each = lab.contents(lab.go(tmp_path / 'each', runs, on=on))
  once = lab.contents(lab.go(tmp_path / 'once', runs, on=on, shared=True))
  assert different(lab, once, each) == {}


def test_no_steps_at_all_still_keeps_the_initialisation(lab, trained, tmp_path):
  on, runs, traj, _ = trained
  none = lab.schedule(last=0, snapshots=(0,), evals=(0,))
  for _ in range(2):  # the second time there is nothing left to do
    got = lab.go(tmp_path / 'none', runs, on=on, sizes=none)
  np.testing.assert_array_equal(got.leaf('x')[:, 0], traj.leaf('x')[:, 0])
  assert got.metrics.sizes['step'] == 0


def test_branch_points_hold_the_full_state(lab, trained, tmp_path):
  on, runs, traj, _ = trained
  sizes = lab.schedule(branches=(0, 7))
  got = lab.go(tmp_path / 'branches', runs, on=on, sizes=sizes)
  for step in (0, 7, 20):
    state = store.load(got.branch(step), ['x', 'speed', 'count'])
    row = traj.row(step)
    np.testing.assert_array_equal(state['x'], traj.leaf('x')[:, row])
    assert state['count'].tolist() == [step] * 6


def test_map_and_vmap_agree(lab, tmp_path):
  """Same initialisation and data to the bit; losses to rounding, ten steps.

  And so do one device and two.
  """
  layouts = {
    'map2': lab.layout('map', 2),
    'map1': lab.layout('map', 1, devices=1),
    'vmap2': lab.layout('vmap', 4),
    'vmap1': lab.layout('vmap', 4, devices=1),
  }
  runs, sizes = lab.specs(3), lab.schedule(last=10, snapshots=(0, 10), evals=())
  got = {
    name: lab.go(tmp_path / name, runs, on=on, sizes=sizes)
    for name, on in layouts.items()
  }
  base = got.pop('map2')
  for traj in got.values():
    np.testing.assert_array_equal(traj.leaf('x')[:, 0], base.leaf('x')[:, 0])
    np.testing.assert_array_equal(traj.metrics['noise'], base.metrics['noise'])
    np.testing.assert_allclose(
      traj.metrics['loss'], base.metrics['loss'], rtol=1e-4
    )


def test_a_name_returned_twice_is_refused(lab, tmp_path):
  clash = lab.toy._replace(evaluate=lambda run, state, t: {'loss': t})
  with pytest.raises(ValueError, match="both return 'loss'"):
    lab.go(tmp_path / 'clash', lab.specs(1), program=clash)
