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
# # Train a sweep, watch it, and scrub through its history
#
# Two lines train a sweep and read its whole history back. Everything else here
# is looking at what happened.
#
# **The question.** A transformer is trained on sequences of a few Markov
# chains. Each sequence is written by one of $N$ chains. To predict the next
# token the network may *retrieve* (find out which of the $N$ chains it is
# reading, and use what it remembers of that chain) or *infer* (count, in the
# context, what tends to follow what). Only inference works on a chain it has
# never seen. Which of the two does it learn, and when?

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

from jaxsynth import launch, stage
from jaxsynth.plots import curves, live, style
from jaxsynth.plots.scrub import scrub

# %% [markdown]
# ## Settings

# %% tags=["parameters"]
WORKDIR = 'runs/chains'
CHAINS = (2, 8, 128)  # N, the number of chains in the training mixture
LAYERS = 2
STEPS = 800
SEEDS = 2

# %% [markdown]
# ## Train
#
# A config states what differs from the defaults. Under `sweep.traced` stand the
# values that vary *inside* one compiled program: here the number of chains, so
# that the sweep is `len(CHAINS) * SEEDS` runs and one compilation. `snapshots`
# says which steps are kept: `'log:30'` is step 0 and thirty more, evenly spaced
# in the logarithm. `live.Live` draws while the training goes on.

# %%
config = {
  'task': {
    'name': 'markov_mixture',
    'num_states': 4,
    'seq_len': 33,
    'max_chains': max(CHAINS),
    'concentration': 0.3,
    'weights': 'uniform',
    'aligned_reps': 0,
  },
  'model': {
    'name': 'transformer',
    'num_layers': LAYERS,
    'd_model': 32,
    'num_heads': 2,
    'max_len': 32,
  },
  'optimizer': {'peak_lr': 3e-3},
  'train': {
    'steps': STEPS,
    'batch_size': 32,
    'snapshots': 'log:30',
    'evals': 'log:20',
    'call_steps': 50,
    'checkpoint_calls': 4,
  },
  'sweep': {'seeds': SEEDS, 'traced': {'task': {'num_chains': CHAINS}}},
}

# %%
launch.train(config, WORKDIR, observers=[live.Live('loss')])
traj = stage.open_trajectory(WORKDIR)
traj

# %% [markdown]
# That is a *trajectory*: all snapshots and all metrics of all runs, on disk.
# Opening it reads an index; arrays are read when you ask for them. Should the
# training be interrupted, run the cell again: it goes on from its last
# checkpoint, to the same bits. When it is finished the cell returns at once.
# (Another config needs another `WORKDIR`; it is refused otherwise, and nothing
# is overwritten.)
#
# The table of its runs: swept values, seeds (a run has named streams of
# randomness, which can be held fixed one by one), and where a run diverged.

# %%
traj.runs

# %% [markdown]
# ## Curves
#
# Metrics come as xarray, with one axis `run`. `unfold` makes that axis into
# those of the sweep, so that it can be drawn, averaged, compared. Below, the
# loss on chains of the mixture and on *fresh* ones, drawn anew for every
# sequence; lines are medians over seeds, bands their range.

# %%
metrics = traj.unfold(traj.metrics).rename(num_chains='N')
metrics = metrics.assign_coords(N=[f'N = {n}' for n in metrics.N.values])
metrics

# %%
panels = {
  'in_distribution/loss': 'chains of the mixture',
  'fresh/loss': 'fresh chains',
}
fig, axes = style.grid(
  1, 2, width=5.0, height=3.4, titles=[*panels.values()], share_y=True
)
for ax, name in zip(axes.flat, panels):
  curves.curves(ax, metrics[name], x='eval_step', hue='N', ordered=True)
  style.tidy(ax, x='step')
axes[0, 0].set_ylabel('loss, nats')
fig

# %% [markdown]
# With two chains the network soon predicts the mixture well, and fresh chains
# *worse* than it did untrained: it retrieves. With many it cannot remember
# them all, and what it learns carries over to fresh chains: it infers.
#
# ## Read one array
#
# Any array of any run is there at every kept step, and reading one does not
# read the others. For example, how far the query matrix of the first layer has
# moved from its initialisation:

