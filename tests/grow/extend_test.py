"""A longer training equals one that was long from the start, bit for bit."""

import shutil

import pytest

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.grow import extend as extending
from jaxsynth.grow import fork as forking
from jaxsynth.grow import lengthen
from jaxsynth.train.loop import Stopped
from jaxsynth.trajectory import check
from jaxsynth.trajectory.trajectory import Trajectory


@pytest.fixture
def grown(finished, tmp_path):
  """A copy of the trajectory that may be changed."""
  folder = tmp_path / 'work' / 'stages' / 'train'
  shutil.copytree(finished.folder, folder)
  return folder


def extend(toy, folder, steps, **options):
  options = {'program': toy.program, 'quiet': True, **options}
  with toy.memo():
    return extending.extend(folder, steps, **options)


@pytest.fixture(scope='module')
def long(toy, tmp_path_factory):
  """40 steps at once, with snapshots at 24, 34 and 40 in its second part."""
  steps = (*range(0, 25, 4), 34, 40)
  return toy.train(
    tmp_path_factory.mktemp('long') / 'train',
    train={'steps': 40, 'snapshots': steps, 'evals': 'every:8'},
  )


def test_extended_equals_trained_at_once(toy, finished, grown, long):
  before = toy.files(grown)
  plans = {'snapshots': (34, 40)}
  with pytest.raises(Stopped):
    extend(toy, grown, 40, plans=plans, stopping=lambda: True)
  with pytest.raises(UserError, match='finish it first'):
    extend(toy, grown, 50)
  extended = extend(toy, grown, 40, plans=plans)
  assert toy.same(extended, long) == []
  assert extended.steps.tolist() == long.steps.tolist()
  after = toy.files(grown)
  index = grown / 'index.json'
  saved = [p for p in before if p != index and 'checkpoints' not in p.parts]
  assert saved
  assert all(after[p] == before[p] for p in saved)
  assert check.check(grown).faults == []
  (note,) = extended.index['extensions']
  assert (note['from'], note['to']) == (24, 40)
  assert note['train'] == finished.index['config']['train']
  assert extended.index['config']['train']['steps'] == 40
  done = toy.files(grown)
  again = extend(toy, grown, 40, plans=plans)  # nothing is left to do
  assert toy.files(grown) == done
  assert again.steps.tolist() == extended.steps.tolist()


def test_a_plan_goes_on_where_it_says_the_same():
  longer = lengthen.longer_plan
  assert longer('every:4', 24, 40, None) == 'every:4'
  assert longer('every:5', 24, 40, (30, 40)) == [0, 5, 10, 15, 20, 30, 40]
  assert longer(('every:10', 'last'), 24, 40, None) == [0, 10, 20, 24, 30, 40]
  assert longer('log:6', 24, 40, None) is None
  assert longer((0, 3, 24), 24, 40, None) == (0, 3, 24)
  kept = longer('log:6', 24, 40, 'every:20')
  assert kept[-1] == 40
  assert len(kept) == 8


def config(toy, **sections):
  return build.build(toy.config(**sections)).config


def test_what_depends_on_the_length_is_refused_by_name(toy):
  refused = [
    ({'train': {'snapshots': 'log:6'}}, 40, r"train.snapshots='log:6'.*--snap"),
    ({'train': {'evals': 'log:6'}}, 40, r'--evals=every:'),
    ({'optimizer': {'schedule': 'cosine', 'decay_steps': 20,
                    'warmup_steps': 4}}, 40, 'cosine.* 0 from step 24.*--fork'),
    ({}, 24, 'the new length'),
    ({'train': {'branches': 'log:3'}}, 40, '--branches'),
  ]  # fmt: skip
  for sections, steps, message in refused:
    with pytest.raises(UserError, match=message):
      lengthen.longer(config(toy, **sections), steps, {})
  slow = {'schedule': 'linear', 'decay_steps': 100}
  longer = lengthen.longer(config(toy, optimizer=slow), 40, {})
  assert longer['optimizer']['decay_steps'] == 100
  assert longer['train']['branches'] == [8, 24]


def test_a_refusal_changes_nothing(toy, grown):
  before = toy.files(grown)
  with pytest.raises(UserError, match=r'cannot be extended in place.*20'):
    extend(toy, grown, 20)
  (grown.parents[1] / 'config.json').write_text('{}')
  with pytest.raises(UserError, match='belongs to a study'):
    extend(toy, grown, 40)
  assert toy.files(grown) == before


def test_what_a_training_and_its_fork_share(toy):
  cosine = {'schedule': 'cosine', 'decay_steps': 16, 'warmup_steps': 8}
  old = config(toy, optimizer=cosine)
  new = lengthen.stretched(old, 40, {})
  assert new['optimizer']['decay_steps'] == 32
  assert lengthen.common(old, new) == 9
  assert lengthen.agree(old, new) == 24
  plain = config(toy, train={'snapshots': 'log:6'})
  longer = lengthen.stretched(plain, 40, {})
  assert lengthen.common(plain, longer) == 24
  assert lengthen.agree(plain, longer) < 10


@pytest.mark.slow
def test_a_fork_equals_its_config_trained_at_once(toy, tmp_path):
  """With the learning rate of the schedule, which the toy does not have."""
  scheduled = _decaying(toy)
  cosine = {'schedule': 'cosine', 'decay_steps': 16, 'warmup_steps': 8}

  def train(folder, **sections):
    setup = build.build(toy.config(**sections))
    return stage.train(
      setup, folder, program=scheduled(setup.optimizer), quiet=True
    )

  old = train(tmp_path / 'old', optimizer=cosine)
  before = toy.files(old.folder)
  new = {**cosine, 'decay_steps': 32}
  whole = train(tmp_path / 'new', optimizer=new, train={'steps': 40})
  program = scheduled(build.build(whole.index['config']).optimizer)
  lines = []
  forked, proved = forking.fork(
    old.folder, 40, tmp_path / 'fork', program=program, say=lines.append,
    quiet=True,
  )  # fmt: skip
  assert 'first 9 updates' in lines[0]
  assert '8 steps are copied, 32 trained' in lines[0]
  assert toy.same(forked, whole) == []
  assert proved.passed
  assert proved.shared == 3 * len(old.runs)
  assert forked.origin.folder.samefile(old.folder)
  assert forked.start == 0
  assert check.check(forked.folder).faults == []
  assert toy.files(old.folder) == before
  # What they do not share differs, or the proof would say nothing.
  assert (forked.leaf('x')[:, 6] != old.leaf('x')[:, 6]).any()


def _decaying(toy):
  def with_optimizer(optimizer):
    def step(run, state, t):
      rate = optimizer.lr({'peak_lr': run.hparams['optimizer.peak_lr']}, t)
      hparams = {**run.hparams, 'optimizer.peak_lr': rate}
      return toy.program.step(run._replace(hparams=hparams), state, t)

    return step

  return lambda optimizer: toy.program._replace(step=with_optimizer(optimizer))


def test_a_fork_keeps_off_what_is_there(toy, finished, tmp_path):
  (tmp_path / 'mine').mkdir()
  (tmp_path / 'mine' / 'notes.txt').write_text('mine')
  with pytest.raises(UserError, match=r"'notes.txt': choose another"):
    forking.fork(
      finished.folder, 40, tmp_path / 'mine', program=toy.program, quiet=True
    )
  assert [p.name for p in (tmp_path / 'mine').iterdir()] == ['notes.txt']
  assert Trajectory(finished.folder).index['steps'] == 24
