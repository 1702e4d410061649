"""Measuring a loss on several fixed sets with one compiled forward pass.

Sets are cut into parts of equally many examples, the last one padded with
examples of no weight; the parts of all sets of equal shape go through one
`lax.map`, and a set's value is the mean of its parts under their weights.
That is one compile instead of one per set, and memory for one part at a time:
both matter more than the speed of a pass that is made a few dozen times.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.train import data_axis
from jaxsynth.train.weights import shares
from jaxsynth.types import Array, Batch, Scalars


def _cut(batch: Batch, rows: int) -> Batch:
  """A batch [N, ...] as parts [P, rows, ...]; padding repeats, weightless."""
  count = batch.weights.shape[0]
  parts = -(-count // rows)
  index = np.minimum(np.arange(parts * rows), count - 1)
  real = np.arange(parts * rows) < count
  batch = jax.tree.map(lambda x: x[index], batch)
  keep = real.reshape(-1, *[1] * (batch.weights.ndim - 1))
  batch = batch._replace(weights=batch.weights * keep)
  return jax.tree.map(lambda x: x.reshape(parts, rows, *x.shape[1:]), batch)


def _shape(batch: Batch) -> tuple:
  """What decides whether two cut batches can be one array."""
  leaves, structure = jax.tree.flatten(batch._replace(info={}))
  return structure, *((x.shape[1:], x.dtype) for x in leaves)


def measure(
  loss: Callable[[Batch], tuple[Array, Scalars]],
  sets: Mapping[str, Batch],
  rows: int | None,
) -> Scalars:
  """A loss and its scalars on every set.

  Args:
    loss: batch -> (loss, scalars), means under the batch's weights. Of `info`
      it sees what all sets of equal shape have.
    sets: name -> batch.
    rows: examples in a part; None takes each set whole, as a loss that is no
      weighted mean over examples needs.

  Returns:
    'set/loss' and 'set/scalar' by name.
  """
  groups = defaultdict(dict)
  for name, batch in sets.items():
    parts = _cut(batch, rows or batch.weights.shape[0])
    groups[_shape(parts)][name] = parts
  out = {}
  for group in groups.values():
    kinds = lambda b: {(k, x.shape[1:], x.dtype) for k, x in b.info.items()}
    shared = sorted(
      k for k, *_ in set.intersection(*map(kinds, group.values()))
    )
    alike = [
      b._replace(info={k: b.info[k] for k in shared}) for b in group.values()
    ]
    stacked = jax.tree.map(lambda *x: jnp.concatenate(x), *alike)
    stacked = data_axis.split(stacked, axis=1)
    values, scalars = jax.lax.map(loss, stacked)
    start = 0
    for name, parts in group.items():
      rows_of = slice(start, start := start + len(parts.weights))
      share = shares(parts.weights)
      for key, value in {'loss': values, **scalars}.items():
        out[f'{name}/{key}'] = jnp.tensordot(share, value[rows_of], 1)
  return out
