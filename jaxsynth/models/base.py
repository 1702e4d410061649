"""The Model protocol: `init` and `apply`, named activations, edits.

A model is a frozen dataclass of static sizes in its own module, which ends in
`MODEL = MyModel`. Only this folder imports flax. `apply` returns a flat dict
of named activations; what nobody reads, jit removes. An *edit* changes
activations on the way: a dict from site name to `Edit`, whose names are
static and whose values are traced, so a sweep over heads, positions and
strengths is one vmap and one compile.

A model that is trained by an objective of its own (an autoencoder, say) has
besides

  hparams                     numbers of the objective a sweep may trace
  memory(params)              what it remembers from step to step, at first
  objective(params, batch, memory, hparams) -> losses, scalars, memory

with losses and scalars of every example; one whose `asks` is true is given
besides what the network does that its inputs come from, a key and the step; see
`train.objective`.
"""

from typing import NamedTuple, Protocol

import jax

from jaxsynth import lookup
from jaxsynth.errors import unknown
from jaxsynth.types import Array, Key, PyTree, Spec


class Output(NamedTuple):
  """What `apply` returns.

  Attributes:
    prediction: e.g. logits [B, T, V].
    acts: site name -> activation ('blocks.0.attn.pattern': [B, H, T, T]).
    carry: key-value cache or recurrent state after these inputs, or None.
  """

  prediction: PyTree
  acts: dict[str, Array]
  carry: PyTree = None


class Edit(NamedTuple):
  """An affine edit of one activation: keep * act + act @ project + add.

  Every part is optional and broadcasts against the activation; `project`
  acts on its last axis. The named interventions are cases of it:

    patch       keep=1 - mask, add=mask * other      zero  keep=1 - mask
    steer       add=strength * direction
    erase       project=-P, add=P @ mean             (P [D, D], keep left out)
  """

  keep: Array | None = None
  project: Array | None = None
  add: Array | None = None

  def __call__(self, act: Array) -> Array:
    out = act if self.keep is None else self.keep * act
    if self.project is not None:
      out = out + act @ self.project
    if self.add is not None:
      out = out + self.add
    return out.astype(act.dtype)


class Model(Protocol):
  """What every model offers. `self` is a frozen dataclass of static sizes."""

  def init(self, key: Key, spec: Spec) -> PyTree:
    """Fresh parameters: nested dicts of arrays."""

  def apply(
    self,
    params: PyTree,
    inputs: PyTree,
    *,
    edit: dict[str, Edit] | None = None,
    carry: PyTree = None,
    key: Key | None = None,
    fast: bool = False,
  ) -> Output:
    """The network as a pure function.

    Args:
      params: as returned by `init`.
      inputs: any pytree, batch axis first.
      edit: site name -> Edit; unknown names raise UserError.
      carry: state to continue from (cache, recurrent state), or None.
      key: for dropout and other noise; None means deterministic.
      fast: train with the backend's fastest kernels. Sites inside a fused
        kernel are then missing from `acts`, and editing them is an error.
    """


def tap(
  acts: dict[str, Array],
  edit: dict[str, Edit] | None,
  name: str,
  value: Array,
) -> Array:
  """Edits the activation at site `name`, records it in `acts`, returns it."""
  if edit and name in edit:
    value = edit[name](value)
  acts[name] = value
  return value


def check_edit(edit: dict[str, Edit] | None, acts: dict[str, Array]) -> None:
  """Raises UserError when an edit names a site the network did not visit."""
  for name in edit or ():
    if name not in acts:
      raise unknown('activation', name, acts)


def check(model: Model, spec: Spec) -> None:
  """Refuses a model that cannot read this task, before anything compiles.

  A model with such limits (a maximal length, say) has a method `check(spec)`
  that raises UserError.
  """
  if hasattr(model, 'check'):
    model.check(spec)


def hparams(model: Model) -> dict[str, float]:
  """Traceable numbers of a model's own objective; {} if it has none."""
  return model.hparams if hasattr(model, 'objective') else {}


def activation_bytes(model: Model, spec: Spec) -> int:
  """Bytes of all activations of one example in training, from shapes alone."""
  one = lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype)
  params = jax.eval_shape(lambda key: model.init(key, spec), jax.random.key(0))
  out = jax.eval_shape(
    lambda p, x: model.apply(p, x, fast=True),
    params,
    jax.tree.map(one, spec.inputs),
  )
  leaves = jax.tree.leaves((out.prediction, out.acts))
  return sum(x.size * x.dtype.itemsize for x in leaves)


def names() -> list[str]:
  """Names of all models in this folder."""
  return lookup.names('jaxsynth.models')


def get(name: str) -> type:
  """The model class of module `name` (or of a dotted path)."""
  return lookup.get('jaxsynth.models', name, 'MODEL')
