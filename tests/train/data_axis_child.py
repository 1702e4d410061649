"""Trains a config for each `layout.data`: CONFIG FOLDER WIDTH DATA...

Beside each training DATA it notes in bytes-DATA.json what each device held
after each call.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import jax

from jaxsynth import build, stage
from jaxsynth.train import data_axis, layout
from tests.train.groups import program

layout.configure()
data_axis.SMALL = 0  # also small leaves lie in pieces


def bytes_of_each_device():
  """Of all arrays that are alive."""
  out = dict.fromkeys((d.id for d in jax.devices()), 0)
  for x in jax.live_arrays():
    for shard in x.addressable_shards:
      out[shard.device.id] += shard.data.nbytes
  return list(out.values())


config, folder, width, *several = sys.argv[1:]
for data in several:
  setup = build.build({**json.loads(config), 'layout': {'data': int(data)}})
  some = program(width=int(width)) if int(width) else None
  held = []
  stage.train(
    setup,
    Path(folder) / data,
    program=some,
    quiet=True,
    observers=[lambda event, held=held: held.append(bytes_of_each_device())],
  )
  (Path(folder) / f'bytes-{data}.json').write_text(json.dumps(held))
