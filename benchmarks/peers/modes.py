"""Ways to train several runs in PyTorch; knows their names, not PyTorch.

A mode is a kind and its options, joined by dashes:

  eager      nn.Module and autograd as they are
  compile    the same with loss and network compiled
  full       loss, gradient, clipping and AdamW in one compiled graph
  vmap       all runs of a process at once by torch.func.vmap
  vmapc      the same, compiled

  mbN        in sequences of N with gradients added up, for the cache
  cpp        compiled code called from C++ rather than from Python
  max        max-autotune
"""

import dataclasses
import re

from jaxsynth.errors import UserError, unknown

KINDS = ('eager', 'compile', 'full', 'vmap', 'vmapc')
# The modes tried for each config unless told otherwise. Which one is fastest
# is found anew in every measurement, and all their figures are kept.
CANDIDATES = {
  'tiny': ('full-cpp-max', 'full-cpp', 'full', 'compile', 'eager', 'vmap'),
  'small': ('compile-mb4', 'compile-mb8', 'full-mb8', 'eager-mb8', 'compile'),
  'paper': ('eager-mb8', 'compile-mb8', 'eager-mb4', 'compile'),
}


@dataclasses.dataclass(frozen=True)
class Mode:
  """A way to train; see the module.

  Attributes:
    kind: one of KINDS.
    part: sequences to a microbatch; 0 for the whole batch.
    cpp: whether compiled code is called from C++.
    max: whether kernels are chosen by timing them.
  """

  kind: str
  part: int = 0
  cpp: bool = False
  max: bool = False

  @classmethod
  def parse(cls, text: str) -> 'Mode':
    """Reads 'full-cpp-max' and the like.

    Raises:
      UserError: it is no mode.
    """
    kind, *options = text.split('-')
    if kind not in KINDS:
      raise unknown('mode', kind, KINDS)
    for option in options:
      if not re.fullmatch(r'mb[1-9]\d*|cpp|max', option):
        raise UserError(
          f'unknown option {option!r} of mode {text!r}: choose from mbN, cpp, '
          'max'
        )
    parts = [int(o[2:]) for o in options if o.startswith('mb')]
    return cls(kind, *parts or [0], 'cpp' in options, 'max' in options)
