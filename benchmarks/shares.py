"""Where the time of a training step goes.

  python -m benchmarks.shares --config=small

Parts timed alone, each as a program of its own in the same engine, layout and
loop as the training:

  data               drawing the batch, and nothing else
  forward_backward   the same batch again and again, plain gradient descent
  optimizer          AdamW on gradients that are already there
  evaluation         all evaluation batches once
  snapshot           a kept step against one that is not, fetched to the host

and by leaving them out of the whole step: `data_left_out` (a fixed batch in
its place) and `metrics` (every scalar but the loss). Shares are of a step, or
of a training of the default length with its default plans; parts timed alone
need not add up to one.
"""

import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

from benchmarks import configs, ours, report
from jaxsynth import build, stage
from jaxsynth.optim.optimizers import Optimizer
from jaxsynth.tasks.base import Task
from jaxsynth.train import layout as layouts
from jaxsynth.train.options import Training
from jaxsynth.train.program import Program
from jaxsynth.train.supervised import LOSSES, section, supervised
from jaxsynth.trajectory import plan

# A training through files is timed only where it takes less than this.
STAGE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Repeated:
  """A task that hands out one and the same batch of another task."""

  task: Task
  batch_size: int

  @property
  def spec(self):
    return self.task.spec

  def init(self, key, **hparams):
    params = self.task.init(key, **hparams)
    return params, self.task.sample(params, key, 0, self.batch_size)

  def sample(self, task_params, key, step, batch_size):
    return task_params[1]

  def evals(self, task_params, key):
    return self.task.evals(task_params[0], key)


def repeating(setup: build.Setup, optimizer: Optimizer) -> Program:
  """The setup's training on one batch, with another optimizer."""
  return supervised(
    Repeated(setup.task, setup.train.batch_size),
    setup.model,
    LOSSES[setup.train.loss],
    optimizer,
    batch_size=setup.train.batch_size,
    microbatches=setup.microbatches,
    task_hparams=setup.task_hparams,
  )


def _none(run, t):
  """Draws no data."""


def data_alone(setup: build.Setup) -> Program:
  """Adds up each step's batch, so that all of it is made, and drops it."""
  own = setup.program()

  def step(run, state, t):
    batch = own.draw(run, t) if run.drawn is None else run.drawn
    used = jax.tree.leaves((batch.inputs, batch.targets, batch.weights))
    return state + sum(x.sum().astype(jnp.float32) for x in used), {}

  return own._replace(
    init=lambda run: jnp.float32(0), step=step, keep=lambda s: s
  )


def optimizer_alone(setup: build.Setup) -> Program:
  """Updates with the parameters themselves for gradients."""

  def step(run, state, t):
    params = state['params']
    chain = setup.optimizer.build(section(run.hparams, 'optimizer'))
    updates, opt = chain.update(params, state['opt'], params)
    return {'params': optax.apply_updates(params, updates), 'opt': opt}, {}

  return setup.program()._replace(step=step, draw=_none)


def evaluation_alone(setup: build.Setup) -> Program:
  """Evaluates at every step, and does nothing else."""
  own = setup.program()

  def step(run, state, t):
    # The parameters shrink a little, or the loop would evaluate only once.
    params = jax.tree.map(lambda x: x * 0.9999, state['params'])
    state = {**state, 'params': params}
    return state, own.evaluate(run, state, t)

  return own._replace(step=step, draw=_none)


def without_metrics(setup: build.Setup) -> Program:
  """The whole step, of whose scalars only the loss is wanted."""
  own = setup.program()

  def step(run, state, t):
    state, scalars = own.step(run, state, t)
    return state, {'loss': scalars['loss']}

  return own._replace(step=step)


def through_files(setup: build.Setup) -> float:
  """Run-steps per second of `stage.train` after its first call."""
  told: list[tuple[float, int]] = []

  def observe(event):
    told.append((time.perf_counter(), event.step))

  with tempfile.TemporaryDirectory() as folder:
    stage.train(setup, Path(folder) / 'run', observers=[observe], quiet=True)
    ended = time.perf_counter()
  steps = told[-1][1] - told[0][1]
  return len(setup.sweep.runs()) * steps / (ended - told[0][0])


def _nothing(run, state, t):
  """Measures nothing: half of the compiling is left out."""
  return {}


def _in_turn(trainers: dict[str, ours.Trainer]) -> dict[str, float]:
  """Median seconds of a run-step of each; a slow minute falls on all alike."""
  seconds: dict[str, list[float]] = {n: [] for n in trainers}
  for _ in range(5):
    for name, trainer in trainers.items():
      seconds[name].append(trainer.step_seconds(windows=1, seconds=0.7))
  return {n: report.spread(v)['median'] for n, v in seconds.items()}


