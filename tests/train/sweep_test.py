"""The table of runs: its order, and identities that survive reordering."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth import rng
from jaxsynth.errors import UserError
from jaxsynth.train.sweep import RunSpec, Sweep, one, stack

AXES = {'task.n': (4, 2), 'optimizer.peak_lr': (0.1, 0.2, 0.3)}


def test_product_order():
  """The last axis varies fastest, then the seed; values as they are listed."""
  runs = Sweep(seeds=(5, 1), traced=AXES).runs()
  cells = [(*r.hparams.values(), r.seeds['init']) for r in runs]
  expected = [
    (n, lr, seed) for n in (4, 2) for lr in (0.1, 0.2, 0.3) for seed in (5, 1)
  ]
  assert cells == expected
  assert [list(r.hparams) for r in runs] == [list(AXES)] * 12


def test_seeds_and_fixed_streams():
  sweep = Sweep(seeds=3, first_seed=10, fixed={'task': 4, 'more': 0},
                streams=(*rng.STREAMS, 'more'))  # fmt: skip
  for seed, run in zip((10, 11, 12), sweep.runs(), strict=True):
    free = dict.fromkeys(('init', 'data', 'noise', 'eval'), seed)
    assert run.seeds == {**free, 'task': 4, 'more': 0}


def test_groups_are_the_product_of_static_axes():
  sweep = Sweep(static={'model.d': (8, 16), 'model.name': ('a', 'b')})
  assert sweep.groups() == [
    {'model.d': d, 'model.name': n} for d in (8, 16) for n in ('a', 'b')
  ]
  assert Sweep().groups() == [{}]
  assert Sweep().runs() == [RunSpec(dict.fromkeys(rng.STREAMS, 0), {})]


values = st.lists(st.integers(1, 50), min_size=1, max_size=4, unique=True)


@settings(max_examples=50, deadline=None)
@given(values, values, values, st.randoms())
def test_identity_is_stable(seeds, first, second, random):
  """Reordering seeds, axes and values, or adding some, keeps every id."""
  before = Sweep(seeds=seeds, traced={'task.a': first, 'task.b': second}).runs()
  ids = [r.id for r in before]
  assert len(set(ids)) == len(ids)
  shuffled = [random.sample(v, len(v)) for v in (seeds, first, second)]
  after = Sweep(
    seeds=[*shuffled[0], 99],
    traced={'task.b': [77, *shuffled[2]], 'task.a': shuffled[1]},
  ).runs()
  assert set(ids) < {r.id for r in after}
  by_id = {r.id: r for r in after}
  assert all(by_id[r.id] == r for r in before)


def test_identity_reads_seeds_and_values():
  run = RunSpec({'init': 0, 'data': 0}, {'lr': 0.1})
  others = [
    RunSpec({'init': 1, 'data': 0}, {'lr': 0.1}),
    RunSpec({'init': 0, 'data': 1}, {'lr': 0.1}),
    RunSpec({'init': 0, 'data': 0}, {'lr': 0.2}),
    RunSpec({'init': 0, 'data': 0}, {'wd': 0.1}),
    RunSpec({'init': 0, 'data': 0}, {}),
  ]
  assert run.id not in {r.id for r in others}
  assert run.row() == {
    'run_id': run.id, 'lr': 0.1, 'seed.init': 0, 'seed.data': 0,
  }  # fmt: skip


def test_an_axis_has_one_type():
  """Else a run's program would depend on which other runs there are."""
  mixed = Sweep(traced={'task.a': (0, 0.5, 1)}).runs()
  assert [type(r.hparams['task.a']) for r in mixed] == [float] * 3
  assert mixed[0].id == Sweep(traced={'task.a': (0.0,)}).runs()[0].id
  whole = Sweep(traced={'task.a': (0, 1)}).runs()
  assert [type(r.hparams['task.a']) for r in whole] == [int] * 2


@pytest.mark.parametrize(
  ('sweep', 'reads', 'expected'),
  [
    (Sweep(), ('task',), False),
    (Sweep(fixed={'task': 0}), ('task',), True),
    (Sweep(fixed={'task': 0}), ('task', 'eval'), False),
    (Sweep(fixed={'task': 0, 'eval': 0}), ('task', 'eval', 'task.'), True),
    (Sweep(fixed={'task': 0}, traced=AXES), ('task', 'task.'), False),
    (Sweep(fixed={'task': 0}, traced=AXES), ('task', 'model.'), True),
    (Sweep(fixed={'task': 0}, traced=AXES), ('task',), True),
    (Sweep(traced=AXES), (), True),
    # Decided by what is declared, never by how many runs there are.
    (Sweep(seeds=1), ('task',), False),
    (Sweep(seeds=9, fixed={'task': 0}), ('task',), True),
  ],
)
def test_shares(sweep, reads, expected):
  assert sweep.shares(reads) is expected


def test_stack_and_one():
  runs = Sweep(seeds=(2**32 - 1, 0), traced=AXES).runs()
  run = stack(runs)
  assert run.seeds['data'].dtype == np.uint32
  assert run.seeds['data'][:2].tolist() == [2**32 - 1, 0]
  assert run.hparams['task.n'].dtype == np.int32
  assert run.hparams['optimizer.peak_lr'].dtype == np.float32
  fourth = one(runs[3])
  np.testing.assert_array_equal(
    jax.tree.leaves(fourth), [leaf[3] for leaf in jax.tree.leaves(run)]
  )


@pytest.mark.parametrize(
  ('bad', 'says'),
  [
    ({'fixed': {'dta': 0}}, "unknown seed stream 'dta': did you mean 'data'"),
    ({'fixed': 3}, 'sweep.fixed must be a section'),
    ({'seeds': 0}, 'must be distinct and some'),
    ({'seeds': (1, 1)}, 'must be distinct'),
    ({'seeds': (1, -1)}, 'whole number below'),
    ({'seeds': (0.5,)}, 'whole number below'),
    ({'seeds': 1.5}, 'a count or a list'),
    ({'seeds': 'abc'}, 'a count or a list'),
    ({'first_seed': 2**32}, 'whole number below'),
    ({'traced': {'task.a': 3}}, 'sweep.traced.task.a must list its values'),
    ({'traced': {'task.a': 'xy'}}, 'must list its values'),
    ({'traced': {'task.a': ()}}, 'must be distinct values'),
    ({'static': {'model.d': (8, 8)}}, 'must be distinct values'),
    ({'traced': {'a': (1,)}, 'static': {'a': (1,)}}, 'a is in sweep.traced'),
  ],
)
def test_mistakes(bad, says):
  with pytest.raises(UserError, match=says) as e:
    Sweep(**bad)
  assert '\n' not in str(e.value)
