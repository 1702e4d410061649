"""The generator of hidden matrices as one would write it plainly, in numpy.

What the sampler of `jaxsynth.tasks.matrix_completion` is timed against: it
does the same work and draws by the same laws.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


def matrix_completion(task: Any, params: Any, batch: int) -> Callable:
  """Low-rank matrices with hidden entries, the whole batch at once."""
  hidden, N = float(params.p_hidden), task.steps
  generator = np.random.default_rng(0)
  laws = {
    'uniform': lambda shape: 2 * generator.random(shape, np.float32) - 1,
    'normal': lambda shape: 0.5 * generator.standard_normal(shape, np.float32),
    'laplace': lambda shape: generator.laplace(0, 0.25, shape),
  }
  draw = laws[task.law]

  def sample():
    u = draw((batch, task.num_rows, task.rank))
    v = draw((batch, task.rank, task.num_columns))
    multiples = np.round((u @ v).reshape(batch, -1) / task.precision)
    multiples = np.clip(multiples, -N, N).astype(np.float32)
    observed = generator.random(multiples.shape, np.float32) >= hidden
    values = multiples * np.float32(task.precision)
    tokens = (multiples + N + 1).astype(np.int32)
    if task.reads == 'values':
      inputs = np.stack([np.where(observed, values, 0), 1.0 - observed], -1)
    else:
      inputs = np.where(observed, tokens, 0)
    if task.answer == 'regression':
      return inputs, values[..., None], np.ones_like(values)
    between = np.full((batch, 1), task.separator, np.int32)
    line = np.concatenate([inputs, between, tokens], 1)
    return line[:, :-1], line[:, 1:], np.ones((batch, line.shape[1] - 1))

  return sample
