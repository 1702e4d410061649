"""A study of two stages for the tests to kill: the second starts where the
first stood at step 20. Two results, one figure, one gated claim."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from survival import config

from jaxsynth import stage
from jaxsynth.studies.claim import Claim, Gate
from jaxsynth.studies.study import Study


def get_config(preset):
  return config.get_config()


def run(bench):
  first = bench.train()
  second = bench.train('second', parent=stage.Parent(first, 20))

  def distance():
    last = [t.leaf('x')[:, -1] for t in (first, second)]
    return xr.Dataset({'x': (('stage', 'run'), np.square(last).sum(-1))})

  x = bench.measure('distance', distance)['x']
  ratio = bench.measure('ratio', lambda: xr.Dataset({'r': x[1] / x[0]}))['r']
  fig, ax = plt.subplots()
  ax.plot(x.values)
  bench.figure('distance', fig, 'How far from the minimum.')
  bench.claim('falls', ratio.values, null=1e9)


CLAIM = Claim('falls', 'It falls.', 'it does', 'Fig. 1', Gate('<', 1e6), 'far')
STUDY = Study('A study', 'nobody', [CLAIM], run)
