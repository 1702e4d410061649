"""What the data of each study costs, of the very steps that they feed.

  python -m benchmarks.studies
  python -m benchmarks.studies --study=graph_navigation

Each training of the five studies on sequences that draws its own data or has
its own network is taken at the `--config` preset, one run on every device. For
each, in a process of its own, `benchmarks.generators` times a batch against
the same draws written plainly in numpy or Python, and what share of the step
drawing it takes, in the engine, the layout and on the devices of the training.

A training is named as in the config of its study: by what it is called in
`measure.variants`, or by the entry of `measure` that changes the task; `main`
is the config itself. `graph_navigation` trains on two tasks: its variant
`motifs` on `graph_motifs`, all others on `graph_navigation`.
"""

import sys
from typing import Any

import jax

from benchmarks import report
from jaxsynth import build, lookup
from jaxsynth.config import plain
from jaxsynth.errors import unknown
from jaxsynth.studies.variants import of_sections

STUDIES = (
  'matrix_completion',
  'function_composition',
  'graph_navigation',
  'concept_percolation',
  'knowledge_editing',
)
MAIN = 'main'
MOST = 0.1  # of a step


def _config(study: str, preset: str) -> Any:
  return lookup.get('jaxsynth.configs', study, 'get_config')(preset)


def trainings(study: str, preset: str) -> dict[str, dict]:
  """What each training of a study changes in its config, by name.

  Args:
    study: its name.
    preset: of its config.

  Returns:
    Sections of the config and their values; none for `main`. Of the others
    those with data or a network of their own.

  Raises:
    UserError: there is no such study or preset.
  """
  measure = plain(_config(study, preset)).get('measure', {})
  changes = {k: x for k, x in measure.items() if k != 'variants'}
  changes |= measure.get('variants', {})
  own = lambda x: isinstance(x, dict) and ('task' in x or 'model' in x)
  return {MAIN: {}, **{k: x for k, x in changes.items() if own(x)}}


def setup_of(study: str, training: str, preset: str) -> build.Setup:
  """One training of a study, with one run for every device.

  Raises:
    UserError: there is no such study, training or preset.
  """
  known = trainings(study, preset)
  if training not in known:
    raise unknown('training', training, known)
  runs = {'sweep': {'seeds': len(jax.local_devices())}}
  change = {**known[training], **runs}
  return build.build(of_sections(_config(study, preset), change))


def row(study: str, training: str, made: dict) -> dict:
  """What is kept of a record of `benchmarks.generators` for one training."""
  fed = made['tasks'][0]
  return {
    'study': study,
    'training': training,
    'task': fed['task'],
    'batch': fed['batch'],
    'seconds': fed['seconds'],
    'times_numpy': fed.get('times_numpy'),
    'seconds_of_step': made['seconds_of_step'],
    'share_of_step': made['share_of_step'],
  }


def main() -> dict:
  parser = report.parser(
    'benchmarks.studies', __doc__, ['', '--study=graph_navigation']
  )
  add = parser.add_argument
  add('--config', default='quick', help='smoke, quick, standard or paper')
  add('--study', default='', help=f'only one of {", ".join(STUDIES)}')
  args = parser.parse_args()
  if args.study and args.study not in STUDIES:
    raise unknown('study', args.study, STUDIES)
  wanted = [args.study] if args.study else STUDIES
  todo = [(s, t) for s in wanted for t in trainings(s, args.config)]
  rows = []
  for study, training in todo:
    report.say(f'{study} {training}')
    options = (f'--training={training}', f'--preset={args.config}')
    made = report.child('benchmarks.generators', f'--study={study}', *options)
    rows.append(row(study, training, made))
  return report.record(
    'studies',
    args.config,
    made['device'],
    largest_share_of_step=max(r['share_of_step'] for r in rows),
    trainings=rows,
    targets=[
      report.target(
        f'{r["study"]}, {r["training"]} ({r["task"]}): share of the step it '
        'feeds',
        r['share_of_step'],
        at_most=MOST,
      )
      for r in rows
    ],
  )


if __name__ == '__main__':
  sys.exit(report.run(main))
