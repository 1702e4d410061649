"""Images of one blurred shape on a plain background, drawn inside jit.

On the grid linspace(-1, 1, side)^2 a mask m is 1 inside the shape,

  circle      |p - centre| < size
  triangle    equilateral, one corner up, about its centroid, of the area
              pi size^2 of the circle

blurred by a Gaussian whose deviation is in pixels, and

  image = m colour + (1 - m) background

The blur is that of `scipy.ndimage.gaussian_filter` (mode 'reflect', kernels
cut at four deviations), which is linear and so is B m B^T with a matrix B.

Source: Park, Okawa, Lee, Lubana and Tanaka (2024), arXiv 2406.19370, and its
code, cfpark00/concept-learning.
"""

import math

import jax.numpy as jnp
import numpy as np

from jaxsynth.types import Array

CUT = 4.0
# Circumradius of the triangle over the radius of the circle of equal area.
_CORNER = math.sqrt(4 * math.pi / (3 * math.sqrt(3)))
_NORMALS = np.asarray(
  [[0.0, 1.0], [-math.sqrt(3) / 2, -0.5], [math.sqrt(3) / 2, -0.5]]
)


def blur_matrix(side: int, deviation: float) -> np.ndarray:
  """B [side, side]: one axis of the blur, reflecting at the borders."""
  if deviation == 0:
    return np.eye(side)
  reach = int(CUT * deviation + 0.5)
  offsets = np.arange(-reach, reach + 1)
  kernel = np.exp(-0.5 * (offsets / deviation) ** 2)
  kernel /= kernel.sum()
  out = np.zeros((side, side))
  for row in range(side):
    place = (row + offsets) % (2 * side)
    place = np.where(place < side, place, 2 * side - 1 - place)
    np.add.at(out[row], place, kernel)
  return out


def mask(side: int, centre: Array, size: Array, triangle: Array) -> Array:
  """1 inside the shape, 0 outside, [side, side], rows from top to bottom.

  Args:
    side: pixels along each side.
    centre: x to the right and y downwards, [2].
    size: radius of the circle, [].
    triangle: 1 for the triangle, 0 for the circle, [].
  """
  line = jnp.linspace(-1.0, 1.0, side)
  y, x = jnp.meshgrid(line - centre[1], line - centre[0], indexing='ij')
  round_ = jnp.square(x) + jnp.square(y) < jnp.square(size)
  # Each edge lies half a circumradius from the centroid.
  edges = [nx * x + ny * y < 0.5 * _CORNER * size for nx, ny in _NORMALS]
  inside = jnp.where(triangle > 0.5, edges[0] & edges[1] & edges[2], round_)
  return inside.astype(jnp.float32)


def render(
  side: int,
  blur: float,
  centre: Array,
  size: Array,
  triangle: Array,
  colour: Array,
  background: Array,
) -> Array:
  """An image [side, side, 3].

  Args:
    side: pixels along each side.
    blur: deviation of the Gaussian, in pixels.
    centre: of the shape, [2].
    size: radius of the circle, or of that of equal area, [].
    triangle: 1 for the triangle, 0 for the circle, [].
    colour: of the shape, [3].
    background: colour of the background, [3].
  """
  b = jnp.asarray(blur_matrix(side, blur), jnp.float32)
  m = (b @ mask(side, centre, size, triangle) @ b.T)[..., None]
  return m * colour + (1 - m) * background
