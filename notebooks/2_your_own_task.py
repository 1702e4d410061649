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
# # Write a task, and know how well it can be done
#
# A synthetic task is worth having because its ground truth is known: for every
# context one can say what an ideal observer would predict, and how far from it
# a network is, in nats. Here we write such a task in one cell, train on it,
# and draw the network beside its Bayes optimum.
#
# **The task: loaded dice.** Before each sequence a die with $k$ faces is drawn,
# its probabilities $p \sim \mathrm{Dirichlet}(\alpha, \dots, \alpha)$. All
# throws of the sequence come from that die, and the network predicts the next
# throw. It cannot know $p$; it can only count. After $n$ throws, $n_i$ of
# which showed face $i$, the ideal prediction is Laplace's rule of succession
#
# $$P(\text{next} = i) = \frac{n_i + \alpha}{n + k\alpha}.$$

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
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxsynth import build, launch, stage
from jaxsynth.plots import curves, style
from jaxsynth.types import Batch

# %% [markdown]
# ## Settings

# %% tags=["parameters"]
WORKDIR = 'runs/dice'
THROWS = 32  # length of a sequence
LAYERS = 2
STEPS = 500
SEEDS = 3

# %% [markdown]
# ## The task
#
# One frozen dataclass of sizes with five members. The cell writes it to a file,
# so that the command line and tomorrow's notebook find it, too:
#
# - `spec`: shapes that go in and come out;
# - `init`: constants of the task; its arguments (here `alpha`) can be swept;
# - `sample`: a training batch, inside the compiled program;
# - `evals`: fixed batches to be measured on;
# - `reference`: what ideal observers would predict.
#
# A second observer is worth having: `last_8` counts only the last eight throws.
# A model with a short memory would look like that one.

# %%
# %%writefile loaded_dice.py
"""Loaded dice: predict the next throw of a die that is drawn per sequence."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxsynth.types import Batch, Spec


@dataclass(frozen=True)
class LoadedDice:
  """Throws of dice from Dirichlet(alpha); see the module's docstring."""

  faces: int = 6
  throws: int = 32

  @property
  def spec(self):
    tokens = jax.ShapeDtypeStruct((self.throws - 1,), jnp.int32)
    return Spec(tokens, tokens, self.faces, self.faces)

  def init(self, key, alpha=0.5):
    return {'alpha': jnp.asarray(alpha, float)}

  def sample(self, task_params, key, step, batch_size):
    of_dice, of_throws = jax.random.split(key)
    alpha = jnp.full(self.faces, task_params['alpha'])
    dice = jax.random.dirichlet(of_dice, alpha, (batch_size, 1))
    throws = jax.random.categorical(
      of_throws, jnp.log(dice), shape=(batch_size, self.throws)
    )
    inputs, targets = throws[:, :-1], throws[:, 1:]
    return Batch(inputs, targets, jnp.ones(targets.shape), {'dice': dice})

  def evals(self, task_params, key):
    return {'held_out': self.sample(task_params, key, 0, 256)}

  def reference(self, task_params, batch):
    seen = jax.nn.one_hot(batch.inputs, self.faces)  # [B, T, k]
    counts = jnp.cumsum(seen, 1)
    recent = counts - jnp.pad(counts, ((0, 0), (8, 0), (0, 0)))[:, :-8]

    def laplace(counts):
      counts = counts + task_params['alpha']
      return counts / counts.sum(-1, keepdims=True)

    return {'bayes': laplace(counts), 'last_8': laplace(recent)}


TASK = LoadedDice

# %% [markdown]
# ## Train
#
# The config says only what differs from the defaults; a misspelt key is refused
# before anything compiles. All runs train in one compiled program, and every
# snapshot the plan names (`'log:20'`: step 0 and twenty more, evenly in the
# logarithm of the step) is kept.

# %%
config = {
  'task': {'name': 'loaded_dice.py', 'throws': THROWS},
  'model': {
    'name': 'transformer',
    'num_layers': LAYERS,
    'd_model': 32,
    'num_heads': 2,
    'max_len': THROWS,
  },
  'optimizer': {'peak_lr': 3e-3},
  'train': {'steps': STEPS, 'snapshots': 'log:20', 'evals': 'log:20'},
  'sweep': {'seeds': SEEDS},
}
launch.train(config, WORKDIR)
traj = stage.open_trajectory(WORKDIR)
traj

# %% [markdown]
# Run the cell again and it returns at once: the training is on disk. Edit the
# task and run it again and it is *refused*, because what is on disk was made by
# another task: choose another `WORKDIR`.
#
# ## The model beside the optimum
#
# An analysis is a plain function of one snapshot, `(params, ctx)`. `traj.map`
# calls it for every run and step. This one gives the expected loss at every
# position. Instead of the loss on the throws that happened to come it takes the
# expectation over the next throw, which the evaluation batch knows from its
# dice: less noise, same mean.


