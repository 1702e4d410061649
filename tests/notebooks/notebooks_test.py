"""The notebooks run from top to bottom, and are what their texts say.

By default each is executed with its smallest settings in a kernel that they
share, and that knows no widgets, so that scrubbing falls back to figures; with
`-m slow` as it ships, in a kernel of its own.
"""

import importlib.util
import os
import subprocess
import time
from pathlib import Path

import jax
import jupytext
import nbformat
import pytest
from jupyter_client.manager import KernelManager
from jupytext.compare import compare_notebooks
from nbclient import NotebookClient

from jaxsynth.lookup import load_file

ROOT = Path(__file__).parents[2]
pair = load_file(str(ROOT / 'notebooks' / 'pair.py'))
TEXTS = pair.texts()
NAMES = [path.stem for path in TEXTS]

# What the cell of settings says instead, so that a test takes seconds.
SMALL = {
  '1': {'CHAINS': (2, 4), 'LAYERS': 1, 'STEPS': 16, 'SEEDS': 1},
  '2': {'THROWS': 12, 'LAYERS': 1, 'STEPS': 16, 'SEEDS': 2},
  '3': {'LAYERS': 1, 'STEPS': 24, 'SEEDS': 1},
  '4': {'SHARDS': 3, 'STEPS': 10, 'SEEDS': 1},
}
# Figures each must show, scrubbing aside.
FIGURES = {'1': 2, '2': 2, '3': 3, '4': 3}
# Seconds a notebook may take as it ships, on two cores.
LIMIT = 120


def read(path):
  return jupytext.reads(path.read_text('utf-8'), 'py:percent')


def settings(nb) -> int:
  """Where the cell of settings is: there is one."""
  tagged = [
    i
    for i, c in enumerate(nb.cells)
    if 'parameters' in c.metadata.get('tags', ())
  ]
  assert len(tagged) == 1
  return tagged[0]


def outputs(nb, kind: str) -> list:
  """All outputs of a MIME type."""
  return [
    output['data'][kind]
    for cell in nb.cells
    for output in cell.get('outputs', ())
    if kind in output.get('data', ())
  ]


@pytest.mark.parametrize('path', TEXTS, ids=NAMES)
def test_text_and_notebook_agree(path):
  """By jupytext's own comparison, and to the byte."""
  text = path.read_text('utf-8')
  stored = path.with_suffix('.ipynb').read_text('utf-8')
  compare_notebooks(nbformat.reads(stored, 4), read(path), 'py:percent')
  assert stored == pair.written(pair.with_source(text, pair.REPOSITORY))
  assert text == pair.with_source(text, pair.REPOSITORY)


def test_every_notebook_has_a_text():
  here = sorted(p.stem for p in pair.HERE.glob('*.ipynb'))
  assert here == NAMES
  assert [name[0] for name in NAMES] == [*SMALL]


@pytest.mark.parametrize('path', TEXTS, ids=NAMES)
def test_they_ship_without_outputs(path):
  nb = nbformat.read(path.with_suffix('.ipynb'), 4)
  nbformat.validate(nb)
  code = [cell for cell in nb.cells if cell.cell_type == 'code']
  assert all(not c.outputs and c.execution_count is None for c in code)


def test_a_difference_is_found():
  """The comparison above can fail."""
  nb = read(TEXTS[0])
  other = read(TEXTS[0])
  code = next(cell for cell in other.cells if cell.cell_type == 'code')
  code.source += '\n1 + 1'
  with pytest.raises(Exception, match='1 \\+ 1'):
    compare_notebooks(other, nb, 'py:percent')


