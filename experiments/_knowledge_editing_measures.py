"""What the study `knowledge_editing` measures on the snapshots of a network.

Many single edits of one network, each judged by the same questions before and
after it, and by how far it moves the shape of the representations.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxsynth.analysis.shattering import shattering
from jaxsynth.analysis.windings import windings
from jaxsynth.errors import UserError, unknown
from jaxsynth.experiments._knowledge_editing_questions import (
  CLASSES,
  Edits,
  asked,
  chosen_edits,
  examination,
  facts_alone,
  gap,
  manifolds,
  said,
)
from jaxsynth.interventions import alpha_edit, edits, memit, pmet, rome
from jaxsynth.studies.study import Bench
from jaxsynth.trajectory.trajectory import Trajectory
from jaxsynth.types import Array, PyTree

METHODS = ('rome', 'memit', 'pmet', 'alpha_edit')
ORDERS = ('edited', 'retain', 'test')
SUBJECTS = ('relation', 'entity')


def check(model, options: dict) -> None:
  """Refuses edits that cannot be made, before anything is trained.

  Raises:
    UserError: no such subject, no such block, or a value that no prediction
      can read.
  """
  block, subject, last = options['block'], options['subject'], model.num_layers
  if subject not in SUBJECTS:
    raise unknown('measure.subject', subject, SUBJECTS)
  last -= 1 + SUBJECTS.index(subject)
  if not 0 <= block <= last:
    raise UserError(
      f'measure.block must be in 0..{last} for the subject {subject!r}, got '
      f'{block}: later ones do not reach the answer'
    )


def editor(task, model, graph, params: PyTree, options: dict, inputs: Array):
  """How each method edits one fact of a network.

  Args:
    task: a KnowledgeGraph.
    model: the network.
    graph: the constants of the task.
    params: of the network.
    options: of the study.
    inputs: what the moments of keys are taken over, [B, T].

  Returns:
    fn(one of Edits, methods) -> the edited parameters of each, and of what
    is written: `change` [], |v* - v_0| / |v_0|, and `reach` [O], the median
    share of it that the values of facts get, see `rome.reach`.
  """
  apply, memory = model.apply, edits.mlp(options['block'])
  C = edits.moment(apply, params, memory, inputs)
  null = alpha_edit.projector(C, options['threshold'])
  descent = edits.Descent(**options['descent'])
  attention = f'blocks.{options["block"]}.attn_out'
  weight, ridge = options['weight'], options['ridge']

  def fact(edit: Edits) -> edits.Fact:
    one = lambda x: jnp.full(options['prefixes'], x)
    batch = task.questions(
      graph, edit.key, one(edit.entity), one(edit.relation)[:, None]
    )
    position = batch.info['position']
    subject = position - SUBJECTS.index(options['subject'])
    return edits.Fact(batch.inputs, subject, position, edit.answer)

  token = SUBJECTS[::-1].index(options['subject'])
  facts = facts_alone(task, apply, params)[memory.key][:, token]
  facts = facts.reshape(task.num_orders, -1, facts.shape[-1])

  def edited(edit: Edits, methods: tuple[str, ...]):
    f = fact(edit)
    (change,) = edits.target(apply, params, [memory.value], f, descent)
    many, changes = jax.tree.map(lambda x: x[None], (f, change))

    def mild():
      return pmet.target(apply, params, memory, attention, f, descent)[None]

    start = (apply, params, (memory,))
    ways = {
      'rome': lambda: rome.edit(apply, params, memory, C, f, change),
      'memit': lambda: memit.edit(*start, [C], many, changes, weight),
      'pmet': lambda: pmet.edit(*start, [C], many, mild(), weight),
      'alpha_edit': lambda: alpha_edit.edit(
        *start, [null], many, changes, ridge
      ),
    }
    value, key = edits.read(apply, params, f, [memory.value, memory.key])
    size = jnp.linalg.norm
    written = {
      'change': size(change) / size(value),
      'reach': jnp.median(jnp.abs(rome.reach(C, key, facts)), 1),
    }
    return [ways[m]() for m in methods], written

  return edited


def turns(task, graph, shape: Array) -> Array:
  """How the manifolds [R, N, D] wind, means over relations, [O, N // 2]."""
  by_order = shape.reshape(task.num_orders, -1, *shape.shape[1:])
  along = jax.vmap(lambda points, ring: points[:, ring])
  return windings(along(by_order, graph.rings)).mean(1)


def editing(task, model, options: dict, methods: tuple[str, ...]):
  """The analysis of many single edits of a network.

  Args:
    task: a KnowledgeGraph.
    model: the network.
    options: of the study.
    methods: of METHODS.

  Returns:
    fn(params, ctx) -> with M methods, K + 1 distances (0: corrections), n
    edits, O orders and C classes: accuracy [O, C] before; known [], the share
    of all facts; drop [K + 1, n, M, O, C]; shattering [K + 1, n, M, O]; taken
    [K + 1, n, M], whether the new answer is given after other prefixes;
    change [K + 1, n] and reach [K + 1, n, O] of what is written, see `editor`;
    mistake [K + 1, n], steps from what is said to the new answer; corrections
    [], how many of the first distance are real; null [], the share of the
    directions of keys that AlphaEdit may use; windings [O, N // 2] of the
    manifolds, means over relations; rings [O, N]; shape [O, N, D] and, for
    the first method, new_shape [K + 1, n, O, N, D]: the manifolds of one step
    clockwise on each ring.
  """
  n, K, orders = options['edits'], task.num_steps, task.num_orders
  prefixes, clockwise = options['prefixes'], np.arange(orders) * 2 * K
  apply, memory = model.apply, edits.mlp(options['block'])
  cells = (orders, len(CLASSES), -1)

  def measure(params, ctx):
    graph = ctx.constants['task_params']
    keys = jax.random.split(ctx.key, 4)
    exam = examination(task, graph, keys[0], options['questions'], prefixes)
    facts = jnp.indices(graph.told.shape).reshape(2, -1).astype(jnp.int32)
    every = asked(task, graph, keys[1], facts[0], facts[1][:, None], prefixes)
    says = lambda p, x: said(task, apply, p, x.batch, prefixes).argmax(-1)
    right = (says(params, every) == every.answer).reshape(graph.told.shape)
    todo, corrections = chosen_edits(task, graph, keys[2], right, options)
    inputs = task.sample(graph, keys[3], 0, options['inputs']).inputs
    edited = editor(task, model, graph, params, options, inputs)
    before = (says(params, exam) == exam.answer).astype(jnp.float32)
    shape = manifolds(task, apply, params)

    def carried_out(edit):
      again = asked(
        task, graph, jax.random.fold_in(edit.key, 1), edit.entity[None],
        edit.relation[None, None], prefixes,
      )  # fmt: skip
      # What is asked of others: the edited fact itself does not count.
      own = (exam.entity == edit.entity) & (exam.relation == edit.relation)
      others = (~(own & exam.alone)).astype(jnp.float32)

      def judged(change):
        new = edits.written(params, memory, change)
        lost = others * (before - (says(new, exam) == exam.answer))
        moved = manifolds(task, apply, new)
        torn = jax.lax.map(lambda pair: shattering(*pair), (shape, moved))
        drop = lost.reshape(cells).sum(-1) / others.reshape(cells).sum(-1)
        taken = says(new, again)[0] == edit.answer
        torn = torn.reshape(orders, 2 * K).mean(1)
        made = {'drop': drop, 'shattering': torn, 'taken': taken}
        return made, moved[clockwise]

      kernel = lambda p: edits.layer(p, memory)['kernel']
      networks, written = edited(edit, methods)
      changes = [kernel(p) - kernel(params) for p in networks]
      made, moved = jax.lax.map(judged, jnp.stack(changes))
      mistake = gap(task, graph, says(params, again)[0], edit.answer)
      return {**made, **written, 'mistake': mistake, 'new_shape': moved[0]}

    results = jax.lax.map(carried_out, todo)
    C = edits.moment(apply, params, memory, inputs)
    null = jnp.linalg.eigvalsh(C) < options['threshold']
    return {
      **{k: x.reshape(K + 1, n, *x.shape[1:]) for k, x in results.items()},
      'accuracy': before.reshape(cells).mean(-1),
      'known': right.mean(),
      'corrections': jnp.minimum(corrections, n),
      'null': null.mean(),
      'windings': turns(task, graph, shape),
      'shape': shape[clockwise],
      'rings': graph.rings,
    }

  return measure


DIMS = {
  'accuracy': ('order', 'class'),
  'drop': ('distance', 'edit', 'editor', 'order', 'class'),
  'shattering': ('distance', 'edit', 'editor', 'order'),
  'taken': ('distance', 'edit', 'editor'),
  'change': ('distance', 'edit'),
  'reach': ('distance', 'edit', 'order'),
  'mistake': ('distance', 'edit'),
  'windings': ('order', 'turn'),
  'shape': ('order', 'entity', 'width'),
  'rings': ('order', 'place'),
  'new_shape': ('distance', 'edit', 'order', 'entity', 'width'),
}


def measure(
  bench: Bench, task, model, traj: Trajectory, options: dict
) -> dict[str, xr.Dataset]:
  """The results of the study: edits at the first and the last step, metrics."""
  seeds = traj.runs['seed.init'].to_numpy()
  ends = traj.sel(steps=[traj.steps[0], traj.steps[-1]])
  compute = {
    'edits': lambda: ends.map(
      editing(task, model, options, METHODS),
      dims=DIMS,
      coords={
        'distance': np.arange(task.num_steps + 1),
        'editor': list(METHODS),
        'order': [*ORDERS][: task.num_orders],
        'class': list(CLASSES),
        'turn': np.arange(1, task.num_entities // 2 + 1),
      },
      title='edits',
    ),
    'metrics': lambda: metrics(traj),
  }
  by_seed = lambda fn: fn().assign_coords(run=seeds)
  return {
    name: bench.measure(name, functools.partial(by_seed, fn))
    for name, fn in compute.items()
  }


def metrics(traj: Trajectory) -> xr.Dataset:
  """Accuracy at the evaluations, by kind of question."""
  kinds = ('direct', 'logical', 'composed', 'compositional')
  return xr.Dataset({k: traj.metrics[f'{k}/accuracy'] for k in kinds})
