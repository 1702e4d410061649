"""Abrupt learning: a transformer copies a matrix, then completes it.

A small bidirectional transformer reads low-rank matrices of which some
entries are hidden and writes all of them (jaxsynth.tasks.matrix_completion).
Its loss stays on a plateau, where it copies what it sees and writes about 0
elsewhere, and then falls. The networks before and after are compared, taken
apart and put together again.

Thresholds come from the published finding, its specification or pilot seeds
of 1000 and above; they were fixed before the reported seeds ran.

Source: Gopalani, Lubana and Hu, "Abrupt Learning in Transformers: A Case Study
on Matrix Completion" (NeurIPS 2024), arXiv 2410.22244.
"""

import functools

import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from jaxsynth import build, stage
from jaxsynth.config import plain
from jaxsynth.experiments import _matrix_completion_figures as figures
from jaxsynth.experiments import _matrix_completion_interventions as changes
from jaxsynth.experiments import _matrix_completion_measures as measures
from jaxsynth.experiments import _matrix_completion_numbers as numbers
from jaxsynth.experiments._matrix_completion_claims import CLAIMS
from jaxsynth.studies.study import Bench, Study
from jaxsynth.studies.variants import of_sections


def trained_anew(config: ConfigDict, component: str) -> ConfigDict:
  """The stage that trains one component from scratch, the others final."""
  patterns = changes.COMPONENTS[component]
  steps = config.measure.components.steps
  training = {'steps': steps, 'trainable': patterns, 'fresh': patterns,
              'snapshots': 'last', 'branches': ()}  # fmt: skip
  return of_sections(config, {'train': training})


def by_seed(found: xr.Dataset, traj) -> xr.Dataset:
  """The runs of a result named by their seeds."""
  return found.assign_coords(run=traj.runs['seed.init'].to_numpy())


def read(bench: Bench, setup: build.Setup, traj) -> dict[str, xr.Dataset]:
  """Everything that is measured of the main training."""
  task, model, m = setup.task, setup.model, setup.measure
  ends = traj.sel(steps=[m['before'], traj.steps[-1]])
  last = traj.sel(steps=[traj.steps[-1]])
  heads = {n: ('layer', 'head') for n in measures.grid_attention.SETS}
  parts = [*changes.parts(model)]
  layers = ('layer',)
  compute = {
    'curves': lambda: traj.map(
      measures.curves(task, tuple(m['shown'])),
      dims={'copied': ('shown',), 'completed': ('shown',), **heads},
      coords={'shown': list(m['shown'])},
      title='errors, heads',
    ),
    'beyond': lambda: last.map(
      measures.beyond(
        task, tuple(m['shares']), m['matrices'], m['iterations']
      ),
      dims={'laws': ('law',)} | {
        n: ('share',) for n in (
          'true_norm', 'gap', 'network', 'network_hidden', 'network_norm',
          'convex', 'convex_hidden', 'convex_norm',
        )
      },
      coords={'law': list(measures.LAWS), 'share': list(m['shares'])},
      title='other matrices, convex',
    ),
    'probes': lambda: ends.map(
      measures.read_by_probes(task, tuple(m['probe'])),
      dims={
        f'{n}{suffix}': layers
        for n in ('element', 'row', 'vector') for suffix in ('', '_cosine')
      },
      coords={'layer': np.arange(model.num_layers + 1)},
      title='probes',
    ),
    'patched': lambda: ends.map(
      changes.patched(task, model),
      dims={'observed': ('part',), 'hidden': ('part',)},
      coords={'part': parts},
      title='patching',
    ),
    'ablated': lambda: ends.map(
      changes.ablated(task, model),
      dims={'observed': ('part',), 'hidden': ('part',)},
      coords={'part': [*parts, 'positions']},
      title='uniform attention',
    ),
    'stitched': lambda: ends.map(
      changes.stitched(task),
      over='run',
      dims={'observed': ('taken',), 'hidden': ('taken',)},
      coords={'taken': list(changes.STITCHES)},
      title='stitching',
    ),
  }  # fmt: skip
  if task.reads == 'tokens':
    compute['tokens'] = lambda: last.map(
      measures.tokens(task),
      dims={'norm': ('value',), 'coordinates': ('value', 'axis'),
            'explained': ('axis',)},
      title='embedding',
    )  # fmt: skip
  return {
    n: bench.measure(n, lambda fn=fn: by_seed(fn(), traj))
    for n, fn in compute.items()
  }


def training_alone(
  bench: Bench, config: ConfigDict, traj
) -> dict[str, xr.Dataset]:
  """Each component trained anew: errors at the evaluations."""
  found = {}
  for name in config.measure.components.names:
    parent = stage.Parent(traj, int(traj.steps[-1]))
    own = trained_anew(config, name)
    child = bench.train(f'only_{name.lower()}', own, parent)
    found[name] = bench.measure(
      f'only_{name.lower()}',
      functools.partial(evaluated, child, build.build(own).task, 'loss'),
    )
  return found