@pytest.mark.parametrize('path', TEXTS, ids=NAMES)
def test_the_first_cell_installs_where_it_must(path, monkeypatch):
  """Nothing where jaxsynth is; else pip, from the one place that is named."""
  ran = []
  monkeypatch.setattr(
    subprocess, 'run', lambda command, **_: ran.append(command)
  )

  def first_cell(repository):
    nb = jupytext.reads(
      pair.with_source(path.read_text('utf-8'), repository), 'py:percent'
    )
    cell = next(c for c in nb.cells if c.cell_type == 'code')
    exec(compile(cell.source, path.name, 'exec'), {})

  first_cell('https://example.org/a/b')
  assert ran == []
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  first_cell('https://example.org/a/b')
  assert ran[0][1:4] == ['-m', 'pip', 'install']
  assert ran[0][-1] == 'git+https://example.org/a/b'
  with pytest.raises(AssertionError, match='where is jaxsynth'):
    first_cell('')


def test_the_table_in_the_readme():
  readme = (pair.HERE / 'README.md').read_text('utf-8')
  assert pair.with_table(readme, pair.REPOSITORY) == readme
  rows = pair.table('https://github.com/a/b').splitlines()[2:]
  assert len(rows) == len(TEXTS)
  for row, name in zip(rows, NAMES):
    assert (
      'https://colab.research.google.com/github/a/b/blob/main/notebooks/'
      f'{name}.ipynb'
    ) in row
  assert 'colab' not in pair.table('')


@pytest.fixture(scope='module')
def kernel(tmp_path_factory):
  """One kernel for all, which keeps what it compiled for the next time."""
  manager = KernelManager(kernel_name='python3')
  cache = jax.config.jax_compilation_cache_dir
  environment = {
    **os.environ,
    'JAX_COMPILATION_CACHE_DIR': cache,
    # Compiling takes all the time of so few steps.
    'JAX_DISABLE_MOST_OPTIMIZATIONS': 'true',
    'JAX_NUM_CPU_DEVICES': '1',
  }
  manager.start_kernel(env=environment, cwd=str(tmp_path_factory.mktemp('nb')))
  yield manager
  manager.shutdown_kernel(now=True)


@pytest.mark.parametrize('path', TEXTS, ids=NAMES)
def test_runs_with_its_smallest_settings(path, kernel, tmp_path):
  nb = read(path)
  at = settings(nb)
  given = SMALL[path.stem[0]]
  for name in given:
    assert f'\n{name} = ' in '\n' + nb.cells[at].source
  before = f'%reset -f\n%cd {tmp_path}\nimport sys\n'
  before += "sys.modules['ipywidgets'] = None  # as where it is missing"
  small = '\n'.join(f'{name} = {value!r}' for name, value in given.items())
  nb.cells.insert(at + 1, nbformat.v4.new_code_cell(small))
  nb.cells.insert(0, nbformat.v4.new_code_cell(before))
  client = NotebookClient(nb, km=kernel, timeout=300)
  client.execute()
  client.kc.stop_channels()
  scrubs = sum('scrub(' in c.source for c in nb.cells if c.cell_type == 'code')
  live = 'live.Live' in path.read_text('utf-8')
  wanted = FIGURES[path.stem[0]] + scrubs + live
  assert len(outputs(nb, 'image/png')) == wanted


@pytest.mark.slow
@pytest.mark.parametrize('path', TEXTS, ids=NAMES)
def test_runs_as_it_ships(path, tmp_path, monkeypatch):
  """In under two minutes on two cores, with nothing compiled before."""
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', str(tmp_path / 'compiled'))
  nb = read(path)
  began = time.monotonic()
  resources = {'metadata': {'path': str(tmp_path)}}
  client = NotebookClient(
    nb, kernel_name='python3', timeout=600, resources=resources
  )
  client.execute()
  took = time.monotonic() - began
  print(f'{path.stem}: {took:.0f} s, load {os.getloadavg()[0]:.1f}')
  views = outputs(nb, 'application/vnd.jupyter.widget-view+json')
  scrubs = sum('scrub(' in c.source for c in nb.cells if c.cell_type == 'code')
  assert len(views) == scrubs
  assert took < LIMIT
