"""Programs that are no supervised training, against their closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import rng
from jaxsynth.train import loop, sweep
from jaxsynth.train.program import Program
from jaxsynth.types import Run

LAYOUTS = {'map': ('map', 2), 'vmap': ('vmap', 4)}


def game(run: Run) -> dict:
  """Two players of f(x, y) = x y: one descends, the other ascends."""
  pair = jax.random.normal(rng.stream(run.seeds, 'init'), (2,))
  return {'x': pair[0], 'y': pair[1]}


def play(run, state, t):
  del t
  rate, x, y = run.hparams['rate'], state['x'], state['y']
  return {'x': x - rate * y, 'y': y + rate * x}, {'value': x * y}


GAME = Program(init=game, step=play, keep=lambda state: state)


@pytest.mark.parametrize('name', LAYOUTS)
def test_two_players_turn_as_the_closed_form_says(lab, tmp_path, name):
  """z = x + i y obeys z(t) = (1 + i rate)^t z(0)."""
  runs = sweep.Sweep(seeds=2, traced={'rate': (0.05, 0.2)}).runs()
  on = lab.layout(*LAYOUTS[name])
  sizes = lab.schedule(last=30, snapshots='every:1', evals=(), call_steps=8)
  times = iter(range(100))
  with pytest.raises(loop.Stopped):
    lab.go(
      tmp_path / 'game', runs, program=GAME, on=on, sizes=sizes,
      stopping=lambda: next(times) >= 1,
    )  # fmt: skip
  traj = lab.go(tmp_path / 'game', runs, program=GAME, on=on, sizes=sizes)
  assert traj.steps.tolist() == list(range(31))
  z = traj.leaf('x')[:] + 1j * traj.leaf('y')[:]
  rates = np.asarray([[s.hparams['rate']] for s in runs])
  expected = z[:, :1] * (1 + 1j * rates) ** np.arange(31)
  np.testing.assert_allclose(z, expected, atol=1e-5 * np.abs(expected).max())
  value = (z.real * z.imag)[:, :-1]
  np.testing.assert_allclose(traj.metrics['value'], value, atol=1e-5)
  assert 'diverged_at' not in traj.runs


def teacher(run: Run) -> dict:
  """A frozen linear teacher and its inputs, the same for all runs."""
  key = rng.stream(run.seeds, 'task')
  inputs = jax.random.normal(rng.at(key, 0), (8, 3))
  frozen = jax.random.normal(rng.at(key, 1), (3,))
  return {'inputs': inputs, 'labels': inputs @ frozen, 'frozen': frozen}


def distil(run, student, t):
  del t
  c = run.constants
  loss = lambda w: jnp.square(c['inputs'] @ w - c['labels']).mean() / 2
  value, grad = jax.value_and_grad(loss)(student)
  return student - run.hparams['rate'] * grad, {'loss': value}


STUDENT = Program(
  init=lambda run: jax.random.normal(rng.stream(run.seeds, 'init'), (3,)),
  step=distil,
  keep=lambda student: student,
  constants=teacher,
  constant_streams=('task',),
)


@pytest.mark.parametrize('name', LAYOUTS)
def test_a_student_nears_its_frozen_teacher_as_numpy_does(lab, tmp_path, name):
  """w(t) = w* + (1 - rate H)^t (w(0) - w*), H = X'X / n."""
  table = sweep.Sweep(
    seeds=3, fixed={'task': 5}, traced={'rate': (0.1, 0.4)}
  )  # fmt: skip
  runs, on = table.runs(), lab.layout(*LAYOUTS[name])
  assert table.shares(STUDENT.constant_streams)
  traj = lab.go(
    tmp_path / 'student', runs, program=STUDENT, on=on, shared=True,
    sizes=lab.schedule(evals=()),
  )  # fmt: skip
  known = jax.tree.map(np.asarray, teacher(sweep.one(runs[0])))
  hessian = known['inputs'].T @ known['inputs'] / 8
  assert traj.leaves == ['snapshots']
  w = traj.leaf('snapshots')[:]
  assert w.shape == (6, 7, 3)
  np.testing.assert_array_equal(traj.params(7, 2), w[2, 3])
  for i, spec in enumerate(runs):
    shrink = np.eye(3) - spec.hparams['rate'] * hessian
    for k, step in enumerate(traj.steps):
      power = np.linalg.matrix_power(shrink, step)
      expected = known['frozen'] + power @ (w[i, 0] - known['frozen'])
      np.testing.assert_allclose(w[i, k], expected, atol=2e-6)
