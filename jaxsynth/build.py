"""From a config to the frozen objects the library works with.

The only library file that sees a ConfigDict. A config has the sections

  task       name, static fields, and values of its hyperparameters
  model      name and fields
  optimizer  fields of `optim.optimizers.Optimizer`
  train      fields of `train.options.Training`
  sweep      fields of `train.sweep.Sweep`
  layout     fields of `train.options.LayoutOptions`
  measure    numbers a study's own measurements use

and states only what it changes: every default stands on one dataclass (or one
`init` signature). Unknown keys, wrong types and impossible values are refused
here, before anything compiles.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from jaxsynth import leaves, source
from jaxsynth.config import (
  coerce,
  config_hash,
  flat,
  make,
  nested,
  override,
  plain,
)
from jaxsynth.errors import UserError, unknown
from jaxsynth.lookup import outside
from jaxsynth.models import base as model_base
from jaxsynth.optim.optimizers import Optimizer
from jaxsynth.tasks import base as task_base
from jaxsynth.train import data_axis
from jaxsynth.train import layout as layouts
from jaxsynth.train.objective import OWN, check_own, own_objective
from jaxsynth.train.options import EVERYTHING, LayoutOptions, Training
from jaxsynth.train.program import Program
from jaxsynth.train.supervised import LOSSES, supervised
from jaxsynth.train.sweep import Sweep
from jaxsynth.types import PyTree

SECTIONS = ('task', 'model', 'optimizer', 'train', 'sweep', 'layout', 'measure')


@dataclasses.dataclass(frozen=True)
class Setup:
  """A config, built: what one static group of a sweep trains.

  Attributes:
    task: a frozen task.
    task_hparams: values of the task's hyperparameters that are not swept.
    model: a frozen model.
    optimizer: with the values that are not swept.
    train: length, batch, plans.
    sweep: seeds and traced axes.
    layout: options; devices are looked at only when training starts.
    measure: numbers for the study's measurements.
    config: the complete config as plain JSON values.
  """

  task: task_base.Task
  task_hparams: dict[str, float]
  model: model_base.Model
  optimizer: Optimizer
  train: Training
  sweep: Sweep
  layout: LayoutOptions
  measure: dict[str, Any]
  config: dict[str, Any]

  @property
  def config_hash(self) -> str:
    return config_hash(self.config)

  @property
  def source_digest(self) -> str:
    """Of the library, and of a task or model that is the user's own file."""
    names = [self.config[part]['name'] for part in ('task', 'model')]
    return source.source_digest(files=[f for n in names if (f := outside(n))])

  @property
  def microbatches(self) -> int:
    """Parts of a training batch: as configured, or what suits the backend."""
    if self.layout.microbatches or self.train.loss == OWN:
      return self.layout.microbatches or 1
    size = model_base.activation_bytes(self.model, self.task.spec)
    return layouts.microbatches(size, self.train.batch_size // self.layout.data)

  def program(self) -> Program:
    """Ordinary training of the model on the task, or by its own objective."""
    if self.train.loss == OWN:
      return own_objective(
        self.task,
        self.model,
        self.optimizer,
        batch_size=self.train.batch_size,
        task_hparams=self.task_hparams,
      )
    return supervised(
      self.task,
      self.model,
      LOSSES[self.train.loss],
      self.optimizer,
      batch_size=self.train.batch_size,
      microbatches=self.microbatches,
      task_hparams=self.task_hparams,
      trainable=_choice(self.train.trainable, EVERYTHING, 'train.trainable'),
      fresh=_choice(self.train.fresh, (), 'train.fresh'),
      watched=self.train.watch,
    )


def _choice(
  patterns: Sequence[str], usual: tuple[str, ...], what: str
) -> Callable[[PyTree], PyTree] | None:
  """params -> which of them the patterns name; None where as usual."""
  if tuple(patterns) == usual:
    return None
  return lambda params: leaves.chosen(params, patterns, what)


def task_hparams(cls: type) -> dict[str, float]:
  """A task's hyperparameters and their defaults, from `init`'s signature."""
  return {
    name: p.default
    for name, p in inspect.signature(cls.init).parameters.items()
    if name not in ('self', 'key') and p.kind is not p.VAR_KEYWORD
  }


def _split_task(section: Mapping[str, Any]) -> tuple[type, dict, dict]:
  """(task class, static fields, hyperparameters) of the task section."""
  if 'name' not in section:
    raise UserError('config has no task.name')
  cls = task_base.get(section['name'])
  defaults = task_hparams(cls)
  static = {f.name for f in dataclasses.fields(cls)}
  for key in section:
    if key != 'name' and key not in static and key not in defaults:
      known = [f'task.{k}' for k in static | set(defaults)]
      raise unknown('config key', f'task.{key}', known)
  hparams = {
    k: coerce(section.get(k, d), type(d), f'task.{k}')
    for k, d in defaults.items()
  }
  fields = {k: v for k, v in section.items() if k in static}
  return cls, fields, hparams


def complete(config: ConfigDict | Mapping[str, Any]) -> ConfigDict:
  """The config with every default filled in, so that any may be overridden.

  Raises:
    UserError: an unknown section, key or name.
  """
  given = plain(config)
  known = (*SECTIONS, 'study', 'preset')
  for key in given:
    if key not in known:
      raise unknown('config section', key, known)
    if key in SECTIONS and not isinstance(given[key], Mapping):
      raise UserError(
        f'config.{key} must be a section of names and values, got '
        f'{given[key]!r}'
      )
  task_class, _, hparams = _split_task(given.get('task', {}))
  model_section = given.get('model', {})
  if 'name' not in model_section:
    raise UserError('config has no model.name')
  classes = {
    'task': task_class,
    'model': model_base.get(model_section['name']),
    'optimizer': Optimizer,
    'train': Training,
    'sweep': Sweep,
    'layout': LayoutOptions,
  }
  out: dict[str, Any] = {k: given.get(k, '') for k in ('study', 'preset')}
  for name, cls in classes.items():
    full = {}
    for field in dataclasses.fields(cls):
      if field.default is not dataclasses.MISSING:
        full[field.name] = field.default
      elif field.default_factory is not dataclasses.MISSING:
        full[field.name] = field.default_factory()
    out[name] = {**plain(full), **given.get(name, {})}
  out['task'] = {**hparams, **out['task']}
  for kind in ('traced', 'static'):  # sections, or dotted paths, or both
    if isinstance(out['sweep'][kind], Mapping):
      out['sweep'][kind] = nested(out['sweep'][kind])
  out['measure'] = given.get('measure', {})
  return ConfigDict(out)


def _sweep(section: Mapping[str, Any]) -> Sweep:
  return make(
    Sweep,
    {
      k: flat(v) if k in ('traced', 'static') and isinstance(v, Mapping) else v
      for k, v in section.items()
    },
    'sweep',
  )


def _typed(sweep: Sweep, kinds: Mapping[str, type]) -> Sweep:
  """The sweep with every traced value of its declared type: 1 becomes 1.0."""
  traced = {
    path: tuple(coerce(v, kinds.get(path), f'sweep.traced.{path}') for v in vs)
    for path, vs in sweep.traced.items()
  }
  return dataclasses.replace(sweep, traced=traced)


def _check_axes(setup: Setup, full: Mapping[str, Any]) -> None:
  """Every swept path must exist, and be traced or static as declared."""
  traceable = {f'optimizer.{k}' for k in setup.optimizer.hparams}
  traceable |= {f'task.{k}' for k in setup.task_hparams}
  if setup.train.loss == OWN:
    traceable |= {f'model.{k}' for k in model_base.hparams(setup.model)}
  paths = set(flat({k: full[k] for k in SECTIONS if k in full}))
  for path, values in setup.sweep.traced.items():
    if path not in traceable:
      if path in paths:
        raise UserError(
          f'{path} changes the compiled program: put it in sweep.static '
          f'instead of sweep.traced (traceable: {", ".join(sorted(traceable))})'
        )
      raise unknown('traced axis', path, traceable)
    for v in values:
      if isinstance(v, bool) or not isinstance(v, (int, float)):
        raise UserError(f'sweep.traced.{path} must be numbers, got {v!r}')
      section, _, name = path.partition('.')
      if section in ('optimizer', 'model'):
        dataclasses.replace(getattr(setup, section), **{name: v})
      else:
        task_base.check_hparams(setup.task, {**setup.task_hparams, name: v})
  for path in setup.sweep.static:
    if path not in paths:
      raise unknown('static axis', path, paths)


def build(config: ConfigDict | Mapping[str, Any]) -> Setup:
  """The frozen objects a config describes, fully checked.

  Args:
    config: complete or partial. Static axes of its sweep must be resolved:
      see `groups`.

  Raises:
    UserError: one line naming the mistake and the nearest valid choice.
  """
  full = plain(complete(config))
  cls, fields, hparams = _split_task(full['task'])
  task = make(cls, fields, 'task')
  model_fields = {k: v for k, v in full['model'].items() if k != 'name'}
  model = make(model_base.get(full['model']['name']), model_fields, 'model')
  optimizer = make(Optimizer, full['optimizer'], 'optimizer')
  kinds = {f'optimizer.{k}': float for k in optimizer.hparams}
  kinds |= {f'model.{k}': float for k in model_base.hparams(model)}
  kinds |= {f'task.{k}': type(v) for k, v in task_hparams(cls).items()}
  setup = Setup(
    task=task,
    task_hparams=hparams,
    model=model,
    optimizer=optimizer,
    train=make(Training, full['train'], 'train'),
    sweep=_typed(_sweep(full['sweep']), kinds),
    layout=make(LayoutOptions, full['layout'], 'layout'),
    measure=full['measure'],
    config=full,
  )
  parts = setup.layout.microbatches
  if setup.train.loss == OWN:
    check_own(task, model, parts)
  if parts and setup.train.batch_size % parts:
    raise UserError(
      f'layout.microbatches={parts} does not divide '
      f'train.batch_size={setup.train.batch_size}'
    )
  data_axis.check_batch(setup.layout.data, setup.train.batch_size, parts)
  task_base.check_hparams(task, hparams)
  model_base.check(model, task.spec)
  _check_axes(setup, full)
  return setup


def groups(config: ConfigDict | Mapping[str, Any]) -> dict[str, Setup]:
  """One Setup per static group, by a label ('' when nothing is static).

  Every group is checked before any is returned.
  """
  full = complete(config)
  sweep = _sweep(plain(full)['sweep'])
  out = {}
  for cell in sweep.groups():
    part = complete(full)
    part.sweep.static = ConfigDict()
    for path, value in cell.items():
      override(part, path, repr(value))
    label = ','.join(f'{k.split(".")[-1]}={v}' for k, v in cell.items())
    out[label] = build(part)
  return out
