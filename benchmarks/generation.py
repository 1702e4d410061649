"""How fast sequences are written, in tokens per second.

  python -m benchmarks.generation --config=small

The model of a config continues prompts of one token to its full length, on
one device. Timed in the same process, one after the other, several times:

  greedy      `jaxsynth.generate`, the most likely token
  sampled     the same with a key, at temperature one
  recomputed  without a carry: the whole sequence is read for every token
  read        one pass over the finished sequences, all tokens at once: the
              arithmetic of the weights without waiting for one's own tokens,
              which is the floor
"""

import functools
import statistics
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from benchmarks import configs, ours, report
from jaxsynth.generate import generate
from jaxsynth.models.base import Model
from jaxsynth.train import layout as layouts
from jaxsynth.types import Array, PyTree

TIMES = 3


def seconds(fn: Callable[[], PyTree]) -> float:
  """The median time of a call, after one that compiles."""
  jax.block_until_ready(fn())
  each = []
  for _ in range(TIMES):
    began = time.perf_counter()
    jax.block_until_ready(fn())
    each.append(time.perf_counter() - began)
  return statistics.median(each)


@functools.partial(jax.jit, static_argnames=('model', 'length'))
def recomputed(
  model: Model, params: PyTree, prompts: Array, length: int
) -> Array:
  """Greedy tokens [B, length] by reading everything again for each one."""
  rows, size = prompts.shape
  tokens = jnp.zeros((rows, length), jnp.int32).at[:, :size].set(prompts)

  def write(t, tokens):
    logits = model.apply(params, tokens[:, :-1], fast=True).prediction
    new = logits[:, t - 1].argmax(-1).astype(jnp.int32)
    return tokens.at[:, t].set(new)

  return jax.lax.fori_loop(size, length, write, tokens)


def main() -> dict:
  parser = report.parser(
    'benchmarks.generation', __doc__, ['--config=tiny', '--rows=256']
  )
  parser.add_argument('--config', default='small', help='tiny, small or paper')
  parser.add_argument('--rows', type=int, default=64, help='written together')
  args = parser.parse_args()
  configs.size(args.config)
  layouts.configure()
  setup = ours.setup_of(args.config, 1)
  model, spec = setup.model, setup.task.spec
  length = spec.inputs.shape[0] + 1
  params = jax.jit(lambda key: model.init(key, spec))(jax.random.key(0))
  key = jax.random.key(1)
  prompts = jax.random.randint(key, (args.rows, 1), 0, spec.vocab_size)
  write = functools.partial(generate, model, params, prompts, length)
  read = jax.jit(
    lambda p, x: model.apply(p, x, fast=True).prediction.argmax(-1)
  )
  finished = write(key=key).tokens
  made = args.rows * (length - 1)
  rates = {
    name: made / seconds(fn)
    for name, fn in (
      ('greedy', write),
      ('sampled', lambda: write(key=key)),
      ('recomputed', lambda: recomputed(model, params, prompts, length)),
      ('read', lambda: read(params, finished[:, :-1])),
    )
  }
  return report.record(
    'generation',
    args.config,
    report.device(),
    tokens_per_s=rates['greedy'],
    sampled_tokens_per_s=rates['sampled'],
    recomputed_tokens_per_s=rates['recomputed'],
    times_recomputed=rates['greedy'] / rates['recomputed'],
    floor=rates['read'],
    of_floor=rates['read'] / rates['greedy'],
    rows=args.rows,
    length=length,
    targets=[
      report.target(
        'tokens per second, times recomputing',
        rates['greedy'] / rates['recomputed'],
        at_least=2.0,
      )
    ],
  )


if __name__ == '__main__':
  sys.exit(report.run(main))
