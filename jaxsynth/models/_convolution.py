"""A convolution of images, which a CPU trains fast as a product of patches."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class Conv(nn.Module):
  """A convolution with a square kernel, padded to keep the image's side.

  As patches, it is one product of [B s s, size^2 C] with the kernel: the same
  sum, whose gradient is fast where that of a convolution is not (on a CPU).
  """

  features: int
  size: int = 3
  stride: int = 1
  bias: bool = True
  patches: bool = False
  zero: bool = False

  @nn.compact
  def __call__(self, x):
    channels, size, stride = x.shape[-1], self.size, self.stride
    zeros, drawn = nn.initializers.zeros, nn.initializers.lecun_normal()
    shape = (size, size, channels, self.features)
    kernel = self.param('kernel', zeros if self.zero else drawn, shape)
    margin = size // 2
    padding = ((margin, margin), (margin, margin))
    if self.patches:
      wide = jnp.pad(x, ((0, 0), *padding, (0, 0)))
      rows, cols = x.shape[1:3]
      taken = [
        wide[:, i : i + rows : stride, j : j + cols : stride]
        for i in range(size)
        for j in range(size)
      ]
      out = jnp.concatenate(taken, -1) @ kernel.reshape(-1, self.features)
    else:
      out = jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      )  # fmt: skip
    if self.bias:
      out = out + self.param('bias', zeros, (self.features,))
    return out
