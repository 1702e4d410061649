"""What the study `function_composition` measures of a trained network.

  composed    free-running accuracy of every composition in order, and of many
              out of order
  ablated     accuracy of letters with a part of the network ablated
  looks       where heads look when they write a letter
  metrics     accuracy given the right beginning, over training

Source: Ramesh, Lubana, Khona, Dick and Tanaka (2023), arXiv 2311.12997.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxsynth.generate import generate
from jaxsynth.interventions import ablate
from jaxsynth.models.base import Edit
from jaxsynth.studies.study import Bench
from jaxsynth.trajectory.trajectory import Trajectory

SETS = ('seen', 'unseen', 'out_of_order')
# Sequences written together: their key-value cache stays near the cores.
ROWS = 256


def compositions(task, out_of_order: int) -> dict[str, np.ndarray]:
  """All compositions in order, and some out of order, the same for all runs.

  Returns:
    numbers [N, L]: function numbers; active, swapped [N]: how many are not
    the identity, how many come from another position; ordered [N].
  """
  drawn = task.space.out_of_order(jax.random.key(0), 2 * out_of_order)
  drawn = np.asarray(drawn)[np.asarray(task.space.num_swapped(drawn)) > 0]
  in_order = task.space.in_order()
  numbers = np.concatenate([in_order, drawn[:out_of_order]])
  return {
    'numbers': numbers,
    'active': np.asarray(task.space.num_active(numbers)),
    'swapped': np.asarray(task.space.num_swapped(numbers)),
    'ordered': np.arange(len(numbers)) < len(in_order),
  }


def composed(task, model, numbers: np.ndarray, prompts: int):
  """The analysis that lets a network carry out compositions by itself.

  Args:
    task: a FunctionComposition.
    model: the network.
    numbers: compositions [N, L], all those in order first.
    prompts: strings for each.

  Returns:
    fn(params, ctx) -> letters, exact [N]: shares of right letters in the
    result, and of results without an error, after greedy decoding of the
    whole answer; seen [N]: whether it was in training, in order.
  """
  table = np.repeat(numbers, prompts, axis=0)

  def measure(params, ctx):
    functions = ctx.constants['task_params']
    shape = (len(table), task.length)
    letters = jax.random.randint(ctx.key, shape, 0, task.num_letters)
    truth = task.documents(functions, jnp.asarray(table), letters)

    def answer(documents):
      prompts = documents[:, : task.prompt_length]
      return generate(model, params, prompts, task.document_length).tokens

    fill = -len(table) % ROWS
    groups = jnp.pad(truth, ((0, fill), (0, 0)), 'edge')
    groups = groups.reshape(-1, ROWS, task.document_length)
    written = jax.lax.map(answer, groups).reshape(-1, task.document_length)
    written = written[: len(table)]
    right = (written == truth)[:, -task.length :]
    right = right.reshape(len(numbers), prompts, task.length)
    base = task.num_functions + 1
    place = base ** np.arange(task.depth)[::-1]
    code = (functions.in_order % base) @ place
    used = jnp.arange(len(code)) < functions.count
    seen = jnp.zeros(len(numbers), bool).at[code].set(used)
    return {
      'letters': right.mean((1, 2)),
      'exact': right.all(2).mean(1),
      'seen': seen,
    }

  return measure


def places(task) -> dict[str, np.ndarray]:
  """Positions of a step-by-step document where each letter is written.

  Returns:
    query [L, n]: the position whose prediction is letter j of result d;
    function [L, n]: of the token that names its function;
    letter [L, n]: of letter j of the string before it.
  """
  string = task.prompt_length + np.arange(task.depth)[:, None] * (
    task.length + 1
  )
  here = string + np.arange(task.length)
  return {
    'query': here - 1,
    'function': np.broadcast_to(1 + np.arange(task.depth)[:, None], here.shape),
    'letter': here - task.length - 1,
  }


def looks(task):
  """The analysis of where heads look when they write a letter.

  Returns:
    fn(params, ctx) -> function, letter [L, H]: mean attention from positions
    that write a letter to the name of its function, and to the letter before.
  """
  at = places(task)

  def measure(params, ctx):
    acts = ctx.apply(params, ctx.evals['unseen'].inputs).acts
    layers = sum(name.endswith('attn.pattern') for name in acts)
    patterns = [acts[f'blocks.{i}.attn.pattern'] for i in range(layers)]
    pattern = jnp.stack(patterns)  # [L, B, H, T, T]
    mean = lambda key: pattern[..., at['query'], at[key]].mean((1, 3, 4))
    return {'function': mean('function'), 'letter': mean('letter')}

  return measure


def parts(model) -> list[tuple[str, int, int | None, str]]:
  """What is ablated: (site, layer, head, kind), nothing first."""
  out = [('attn_out', 0, None, 'none')]
  for i in range(model.num_layers):
    for site in ('attn_out', 'mlp_out'):
      out += [(site, i, None, kind) for kind in ('zero', 'mean')]
  for i in range(model.num_layers):
    for h in range(model.num_heads):
      out += [('attn.z', i, h, kind) for kind in ('zero', 'mean')]
      out.append(('attn.pattern', i, h, 'uniform'))
  return out


def _edit(model, part, means: dict, length: int) -> dict[str, Edit]:
  """The edit of one part."""
  site, layer, head, kind = part
  name = f'blocks.{layer}.{site}'
  if kind == 'none':
    return {}
  marks = np.arange(model.num_heads) == head
  mask = 1.0 if head is None else ablate.of_heads(name, marks.astype(float))
  if kind == 'uniform':
    return {name: ablate.uniform(mask, length, causal=True)}
  if kind == 'mean':
    return {name: ablate.replace(mask, means[name])}
  return {name: ablate.zero(mask)}


def ablated(task, model):
  """The analysis of what each part of a network does for its letters.

  Zero puts nothing in the place of what a part writes, mean its mean over the
  positions of unseen documents that write letters, uniform lets a head look
  at all positions alike.

  Returns:
    fn(params, ctx) -> letters, separators [P]: shares of right predictions of
    letters in the results and of the separators between them, given the
    right beginning, on unseen compositions, for each of `parts(model)`.
  """
  query = places(task)['query']
  writes = parts(model)

  def measure(params, ctx):
    batch = ctx.evals['unseen']
    acts = ctx.apply(params, batch.inputs).acts
    sites = {f'blocks.{i}.{s}' for s, i, _, _ in writes}
    patterns = {s for s in sites if s.endswith('attn.pattern')}
    mean = lambda act: act[:, query.ravel()].mean((0, 1))
    means = {s: mean(acts[s]) for s in sites - patterns}
    shapes = {s: acts[s].shape[1:] for s in patterns}
    shapes |= {s: x.shape for s, x in means.items()}
    length = batch.inputs.shape[1]

    def one(edit):
      logits = ctx.apply(params, batch.inputs, edit=edit).prediction
      right = logits.argmax(-1) == batch.targets
      between = query[1:, 0] - 1
      return right[:, query].mean(), right[:, between].mean()

    edits = [_edit(model, part, means, length) for part in writes]
    letters, separators = jax.lax.map(one, ablate.stacked(edits, shapes))
    return {'letters': letters, 'separators': separators}

  return measure


def measure(bench: Bench, name: str, setup, traj: Trajectory, reads: bool):
  """The results of one variant.

  Args:
    bench: the bench.
    name: of the variant.
    setup: what was trained.
    traj: its trajectory.
    reads: whether its parts are looked at as well.

  Returns:
    'composed', 'metrics' and, with `reads`, 'ablated' and 'looks'.
  """
  task, model = setup.task, setup.model
  options = setup.measure
  chosen = compositions(task, options['out_of_order'])
  ends = traj.sel(steps=[traj.steps[0], traj.steps[-1]])
  compute = {
    'composed': lambda: ends.map(
      composed(task, model, chosen['numbers'], options['prompts']),
      dims={n: ('composition',) for n in ('letters', 'exact', 'seen')},
      coords={
        n: ('composition', chosen[n]) for n in ('active', 'swapped', 'ordered')
      },
      title=f'{name}: compositions',
    ),
    'metrics': lambda: metrics(traj),
  }
  if reads:
    labels = [
      f'{site} {layer}{"" if head is None else f".{head}"} {kind}'
      for site, layer, head, kind in parts(model)
    ]
    compute['ablated'] = lambda: ends.map(
      ablated(task, model),
      dims={n: ('part',) for n in ('letters', 'separators')},
      coords={'part': labels},
      title=f'{name}: ablations',
    )
    compute['looks'] = lambda: ends.map(
      looks(task),
      dims={n: ('layer', 'head') for n in ('function', 'letter')},
      title=f'{name}: heads',
    )
  seeds = traj.runs['seed.init'].to_numpy()
  by_seed = lambda fn: fn().assign_coords(run=seeds)
  return {
    n: bench.measure(f'{name}_{n}', functools.partial(by_seed, fn))
    for n, fn in compute.items()
  }


def metrics(traj: Trajectory) -> xr.Dataset:
  """Accuracy of answers at the evaluations, by set."""
  full = traj.metrics
  return xr.Dataset({s: full[f'{s}/accuracy'] for s in SETS})
