"""SIGTERM and Ctrl-C: save and stop where there is something to save.

Python runs its signal handlers between two of its own instructions, and a
compiled call or the compiler keeps it from them for as long as it takes. So a
thread listens to the signals as they arrive:

  nothing unsaved is under way      leaves at once with 75
  a training asks between its calls it saves, stops, and the command exits 75
  a second Ctrl-C meanwhile         leaves at once with 130

Leaving at once is safe: whatever a process leaves behind, the same command
continues it (tests/survival).
"""

import os
import signal
import socket
import threading

# 75 (EX_TEMPFAIL): interrupted and saved, restart the same command. 130 is
# what a shell calls a command that Ctrl-C ended.
EXIT_RESTART, EXIT_INTERRUPTED = 75, 130

AGAIN = 'run the same command again to continue'


class Stopper:
  """Whether a training should save and stop; a context of the main thread.

  From the first time it is asked, a signal is only noted, until `disarm`.
  """

  def __init__(self):
    self._noted = self._armed = False

  def __call__(self) -> bool:
    """Asked between calls: whoever asks saves and stops when it is True."""
    self._armed = True
    return self._noted

  @property
  def noted(self) -> bool:
    """Whether a signal has come, for one who would only leave."""
    return self._noted

  def disarm(self) -> None:
    """The training ended: from here on a signal leaves at once."""
    self._armed = False

  def _listen(self, ear: socket.socket) -> None:
    while heard := ear.recv(1):
      if not self._armed:
        _leave(EXIT_RESTART, f'stopped; what is finished is saved: {AGAIN}')
      if self._noted and heard[0] == signal.SIGINT:
        _leave(EXIT_INTERRUPTED, f'left at once, without saving: {AGAIN}')
      if not self._noted:
        self._noted = True
        _say('stopping once this call is saved; Ctrl-C again leaves at once')

  def __enter__(self) -> 'Stopper':
    self._ear, self._mouth = socket.socketpair()
    self._mouth.setblocking(False)
    self._wakeup = signal.set_wakeup_fd(
      self._mouth.fileno(), warn_on_full_buffer=False
    )
    self._before = {
      number: signal.signal(number, lambda number, frame: None)
      for number in (signal.SIGTERM, signal.SIGINT)
    }
    threading.Thread(
      target=self._listen, args=(self._ear,), daemon=True
    ).start()
    return self

  def __exit__(self, *exc) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)
    signal.set_wakeup_fd(self._wakeup)
    self._mouth.close()


def _say(line: str) -> None:
  # Past Python's streams, whose locks the interrupted thread may hold.
  os.write(2, f'jaxsynth: {line}\n'.encode())


def _leave(code: int, line: str) -> None:
  """Ends the process here and now, whatever its other threads are doing."""
  if os.isatty(2):
    os.write(2, b'\r\x1b[K\x1b[?25h')  # a progress bar hid the cursor
  _say(line)
  os._exit(code)
