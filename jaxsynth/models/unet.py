"""A conditional U-Net that answers the noise in an image.

Levels of `channels`, each with `blocks` residual blocks on the way down and on
the way up; between levels the image is halved by a strided convolution and
doubled by repeating pixels; the way up reads what the way down had there. In
the middle: a block, self-attention over pixels, a block. A residual block is

  x + conv(act(norm(conv(act(norm(x))) + act(e) U)))

with e the embeddings of noise level and condition (`models._denoising`), U
each block's own, 3 x 3 convolutions, group normalisation, the exact GELU; x
is projected where the channels differ. The answer is z + conv(act(norm(h))),
whose last convolution starts at zero.

Source: Ho, Jain and Abbeel (2020), arXiv 2006.11239, appendix B; as in Park,
Okawa, Lee, Lubana and Tanaka (2024), arXiv 2406.19370, and its code,
cfpark00/concept-learning: channels 64, 128, 256, two blocks a level, 8 groups.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxsynth.errors import UserError
from jaxsynth.models import _denoising
from jaxsynth.models._convolution import Conv
from jaxsynth.models.base import Edit, Output, check_edit, tap
from jaxsynth.types import Array, Key, PyTree, Spec


@dataclasses.dataclass(frozen=True)
class UNet:
  """A denoiser of images [S, S, C]; see the module's docstring.

  | site                | shape           | what                           |
  |---------------------|-----------------|--------------------------------|
  | embed.time          | [B, E]          | of the noise level             |
  | embed.condition     | [B, E]          | of the condition               |
  | down.{i}.{j}        | [B, s, s, F_i]  | after a block on the way down  |
  | mid.{j}             | [B, s, s, F]    | after each of the two in the   |
  |                     |                 | middle                         |
  | mid.attn.pattern    | [B, H, ss, ss]  | attention over pixels          |
  | mid.attn_out        | [B, s, s, F]    | what it adds                   |
  | up.{i}.{j}          | [B, s, s, F_i]  | after a block on the way up    |
  | output              | [B, S, S, C]    | the noise answered             |

  Attributes:
    channels: F of each level; the side S is halved between levels.
    blocks: residual blocks of a level, each way.
    groups: of the normalisation; divides every entry of `channels`.
    heads: of the attention; divides the last entry.
    embed_dim: E.
  """

  channels: tuple[int, ...] = (8, 16)
  blocks: int = 1
  groups: int = 4
  heads: int = 1
  embed_dim: int = 16

  def __post_init__(self):
    whole = lambda w: isinstance(w, int) and not isinstance(w, bool) and w >= 1
    c = self.channels
    if not isinstance(c, tuple) or not c or not all(map(whole, c)):
      raise UserError(
        f'channels is a tuple of positive whole numbers, (8, 16): {c!r}'
      )
    for name in ('blocks', 'groups', 'heads', 'embed_dim'):
      if not whole(getattr(self, name)):
        raise UserError(f'{name} must be at least 1: {getattr(self, name)!r}')
    if any(w % self.groups for w in c) or c[-1] % self.heads:
      raise UserError(
        f'groups={self.groups} must divide channels {c}, and '
        f'heads={self.heads} the last of them'
      )

  def check(self, spec: Spec) -> None:
    """Raises UserError unless the task is one of noisy images that halve."""
    _denoising.check(spec, 3, 'unet')
    shape, times = spec.inputs['noisy'].shape, 2 ** (len(self.channels) - 1)
    if shape[0] % times or shape[1] % times:
      raise UserError(
        f'a unet of {len(self.channels)} levels needs sides divisible by '
        f'{times}, the task has images {shape[0]} x {shape[1]}'
      )

  def init(self, key: Key, spec: Spec) -> PyTree:
    """Fresh parameters.

    Raises:
      UserError: the task does not fit, see `check`.
    """
    self.check(spec)
    net = _Network(self)
    return net.init(key, _denoising.zeros(spec), lambda _, x: x)['params']

  def apply(
    self,
    params: PyTree,
    inputs: dict[str, Array],
    *,
    edit: dict[str, Edit] | None = None,
    carry: PyTree = None,
    key: Key | None = None,
    fast: bool = False,
  ) -> Output:
    """The noise [B, S, S, C] and activations; see `Model.apply`.

    Args:
      params: as returned by `init`.
      inputs: noisy [B, S, S, C], gamma [B], condition [B, c].
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
    net = _Network(self, fast and jax.default_backend() == 'cpu')
    answer = net.apply({'params': params}, inputs, site)
    check_edit(edit, acts)
    return Output(answer, acts, carry)