def evaluated(traj, task, scalar: str) -> xr.Dataset:
  """A scalar of the evaluation sets; losses in units of the variance."""
  unit = task.variance if scalar == 'loss' else 1.0
  sets = ('observed', 'hidden')
  data = {n: traj.metrics[f'{n}/{scalar}'] / unit for n in sets}
  return by_seed(xr.Dataset(data), traj)


def judge(bench: Bench, found: dict[str, xr.Dataset], before: int) -> None:
  """Reports the numbers of the claims of the main training."""
  curves = found['curves']
  end = lambda data: data.isel(step=-1, drop=True)
  start = lambda data: data.isel(step=0, drop=True)
  early = lambda data: data.sel(step=before, drop=True)
  hidden, observed = curves['hidden'], curves['observed']

  def at_end(name, data, null=start):
    bench.claim(name, end(data), null=null(data))

  bench.claim(
    'plateau_is_copying',
    numbers.on_plateau(hidden, observed),
    null=numbers.on_plateau(observed, hidden),
  )
  at_end('drop', hidden, early)
  last = float(curves['step'][-1])
  bench.claim('drop_is_sudden', numbers.fall(hidden), last_step=np.inf)
  bench.claim(
    'falls_in_steps',
    numbers.steepest(hidden),
    null=numbers.steepest(numbers.straight(hidden)),
  )
  bench.claim('onset', numbers.onset(hidden), last_step=last)
  copied = numbers.copied(curves)
  bench.claim('copies_before', early(copied), null=start(copied))
  bench.claim('copies_after', end(copied))
  at_end('heads_specialise', numbers.best_ratio(curves))
  layers = found['curves'].sizes['layer']
  rows = found['probes']['row']
  over = rows.isel(layer=-1) / rows.isel(layer=1)
  at_end('rows_are_read_late', over)
  beyond = end(found['beyond'])
  usual = beyond.sel(share=0.3, drop=True)
  bench.claim('beats_nuclear_norm', usual['network'] / usual['convex'])
  bench.claim('other_laws', beyond['laws'].max('law'))
  part = lambda name, key: found[name][key]
  everywhere = lambda name, key: part(name, key).sel(part='all', drop=True)
  heads = part('patched', 'hidden').sel(part=f'layer {layers - 1}', drop=True)
  bench.claim('heads_carry_the_answer', end(heads))
  bench.claim(
    'copies_go_past_the_heads',
    end(everywhere('patched', 'observed')),
    null=end(everywhere('patched', 'hidden')),
  )
  lost = end(everywhere('ablated', 'hidden'))
  bench.claim('uniform_attention_undoes_it', lost, null=end(hidden))
  bench.claim(
    'copying_needs_no_attention',
    end(everywhere('ablated', 'observed')),
    null=lost,
  )
  stitched = found['stitched']['hidden']
  for name, taken in (
    ('stitched_attention', 'attention'), ('stitched_rest', 'all but attention'),
  ):  # fmt: skip
    bench.claim(name, stitched.sel(taken=taken, drop=True))
  if 'tokens' in found:
    norm = end(found['tokens'])['norm'].values
    size = abs(np.arange(norm.shape[1]) - norm.shape[1] // 2)
    even = [float(np.corrcoef(size, row)[0, 1]) for row in norm]
    bench.claim('norms_are_even', dict(zip(curves['run'].values, even)))


def judge_others(
  bench: Bench,
  found: dict[str, xr.Dataset],
  alone: dict[str, xr.Dataset],
  causal: xr.Dataset | None,
) -> None:
  """Reports the numbers of the claims of the other trainings, if they ran."""
  usual = numbers.onset(found['curves']['hidden'])
  if 'MLP' in alone:
    bench.claim(
      'only_mlp',
      numbers.onset(alone['MLP']['hidden'].rename(eval_step='step')),
      null=usual,
      last_step=float(found['curves']['step'][-1]),
    )
  if causal is not None:
    end = causal.isel(eval_step=-1, drop=True)
    start = causal.isel(eval_step=0, drop=True)
    bench.claim('causal_copies', end['observed'], null=start['observed'])
    bench.claim('causal_does_not_complete', end['hidden'], null=end['observed'])


def run(bench: Bench) -> None:
  """The main training, its parts trained anew, and the causal variant."""
  setup = build.build(bench.config)
  traj = bench.train('network', bench.config)
  found = read(bench, setup, traj)
  alone = training_alone(bench, bench.config, traj)
  causal, sections = None, plain(bench.config.measure.gpt)
  if sections:
    config = of_sections(bench.config, sections)
    task = build.build(config).task
    other = bench.train('causal', config)
    causal = bench.measure('causal', lambda: evaluated(other, task, 'accuracy'))
  judge(bench, found, setup.measure['before'])
  judge_others(bench, found, alone, causal)
  figures.draw(bench, found, alone, causal)


STUDY = Study(
  title='Abrupt learning: low-rank matrix completion as masked modelling',
  source='Gopalani, Lubana and Hu, "Abrupt Learning in Transformers: A Case '
  'Study on Matrix Completion" (NeurIPS 2024), arXiv 2410.22244',
  claims=CLAIMS,
  run=run,
)
