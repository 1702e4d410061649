"""Trains a config for each `layout.data`: CONFIG FOLDER own|config DATA..."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from data_axis_test import program

from jaxsynth import build, stage
from jaxsynth.train import layout

layout.configure()
config, folder, which, *several = sys.argv[1:]
for data in several:
  setup = build.build({**json.loads(config), 'layout': {'data': int(data)}})
  some = program() if which == 'own' else None
  stage.train(setup, Path(folder) / data, program=some, quiet=True)