# %%
query = traj.leaf('blocks_0.attn.q.kernel')
print(query.shape, '= runs, snapshots, D, D')
moved = np.linalg.norm(query[0] - query[0, :1], axis=(1, 2))
dict(zip(traj.steps[::6].tolist(), moved[::6].round(2).tolist()))

# %% [markdown]
# ## Ask every snapshot
#
# An analysis is a plain function of one snapshot: `fn(params, ctx)`, where
# `ctx` holds what belongs to its run (`apply`, the evaluation batches, the
# constants of the task). `traj.map` calls it for every run and step, reading as
# it goes.
#
# Here: what the model believes about a chain. Given a sequence of a fresh
# chain, collect its predictions whenever the current token is $i$, over the
# second half of the context: their mean is row $i$ of the transition matrix
# that the model *implies*. The true matrix is in `batch.info`.


# %%
def implied(params, ctx):
  """The transition matrices of fresh chains that a model implies: [B, k, k]."""
  batch = ctx.evals['fresh']
  prediction = jax.nn.softmax(ctx.apply(params, batch.inputs).prediction)
  size = prediction.shape[-1]
  late = jnp.arange(batch.inputs.shape[1]) >= batch.inputs.shape[1] // 2
  now = jax.nn.one_hot(batch.inputs, size) * late[:, None]  # [B, T, k]
  visits = now.sum(1)[..., None]
  rows = jnp.einsum('bti,btj->bij', now, prediction) / visits  # NaN: no visit
  return {'implied': rows, 'true': batch.info['transition']}


matrices = traj.map(
  implied,
  dims={n: ('sequence', 'now', 'next') for n in ('implied', 'true')},
)
matrices

# %% [markdown]
# ## Scrub
#
# One dot for every entry of every matrix: across, the true probability; up,
# what the model believes. A model that knows nothing lies on a horizontal line;
# one that infers the chain from the context lies on the diagonal.
#
# In Jupyter and Colab this is a slider with a play button. Without
# `ipywidgets`, and in print, it is a grid.


# %%
two = {
  n: colour for n, colour in zip((min(CHAINS), max(CHAINS)), style.PALETTE)
}
first = {n: int((traj.runs['task.num_chains'] == n).argmax()) for n in two}


def beliefs(ax, step):
  """Draws what the models of two sizes believe about 24 fresh chains."""
  ax.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1)
  for (n, colour), left in zip(two.items(), (0, 0.3)):
    at = matrices.sel(run=first[n], step=step).isel(sequence=slice(24))
    true, implied = at['true'].values.ravel(), at['implied'].values.ravel()
    ax.plot(true, implied, '.', color=colour, markersize=3)
    ax.text(left, 1.06, f'N = {n}', color=colour, fontsize=style.SMALL)
  style.tidy(ax, x='true probability', y='implied by the model')
  ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.15))


scrub(beliefs, traj.steps.tolist(), width=4.4, height=3.6)

# %% [markdown]
# Blue is the small mixture, red the large one. Watch three stages of the large
# one: a flat line (it knows nothing); a flat cloud (it has learnt how frequent
# each token is in *this* context, but not that the current token matters); and
# the diagonal (it reads transitions off the context). The small mixture never
# gets there: it has two chains in mind, whatever it reads.
#
# The distance to the diagonal is a curve over training:

# %%
error = abs(matrices['implied'] - matrices['true'])
error = traj.unfold(error.mean(('sequence', 'now', 'next')))
error = error.rename(num_chains='N')
error = error.assign_coords(N=[f'N = {n}' for n in error.N.values])
fig, ax = style.figure(width=6.0, height=3.4)
curves.curves(ax, error, hue='N', ordered=True)
style.tidy(ax, title='Fresh chains', y='mean |implied - true|')
fig

# %% [markdown]
# ## Next
#
# - `launch.train('markov_mixture:quick', 'runs/quick')` trains the sweep of the
#   study; `jaxsynth reproduce markov_mixture` judges its claims.
# - `jaxsynth zoom runs/chains --run=5 --steps=100:200` trains that stretch
#   again, to the same bits, and keeps *every* step: scrub through those.
# - Write a task of your own: notebook 2. Find what did it: notebook 3.
