"""What making the data costs, task by task.

  python -m benchmarks.generators --config=small
  python -m benchmarks.generators --config=small --task=concept_percolation
  python -m benchmarks.generators --study=function_composition
  python -m benchmarks.generators --study=graph_navigation --training=motifs

A task's `sample`, compiled, is timed against

  numpy    the same draws written plainly in numpy or Python, one core (where
           one has been written for the task)
  bits     drawing as many uniform numbers as the batch has tokens, the least
           that any sampler of theirs does
  write    writing arrays of the batch's shapes, which is the floor

Each of `--batches` batches has its own key; as many are drawn at once as the
training loop draws ahead, inside one compiled loop on one device, so that
starting the loop is not what is timed. The share of the training step that
drawing takes, for the configs of `benchmarks.configs` or a training of a study
(see `benchmarks.studies`), is timed in the engine and on all the devices of
the training (see `benchmarks.shares`).
"""

import functools
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import (
  configs,
  ours,
  plain_graphs,
  plain_matrices,
  plain_sentences,
  report,
  shares,
  studies,
)
from jaxsynth import build, rng
from jaxsynth.tasks import base
from jaxsynth.train import engine as engines
from jaxsynth.train import layout as layouts

TIMES = 7
FED = 'markov_mixture'  # the task of `benchmarks.configs`


def markov_mixture(task: Any, params: Any, batch: int) -> Callable:
  """Sequences of a mixture of chains, token by token over the batch."""
  p = jax.tree.map(np.asarray, params)
  cdf = p.row_cdf.reshape(-1, p.row_cdf.shape[-1])
  generator = np.random.default_rng(0)

  def sample():
    chain = np.searchsorted(p.prior_cdf, generator.random(batch), 'right')
    uniform = generator.random((task.seq_len, batch, 1), np.float32)
    out = np.empty((task.seq_len, batch), np.int32)
    out[0] = (uniform[0] >= p.initial_cdf[chain]).sum(-1)
    for t in range(1, task.seq_len):
      rows = cdf[chain * task.num_states + out[t - 1]]
      out[t] = (uniform[t] >= rows).sum(-1)
    tokens = out.T
    return tokens[:, :-1], tokens[:, 1:], np.ones((batch, task.seq_len - 1))

  return sample


def function_composition(task: Any, params: Any, batch: int) -> Callable:
  """Documents of composed functions, position by position over the batch."""
  p = jax.tree.map(np.asarray, params)
  table = np.concatenate([p.in_order[: p.count], p.combos])
  generator = np.random.default_rng(0)
  space = np.full((batch, 1), task.separator)

  def sample():
    composition = table[generator.integers(0, len(table), batch)]
    x = generator.integers(0, task.num_letters, (batch, task.length))
    head = [space + 2, composition + task.num_letters, space, x]
    results = []
    for g in composition.T:
      x = np.take_along_axis(x, p.orders[g], 1)
      x = np.take_along_axis(p.maps[g], x, 1)
      results += [space, x]
    shown = results if task.stepwise else results[-2:]
    tokens = np.concatenate(head + shown, 1).astype(np.int32)
    return tokens[:, :-1], tokens[:, 1:], np.ones((batch, tokens.shape[1] - 1))

  return sample


