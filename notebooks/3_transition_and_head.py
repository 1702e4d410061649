# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Find the phase transition, and the head that makes it
#
# Some abilities come all at once: the loss rests on a plateau, then falls. Here
# we make a network go through such a transition, say *when* it happens with a
# test that can also say no, and find *what* happens: which attention head.
#
# **The task: cycles.** A sequence walks round and round a random cycle of 8 to
# 12 of 16 tokens: `5 2 9 … 7 5 2 9 …`. After the first round everything is
# determined: look where the current token stood before, and say what followed.
# Attention needs two heads for that, one above the other (an *induction
# circuit*): a previous-token head, which tells every position what stood before
# it, and above it a head that looks for the position whose previous token is
# the current one. Neither is of use without the other, which is why they come
# together, and suddenly. We give the network three layers of one head each: one
# more than it needs. Which two does it use?
#
# Source: Olsson et al. (2022), "In-context learning and induction heads",
# arXiv 2209.11895.

# %%
# Installs jaxsynth where it is missing, as in a fresh Colab; else does nothing.
import importlib.util
import subprocess
import sys

SOURCE = ''  # written by notebooks/pair.py
if importlib.util.find_spec('jaxsynth') is None:
  assert SOURCE, 'where is jaxsynth to be had? See notebooks/README.md'
  pip = [sys.executable, '-m', 'pip', 'install', '-q', SOURCE]
  subprocess.run(pip, check=True)

# %%
import functools

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxsynth import build, launch, stage
from jaxsynth.analysis import attention, detection
from jaxsynth.models.base import Edit
from jaxsynth.plots import curves, heat, style
from jaxsynth.plots.scrub import scrub

# %% [markdown]
# ## Settings

# %% tags=["parameters"]
WORKDIR = 'runs/cycles'
STEPS = 500
SEEDS = 4
LAYERS = 3  # of one head each

# %% [markdown]
# ## Task and training
#
# Notebook 2 explains the parts of a task. Targets of the first round, which
# nobody could know, have weight zero.

# %%
# %%writefile cycles.py
"""Cycles: walk round and round a random cycle of tokens."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxsynth.types import Batch, Spec


@dataclass(frozen=True)
class Cycles:
  """Sequences of random period; see the module's docstring."""

  vocab_size: int = 16
  length: int = 33
  shortest: int = 8
  longest: int = 12

  @property
  def spec(self):
    tokens = jax.ShapeDtypeStruct((self.length - 1,), jnp.int32)
    return Spec(tokens, tokens, self.vocab_size, self.vocab_size)

  def init(self, key):
    return {}

  def sample(self, task_params, key, step, batch_size):
    of_order, of_period = jax.random.split(key)
    shape = (batch_size, self.vocab_size)
    order = jnp.argsort(jax.random.uniform(of_order, shape), axis=1)
    period = jax.random.randint(
      of_period, (batch_size, 1), self.shortest, self.longest + 1
    )
    at = jnp.arange(self.length)
    tokens = jnp.take_along_axis(order, at % period, 1).astype(jnp.int32)
    known = (at[1:] >= period).astype(float)
    return Batch(tokens[:, :-1], tokens[:, 1:], known, {'period': period})

  def evals(self, task_params, key):
    return {'held_out': self.sample(task_params, key, 0, 128)}

  def reference(self, task_params, batch):
    """The answer, and any token of the cycle with equal probability."""
    answer = jax.nn.one_hot(batch.targets, self.vocab_size)
    seen = jax.nn.one_hot(batch.inputs, self.vocab_size).cumsum(1) > 0
    return {'cycle': answer, 'seen': seen / seen.sum(-1, keepdims=True)}


TASK = Cycles