def data_and_step(setup: build.Setup) -> dict[str, float]:
  """Seconds in which every device draws one batch, or makes one step."""
  programs = {'data': data_alone(setup), 'step': setup.program()}
  trainers = {
    n: ours.Trainer(setup, p._replace(evaluate=_nothing))
    for n, p in programs.items()
  }
  devices = len(jax.local_devices())
  return {n: devices * s for n, s in _in_turn(trainers).items()}


def measure(
  config: str, layout: str = 'auto', overrides: Sequence[str] = ()
) -> dict:
  """Seconds of each part per run-step (or per event), and their shares."""
  devices = len(jax.local_devices())
  setup = ours.setup_of(config, devices, layout, overrides)
  sgd = Optimizer(name='sgd', peak_lr=1e-6)
  programs = {
    'step': setup.program(),
    'data': data_alone(setup),
    'forward_backward': repeating(setup, sgd),
    'optimizer': optimizer_alone(setup),
    'evaluation': evaluation_alone(setup),
    'repeated_batch': repeating(setup, setup.optimizer),
    'loss_only': without_metrics(setup),
  }
  trainers = {
    n: ours.Trainer(setup, p._replace(evaluate=_nothing))
    for n, p in programs.items()
  }
  kept = dataclasses.replace(
    setup.train, steps=setup.train.call_steps, snapshots='every:1', evals=()
  )
  keeping = dataclasses.replace(setup, train=kept)
  trainers['kept_step'] = ours.Trainer(
    keeping, setup.program()._replace(evaluate=_nothing), events=True
  )
  s = _in_turn(trainers)
  s['data_left_out'] = max(0.0, s['step'] - s.pop('repeated_batch'))
  s['metrics'] = max(0.0, s['step'] - s.pop('loss_only'))
  s['snapshot'] = max(0.0, s.pop('kept_step') - s['step'])
  return {'layout': layout, 'seconds': s, **shares_of(s)} | _stage(setup, s)


def shares_of(seconds: dict[str, float]) -> dict:
  """Shares of a step and of a default training, and their targets.

  Args:
    seconds: step, data, forward_backward, optimizer, metrics a run-step;
      evaluation and snapshot an event.
  """
  default = Training()
  count = lambda p: len(plan.steps_of(p, default.steps))
  parts = ('data', 'data_left_out', 'forward_backward', 'optimizer', 'metrics')
  out = {n: seconds[n] / seconds['step'] for n in parts}
  training = default.steps * seconds['step']
  evaluation = count(default.evals) * seconds['evaluation']
  snapshots = count(default.snapshots) * seconds['snapshot']
  whole = training + evaluation + snapshots
  measuring = (out['metrics'] * training + evaluation) / whole
  return {
    'of_a_step': out,
    'of_a_training': {
      'steps': default.steps,
      'evaluations': count(default.evals),
      'evaluation': evaluation / whole,
      'snapshots': snapshots / whole,
    },
    'targets': [
      report.target('share of a step spent on data', out['data'], at_most=0.05),
      report.target(
        'share of a training spent on metrics and evaluation',
        measuring,
        at_most=0.05,
      ),
    ],
  }


def _stage(setup: build.Setup, seconds: dict[str, float]) -> dict:
  """The whole of `stage.train` with default plans, files included."""
  runs, steps = len(setup.sweep.runs()), Training().steps
  if runs * steps * seconds['step'] > STAGE_SECONDS:
    return {'through_files': None}
  rate = through_files(setup)
  return {
    'through_files': {
      'runs': runs,
      'steps': steps,
      'run_steps_per_s': rate,
      'of_bare_rate': rate * seconds['step'],
    }
  }


def main() -> dict:
  parser = report.parser(
    'benchmarks.shares',
    __doc__,
    ['--config=tiny', '--config=small --config.layout.microbatches=1'],
  )
  parser.add_argument('--config', default='small', help='tiny, small or paper')
  parser.add_argument('--layout', default='auto', help='map, vmap or auto')
  args, rest = parser.parse_known_args()
  size = configs.size(args.config)
  layouts.configure()
  made = measure(args.config, args.layout, report.overrides(rest))
  peak = ours.matmul_peak()
  floor = peak / size.flops
  rate = 1 / made['seconds']['step']
  return report.record(
    'shares', args.config, report.device(), run_steps_per_s=rate,
    floor=floor, of_floor=floor / rate, **made,
  )  # fmt: skip


if __name__ == '__main__':
  sys.exit(report.run(main))
