"""The bench and running a study: caching, refusals, verdict, report."""

import dataclasses
import html.parser
import math

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxsynth.errors import UserError
from jaxsynth.plots import style
from jaxsynth.studies import study, verdict
from jaxsynth.studies.claim import Claim, Gate
from jaxsynth.studies.study import Bench, Study, run_study

GATED = Claim('rises', 'It rises.', 'x3', 'fig. 1', Gate('>', 1.0), 'init')
FREE = Claim('falls', 'It falls.', 'no', 'fig. 2', note='too noisy')
FACTS = verdict.Facts('a: 1', 'hash', 'digest', {'backend': 'cpu'}, 'run me')


def make(tmp_path, run=lambda bench: None, facts=FACTS, **kwargs):
  one = Study('A title', 'A source', (GATED, FREE), run)
  settings = {'config': 'cfg', 'preset': 'quick', 'train': None, 'say': len}
  return Bench(one, workdir=tmp_path, facts=facts, **(settings | kwargs))


def dataset():
  return xr.Dataset(
    {
      'kl': (('seed', 'step'), jnp.ones((2, 3))),
      'far': ('seed', [True, False]),
    },
    coords={'step': [0, 1, 10]},
    attrs={'unit': 'nats'},
  )


def drawn():
  fig, ax = style.figure(2, 1)
  ax.plot([0, 1], [0, 1])
  return fig


def test_measured_once_then_read_back_equal(tmp_path):
  calls = []

  def fn():
    calls.append(1)
    return dataset()

  said = []
  first = make(tmp_path, say=said.append).measure('kl', fn)
  second = make(tmp_path, say=said.append).measure('kl', fn)
  assert len(calls) == 1
  assert said[0].startswith('measured kl')
  assert said[1].startswith('read back kl')
  xr.testing.assert_identical(first, second)
  xr.testing.assert_identical(second, dataset().as_numpy())
  assert second['far'].dtype == bool


@pytest.mark.parametrize('stale', ['config_hash', 'source_digest', 'preset'])
def test_a_stale_result_is_measured_again(tmp_path, stale):
  make(tmp_path).measure('kl', dataset)
  if stale == 'preset':
    bench = make(tmp_path, preset='standard')
  else:
    bench = make(tmp_path, facts=dataclasses.replace(FACTS, **{stale: 'new'}))
  found = bench.measure('kl', lambda: dataset() * 2)
  assert float(found['kl'][0, 0]) == 2.0


def test_a_broken_result_file_is_measured_again(tmp_path):
  make(tmp_path).measure('kl', dataset)
  (tmp_path / 'results' / 'kl.nc').write_bytes(b'not netcdf')
  assert float(make(tmp_path).measure('kl', dataset)['kl'].sum()) == 6.0


def test_a_name_is_used_once_and_is_a_file_name(tmp_path):
  bench = make(tmp_path)
  bench.measure('kl', dataset)
  with pytest.raises(UserError, match='already'):
    bench.measure('kl', dataset)
  with pytest.raises(UserError, match='file name'):
    bench.measure('../kl', dataset)
  with pytest.raises(UserError, match='Dataset'):
    bench.measure('other', lambda: 3)
  bench.figure('f', drawn(), 'seen')
  with pytest.raises(UserError, match='already'):
    bench.figure('f', drawn(), 'seen')
  with pytest.raises(UserError, match='caption'):
    bench.figure('g', drawn(), ' ')


def test_claims_are_known_and_reported_once(tmp_path):
  bench = make(tmp_path)
  with pytest.raises(UserError, match="'rises'"):
    bench.claim('rise', [1.0])
  bench.claim('rises', [1.0])
  with pytest.raises(UserError, match='once'):
    bench.claim('rises', [1.0])
  with pytest.raises(UserError, match="'quick'"):
    make(tmp_path, preset='quik')


def test_train_is_handed_on_with_the_benchs_config(tmp_path):
  bench = make(tmp_path, train=lambda **given: given)
  assert bench.train() == {'stage': 'train', 'config': 'cfg', 'parent': None}
  tune = bench.train('tune', config='other', parent=('t', 0, 5))
  assert tune == {'stage': 'tune', 'config': 'other', 'parent': ('t', 0, 5)}


def test_a_study_runs_to_its_verdict(tmp_path):
  def run(bench):
    bench.claim('rises', {3: 2.0, 4: 3.0}, null=0.5)
    bench.claim('falls', [math.inf], last_step=9)
    bench.figure('f', drawn(), 'seen')

  found = run_study('mine', make(tmp_path, run))
  assert found['passed'] is True
  assert [c['verdict'] for c in found['claims']] == ['passed', 'reported']
  assert found['claims'][1]['measured']['per_seed'][0]['censored'] is True
  kept = verdict.read(tmp_path / 'verdict.json')
  assert (kept['study'], kept['command']) == ('mine', 'run me')
  assert kept['claims'][0]['measured']['median'] == 2.5