def knowledge_graph(task: Any, params: Any, batch: int) -> Callable:
  """Walks over a graph, token by token over the batch."""
  p = jax.tree.map(np.asarray, params)
  to, N, R = p.walk, task.num_entities, task.num_relations
  generator = np.random.default_rng(0)

  def sample():
    x = generator.integers(0, N, batch)
    out = np.empty((batch, task.length + 1), np.int32)
    out[:, 0], coming = x, np.zeros((batch, 3), np.int64)
    left = np.zeros(batch, np.int64)
    for t in range(1, task.length + 1):
      (new,) = np.nonzero(left == 0)
      x = out[new, t - 1]
      single = generator.random(len(new)) < 0.5
      count = np.where(single, to.num_single[x], to.num_double[x])
      place = generator.integers(0, count)
      one = to.single[x, np.where(single, place, 0)]
      two = to.double[x, np.where(single, 0, place)]
      r, s = np.where(single, one, two // R), two % R
      y = p.answers[x, r]
      z = p.answers[y, s]
      coming[new] = np.stack([r + N, np.where(single, y, s + N), z], 1)
      left[new] = np.where(single, 2, 3)
      out[:, t] = coming[:, 0]
      coming, left = np.roll(coming, -1, 1), left - 1
    targets = out[:, 1:]
    return out[:, :-1], targets, (targets < N).astype(np.float32)

  return sample


# What one would write without compiling, by task.
NUMPY = {
  'concept_percolation': plain_sentences.concept_percolation,
  'function_composition': function_composition,
  'graph_motifs': plain_graphs.graph_motifs,
  'graph_navigation': plain_graphs.graph_navigation,
  'knowledge_graph': knowledge_graph,
  'markov_mixture': markov_mixture,
  'matrix_completion': plain_matrices.matrix_completion,
}


def _median(fn: Callable) -> float:
  fn()
  each = []
  for _ in range(TIMES):
    began = time.perf_counter()
    fn()
    each.append(time.perf_counter() - began)
  return float(np.median(each))


def _shown(batch: Any) -> list:
  """What a model and a loss read of a batch."""
  return jax.tree.leaves((batch.inputs, batch.targets, batch.weights))


def looped(make: Callable, batches: int, ahead: int = 1) -> float:
  """Seconds a batch of `make(i) -> arrays`, all of them written to memory.

  Args:
    make: draws batch i.
    batches: how many; rounded to whole groups.
    ahead: how many are drawn at once.
  """
  group = jax.vmap(make) if ahead > 1 else make
  groups = max(1, round(batches / ahead))

  @jax.jit
  def many(first):
    number = lambda i: first + i * ahead + jnp.arange(ahead)
    numbers = number if ahead > 1 else lambda i: first + i
    shapes = jax.eval_shape(group, numbers(0))
    empty = [jnp.zeros(x.shape, x.dtype) for x in shapes]

    def body(i, kept):
      # Each batch is written over the one before: none can be left out.
      barrier = jax.lax.optimization_barrier
      return barrier(list(group(numbers(i))))

    return jax.lax.fori_loop(0, groups, body, empty)

  run = lambda: jax.block_until_ready(many(jnp.int32(1)))
  return _median(run) / (groups * ahead)


def measure(name: str, task: Any, batch: int, batches: int) -> dict:
  """Seconds a batch, ours and the others.

  Args:
    name: of the task.
    task: a frozen task.
    batch: sequences B.
    batches: how many are drawn in one compiled loop.
  """
  seeds = {s: jnp.uint32(0) for s in rng.STREAMS}
  params = jax.jit(task.init)(rng.stream(seeds, 'task'))
  key = rng.stream(seeds, 'data')
  drawn = jax.eval_shape(lambda: task.sample(params, key, 0, batch))
  shapes = [(x.shape, x.dtype) for x in _shown(drawn)]
  tokens = sum(int(np.prod(s)) for s, _ in shapes[:1])
  draw = lambda i: task.sample(params, rng.at(key, i), i, batch)
  ahead = engines.steps_ahead(draw, 1)
  time_of = lambda make: looped(make, batches, ahead)
  seconds = {
    'ours': time_of(lambda i: _shown(draw(i))),
    'bits': time_of(lambda i: [jax.random.uniform(rng.at(key, i), (tokens,))]),
    'write': time_of(lambda i: [jnp.full(s, i).astype(d) for s, d in shapes]),
    'numpy': None,
  }
  if name in NUMPY:
    seconds['numpy'] = _median(NUMPY[name](task, params, batch))
  times = {
    f'times_{other}': seconds['ours'] / seconds[other]
    for other in ('numpy', 'bits', 'write')
    if seconds[other]
  }
  return {
    'task': name, 'batch': batch, 'ahead': ahead, 'seconds': seconds, **times
  }  # fmt: skip


def setup_of(config: str, task: str) -> build.Setup:
  """A config of `benchmarks.configs`, fed by this task with its own sizes."""
  runs = len(jax.local_devices())
  if task == FED:
    return ours.setup_of(config, runs)
  full = configs.get_config(config)
  full.task = {'name': task}
  full.model.max_len = max(
    x.shape[0] for x in jax.tree.leaves(base.get(task)().spec.inputs)
  )
  full.sweep.traced.optimizer.peak_lr = configs.learning_rates(runs)
  return build.build(build.complete(full))


def main() -> dict:
  parser = report.parser(
    'benchmarks.generators', __doc__, ['--config=tiny', '--config=paper']
  )
  add = parser.add_argument
  add('--config', default='small', help='tiny, small or paper')
  add('--task', default=FED, help='of the training step, with its own sizes')
  add('--study', default='', help='instead of a config')
  add('--training', default=studies.MAIN, help='of the study, by its name')
  add('--preset', default='quick', help='of the study')
  add('--batches', type=int, default=50, help='drawn in one compiled loop')
  args = parser.parse_args()
  configs.size(args.config)
  layouts.configure()
  if args.study:
    setup = studies.setup_of(args.study, args.training, args.preset)
  else:
    setup = setup_of(args.config, args.task)
  fed = setup.config['task']['name']
  batch = setup.train.batch_size
  one = functools.partial(measure, batch=batch, batches=args.batches)
  rows = [one(fed, setup.task)]
  for name in base.names():
    if name != fed and not args.study:
      rows.append(one(name, base.get(name)()))
  made = rows[0]
  fed_seconds = shares.data_and_step(setup)
  share = fed_seconds['data'] / fed_seconds['step']
  return report.record(
    'generators',
    f'{args.study}-{args.training}' if args.study else args.config,
    report.device(),
    batches_per_s=1 / made['seconds']['ours'],
    floor=1 / made['seconds']['write'],
    of_floor=made['times_write'],
    seconds_of_step=fed_seconds['step'],
    share_of_step=share,
    tasks=rows,
    targets=[
      report.target(f'{fed}: share of the step it feeds', share, at_most=0.1),
      *(
        report.target(
          f'{row["task"]}: times the cost of writing its output',
          row['times_write'],
          at_most=3.0,
        )
        for row in rows
      ),
    ],
  )


if __name__ == '__main__':
  sys.exit(report.run(main))
