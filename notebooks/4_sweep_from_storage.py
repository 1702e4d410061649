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
# # Read a sweep that a pod trained
#
# A large sweep is cut into *shards*, one job each, on as many machines as there
# are. The jobs know nothing of each other; they share a path. Here we play the
# pod on this machine, and then do what is done afterwards from a laptop: read
# all shards as one table and one trajectory, check every byte, and draw.
#
# **The question** of this sweep is an everyday one: how large may the learning
# rate be, and does the batch size matter? The task is
# small: two concepts, each a cluster of points on an axis of its own, one twice
# as far out as the other. A linear network of two matrices learns to reproduce
# the points, and is tested where both concepts occur together, which it never
# saw in training.

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
import shutil
from pathlib import Path

import jax.numpy as jnp
import xarray as xr

from jaxsynth import build, launch, split, stage, verify
from jaxsynth.plots import curves, style
from jaxsynth.trajectory import shards

# %% [markdown]
# ## Settings
#
# `BUCKET` is the path that all jobs see. Here it is a folder of this machine;
# on a pod it is one that all hosts see, and it is given in the same place.

# %% tags=["parameters"]
BUCKET = 'runs/bucket'
SHARDS = 4
STEPS = 400
SEEDS = 3

# %% [markdown]
# ## What each job trains
#
# One config describes the whole sweep. Learning rates are *traced*: all of them
# share one compiled program. Batch sizes are *static*, since they change
# shapes: each is a group of its own. The plan follows from the config and the
# number of shards alone, so any job can work out its own part.

# %%
config = {
  'task': {'name': 'identity_mapping', 'samples': 0},
  'model': {
    'name': 'mlp',
    'widths': (16,),
    'activation': 'linear',
    'bias': False,
    'init_scale': 0.3,
  },
  'optimizer': {'name': 'sgd'},
  'train': {
    'steps': STEPS,
    'loss': 'half_squared_distance',
    'snapshots': 'log:12',
    'evals': 'log:12',
    'call_steps': 200,
  },
  'sweep': {
    'seeds': SEEDS,
    'traced': {'optimizer': {'peak_lr': (0.01, 0.03, 0.1, 0.3, 0.6, 1.0)}},
    'static': {'train': {'batch_size': (2, 64)}},
  },
}
print('\n'.join(split.lines(build.groups(config), SHARDS)))

# %% [markdown]
# ## The pod
#
# On a cluster each of these is a job of its own, at the same time or not, in
# any order; a job that was killed is sent again and continues:
#
# ```
# jaxsynth train --config=my_config.py --workdir=BUCKET --shards=4 --shard=2
# python -m tpu_launch --backend=gke ... --shards=4
# ```
#
# (`docs/launching.md` goes through it, from an empty cloud project on.) In one
# process it is a loop:

# %%
for shard in reversed(range(SHARDS)):
  launch.train(config, BUCKET, shards=SHARDS, shard=shard)

# %% [markdown]
# ## One table
#
# From here on only the path is needed. All runs of all groups and shards:

# %%
table = shards.table(Path(BUCKET))
table[['optimizer.peak_lr', 'seed.init', 'diverged_at']]

# %% [markdown]
# `diverged_at` is the first update whose loss was not finite. A run that
# diverges stays in the table and harms no other.
#
# ## One trajectory
#
# The parts of a group are read as one trajectory, bit for bit the sweep in one
# piece. Nothing is copied.

# %%
groups = {}
for size in (2, 64):
  folder = f'{BUCKET}/stages/train/batch_size={size}'
  groups[size] = stage.open_trajectory(folder)
groups[2]

# %% [markdown]
# ## Check it first
#
# Storage loses and flips bits, and copies are interrupted. Every snapshot was
# written with a checksum. `verify.check` compares all of them, sees that no
# step is missing or twice, and recomputes step 0. (`jaxsynth check BUCKET` on
# the command line.)

# %%
for traj in groups.values():
  for part in traj.shards:
    result = verify.check(part.folder)
    assert not result.faults, result.faults
    print(part.folder.relative_to(BUCKET), result.summary, sep=': ')

# %% [markdown]
# A check that cannot fail is none. Take a copy and flip a single bit of its
# largest file:

