"""A study, the bench it works at, and running it to a verdict.

`experiments/my_study.py` ends in `STUDY = Study(title, source, claims, run)`
and is found by its module name. Its `run(bench)` trains, measures, draws and
reports numbers through the bench; what the claims say of these numbers is
decided outside it (`jaxsynth.studies.claim`), so a study cannot judge itself.

What the bench writes lies in one folder:

  workdir/results/NAME.nc    what was measured, as labelled arrays
  workdir/figures/NAME.png   what was drawn
  workdir/verdict.json, workdir/report.html
"""

import dataclasses
import datetime
import hashlib
import importlib.util
import pathlib
import re
import time
from collections.abc import Callable
from typing import Any

import xarray as xr

from jaxsynth import lookup, peers
from jaxsynth.errors import UserError, unknown
from jaxsynth.plots import style
from jaxsynth.studies import claim as claims_lib
from jaxsynth.studies import files, report, verdict
from jaxsynth.studies.measured import Measured, measured

PACKAGE = 'jaxsynth.experiments'
DIGEST = 'jaxsynth_digest'


@dataclasses.dataclass(frozen=True)
class Study:
  """One published system reproduced.

  Attributes:
    title: what is studied, as a heading.
    source: authors, title, year, identifier of the publication.
    claims: what is claimed of it.
    run: run(bench) -> None: trains, measures, draws, reports numbers.

  Raises:
    UserError: on construction, if a part is missing or two claims share a
      name.
  """

  title: str
  source: str
  claims: tuple[claims_lib.Claim, ...]
  run: Callable[['Bench'], None]

  def __post_init__(self):
    object.__setattr__(self, 'claims', tuple(self.claims))
    if not (self.title.strip() and self.source.strip() and self.claims):
      raise UserError('a study needs a title, a source and at least one claim')
    seen = [claim.name for claim in self.claims]
    twice = sorted({name for name in seen if seen.count(name) > 1})
    if twice:
      raise UserError(f'two claims are called {twice[0]!r}: rename one')


def names() -> list[str]:
  """Names of all studies, found by their text: nothing is imported."""
  return [name for name in lookup.names(PACKAGE) if _ends_in_study(name)]


def _ends_in_study(name: str) -> bool:
  spec = importlib.util.find_spec(f'{PACKAGE}.{name}')
  text = pathlib.Path(spec.origin).read_text(encoding='utf-8')
  return re.search(r'^STUDY\b.*=', text, re.MULTILINE) is not None


def get(name: str) -> Study:
  """The study of module `name`, or of a dotted path outside the library.

  Raises:
    UserError: no such study.
  """
  if isinstance(name, str) and '.' not in name and name not in names():
    raise unknown('study', name, names())
  return lookup.get(PACKAGE, name, 'STUDY')


