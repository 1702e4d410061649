"""One process of a team, as the tests start it: `child.py OPTIONS`.

OPTIONS is JSON: `id`, `count`, `coordinator`, `devices`, `config` and `folder`
of a training of the toy, and perhaps `stop` [process, calls], `die` [process,
calls], `hang` [process, calls], `pause` (seconds after a call), `heartbeat` and
`patience` (seconds), `own` (train the model of the config instead), `pieces`
(also small leaves lie in pieces, see `train.data_axis`) and `second`: then a
stage starts from step 6 of the first.
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import TOY

from jaxsynth import build, launch, peers, stage
from jaxsynth.train import data_axis
from jaxsynth.train.loop import Stopped

options = json.loads(sys.argv[1])
if options.get('pieces'):
  data_axis.SMALL = 0
me, seen = options['id'], []
launch.join(
  peers.Cluster(
    coordinator=options['coordinator'],
    process_id=me,
    process_count=options['count'],
    heartbeat=options.get('heartbeat', peers.HEARTBEAT_S),
    patience=options.get('patience', peers.PATIENCE_S),
  ),
  options['devices'],
)


def reached(what):
  process, calls = options.get(what) or (-1, 0)
  return process == me and len(seen) >= calls


def observe(event):
  seen.append(event)
  time.sleep(options.get('pause', 0))
  if reached('die'):
    os.kill(os.getpid(), signal.SIGKILL)
  if reached('hang'):
    time.sleep(3600)


def train(name, program, parent=None):
  return stage.train(
    build.build(options['config']),
    Path(options['folder']) / name,
    program=program,
    parent=parent,
    observers=[observe],
    stopping=lambda: stopper() or reached('stop'),
    quiet=True,
  )


code, crashed, stopper = 0, False, launch.Stopper()
stopper.__enter__()
try:
  traj = train('first', None if options.get('own') else TOY)
  assert len(traj.runs) == options['config']['sweep']['seeds']
  if options.get('second'):
    again = TOY._replace(init=lambda run: run.parent)
    train('second', again, stage.Parent(traj, 6))
except Stopped as e:
  print('stopped', e.step)
  code = 75
except peers.HungError as e:
  print('hung', e)
  code = peers.HUNG
except Exception:
  traceback.print_exc()
  crashed = True
peers.leave(crashed, code)
sys.exit(code)
