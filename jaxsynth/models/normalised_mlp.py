"""A network whose hidden weights have no scale: every layer is normalised.

  h_0 = x,   h_i = tanh(LN(h_{i-1} W_i)),  i = 1..L,   prediction = h_L W_out

with LN(z) = (z - mean z) / sqrt(var z + eps), without gain and shift, over the
last axis, and no biases. Hence f(c W_i) = f(W_i) for every c > 0, up to eps:
each hidden matrix is *scale-invariant*, its gradient is orthogonal to it,
<W_i, dL/dW_i> = 0, and only its direction matters.

Initialisation: W_i ~ normal(0, 1 / rows), the usual fan-in scaling.

Parameters: hidden_{i}.kernel [D, D], the first [Din, D], and out.kernel
[D, output]. Inputs are real, [B, ..., Din], and anything between the first and
the last axis is carried along.

Source: Ba, Kiros and Hinton (2016), "Layer Normalization", arXiv 1607.06450;
Arora, Li and Lyu (2018), "Theoretical Analysis of Auto Rate-Tuning by Batch
Normalization", arXiv 1812.03981, for what scale invariance implies.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError
from jaxsynth.models.base import Edit, Output, check_edit, tap
from jaxsynth.types import Array, Key, PyTree, Spec


@dataclasses.dataclass(frozen=True)
class NormalisedMLP:
  """Layers of scale-invariant weights; see the module's docstring.

  | site                      | shape       | what                     |
  |---------------------------|-------------|--------------------------|
  | blocks.{i}.mlp.pre        | [B, ..., D] | h W, before the norm     |
  | blocks.{i}.ln.normalized  | [B, ..., D] | after it                 |
  | blocks.{i}.mlp.post       | [B, ..., D] | its tanh                 |
  | logits                    | [B, ..., V] | the prediction           |

  Attributes:
    num_layers: hidden layers L.
    d_model: width D of each.
    eps: added to the variance; the scale of a weight matters once the
      variance of its layer comes near it.
  """

  num_layers: int = 1
  d_model: int = 32
  eps: float = 1e-12

  def __post_init__(self):
    if self.num_layers < 1:
      raise UserError(f'num_layers must be at least 1: {self.num_layers}')
    if self.d_model < 2:
      raise UserError(
        f'd_model must be at least 2 to be normalised, got {self.d_model}'
      )
    if not self.eps >= 0:
      raise UserError(f'eps must not be negative: {self.eps}')

  def check(self, spec: Spec) -> None:
    """Raises UserError when this network cannot read the task."""
    shape = getattr(spec.inputs, 'shape', None)
    if spec.vocab_size is not None or not shape:
      raise UserError(
        f'a normalised MLP reads real vectors [..., Din], the task offers '
        f'{"tokens" if shape is not None else "a tree"}: choose another model'
      )

  def init(self, key: Key, spec: Spec) -> PyTree:
    """Fresh parameters for the inputs and outputs of a task.

    Raises:
      UserError: the task does not fit, see `check`.
    """
    self.check(spec)
    sizes = [spec.inputs.shape[-1], *[self.d_model] * self.num_layers]
    sizes.append(spec.output_size)
    names = [f'hidden_{i}' for i in range(self.num_layers)] + ['out']

    def kernel(i: int) -> Array:
      shape = sizes[i], sizes[i + 1]
      draw = jax.random.normal(jax.random.fold_in(key, i), shape)
      return draw / jnp.sqrt(sizes[i])

    return {name: {'kernel': kernel(i)} for i, name in enumerate(names)}

  def apply(
    self,
    params: PyTree,
    inputs: Array,
    *,
    edit: dict[str, Edit] | None = None,
    carry: PyTree = None,
    key: Key | None = None,
    fast: bool = False,
  ) -> Output:
    """Predictions [B, ..., output] and activations.

    Args:
      params: as returned by `init`.
      inputs: real vectors [B, ..., Din].
      edit: site name -> Edit, see the table of sites.
      carry: unused, there is no state.
      key: unused, there is no noise.
      fast: unused, there is one way to compute it.

    Raises:
      UserError: an unknown site.
    """
    del carry, key, fast
    acts: dict[str, Array] = {}
    h = inputs
    for i in range(self.num_layers):
      site = lambda name, value, i=i: tap(
        acts, edit, f'blocks.{i}.{name}', value
      )
      h = site('mlp.pre', h @ params[f'hidden_{i}']['kernel'])
      h = h - h.mean(-1, keepdims=True)
      scale = jnp.sqrt(jnp.square(h).mean(-1, keepdims=True) + self.eps)
      h = site('mlp.post', jnp.tanh(site('ln.normalized', h / scale)))
    logits = tap(acts, edit, 'logits', h @ params['out']['kernel'])
    check_edit(edit, acts)
    return Output(logits, acts)


MODEL = NormalisedMLP