# %%
copy = Path(BUCKET).with_name('damaged')
shutil.rmtree(copy, ignore_errors=True)
shutil.copytree(groups[2].folder, copy)
files = [p for p in (copy / 'segments').rglob('*') if p.is_file()]
victim = max(files, key=lambda p: p.stat().st_size)
content = bytearray(victim.read_bytes())
content[len(content) // 2] ^= 1
victim.write_bytes(content)
faults = verify.check(copy).faults
assert faults
print(str(faults[0]).replace(str(copy), 'COPY'))

# %% [markdown]
# Reading it would have refused, too: what is read is compared with its
# checksum.
#
# ## Draw
#
# `unfold` makes the runs of each group into axes; the groups are put beside
# each other along a new one. The test error at the end, by learning rate:

# %%
whole = xr.concat(
  [t.unfold(t.metrics) for t in groups.values()],
  xr.Variable('batch_size', [*groups]),
)
whole = whole.assign_coords(batch_size=[f'batch {n}' for n in groups])
error = whole['composed/loss']
error = error.where(error < 1e3)  # what diverged is left out
end = error.isel(eval_step=-1)
fig, ax = style.figure(width=6.0, height=3.6)
for size, colour in zip(end.batch_size.values, style.colours(2)):
  rows = end.sel(batch_size=size).transpose('seed', 'peak_lr')
  curves.band(ax, rows.peak_lr, rows, label=str(size), colour=colour)
  for row in rows.values:
    ax.plot(rows.peak_lr, row, 'o', color=colour, markersize=3)
ax.set_xscale('log')
ax.set_xticks(end.peak_lr, [f'{rate:g}' for rate in end.peak_lr.values])
ax.minorticks_off()
curves.log_values(ax)
style.legend(ax)
style.tidy(
  ax,
  title='Combinations never seen, at the end',
  x='learning rate',
  y='half squared distance',
)
fig

# %% [markdown]
# A missing point is a learning rate at which that seed diverged. How did the
# others get there? One panel a batch size, one colour a learning rate:

# %%
fig, axes = style.grid(
  1, 2, width=4.6, height=3.4, titles=[*end.batch_size.values], share_y=True
)
for ax, size in zip(axes.flat, error.batch_size.values):
  labels = 'legend' if ax is axes[0, -1] else 'none'
  curves.curves(
    ax,
    error.sel(batch_size=size),
    x='eval_step',
    hue='peak_lr',
    ordered=True,
    labels=labels,
  )
  curves.log_values(ax)
  style.tidy(ax, x='step')
axes[0, 0].set_ylabel('half squared distance')
fig

# %% [markdown]
# Rates up to 0.3 arrive at the exact solution, the larger the sooner, and with
# either batch size: where every point can be fitted, the noise of small batches
# dies out. Beyond, the larger batch goes on bouncing where the smaller
# diverges.
#
# ## Ask all shards something new
#
# Months later, a new question: which directions does the network use, and in
# which order did it find them? The training need not run again. `map` streams
# the snapshots of all shards.


# %%
def spectrum(params, ctx):
  """Singular values of the two matrices' product, largest first."""
  product = params['layers_0']['kernel'] @ params['layers_1']['kernel']
  return {'singular': jnp.linalg.svd(product, compute_uv=False)}


traj = groups[64].sel(peak_lr=0.1)
values = traj.map(spectrum, dims={'singular': ('value',)})['singular']
values = traj.unfold(values).isel(peak_lr=0, value=slice(4))
values = values.assign_coords(value=['first', 'second', 'third', 'fourth'])
fig, ax = style.figure(width=6.0, height=3.2)
curves.curves(ax, values, hue='value', ordered=True)
style.tidy(ax, title='Singular values of the product of both matrices')
fig

# %% [markdown]
# Two of them grow to one, the others stay where they began: the network learns
# one direction after the other, that of the concept further out first.

# %% [markdown]
# ## With a real pod
#
# 1. `python -m tpu_launch ... --shards=N` sends the jobs. They write to a path
#    that they share, and `watch` sees them to their end (`docs/launching.md`).
# 2. `BUCKET` is that path, or the folder that it was copied to. What is on
#    disk, in which order it gets there, and what may lie where, is in
#    `docs/trajectory.md`.
# 3. A shard that is not finished is left out with a warning, and everything
#    above works on the others.
