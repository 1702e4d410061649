"""What the study `matrix_completion` changes in a trained network.

  patched     activations of a clean matrix put into the run of its negative
  ablated     heads made to look everywhere alike; positions exchanged
  stitched    components of the network before its drop and after it, mixed

Errors are those of `_matrix_completion_measures`: writing 0 has one of 1.

Source: Gopalani, Lubana and Hu (2024), arXiv 2410.22244.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.experiments._matrix_completion_measures import error, writer
from jaxsynth.interventions import ablate
from jaxsynth.interventions.patch import patch
from jaxsynth.interventions.swap import swap

# Patterns of the leaves of each component; norms and the read-out are none.
COMPONENTS = {
  'attention': ('blocks_*.attn.*',),
  'MLP': ('blocks_*.mlp.*',),
  'embedding': ('embed.*',),
  'positions': ('pos_embed.*',),
}
# What is taken from the network after the drop into the one before it.
STITCHES = {
  'nothing': (),
  'queries, keys, values': tuple(f'blocks_*.attn.{n}.*' for n in 'qkv'),
  'attention': COMPONENTS['attention'],
  'all but attention': (
    'blocks_*.mlp.*',
    'blocks_*.ln*',
    '*embed*',
    'ln_final*',
  ),
  'everything': ('*',),
}


def parts(model) -> dict[str, np.ndarray]:
  """Sets of heads by name, as marks [L, H]."""
  shape = (model.num_layers, model.num_heads)
  out = {'none': np.zeros(shape), 'all': np.ones(shape)}
  for i in range(shape[0]):
    out[f'layer {i}'] = np.eye(shape[0])[i][:, None] * np.ones(shape)
  for i, h in np.ndindex(shape):
    out[f'head {i}.{h}'] = np.outer(np.eye(shape[0])[i], np.eye(shape[1])[h])
  return out


def _each(fn, model):
  """fn of the marks of every part, stacked."""
  return jax.lax.map(fn, jnp.asarray(np.stack(list(parts(model).values()))))


def _sites(model, kind: str) -> list[str]:
  return [f'blocks.{i}.attn.{kind}' for i in range(model.num_layers)]


def patched(task, model):
  """The analysis of which heads carry what is written at hidden entries.

  The corrupted run reads the negative of a matrix, under the same mask; what
  some heads write into it (attn.z) comes from the run on the matrix itself.

  Returns:
    fn(params, ctx) -> observed, hidden [P]: of parts(model), the share of the
    answer that turned: how far what is written went from that of the corrupted
    run towards that of the clean one, by least squares; 1 is all the way.
  """

  def measure(params, ctx):
    batch = ctx.evals['all']
    values, observed = batch.info['values'], batch.info['observed']
    write = writer(task, ctx, params)
    acts = ctx.apply(params, batch.inputs).acts
    clean, corrupted = write(values, observed), write(-values, observed)

    def turned(marks):
      masks = {
        site: ablate.of_heads(site, marks[i])
        for i, site in enumerate(_sites(model, 'z'))
      }
      moved = write(-values, observed, patch(acts, masks)) - corrupted
      return {
        name: share(moved, where)
        for name, where in (('observed', observed), ('hidden', ~observed))
      }

    def share(moved, where):
      whole = jnp.where(where, clean - corrupted, 0.0)
      return (moved * whole).sum() / jnp.square(whole).sum()

    return _each(turned, model)

  return measure


def ablated(task, model):
  """The analysis of a network whose heads look everywhere alike.

  Returns:
    fn(params, ctx) -> observed, hidden [P]: errors, of parts(model) and at
    last with the positions of the embedding in random order.
  """

  def measure(params, ctx):
    batch = ctx.evals['all']
    values, observed = batch.info['values'], batch.info['observed']

    def errors(params, edit):
      written = writer(task, ctx, params)(values, observed, edit)
      return {
        'observed': error(written, values, observed),
        'hidden': error(written, values, ~observed),
      }

    def uniform(marks):
      edit = {}
      for i, site in enumerate(_sites(model, 'pattern')):
        mask = ablate.of_heads(site, marks[i])
        edit[site] = ablate.uniform(mask, task.size, model.causal)
      return errors(params, edit)

    table = params['pos_embed']['embedding']
    order = jax.random.permutation(ctx.key, task.size)
    table = table.at[: task.size].set(table[order])
    mixed = errors(params | {'pos_embed': {'embedding': table}}, {})
    return jax.tree.map(jnp.append, _each(uniform, model), mixed)

  return measure


def stitched(task):
  """The analysis of two snapshots, before the drop and after it.

  Returns:
    fn(params, ctx) over 'run' -> observed, hidden [S]: errors of the first
    snapshot with what STITCHES names taken from the second.
  """

  def measure(params, ctx):
    before, after = (jax.tree.map(lambda x, i=i: x[i], params) for i in (0, 1))
    batch = ctx.evals['all']
    values, observed = batch.info['values'], batch.info['observed']
    mixed = [
      swap(before, after, patterns) if patterns else before
      for patterns in STITCHES.values()
    ]

    def errors(params):
      written = writer(task, ctx, params)(values, observed)
      return {
        'observed': error(written, values, observed),
        'hidden': error(written, values, ~observed),
      }

    return jax.lax.map(errors, jax.tree.map(lambda *x: jnp.stack(x), *mixed))

  return measure