def test_a_gated_claim_that_was_not_measured_fails(tmp_path):
  found = run_study('mine', make(tmp_path))
  assert found['passed'] is False
  assert [c['reason'] for c in found['claims']] == [
    'not measured',
    'not gated; not measured',
  ]
  smoke = run_study('mine', make(tmp_path, preset='smoke'))
  assert smoke['passed'] is True


class _Page(html.parser.HTMLParser):
  """Collects tags, their attributes and the text between them."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.links, self.words = [], [], []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.links += [v for k, v in attrs if k in ('src', 'href', 'srcset')]

  def handle_data(self, data):
    self.words.append(data)


def test_the_report_holds_everything_and_loads_nothing(tmp_path):
  evil = '<script>alert("x")</script><img src="http://a.b/c.png">'

  def run(bench):
    bench.claim('rises', {3: 2.0, 4: math.nan}, null=0.5)
    bench.figure('f', drawn(), f'caption {evil}', alt=f'"{evil}')

  facts = dataclasses.replace(
    FACTS, config_text=evil, command=evil, layout={evil: evil}
  )
  bench = make(tmp_path, run, facts)
  nasty = dataclasses.replace(
    FREE, statement=evil, published=evil, where=evil, note=evil
  )
  bench.study = Study(evil, evil, (GATED, nasty), run)
  run_study('mine', bench)
  text = (tmp_path / 'report.html').read_text(encoding='utf-8')
  page = _Page(text)
  assert 'script' not in page.tags
  assert page.tags.count('img') == 1
  assert page.links
  assert all(v.startswith('data:image/png;base64,') for v in page.links)
  assert '@import' not in text
  assert 'url(' not in text
  words = ''.join(page.words)
  assert words.count(evil) >= 9
  for part in ('It rises.', '1 of 2 seeds pass', 'seed 4 not finite'):
    assert part in words
  assert page.tags.count('tr') == 3
  assert page.tags.count('svg') == 1


def test_figures_have_stable_bytes(tmp_path):
  for name in ('a', 'b'):
    make(tmp_path).figure(name, drawn(), 'seen')
  a, b = ((tmp_path / 'figures' / f'{n}.png').read_bytes() for n in 'ab')
  assert a == b
  assert a.startswith(b'\x89PNG')
  assert b'matplotlib' not in a.lower()


@pytest.mark.parametrize(
  'bad', [{'title': ''}, {'source': ' '}, {'claims': ()}]
)
def test_bad_studies_are_refused(bad):
  good = {'title': 't', 'source': 's', 'claims': [FREE], 'run': len}
  assert Study(**good).claims == (FREE,)
  with pytest.raises(UserError):
    Study(**(good | bad))
  with pytest.raises(UserError, match='falls'):
    Study(**(good | {'claims': [FREE, FREE]}))


def test_studies_are_found_by_their_text_without_import(tmp_path, monkeypatch):
  import jaxsynth.experiments as package

  boom = 'raise RuntimeError\n'
  (tmp_path / 'zz_study.py').write_text(boom + 'STUDY = 1\n')
  (tmp_path / 'zz_typed.py').write_text(boom + 'STUDY: int = 1\n')
  (tmp_path / 'zz_entry.py').write_text(boom + '# a STUDY = is elsewhere\n')
  (tmp_path / 'zz_ok.py').write_text('STUDY = 5\n')
  monkeypatch.setattr(package, '__path__', [*package.__path__, str(tmp_path)])
  found = study.names()
  assert {'zz_study', 'zz_typed', 'zz_ok'} <= set(found)
  assert 'zz_entry' not in found
  assert study.get('zz_ok') == 5
  with pytest.raises(UserError, match="'zz_ok'"):
    study.get('zz_okk')
  with pytest.raises(UserError, match='unknown study'):
    study.get('zz_entry')


def test_the_last_step_holds_for_the_null_too(tmp_path):
  # A null that never gets there satisfies 'later than step 1' as well.
  def run(bench):
    bench.claim('rises', [math.inf], null=[math.inf], last_step=9)

  found = run_study('mine', make(tmp_path, run))
  assert found['claims'][0]['reason'] == 'the null passes too'


def test_numpy_arrays_are_numbers_of_a_claim(tmp_path):
  bench = make(tmp_path)
  bench.claim('rises', np.array([1.0, 2.0]), null=np.zeros(2))
  assert bench.numbers['rises'][1].values == (0.0, 0.0)
