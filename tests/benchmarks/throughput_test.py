"""What the throughput benchmark refuses, and the modes it knows."""

import pytest

from benchmarks import configs, throughput
from benchmarks.peers import modes
from jaxsynth.errors import UserError


@pytest.mark.parametrize(
  ('options', 'says'),
  [
    (['--config=smal'], "did you mean 'small'"),
    (['--layout=mop'], "unknown layout 'mop': did you mean 'map'"),
    (['--against=torch-egaer'], "did you mean 'torch-eager'"),
    (['--measure=rase'], "did you mean 'race'"),
    (['--modes=fulll'], "did you mean 'full'"),
    (['--modes=full-mb'], "unknown option 'mb'"),
    (['--confg=small'], 'unknown option --confg=small'),
    (['--config.model.d_modle=8'], "did you mean 'model.d_model'"),
    (['--runs=some'], '--runs is a list of numbers'),
  ],
)
def test_mistakes_are_named_before_anything_starts(monkeypatch, options, says):
  monkeypatch.setattr('sys.argv', ['throughput', *options])
  with pytest.raises(UserError, match=says):
    throughput.main()


def test_peers_without_torch_say_what_to_install(monkeypatch):
  monkeypatch.setattr('sys.argv', ['throughput', '--against=torch-eager'])
  monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
  with pytest.raises(UserError, match=r"pip install .*'.\[bench\]'"):
    throughput.main()


def test_modes_are_read():
  assert modes.Mode.parse('full-cpp-max') == modes.Mode('full', 0, True, True)
  assert modes.Mode.parse('eager-mb8') == modes.Mode('eager', 8)
  for config in configs.SIZES:
    assert all(modes.Mode.parse(m) for m in modes.CANDIDATES[config])