# %%
task = build.build(config).task


def expected_loss(probabilities, batch):
  """Mean over sequences of -sum_i p_i log q_i, by position: [T]."""
  return -(batch.info['dice'] * jnp.log(probabilities)).sum(-1).mean(0)


def by_position(params, ctx):
  batch = ctx.evals['held_out']
  logits = ctx.apply(params, batch.inputs).prediction
  known = task.reference(ctx.constants['task_params'], batch)
  known['model'] = jax.nn.softmax(logits)
  return {name: expected_loss(p, batch) for name, p in known.items()}


axes = {name: ('throws seen',) for name in ('model', 'bayes', 'last_8')}
seen = {'throws seen': np.arange(1, THROWS)}
losses = traj.unfold(traj.map(by_position, dims=axes, coords=seen))
losses

# %% [markdown]
# **Over training**, averaged over positions. The band is the range over seeds,
# the line their median. Nothing can get below the Bayes optimum; on average
# over *all* dice, that is, and up to the luck of 256 sequences.

# %%
fig, ax = style.figure(width=6.5, height=3.4)
mean = losses.mean('throws seen')
curves.curves(ax, mean['model'].rename('model'))
curves.level(ax, np.log(task.faces), 'a fair die, always')
curves.level(ax, float(mean['last_8'].mean()), 'counting the last 8')
curves.level(ax, float(mean['bayes'].mean()), 'Bayes optimum')
style.tidy(ax, title='Loss while training', y='expected loss, nats')
fig

# %% [markdown]
# **Along the sequence**: an observer gets better with every throw it sees.
# Untrained, the network says the same whatever it has seen; then it begins to
# count; at the end it has left the observer with the short memory behind, and
# runs along the optimum. Where it is furthest from the black line is what it
# has not learnt yet: after one throw it is still too sure of itself.

# %%
chosen = traj.steps[np.linspace(0, len(traj.steps) - 1, 5).round().astype(int)]
model = losses['model'].median('seed').sel(step=chosen).rename('step')
model = model.assign_coords(step=[f'step {s}' for s in chosen])
fig, ax = style.figure(width=6.5, height=3.6)
curves.curves(
  ax,
  model.rename(step='when'),
  x='throws seen',
  hue='when',
  ordered=True,
  labels='legend',
  log_steps=False,
)
for name, look, label in (
  ('bayes', '-', 'Bayes optimum'),
  ('last_8', ':', 'counting the last 8'),
):
  line = losses[name].mean(('seed', 'step'))
  ax.plot(line['throws seen'], line, look, color=style.INK, label=label)
style.legend(ax)
style.tidy(ax, title='Loss by number of throws seen', y='expected loss, nats')
fig

# %% [markdown]
# How far is that in the end? The excess over the optimum, in nats per throw,
# one row a seed, beside that of the observer with the short memory:

# %%
excess = (losses - losses['bayes']).mean('throws seen').isel(step=-1)
excess[['model', 'last_8']].to_pandas().round(4)

# %% [markdown]
# ## Check that the reference is one
#
# A wrong reference is worse than none, so test it, by something that does not
# share its code. The posterior mean of the die after `n` throws can be had by
# brute force: draw many dice from the prior, weight each by the likelihood of
# the throws, and average.

# %%
throws = np.asarray([0, 0, 3, 0, 5, 0, 0, 3])
batch = Batch(jnp.asarray(throws[None]), None, None, {})
exact = np.asarray(task.reference({'alpha': 0.5}, batch)['bayes'][0, -1])

dice = np.random.default_rng(0).dirichlet(np.full(6, 0.5), 100_000)
weights = dice[:, throws].prod(1)
sampled = weights @ dice / weights.sum()
xr.DataArray(
  np.stack([exact, sampled]).round(3),
  coords={'by': ['rule of succession', 'brute force'], 'face': range(6)},
).to_pandas()

# %%
assert abs(exact - sampled).max() < 0.02

# %% [markdown]
# ## Now yours
#
# - Sweep the prior: `'sweep': {'traced': {'task': {'alpha': (0.1, 0.5, 2.0)}}}`
#   needs no change of the task, as `alpha` is an argument of `init`; colour the
#   curves by it with `hue='alpha'`.
# - Is the network a Bayesian with *that* prior? Train at one `alpha`, and give
#   it sequences of another.
# - Change the process: dice that are swapped in mid-sequence, loaded coins,
#   sums of two dice. The reference is the part that takes thought.
# - Share it: the file goes to `jaxsynth/tasks/`, and the contract tests find
#   it.
