"""What the study `matrix_completion` reads off a trained network.

  curves    over training: errors at observed and hidden entries, the copy
            test, where the heads look
  beyond    at the end: other distributions, other shares of hidden entries,
            the completion of least nuclear norm on the same matrices
  probes    what a linear probe reads off each layer
  tokens    geometry of the embedding of values

Errors are mean squares over the mean square of the true entries at the same
places (r / 9 on average), so that writing 0, the mean, has an error of 1.

Source: Gopalani, Lubana and Hu (2024), arXiv 2410.22244.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxsynth import linalg
from jaxsynth.analysis import grid_attention, nuclear_norm, probes
from jaxsynth.train import weights

LAWS = ('normal', 'laplace')


def writer(task, ctx, params):
  """(values, observed) [B, T] -> what the network writes [B, T]."""

  def write(values, observed, edit=None):
    inputs = task.read(values, observed)
    return ctx.apply(params, inputs, edit=edit).prediction[..., 0]

  return write


def error(written, values, where, told=None):
  """Mean square error at some entries over the mean square of what is true.

  Args:
    written: entries [B, T].
    values: true entries [B, T].
    where: weights [B, T].
    told: what the error is measured to, if not to `values`.
  """
  target = values if told is None else told
  misfit = weights.mean(jnp.square(written - target), where)
  return misfit / weights.mean(jnp.square(values), where)


def layers_of(acts) -> int:
  """How many blocks a network has, by its activations."""
  return sum(name.endswith('attn_out') for name in acts)


def curves(task, shown: tuple[float, ...]):
  """The analysis of every snapshot.

  Args:
    task: a MatrixCompletion with answer='regression'.
    shown: values that take the place of hidden entries in the copy test.

  Returns:
    fn(params, ctx) -> observed, hidden: errors; size: mean |output| at hidden
    entries; copied, completed [C]: errors at hidden entries that show a value,
    of what is written to that value and to the true one; noise: error on
    matrices of full rank without hidden entries; row, column, self, other
    [L, H]: attention of hidden entries over that of uniform heads.
  """

  def measure(params, ctx):
    batch = ctx.evals['all']
    values, observed = batch.info['values'], batch.info['observed']
    hidden, every = ~observed, jnp.ones_like(observed)
    write = writer(task, ctx, params)
    out = ctx.apply(params, batch.inputs)
    written = out.prediction[..., 0]

    def copy(value):
      value = task.rounded(value)
      written = write(jnp.where(observed, values, value), every)
      return {
        'copied': error(written, values, hidden, told=value),
        'completed': error(written, values, hidden),
      }

    noise = jax.random.uniform(ctx.key, values.shape, minval=-1)
    noise = task.rounded(noise)
    looks = [
      grid_attention.mass(
        out.acts[f'blocks.{i}.attn.pattern'],
        task.num_columns,
        hidden.astype(jnp.float32),
      )
      for i in range(layers_of(out.acts))
    ]
    return {
      'observed': error(written, values, observed),
      'hidden': error(written, values, hidden),
      'size': weights.mean(abs(written), hidden),
      'noise': error(write(noise, every), noise, every),
      **jax.vmap(copy)(jnp.asarray(shown)),
      **{
        name: jnp.stack([look[f'{name}_ratio'] for look in looks])
        for name in grid_attention.SETS
      },
    }

  return measure


def beyond(task, shares: tuple[float, ...], count: int, iterations: int):
  """The analysis of other matrices, and of the convex completion.

  Args:
    task: a MatrixCompletion with answer='regression'.
    shares: of hidden entries.
    count: matrices of each kind.
    iterations: of the solver.

  Returns:
    fn(params, ctx) -> laws [2]: errors at all entries of matrices of other
    factors; network, convex [S]: errors at all entries by share;
    network_hidden, convex_hidden [S]: at hidden ones; network_norm,
    convex_norm, true_norm [S]: mean nuclear norms; gap [S]: largest of the
    solver's certificates, over the nuclear norm.
  """
  grid = (task.num_rows, task.num_columns)

  def measure(params, ctx):
    write = writer(task, ctx, params)
    of_laws, of_shares, of_masks = jax.random.split(ctx.key, 3)
    mask = jax.random.uniform(of_masks, (count, task.size))

    def law(name):
      values = dataclasses.replace(task, law=name).matrices(of_laws, count)
      observed = mask >= ctx.constants['task_params'].p_hidden
      return error(write(values, observed), values, jnp.ones_like(mask))

    values = task.matrices(of_shares, count)
    norms = lambda x: jax.vmap(nuclear_norm.nuclear_norm)(
      x.reshape(-1, *grid)
    ).mean()

    def share(p):
      observed = mask >= p
      hidden, every = ~observed, jnp.ones_like(observed)
      found = jax.vmap(
        lambda x, o: nuclear_norm.complete(
          x.reshape(grid), o.reshape(grid), iterations=iterations
        )
      )(values, observed)
      convex = found['matrix'].reshape(values.shape)
      network = write(values, observed)
      out = {'true_norm': norms(values)}
      for name, x in (('network', network), ('convex', convex)):
        out[name] = error(x, values, every)
        out[f'{name}_hidden'] = error(x, values, hidden)
        out[f'{name}_norm'] = norms(x)
      out['gap'] = (found['gap'] / jnp.maximum(found['norm'], 1e-6)).max()
      return out

    return {
      'laws': jnp.stack([law(name) for name in LAWS]),
      **jax.lax.map(share, jnp.asarray(shares)),
    }

  return measure


def read_by_probes(task, counts: tuple[int, int]):
  """The analysis of what can be read linearly off each layer.

  A probe reads the stream of one position. Layer 0 is what enters the first
  block, layer i what leaves block i.

  Args:
    task: a MatrixCompletion with answer='regression'.
    counts: matrices to fit a probe on, and to score it on.

  Returns:
    fn(params, ctx) -> element, row, vector [L + 1]: what is left unexplained
    of the own entry, the own row as hidden, and the first left
    singular vector of the whole matrix; row_cosine, vector_cosine [L + 1].
  """
  grid = (task.num_rows, task.num_columns)

  def truths(values, observed):
    seen = jnp.where(observed, values, 0.0).reshape(-1, *grid)
    row = jnp.broadcast_to(
      seen[:, :, None, :], (*seen.shape, task.num_columns)
    ).reshape(*values.shape, task.num_columns)
    u = jax.vmap(linalg.svd)(values.reshape(-1, *grid))[0][:, :, 0]
    largest = jnp.take_along_axis(u, abs(u).argmax(1, keepdims=True), 1)
    u = u * jnp.sign(largest)
    return {
      'element': values[..., None],
      'row': row,
      'vector': jnp.broadcast_to(u[:, None], (*values.shape, u.shape[1])),
    }

  def measure(params, ctx):
    fit, test = counts
    of_values, of_mask = jax.random.split(ctx.key)
    values = task.matrices(of_values, fit + test)
    mask = jax.random.uniform(of_mask, values.shape)
    observed = mask >= ctx.constants['task_params'].p_hidden
    acts = ctx.apply(params, task.read(values, observed)).acts
    count = layers_of(acts)
    stream = [acts['blocks.0.resid_pre']]
    stream += [acts[f'blocks.{i}.resid_post'] for i in range(count)]
    flat = lambda x: x.reshape(-1, x.shape[-1])

    def read(x, y):
      one = lambda x: probes.with_ones(flat(x))
      probe = probes.fit(one(x[:fit]), flat(y[:fit]))
      return probes.score(probe, one(x[fit:]), flat(y[fit:]))

    found = {}
    for name, y in truths(values, observed).items():
      scores = jax.lax.map(lambda x, y=y: read(x, y), jnp.stack(stream))
      found[name] = scores['unexplained']
      found[f'{name}_cosine'] = scores['cosine']
    return found

  return measure


def tokens(task):
  """The analysis of how values are embedded; for reads='tokens'.

  Returns:
    fn(params, ctx) -> norm [2 N + 1]: norms of the embeddings of values, from
    the smallest on; coordinates [2 N + 1, 2]: on their first two principal
    axes; explained [2]: shares of their variance.
  """

  def measure(params, ctx):
    del ctx
    table = params['embed']['embedding'][1 : task.separator]
    centred = table - table.mean(0)
    u, s, _ = jnp.linalg.svd(centred, full_matrices=False)
    return {
      'norm': jnp.linalg.norm(table, axis=1),
      'coordinates': u[:, :2] * s[:2],
      'explained': jnp.square(s[:2]) / jnp.square(s).sum(),
    }

  return measure
