"""Activations of one run put into another: activation patching.

A clean input gives the activations a', a corrupted one a; where the mask M is
1 the corrupted run goes on with a',

  (1 - M) a + M a'.

What the output then is says what those activations carry.

Source: Vig et al. (2020), "Investigating Gender Bias in Language Models Using
Causal Mediation Analysis", arXiv 2004.12265; Meng et al. (2022), arXiv
2202.05262.
"""

from collections.abc import Mapping

from jaxsynth.errors import unknown
from jaxsynth.interventions.ablate import replace
from jaxsynth.models.base import Edit
from jaxsynth.types import Array


def patch(
  acts: Mapping[str, Array], masks: Mapping[str, Array | float]
) -> dict[str, Edit]:
  """The edit of a corrupted run that puts in activations of a clean one.

  Args:
    acts: of the clean run, by site.
    masks: site -> what is put in: 1 for all of it, or a mask that broadcasts
      to its activation, such as `ablate.where` or `ablate.of_heads` makes.
      Values between 0 and 1 put it in that far. May be traced.

  Returns:
    site -> Edit.

  Raises:
    UserError: an unknown site.
  """
  for site in masks:
    if site not in acts:
      raise unknown('activation', site, acts)
  return {site: replace(mask, acts[site]) for site, mask in masks.items()}