class Bench:
  """What `run(bench)` of a study gets: a config, a trainer, a place to write.

  Attributes:
    config: the config of the study at this preset.
    preset: 'smoke', 'quick', 'standard' or 'paper'.
    workdir: the folder everything is written to.
    facts: where the numbers come from, for the verdict.
  """

  def __init__(
    self,
    study: Study,
    *,
    config: Any,
    preset: str,
    workdir: pathlib.Path,
    train: Callable[..., Any],
    facts: verdict.Facts,
    say: Callable[[str], None] = print,
    before_measuring: Callable[[str], None] = lambda name: None,
  ):
    """Lays out a bench.

    Args:
      study: the study that will run at it.
      config: handed on as it is.
      preset: the size of the study.
      workdir: made if it is missing.
      train: train(stage=, config=, parent=) -> trajectory.
      facts: config hash and source digest key what is read back from disk.
      say: takes one line of progress.
      before_measuring: told the name of what is measured next; may raise.

    Raises:
      UserError: unknown preset.
    """
    if preset not in claims_lib.PRESETS:
      raise unknown('preset', preset, claims_lib.PRESETS)
    self.study = study
    self.config = config
    self.preset = preset
    self.workdir = pathlib.Path(workdir)
    self.facts = facts
    self.say = say
    self._before_measuring = before_measuring
    self.numbers: dict[str, tuple[Measured, Measured | None]] = {}
    self.figures: dict[str, report.Figure] = {}
    self._results: set[str] = set()
    self._train = train
    key = f'{preset} {facts.config_hash} {facts.source_digest}'
    self._digest = hashlib.sha256(key.encode()).hexdigest()

  def train(
    self, stage: str = 'train', config: Any = None, parent: Any = None
  ) -> Any:
    """Trains one stage, or reads it back if it is on disk.

    Args:
      stage: its name, unique in the study.
      config: what to train; by default the config of the bench.
      parent: (trajectory, run, step) to start from; by default fresh.

    Returns:
      Its trajectory.
    """
    config = self.config if config is None else config
    return self._train(stage=stage, config=config, parent=parent)

  def measure(self, name: str, fn: Callable[[], xr.Dataset]) -> xr.Dataset:
    """Computes a result once, and reads it back from then on.

    A result is computed again when config, preset or code have changed since.
    What is returned has been through the file, so the first run and every
    later one see the same thing.

    Args:
      name: its file name, unique in the study.
      fn: computes it, without arguments.

    Raises:
      UserError: the name was used before, or fn returned no Dataset.
    """
    self._before_measuring(name)
    path = self._output(name, self._results, 'results', '.nc')
    self._results.add(name)
    start = time.perf_counter()

    def compute() -> str:
      if _load(path, self._digest) is not None:
        return 'read back'
      result = fn()
      if not isinstance(result, xr.Dataset):
        raise UserError(
          f'measure({name!r}) must return an xarray.Dataset, got '
          f'{type(result).__name__}'
        )
      stamped = result.as_numpy().assign_attrs({DIGEST: self._digest})
      with files.replacing(path) as beside:
        stamped.to_netcdf(beside, engine='h5netcdf')
      return 'measured'

    done = peers.first(compute, long=True)
    data = _load(path, self._digest)
    self.say(f'{done} {name} ({time.perf_counter() - start:.1f} s)')
    return data

  def figure(self, name: str, fig: Any, caption: str, alt: str = '') -> None:
    """Saves a figure and shows it in the report.

    Args:
      name: its file name, unique in the study.
      fig: a matplotlib figure.
      caption: what is shown and what to see in it.
      alt: what it looks like, for those who do not see it; by default the
        caption.

    Raises:
      UserError: the name was used before, or the caption is empty.
    """
    path = self._output(name, self.figures, 'figures', '.png')
    if not caption.strip():
      raise UserError(f'figure {name!r} needs a caption')
    if peers.index() == 0:
      with files.replacing(path) as beside:
        style.save(fig, beside)
    self.figures[name] = report.Figure(name, caption, alt or caption, path)

  def claim(
    self,
    name: str,
    numbers: Any,
    null: Any = None,
    censored: Any = None,
    last_step: float | None = None,
  ) -> None:
    """Reports the number a claim is judged on, for every seed.

    Args:
      name: the claim's name.
      numbers: {seed: number}, an array [n], or a DataArray [n]. A diverged
        run is NaN; leave none out.
      null: the same for the null, per seed or once.
      censored: marks [n] or {seed: mark}: an onset that did not come; the
        number is then the last step looked at.
      last_step: the last step looked at: instead of marks, for onsets that
        are +inf where they did not come. Holds for the null too.

    Raises:
      UserError: no such claim, reported twice, or not one number per seed.
    """
    known = [claim.name for claim in self.study.claims]
    if name not in known:
      raise unknown('claim', name, known)
    if name in self.numbers:
      raise UserError(f'claim {name!r} was reported before: report it once')
    kept = measured(numbers, censored, last_step)
    nulls = None if null is None else measured(null, last_step=last_step)
    self.numbers[name] = kept, nulls

  def _output(self, name, taken, folder: str, suffix: str) -> pathlib.Path:
    """The path of a new output, if its name is a plain and unused one."""
    if not re.fullmatch(r'[A-Za-z0-9][\w.-]*', name):
      raise UserError(f'{name!r} is not a file name: use letters, digits and _')
    if name in taken:
      raise UserError(f'{folder} has {name!r} already: choose another name')
    return self.workdir / folder / f'{name}{suffix}'


def _load(path: pathlib.Path, digest: str) -> xr.Dataset | None:
  """The result at `path` if it is there, readable, and of this digest."""
  try:
    data = xr.load_dataset(path, engine='h5netcdf')
  except (OSError, ValueError):
    return None
  if data.attrs.pop(DIGEST, None) != digest:
    return None
  return data


def run_study(name: str, bench: Bench) -> dict:
  """Runs the bench's study, judges it, writes verdict.json and report.html.

  Args:
    name: the study's module name.
    bench: a fresh bench.

  Returns:
    The verdict (see `verdict.assemble`); `passed` is False if a gated claim
    failed or was not measured.
  """
  study, start = bench.study, time.perf_counter()
  study.run(bench)
  entries = [
    claims_lib.judge(
      claim, *bench.numbers.get(claim.name, (None, None)), bench.preset
    )
    for claim in study.claims
  ]
  now = datetime.datetime.now(datetime.UTC)
  result = verdict.assemble(
    name,
    study.title,
    study.source,
    bench.preset,
    entries,
    bench.facts,
    wall_time_s=time.perf_counter() - start,
    date=now.isoformat(timespec='seconds'),
  )
  if peers.index():
    return result
  page = report.render(
    result, list(bench.figures.values()), bench.facts.config_text
  )
  with files.replacing(bench.workdir / 'report.html') as beside:
    beside.write_text(page, encoding='utf-8')
  verdict.write(result, bench.workdir / 'verdict.json')
  return result