class _Block(nn.Module):
  """A residual block, [B, s, s, _] -> [B, s, s, features]."""

  features: int
  groups: int
  patches: bool

  @nn.compact
  def __call__(self, x, e):
    act = _denoising.act
    conv = functools.partial(Conv, self.features, patches=self.patches)
    # The first normalisation reads joined channels, which groups divide too.
    h = act(nn.GroupNorm(self.groups, name='norm_in')(x))
    h = conv(name='conv_in')(h)
    told = nn.Dense(self.features, use_bias=False, name='embed')(act(e))
    h = act(nn.GroupNorm(self.groups, name='norm_out')(h + told[:, None, None]))
    h = conv(name='conv_out')(h)
    if x.shape[-1] != self.features:
      x = conv(size=1, bias=False, name='skip')(x)
    return x + h


class _Attention(nn.Module):
  """Self-attention over the pixels of [B, s, s, F]: what it adds."""

  groups: int
  heads: int

  @nn.compact
  def __call__(self, x, site):
    batch, height, width, features = x.shape
    h = nn.GroupNorm(self.groups, name='norm')(x)
    h = h.reshape(batch, height * width, features)
    dense = functools.partial(nn.Dense, use_bias=False)
    split = lambda name: dense(features, name=name)(h).reshape(
      batch, height * width, self.heads, -1
    )
    q, k, v = split('q'), split('k'), split('v')
    scores = jnp.einsum('bqhc,bkhc->bhqk', q, k) / jnp.sqrt(q.shape[-1])
    pattern = site('mid.attn.pattern', jax.nn.softmax(scores))
    z = jnp.einsum('bhqk,bkhc->bqhc', pattern, v)
    out = nn.Dense(features, name='out')(z.reshape(h.shape))
    return site('mid.attn_out', out.reshape(x.shape))


class _Network(nn.Module):
  """The whole network; `site(name, value)` taps and edits an activation."""

  config: UNet
  patches: bool = False

  @nn.compact
  def __call__(self, inputs, site):
    c = self.config
    conv = functools.partial(Conv, patches=self.patches)
    e = _denoising.embeddings(inputs, c.embed_dim, site)
    z = inputs['noisy']
    h, kept = conv(c.channels[0], name='input')(z), []
    block = lambda name, width: _Block(width, c.groups, self.patches, name=name)
    last = len(c.channels) - 1
    for i, width in enumerate(c.channels):
      for j in range(c.blocks):
        h = site(f'down.{i}.{j}', block(f'down_{i}_{j}', width)(h, e))
        kept.append(h)
      if i < last:
        h = conv(width, stride=2, name=f'halve_{i}')(h)
    h = site('mid.0', block('mid_0', h.shape[-1])(h, e))
    h = h + _Attention(c.groups, c.heads, name='attn')(h, site)
    h = site('mid.1', block('mid_1', h.shape[-1])(h, e))
    for i, width in reversed(list(enumerate(c.channels))):
      for j in range(c.blocks):
        both = jnp.concatenate([h, kept.pop()], -1)
        h = site(f'up.{i}.{j}', block(f'up_{i}_{j}', width)(both, e))
      if i:
        h = h.repeat(2, axis=1).repeat(2, axis=2)
        h = conv(c.channels[i - 1], name=f'double_{i}')(h)
    h = _denoising.act(nn.GroupNorm(c.groups, name='norm')(h))
    out = conv(z.shape[-1], zero=True, name='output')(h)
    return site('output', z + out)


MODEL = UNet
