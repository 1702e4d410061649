"""A multilayer perceptron that answers the noise in a vector.

  h_0 = z,  h_{i+1} = act(h_i W_i + e U_i + b_i),  answer = z + h_L W_out + b

with e the embeddings of noise level and condition (`models._denoising`) and act
the exact GELU. W_out and its bias start at zero: the first answer is z, the
best where all is noise.

Parameters: schedule.{start,end}; time.{in,out} and condition.{in,out}, the
embeddings; layers_{i}.{kernel,bias} [in, F], embed_{i}.kernel [2 E, F];
output.{kernel,bias}.

Source: denoising vectors with such a network is in the code of Park, Okawa,
Lee, Lubana and Tanaka (2024), arXiv 2406.19370, cfpark00/concept-learning; the
sum z + ... is that of Kingma et al. (2021), arXiv 2107.00630.
"""

import dataclasses
import functools

from flax import linen as nn

from jaxsynth.errors import UserError
from jaxsynth.models import _denoising
from jaxsynth.models.base import Edit, Output, check_edit, tap
from jaxsynth.types import Array, Key, PyTree, Spec


@dataclasses.dataclass(frozen=True)
class DenoiserMLP:
  """A denoiser of vectors; see the module's docstring.

  | site             | shape  | what                               |
  |------------------|--------|------------------------------------|
  | embed.time       | [B, E] | of the noise level                 |
  | embed.condition  | [B, E] | of the condition                   |
  | layers.{i}.pre   | [B, F] | before the activation              |
  | layers.{i}.post  | [B, F] | after it                           |
  | output           | [B, D] | the noise answered, the prediction |

  Attributes:
    widths: F of each hidden layer.
    embed_dim: E.
  """

  widths: tuple[int, ...] = (64, 64)
  embed_dim: int = 16

  def __post_init__(self):
    whole = lambda w: isinstance(w, int) and not isinstance(w, bool) and w >= 1
    widths = self.widths
    if (
      not isinstance(widths, tuple) or not widths or not all(map(whole, widths))
    ):
      raise UserError(
        f'widths is a tuple of positive whole numbers, (64, 64): {widths!r}'
      )
    if self.embed_dim < 1:
      raise UserError(f'embed_dim must be at least 1, got {self.embed_dim}')

  def check(self, spec: Spec) -> None:
    """Raises UserError unless the task is one of noisy vectors."""
    _denoising.check(spec, 1, 'denoiser_mlp')

  def init(self, key: Key, spec: Spec) -> PyTree:
    """Fresh parameters.

    Raises:
      UserError: the task does not fit, see `check`.
    """
    self.check(spec)
    net = _Network(self, spec.output_size)
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
    """The noise [B, D] and activations; see `Model.apply`.

    Args:
      params: as returned by `init`.
      inputs: noisy [B, D], gamma [B], condition [B, c].
      edit: site name -> Edit, see the table of sites.
      carry: unused, there is no state.
      key: unused, there is no chance.
      fast: unused, there is one way to compute it.

    Raises:
      UserError: an unknown site.
    """
    del key, fast
    acts: dict[str, Array] = {}
    net = _Network(self, params['output']['kernel'].shape[1])
    site = functools.partial(tap, acts, edit)
    answer = net.apply({'params': params}, inputs, site)
    check_edit(edit, acts)
    return Output(answer, acts, carry)


class _Network(nn.Module):
  """The whole network; `site(name, value)` taps and edits an activation."""

  config: DenoiserMLP
  output_size: int

  @nn.compact
  def __call__(self, inputs, site):
    c = self.config
    e = _denoising.embeddings(inputs, c.embed_dim, site)
    h = inputs['noisy']
    for i, width in enumerate(c.widths):
      told = nn.Dense(width, use_bias=False, name=f'embed_{i}')(e)
      h = site(f'layers.{i}.pre', nn.Dense(width, name=f'layers_{i}')(h) + told)
      h = site(f'layers.{i}.post', _denoising.act(h))
    zero = nn.initializers.zeros
    out = nn.Dense(self.output_size, kernel_init=zero, name='output')(h)
    return site('output', inputs['noisy'] + out)


MODEL = DenoiserMLP
