"""What the exit code of a training says about starting it again.

0 is done, 1 a full disk or a crash of a process alone, 2 a mistake in config
or flags, 70 a crash of a process of several: the same again would end the
same. Everything else (75 interrupted and saved, 137 killed, 134 left by a
peer that died) is worth another start.
"""

from jaxsynth.launch import EXIT_FAILED, EXIT_USER
from jaxsynth.peers import CRASHED

DONE = 0
FINAL = (DONE, EXIT_FAILED, EXIT_USER, CRASHED)


def meaning(code: int) -> str:
  """An exit code in words."""
  known = {
    DONE: 'done',
    EXIT_FAILED: 'failed: see the log',
    EXIT_USER: 'a mistake in the config or the command: see the log',
    CRASHED: 'crashed: see the log',
  }
  return known.get(code, f'gave up after its last start ended with {code}')
