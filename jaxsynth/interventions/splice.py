"""An autoencoder spliced into a network: its activation is rebuilt on the way.

In the place of an activation a stands what an autoencoder makes of it,

  a <- D(E(a)),   or with latents changed   a <- D(edit(E(a)))

at every position, also while a network writes (`jaxsynth.generate`). What the
network then does says what the autoencoder has kept; with one latent held at a
value, what that latent causes.

Source: Bricken et al. (2023), "Towards Monosemanticity", for splicing and
clamping; Menon et al. (2024), arXiv 2410.11767, for spliced generation.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jaxsynth.models.base import Edit, Model
from jaxsynth.types import Array, PyTree


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=('params', 'edit'),
  meta_fields=('model',),
)
@dataclasses.dataclass(frozen=True)
class Splice:
  """An edit, as `Model.apply` and `generate` take it, by an autoencoder.

  Attributes:
    model: the autoencoder, static.
    params: its parameters.
    edit: of the autoencoder's own activations, or None.
  """

  model: Model
  params: PyTree
  edit: dict[str, Edit] | None = None

  def __call__(self, act: Array) -> Array:
    out = self.model.apply(self.params, act, edit=self.edit)
    return out.prediction.astype(act.dtype)


def clamp(latent: Array, value: Array, width: int) -> dict[str, Edit]:
  """The edit of an autoencoder that holds one latent at a value.

  Args:
    latent: which, int []; may be traced.
    value: []; may be traced.
    width: latents w.

  Returns:
    For `Splice`: the site of the codes -> Edit.
  """
  on = (jnp.arange(width) == latent).astype(jnp.float32)
  return {'sae.codes': Edit(keep=1 - on, add=value * on)}
