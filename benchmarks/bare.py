"""The same training as a bare loop, written by hand for this one case.

No engine, no schedule, no snapshots, no host loop: a scan over steps, one
run a device at a time, nothing recorded but the loss. What our machinery
costs is the ratio of the two, taken in alternating windows.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from jaxsynth import build, rng
from jaxsynth.train import sweep


class Bare:
  """All runs of a setup in a hand-written loop; `calls` as of `ours.Trainer`.

  Microbatches and a clipped gradient are as in the setup; the rest of the
  optimizer is AdamW, which all configs here use.
  """

  def __init__(self, setup: build.Setup, steps: int):
    self.steps, self.runs = steps, len(setup.sweep.runs())
    task, model, parts = setup.task, setup.model, setup.microbatches
    size, o = setup.train.batch_size, setup.optimizer
    chain = optax.chain(
      optax.clip_by_global_norm(o.clip) if o.clip else optax.identity(),
      optax.scale_by_adam(o.b1, o.b2, o.eps),
      optax.add_decayed_weights(o.weight_decay),
    )

    def loss(params, batch):
      inputs, targets = batch
      logits = model.apply(params, inputs, fast=True).prediction
      hit = targets[..., None] == jnp.arange(logits.shape[-1])
      nll = jax.nn.logsumexp(logits, -1) - jnp.where(hit, logits, 0).sum(-1)
      return nll.mean()

    def gradient(params, batch):
      cut = lambda x: x.reshape(parts, size // parts, *x.shape[1:])
      if parts == 1:
        return jax.value_and_grad(loss)(params, batch)
      zero = 0.0, jax.tree.map(jnp.zeros_like, params)
      add = lambda total, part: (
        jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(params, part)),
        None,
      )
      total, _ = jax.lax.scan(add, zero, jax.tree.map(cut, batch))
      return jax.tree.map(lambda x: x / parts, total)

    def start(run):
      params = model.init(rng.stream(run.seeds, 'init'), task.spec)
      chains = task.init(rng.stream(run.seeds, 'task'))
      return params, chain.init(params), chains

    def train(run, state, first):
      run, state = jax.tree.map(lambda x: x[0], (run, state))
      rate, chains = run.hparams['optimizer.peak_lr'], state[2]

      def step(carry, t):
        params, opt = carry
        key = rng.at(rng.stream(run.seeds, 'data'), t)
        batch = task.sample(chains, key, t, size)
        value, grads = gradient(params, (batch.inputs, batch.targets))
        updates, opt = chain.update(grads, opt, params)
        new = jax.tree.map(lambda p, u: p - rate * u, params, updates)
        return (new, opt), value

      carry, losses = jax.lax.scan(step, state[:2], first + jnp.arange(steps))
      return jax.tree.map(lambda x: x[None], ((*carry, chains), losses))

    count = len(jax.local_devices())
    mesh, spec = jax.make_mesh((count,), ('run',)), PartitionSpec('run')
    one = lambda x: jax.device_put(x, NamedSharding(mesh, spec))
    specs = setup.sweep.runs()
    specs += specs[-1:] * (-len(specs) % count)  # dummies
    self._blocks = [
      one(sweep.stack(specs[i : i + count]))
      for i in range(0, len(specs), count)
    ]
    begin = jax.jit(jax.shard_map(
      lambda run: jax.lax.map(start, run), mesh=mesh, in_specs=spec,
      out_specs=spec, check_vma=False,
    ))  # fmt: skip
    self._train = jax.jit(jax.shard_map(
      train, mesh=mesh, in_specs=(spec, spec, PartitionSpec()),
      out_specs=spec, check_vma=False,
    ), donate_argnums=1)  # fmt: skip
    self._states = [begin(run) for run in self._blocks]
    self._firsts = itertools.count(0, steps)

  def calls(self, count: int) -> np.ndarray:
    """Advances all runs by so many calls of `steps`; the last losses [R],
    and those of the dummies that fill the last block."""
    for _ in range(count):
      first, losses = np.int32(next(self._firsts)), []
      for i, run in enumerate(self._blocks):
        self._states[i], each = self._train(run, self._states[i], first)
        losses.append(each[:, -1])
    return np.concatenate([np.asarray(x) for x in losses])
