"""Regions are drawn where the masks say."""

import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.plots import fields, style


def test_outlines_run_along_the_masks():
  line = np.linspace(-2, 2, 41)
  x, y = np.meshgrid(line, line)
  masks = np.stack([x**2 + y**2 < 1, y > 0.5, x > 9])
  _, ax = style.figure()
  fields.regions(ax, masks, 2.0, ['disc', 'above', 'none'], points=[[0, 1]])
  outlines = [c for c in ax.collections if not c.get_fill()]
  assert len(outlines) == 2
  disc, above = (np.concatenate([p.vertices for p in c.get_paths()])
                 for c in outlines)  # fmt: skip
  np.testing.assert_allclose(np.hypot(*disc.T), 1, atol=0.1)
  np.testing.assert_allclose(above[:, 1], 0.5, atol=0.06)
  assert [t.get_text() for t in ax.get_legend().get_texts()] == [
    'disc', 'above', 'none',
  ]  # fmt: skip
  assert ax.get_xlim() == (-2, 2)


def test_masks_and_names_must_match():
  _, ax = style.figure()
  with pytest.raises(UserError, match='masks must be'):
    fields.regions(ax, np.zeros((2, 3, 4)), 1.0, ['a', 'b'])
  with pytest.raises(UserError, match='names for'):
    fields.regions(ax, np.zeros((2, 3, 3)), 1.0, ['a'])
