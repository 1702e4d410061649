"""A small convolutional classifier of images, with a head for each label.

  h_0 = x,  h_{i+1} = act(conv(h_i)),  p = [mean, maximum] of h_L over pixels
  logits of label j = p W_j + b_j

with 3 x 3 convolutions of stride 2, each of which halves the image, and act the
exact GELU. The mean tells how much of something there is, the maximum whether
it is there at all: a small shape hardly moves the mean of an image. A task
whose target is one label has logits [B, V]; one of n labels [B, n, V].

Parameters: convs_{i}.{kernel,bias} [3, 3, in, F_i], [F_i]; heads.kernel
[2 F_L, n, V] and heads.bias [n, V].

Source: convolutions that halve the image, then a pool over all of it, as in
Springenberg, Dosovitskiy, Brox and Riedmiller (2014), arXiv 1412.6806; one head
for each concept after Park, Okawa, Lee, Lubana and Tanaka (2024), arXiv
2406.19370.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxsynth.errors import UserError
from jaxsynth.models._convolution import Conv
from jaxsynth.models.base import Edit, Output, check_edit, tap
from jaxsynth.types import Array, Key, PyTree, Spec


@dataclasses.dataclass(frozen=True)
class ConvNet:
  """A classifier of images [S, S, C]; see the module's docstring.

  | site       | shape           | what                          |
  |------------|-----------------|-------------------------------|
  | convs.{i}  | [B, s, s, F_i]  | after a convolution and act   |
  | pooled     | [B, 2 F]        | mean and maximum over pixels  |
  | output     | [B, ..., V]     | the logits, the prediction    |

  Attributes:
    channels: F of each convolution.
  """

  channels: tuple[int, ...] = (8, 16)

  def __post_init__(self):
    whole = lambda w: isinstance(w, int) and not isinstance(w, bool) and w >= 1
    c = self.channels
    if not isinstance(c, tuple) or not c or not all(map(whole, c)):
      raise UserError(
        f'channels is a tuple of positive whole numbers, (8, 16): {c!r}'
      )

  def check(self, spec: Spec) -> None:
    """Raises UserError unless the task is to label images."""
    shape = getattr(spec.inputs, 'shape', ())
    target = getattr(spec.targets, 'dtype', jnp.float32)
    labels = jnp.issubdtype(target, jnp.integer)
    if spec.vocab_size is not None or len(shape) != 3 or not labels:
      raise UserError(
        'convnet labels images [side, side, channels] (task concept_labels), '
        'not what this task offers: choose another model'
      )

  def init(self, key: Key, spec: Spec) -> PyTree:
    """Fresh parameters.

    Raises:
      UserError: the task does not fit, see `check`.
    """
    self.check(spec)
    net = _Network(self, (*spec.targets.shape, spec.output_size))
    image = jnp.zeros((1, *spec.inputs.shape))
    return net.init(key, image, lambda _, x: x)['params']

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
    """The logits [B, ..., V] and activations; see `Model.apply`.

    Args:
      params: as returned by `init`.
      inputs: images [B, S, S, C].
      edit: site name -> Edit, see the table of sites.
      carry: unused, there is no state.
      key: unused, there is no chance.
      fast: on a CPU, convolutions as products of patches.

    Raises:
      UserError: an unknown site.
    """
    del key
    acts: dict[str, Array] = {}
    site = functools.partial(tap, acts, edit)
    patches = fast and jax.default_backend() == 'cpu'
    net = _Network(self, params['heads']['bias'].shape, patches)
    logits = net.apply({'params': params}, inputs, site)
    check_edit(edit, acts)
    return Output(logits, acts, carry)


class _Network(nn.Module):
  """The whole network; `site(name, value)` taps and edits an activation."""

  config: ConvNet
  heads: tuple[int, ...]
  patches: bool = False

  @nn.compact
  def __call__(self, x, site):
    for i, width in enumerate(self.config.channels):
      conv = Conv(width, stride=2, patches=self.patches, name=f'convs_{i}')
      x = site(f'convs.{i}', jax.nn.gelu(conv(x), approximate=False))
    pooled = jnp.concatenate([x.mean((1, 2)), x.max((1, 2))], -1)
    pooled = site('pooled', pooled)
    logits = nn.DenseGeneral(self.heads, name='heads')(pooled)
    return site('output', logits)


MODEL = ConvNet