# %%
config = {
  'task': {'name': 'cycles.py'},
  'model': {
    'name': 'transformer',
    'num_layers': LAYERS,
    'd_model': 32,
    'num_heads': 1,
    'mlp_ratio': 0,  # attention only
    'max_len': 32,
  },
  'optimizer': {'peak_lr': 3e-3, 'b2': 0.95},
  'train': {
    'steps': STEPS,
    'batch_size': 32,
    'snapshots': (0, 'log:40:5'),
    'evals': (0, 'log:40:5'),
  },
  'sweep': {'seeds': SEEDS},
}
launch.train(config, WORKDIR)
traj = stage.open_trajectory(WORKDIR)
traj

# %% [markdown]
# ## When
#
# A curve always falls *somewhere* fastest. `detection.detect` asks whether it
# needs a transition at all: it compares smooth descriptions (polynomials, power
# laws, slow noise) with ones that have a sharp step, penalised for what they
# fit, and says no unless the step is worth it. What it finds is an interval
# between two snapshots: more is not known.

# %%
metrics = traj.unfold(traj.metrics)
loss = metrics['held_out/loss']
found = jax.jit(jax.vmap(detection.detect, (0, None)))(
  jnp.asarray(loss.transpose('seed', 'eval_step').values),
  jnp.asarray(loss.eval_step.values),
)
found = xr.Dataset({k: ('seed', np.asarray(v)) for k, v in found.items()})
found = found.assign_coords(seed=loss.seed)
found.to_pandas()[['detected', 'before', 'after', 'width', 'change']].round(2)

# %% [markdown]
# One line a seed; the shaded stretch is the interval of the first seed. The
# dashed lines are what two observers would lose: one that knows nothing, and
# one that has understood that only tokens seen before come again.

# %%
batch = traj.context(run=0, step=0).evals['held_out']
known = build.build(config).task.reference({}, batch)
hit = jnp.take_along_axis(known['seen'], batch.targets[..., None], -1)[..., 0]
hit = jnp.where(batch.weights > 0, hit, 1)  # where nothing can be known
among_seen = -jnp.log(hit).sum() / batch.weights.sum()
interval = np.clip([found.before[0], found.after[0]], 0, STEPS)

fig, ax = style.figure(width=6.5, height=3.4)
for seed, colour in zip(loss.seed.values, style.colours(SEEDS)):
  line = loss.sel(seed=seed)
  curves.band(ax, line.eval_step, line, label=f'seed {seed}', colour=colour)
curves.step_axis(ax, loss.eval_step)
ax.axvspan(*interval, color=style.FAINT)
curves.level(ax, float(np.log(16)), 'knows nothing')
curves.level(ax, float(among_seen), 'any token of the cycle')
ax.set_ylim(0, 3.2)
style.legend(ax)
style.tidy(ax, title='Held-out loss', y='nats')
fig

# %% [markdown]
# ## What: look at the heads
#
# `attention.model_scores` reads every head's pattern: how much of its attention
# goes to the previous token, and how much to the token after the last earlier
# occurrence of the current one. It is an ordinary analysis, mapped over all
# snapshots of all seeds.

# %%
kinds = {'previous_token': 'to the previous token', 'induction': 'induction'}
scores = traj.map(
  functools.partial(attention.model_scores, split='held_out'),
  dims=dict.fromkeys(kinds, ('layer', 'head')),
  title='heads',
)
scores = traj.unfold(scores[[*kinds]]).isel(head=0)
layers = [f'layer {i}' for i in range(LAYERS)]
scores = scores.assign_coords(layer=layers)

fig, axes = style.grid(
  1, 2, width=5.0, height=3.2, titles=[*kinds.values()], share_y=True
)
for ax, kind in zip(axes.flat, kinds):
  labels = 'legend' if ax is axes[0, -1] else 'none'
  curves.curves(ax, scores[kind], hue='layer', labels=labels)
  ax.axvspan(*interval, color=style.FAINT, zorder=0)
axes[0, 0].set_ylabel('attention')
fig

