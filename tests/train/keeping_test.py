"""Which leaves snapshots keep, how, and what is refused before training."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import build, cli, estimate, stage, verify
from jaxsynth.errors import UserError
from jaxsynth.train import keeping
from jaxsynth.trajectory import manifest, store

KEPT = ('blocks_0.attn.*', 'unembed.*')


def setup_of(tiny, **train):
  config = copy.deepcopy(tiny[0].config)
  config['train'] |= {
    'steps': 6, 'snapshots': [0, 5, 6], 'evals': [0], 'branches': [0],
    **train,
  }  # fmt: skip
  return build.build(config)


@pytest.fixture(scope='module')
def small(tiny, tmp_path_factory):
  """Some leaves, in bfloat16."""
  setup = setup_of(tiny, snapshot_dtype='bfloat16', snapshot_leaves=KEPT)
  folder = tmp_path_factory.mktemp('keeping') / 'small'
  return stage.train(setup, folder, quiet=True)


def test_what_is_kept(tiny, small):
  """The same training, its snapshots rounded, its full states not."""
  whole = tiny[1]
  expected = {
    n for n in whole.leaves if n.startswith(('blocks_0.attn', 'unem'))
  }
  assert set(small.leaves) == expected
  assert 0 < len(expected) < len(whole.leaves)
  for row, step in ((0, 0), (2, 6)):
    full = store.load(
      small.branch(step), [f'params.{name}' for name in small.leaves]
    )
    for name in small.leaves:
      got = small.leaf(name)[:, row]
      assert got.dtype == jnp.bfloat16
      exact = full[f'params.{name}']
      np.testing.assert_array_equal(got, exact.astype(jnp.bfloat16))
      assert name != 'unembed.kernel' or not np.array_equal(got, exact)
  arrays = manifest.read(small.branch(6))['arrays']
  assert {a['dtype'] for a in arrays.values()} == {'float32', 'int32'}


def test_check_knows(small, tmp_path, forge):
  import shutil

  result = verify.check(small.folder)
  assert (result.faults, result.warnings, result.notes) == ([], [], [])
  folder = tmp_path / 'changed'
  shutil.copytree(small.folder, folder)

  def change(name, array):
    if name == 'params.unembed.kernel':
      array[1] *= 1.01
    return array

  forge.rewrite(folder / 'branches' / '0000000006', change)
  forge.rechain(folder)
  found = [(f.leaf, f.run, f.step) for f in verify.check(folder).faults]
  run = small.runs.run_id[1]
  assert found == [('params.unembed.kernel', run, 6)]


def test_reading_says_what_is_missing(small):
  with pytest.raises(UserError, match=r'keeps \d+ of \d+ leaves') as e:
    small.params(0)
  assert '\n' not in str(e.value)
  norm = lambda params, ctx: {'n': (params['unembed']['kernel'] ** 2).sum()}
  with pytest.raises(UserError, match='partial=True'):
    small.map(norm, quiet=True)
  got = small.map(norm, quiet=True, partial=True)['n']
  assert got.dtype == np.float32
  params = small.params(5, 1, partial=True)
  assert params['unembed']['kernel'].dtype == np.float32
  assert set(params) == {'blocks_0', 'unembed'}
  assert got[1, 1] == pytest.approx((params['unembed']['kernel'] ** 2).sum())


def test_rounded_but_whole(tiny, tmp_path):
  """Cast back, the parameters go into the model as they are."""
  setup = setup_of(tiny, snapshot_dtype='bfloat16')
  traj = stage.train(setup, tmp_path / 'x', quiet=True)
  assert traj.leaf('unembed.kernel').dtype == jnp.bfloat16
  params = traj.params(0, 0)
  assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype('float32')}
  mean = lambda p, ctx: {
    'm': ctx.apply(p, ctx.evals['fresh'].inputs).prediction.mean()
  }
  assert np.isfinite(traj.map(mean, quiet=True)['m']).all()


def test_an_estimate_counts_what_is_kept(tiny):
  params = tiny[1].params(0, 0)
  count = sum(x.size for x in jax.tree.leaves(params))
  plan = estimate.measure(setup_of(tiny, snapshot_dtype='bfloat16'))
  assert plan['parameters'] == count
  assert plan['disk_bytes'] == 2 * count * 3 * 4, 'three snapshots, four runs'


@pytest.mark.parametrize(
  ('train', 'says'),
  [
    ({'snapshot_dtype': 'bflot16'}, "did you mean 'bfloat16'"),
    ({'snapshot_leaves': ()}, 'lists patterns'),
    ({'snapshot_leaves': 'a.*'}, 'lists patterns'),
    ({'snapshot_leaves': ('*', 'unembed.kernl')}, 'unembed.kernel'),
    ({'snapshot_leaves': ('unembed.kernl',)}, "did you mean 'unembed.kernel'"),
  ],
)
def test_mistakes_are_one_line(tiny, tmp_path, train, says):
  with pytest.raises(UserError, match=says) as e:
    stage.train(setup_of(tiny, **train), tmp_path / 'x', quiet=True)
  assert '\n' not in str(e.value)
  assert not (tmp_path / 'x').exists()


def put(tree, name, value):
  return {**tree, name: value}


@pytest.mark.parametrize('part', ['init', 'keep', 'step', 'evaluate'])
@pytest.mark.parametrize(
  ('name', 'shape', 'says'),
  [('empty', (0, 3), 'no elements'), ('a.b', (2,), 'a.b'), ('', (2,), "''")],
)
def test_what_cannot_be_stored_is_refused_at_once(
  tiny, lab, tmp_path, part, name, shape, says
):
  setup, program = setup_of(tiny), lab.toy
  bad = jnp.zeros(shape)
  wrap = {
    'init': lambda run: put(program.init(run), name, bad),
    'keep': lambda state: put(program.keep(state), name, bad),
    'step': lambda run, state, t: (
      state, put(program.step(run, state, t)[1], name, bad)
    ),
    'evaluate': lambda run, state, t: put(
      program.evaluate(run, state, t), name, bad
    ),
  }  # fmt: skip
  other = program._replace(**{part: wrap[part]})
  if part == 'init':  # a state that lasts

    def step(run, state, t):
      rest = {k: v for k, v in state.items() if k != name}
      rest, scalars = program.step(run, rest, t)
      return put(rest, name, bad), scalars

    other = other._replace(step=step)
  with pytest.raises(UserError, match='cannot be stored') as e:
    stage.train(setup, tmp_path / 'x', program=other, quiet=True)
  assert says in str(e.value)
  assert '\n' not in str(e.value)
  assert not (tmp_path / 'x').exists()


@pytest.mark.parametrize(
  ('change', 'says'),
  [
    (lambda s: {'x': s['x']}, 'count.* was .* and is nothing'),
    (lambda s: {**s, 'y': s['x']}, "'y'.* was nothing and is float32"),
    (lambda s: {**s, 'x': s['x'][:2]}, r"'x'.* was float32.5. and is .*2"),
  ],
)
def test_a_step_returns_the_state_it_was_given(
  tiny, lab, tmp_path, change, says
):
  def step(run, state, t):
    state, scalars = lab.toy.step(run, state, t)
    return change(state), scalars

  other = lab.toy._replace(step=step)
  with pytest.raises(UserError, match=says) as e:
    stage.train(setup_of(tiny), tmp_path / 'x', program=other, quiet=True)
  assert '\n' not in str(e.value)
  assert not (tmp_path / 'x').exists()


def test_slashes_are_for_metrics_only(tiny, lab, tmp_path):
  setup, program = setup_of(tiny), lab.toy
  keep = lambda state: {'a/b': state['x']}
  with pytest.raises(UserError, match='a/b'):
    stage.train(
      setup, tmp_path / 'x', program=program._replace(keep=keep), quiet=True
    )


def test_all_leaves_as_they_are_is_the_program_itself(lab):
  assert keeping.select(lab.toy, 'float32', ('*',)) is lab.toy


def test_the_command_line_sets_it(tmp_path):
  argv = ['train', '--config=markov_mixture:smoke', f'--workdir={tmp_path}']
  argv += ['--config.train.snapshot_leaves=("nothing.*",)', '--quiet']
  assert cli.main(argv) == 2
  assert not (tmp_path / 'stages').exists()
