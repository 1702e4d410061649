"""Pairs the notebooks: text is the source, everything else is written from it.

  python notebooks/pair.py

reads every `NUMBER_NAME.py` of this folder (jupytext's percent format) and
writes the `.ipynb` beside it, without outputs, and the table in README.md. It
also writes REPOSITORY into the cell that installs, so that this file is the
one place that names it.
"""

import re
from pathlib import Path

import jupytext
import nbformat

HERE = Path(__file__).parent
# Where the project can be fetched from by anyone: 'https://github.com/OWNER/NAME'.
# Not public yet, hence empty: the first cell then installs nothing, and says so
# where jaxsynth is missing; README.md has no badges. Set it and run this file.
REPOSITORY = ''
BRANCH = 'main'

_SOURCE = re.compile(r"^SOURCE = '.*?'", re.MULTILINE)
_TABLE = re.compile(r'(<!-- notebooks -->\n).*(<!-- end -->)', re.DOTALL)
_COLAB = 'https://colab.research.google.com'


def texts() -> list[Path]:
  """The notebooks' texts, in order."""
  return sorted(HERE.glob('[0-9]*.py'))


def with_source(text: str, repository: str) -> str:
  """A text whose first cell installs from a repository."""
  source = f'git+{repository}' if repository else ''
  return _SOURCE.sub(f"SOURCE = '{source}'", text, count=1)


def notebook(text: str) -> nbformat.NotebookNode:
  """The notebook of a text: the same bytes for the same text."""
  made = jupytext.reads(text, 'py:percent')
  for number, cell in enumerate(made.cells):
    cell['id'] = f'cell-{number}'
    cell.metadata = {k: v for k, v in cell.metadata.items() if k == 'tags'}
  made.metadata = {'kernelspec': made.metadata['kernelspec']}
  made.metadata['jupytext'] = {'formats': 'ipynb,py:percent'}
  return nbformat.from_dict({**made, 'nbformat_minor': 5})


def written(text: str) -> str:
  """The notebook of a text as its file holds it."""
  return nbformat.writes(notebook(text), version=nbformat.NO_CONVERT) + '\n'


def table(repository: str) -> str:
  """README's table: a row a notebook, with a badge if others can open it."""
  rows = ['| notebook | |', '|---|---|']
  place = repository.removeprefix('https://')
  for path in texts():
    title = re.search(r'^# # (.*)', path.read_text('utf-8'), re.MULTILINE)[1]
    name = path.with_suffix('.ipynb').name
    link = f'{_COLAB}/{place.replace(".com", "", 1)}/blob/{BRANCH}'
    badge = f'[![Open In Colab]({_COLAB}/assets/colab-badge.svg)]'
    badge = f'{badge}({link}/notebooks/{name})' if repository else ''
    rows.append(f'| [{title}]({name}) | {badge or f"`{path.name}`"} |')
  return '\n'.join(rows) + '\n'


def with_table(readme: str, repository: str) -> str:
  """README with its table brought up to date."""
  return _TABLE.sub(
    lambda found: found[1] + table(repository) + found[2], readme
  )


def main() -> None:
  """Writes everything that follows from the texts."""
  for path in texts():
    text = with_source(path.read_text('utf-8'), REPOSITORY)
    path.write_text(text, 'utf-8')
    path.with_suffix('.ipynb').write_text(written(text), 'utf-8')
  readme = HERE / 'README.md'
  readme.write_text(with_table(readme.read_text('utf-8'), REPOSITORY), 'utf-8')


if __name__ == '__main__':
  main()
