"""A task whose points are a named activation of an earlier training.

What a sparse autoencoder (or a probe) reads when it looks into a network: the
batches of the network's own task, run through one of its snapshots up to a
site. In a config,

  task:  name: jaxsynth.activations
         folder: runs/mine/stages/train    a trajectory
         step: 1000                        one of its snapshots
         site: blocks.0.resid_post         one of its model's activations
         run: 0                            which run; may be swept

which `config` writes; in a notebook, an autoencoder of every run is two lines:

  found = activations.config(traj, 'blocks.0.resid_post', model={'name': 'sae'})
  saes = launch.train(found, 'runs/autoencoders')['']

Batches come from the stream 'data' of the new training; chains, grammars and
the like are those that the network was trained on. Weights are those of the
network's targets: positions that count for it count here; or, with `mask`,
those that an array of its batches' ground truth names. The snapshots of all
runs are read when the constants of a training are made, and one of them is
kept as a constant of each run.

What the network read stands in info['read'], and `resumed` lets it go on from
another activation: an objective may ask what a change does to its predictions.

Source: Bricken et al. (2023), "Towards Monosemanticity", Transformer Circuits
Thread, for autoencoders of activations.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxsynth import build, stage
from jaxsynth.config import flat
from jaxsynth.errors import UserError, unknown
from jaxsynth.train import sweep
from jaxsynth.train.objective import OWN
from jaxsynth.trajectory.trajectory import Trajectory
from jaxsynth.types import Array, Batch, Key, PyTree, Spec

# Where a batch keeps what the network read.
READ = 'read'


class Network(NamedTuple):
  """A frozen network and the task it was trained on.

  Attributes:
    params: of the model.
    task_params: of the task.
  """

  params: PyTree
  task_params: PyTree


@functools.lru_cache(8)
def _opened(folder: str) -> tuple[build.Setup, Trajectory]:
  traj = stage.open_trajectory(folder)
  if traj.index.get('program') == 'own':
    raise UserError(
      f'{folder} was trained by a program of its own: its data are not known'
    )
  return build.build(traj.index['config']), traj


@dataclasses.dataclass(frozen=True)
class Activations:
  """Activations of a trained network; see the module's docstring.

  Attributes:
    folder: of the trajectory.
    step: of the snapshot.
    site: name of the activation, [B, T, ..., d] or [B, d].
    mask: name of an array of the batches' info that says which positions
      count, of the shape of the weights; '' for the weights themselves.

  Raises:
    UserError: no such trajectory, snapshot, site or mask, or one whose leading
      axes are not those of the targets.
  """

  folder: str = ''
  step: int = 0
  site: str = ''
  mask: str = ''

  def __post_init__(self):
    setup, traj = _opened(self.folder)
    traj.row(self.step)
    acts, weights, info = self._shapes
    if self.mask and info.get(self.mask) != weights.shape:
      alike = [name for name, shape in info.items() if shape == weights.shape]
      raise unknown('mask', self.mask, alike)
    if self.site not in acts:
      raise unknown('activation', self.site, acts)
    shape = acts[self.site].shape
    if shape[: weights.ndim] != weights.shape or len(shape) <= weights.ndim:
      raise UserError(
        f'{self.site} {shape[1:]} holds no vector for each target '
        f'{weights.shape[1:]} of {type(setup.task).__name__}'
      )

  @property
  def spec(self) -> Spec:
    """The activation of one example, in and out."""
    act = self._shapes[0][self.site]
    one = jax.ShapeDtypeStruct(act.shape[1:], act.dtype)
    return Spec(one, one, None, act.shape[-1])

  def check(self, run: int = 0) -> None:
    """Raises UserError unless `run` is a position in the trajectory's runs."""
    count = len(_opened(self.folder)[1].runs)
    if not 0 <= run < count:
      raise UserError(f'task.run must be in 0..{count - 1}, got {run}')

  def init(self, key: Key, run: Array | int = 0) -> Network:
    """The network and its task's constants; the key changes nothing.

    Args:
      key: unused.
      run: its position in the trajectory's table of runs. May be traced.
    """
    del key
    _, traj = _opened(self.folder)
    rows = [traj.index['runs'][i] for i in traj.run_index]
    specs = [sweep.RunSpec(r['seeds'], r['hparams']) for r in rows]
    take = lambda x: jnp.asarray(x)[run]
    own = jax.tree.map(take, sweep.stack(specs))
    params = jax.tree.map(take, traj.params(self.step))
    return Network(params, traj.constants(own)['task_params'])

  def sample(
    self, task_params: Network, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Activations on a training batch of the network's task."""
    task = _opened(self.folder)[0].task
    batch = task.sample(task_params.task_params, key, step, batch_size)
    return self._seen(task_params, batch)

  def evals(self, task_params: Network, key: Key) -> dict[str, Batch]:
    """Activations on the evaluation sets of the network's task."""
    task = _opened(self.folder)[0].task
    sets = task.evals(task_params.task_params, key)
    return {name: self._seen(task_params, b) for name, b in sets.items()}

  def reference(self, task_params: Network, batch: Batch) -> dict[str, Array]:
    """{'mean'}: the mean activation, whatever the input."""
    del task_params
    weights = batch.weights[..., None]
    axes = tuple(range(batch.inputs.ndim - 1))
    total = jnp.broadcast_to(weights, batch.inputs.shape).sum(axes)
    mean = (batch.inputs * weights).sum(axes) / jnp.maximum(total, 1e-9)
    return {'mean': jnp.broadcast_to(mean, batch.inputs.shape)}

  def resumed(self, task_params: Network, batch: Batch, acts: Array) -> PyTree:
    """What the network predicts if its activation is another one.

    Args:
      task_params: from `init`.
      batch: of this task.
      acts: the activation that it goes on with, like the batch's inputs.

    Returns:
      The prediction, with the batch axis first.
    """
    edit = {self.site: lambda _: acts}
    model = _opened(self.folder)[0].model
    return model.apply(
      task_params.params, batch.info[READ], edit=edit
    ).prediction

  @property
  def _shapes(self) -> tuple[dict, jax.ShapeDtypeStruct, dict]:
    """Of one example: activations, weights, and the shapes of its info."""
    setup, _ = _opened(self.folder)

    def one(key):
      params = setup.model.init(key, setup.task.spec)
      constants = setup.task.init(key, **setup.task_hparams)
      batch = setup.task.sample(constants, key, jnp.int32(0), 1)
      acts = setup.model.apply(params, batch.inputs).acts
      return acts, batch.weights, batch.info

    acts, weights, info = jax.eval_shape(one, jax.random.key(0))
    return acts, weights, {name: x.shape for name, x in info.items()}

  def _seen(self, network: Network, batch: Batch) -> Batch:
    model = _opened(self.folder)[0].model
    x = model.apply(network.params, batch.inputs).acts[self.site]
    x = jax.lax.stop_gradient(x)
    weights = batch.info[self.mask] if self.mask else batch.weights
    extra = x.ndim - 1 - weights.ndim
    weights = weights.reshape(*weights.shape, *[1] * extra)
    weights = jnp.broadcast_to(weights, x.shape[:-1])
    return Batch(x, x, weights, {**batch.info, READ: batch.inputs})


def config(
  trajectory: Trajectory,
  site: str,
  *,
  step: int | None = None,
  runs: Sequence[int] | None = None,
  mask: str = '',
  **sections: Mapping[str, Any],
) -> dict[str, Any]:
  """A config that trains on an activation of a trajectory's networks.

  Args:
    trajectory: opened, or as a training returned it.
    site: name of the activation.
    step: of the snapshot; None for the last one.
    runs: positions in its table of runs; None for all. They are one axis of
      the sweep.
    mask: see `Activations`.
    sections: of the config, as always; a model is trained by its own
      objective unless `train` says otherwise.

  Returns:
    What `launch.train` takes.
  """
  # A view of some runs is opened whole: runs are named by their place there.
  rows = trajectory.run_index
  rows = rows if runs is None else [rows[i] for i in runs]
  step = int(trajectory.steps[-1]) if step is None else step
  sweep_section = dict(sections.get('sweep', {}))
  traced = flat(sweep_section.get('traced', {}))
  return {
    **sections,
    'task': {
      'name': __name__,
      'folder': str(trajectory.folder),
      'step': step,
      'site': site,
      'mask': mask,
    },
    'train': {'loss': OWN, **sections.get('train', {})},
    'sweep': {
      **sweep_section,
      'traced': {'task.run': tuple(map(int, rows)), **traced},
    },
  }


TASK = Activations