# %% [markdown]
# The first layer's head turns to the previous token, the last one's to what
# followed the current token before, and both begin to do so around the shaded
# interval. That is a coincidence in time, and no proof: a head can look the
# part and do nothing, and one that looks idle can be needed.
#
# ## What: take the heads away
#
# So intervene. An *edit* changes an activation on its way through the network;
# `Edit(keep=0)` silences it. With each head silenced in turn, at every snapshot
# of every seed, how much does the loss rise?


# %%
def loss_of(params, ctx, edit=None):
  """The loss on the held-out batch, with an edit."""
  batch = ctx.evals['held_out']
  logits = ctx.apply(params, batch.inputs, edit=edit).prediction
  logp = jax.nn.log_softmax(logits)
  logp = jnp.take_along_axis(logp, batch.targets[..., None], -1)[..., 0]
  return -(logp * batch.weights).sum() / batch.weights.sum()


def silenced(params, ctx):
  """By how many nats the loss rises without the head of each layer: [L]."""
  silence = Edit(keep=jnp.zeros(()))
  without = [
    loss_of(params, ctx, {f'blocks.{layer}.attn.z': silence})
    for layer in range(LAYERS)
  ]
  return {'rise': jnp.stack(without) - loss_of(params, ctx)}


rises = traj.unfold(traj.map(silenced, dims={'rise': ('layer',)}))
rise = rises['rise'].assign_coords(layer=layers)
fig, ax = style.figure(width=8.0, height=2.4)
heat.heatmap(
  ax,
  rise.median('seed').transpose('layer', 'step'),
  centre=0,
  values=False,
  label='nats',
)
style.tidy(ax, title='By how much the loss rises without each head')
fig

# %% [markdown]
# Before the transition no head is worth anything; afterwards two of them are
# worth more than the whole transition brought (without them the network is
# sure, and wrong), and the third is a bystander. Is it the same for every seed?
# What each head does in the end, what it is worth, and when it reached half of
# that:

# %%
worth = rise.isel(step=-1, drop=True)
half = (rise >= worth / 2).idxmax('step').where(worth > 0.5)
last = scores.isel(step=-1, drop=True)
xr.Dataset(
  {
    'to previous token': last['previous_token'],
    'induction': last['induction'],
    'worth, nats': worth,
    'half of it at step': half,
  }
).to_dataframe().round(2)

# %% [markdown]
# ## Watch it form
#
# The attention pattern of the induction head on one sequence: a row for each
# query, a column for each key. First it is uniform over the past; then lines
# appear, parallel to the diagonal and a period apart: every position looks at
# what followed its token in an earlier round.

# %%
best = int(last['induction'].isel(seed=0).argmax('layer'))


def patterns(params, ctx):
  """Attention of the head on the first sequence: [T, T]."""
  acts = ctx.apply(params, ctx.evals['held_out'].inputs[:1]).acts
  return {'pattern': acts[f'blocks.{best}.attn.pattern'][0, 0]}


pattern = traj.sel(run=[0]).map(patterns, dims={'pattern': ('query', 'key')})
pattern = pattern['pattern'].isel(run=0)


def draw(ax, step):
  """Draws the pattern at a step."""
  ax.imshow(pattern.sel(step=step), cmap='Blues', vmin=0, vmax=0.6)
  style.tidy(ax, x='key', y='query')


print(f'layer {best}; the period is {int(batch.info["period"][0, 0])}')
scrub(draw, traj.steps.tolist(), width=3.8, height=3.8)

# %% [markdown]
# ## Next
#
# - `jaxsynth zoom runs/cycles --run=0 --steps=100:200` trains the stretch
#   around the transition again, to the same bits, keeping *every* step: now the
#   interval is one step wide.
# - Is the lower head needed for the upper one to form? Train with `LAYERS = 1`.
#   What becomes of the bystander with `LAYERS = 2`, and with more heads a
#   layer?
# - Is it the same transition at other learning rates? Sweep
#   `'traced': {'optimizer': {'peak_lr': (1e-3, 3e-3, 1e-2)}}`, and draw with
#   `hue='peak_lr'`.
