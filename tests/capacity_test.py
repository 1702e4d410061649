"""How many jobs a sweep needs: its parts fit, and fewer would not."""

import copy
from unittest import mock

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsynth import build, capacity, cli, launch, split, stage
from jaxsynth.capacity import Job
from jaxsynth.config import override
from jaxsynth.errors import UserError
from jaxsynth.train import compiling, data_axis
from jaxsynth.train import engine as engines


@pytest.fixture(scope='module')
def config(lab):
  out = copy.deepcopy(lab.tiny)
  out['sweep'] = {
    'seeds': 3, 'traced': {'optimizer': {'peak_lr': (1e-3, 2e-3, 3e-3, 4e-3)}}
  }  # fmt: skip
  return out


def job_of(setup, runs, devices=1):
  """A job of as little memory as holds so many runs, one after the other."""
  n = capacity.need(setup, Job(devices, 1, False))
  needed = n.shared + n.moving + n.held * runs
  return Job(devices, int(needed / capacity.SHARE) + 1, False)


def test_memory_for_so_many_runs(config):
  setup = build.build(config)
  for runs, devices in ((1, 1), (7, 1), (2, 4)):
    job = job_of(setup, runs, devices)
    assert capacity.runs_of(setup, job) == runs * devices
  one = job_of(setup, 1)
  with pytest.raises(UserError, match=r'block of 1 runs needs .* layout.data'):
    capacity.runs_of(setup, one._replace(device_bytes=one.device_bytes - 8))


def test_what_a_run_holds(config, monkeypatch):
  """State, constants, and the snapshots of the call under way and the last."""
  setup = build.build(config)
  program = setup.program()
  state = stage.abstract_state(program, setup.sweep.runs()[0])
  sizes = stage.schedule_of(setup, program)
  found = capacity.need(setup, Job(1, 1, False))
  kept = 2 * sizes.max_snapshots * stage.bytes_of(state['params'])
  assert found.held > stage.bytes_of(state) + kept
  fixed = copy.deepcopy(config)
  fixed['sweep']['fixed'] = {'task': 0, 'eval': 0}
  common = capacity.need(build.build(fixed), Job(1, 1, False))
  assert common.held == stage.bytes_of(state) + kept
  assert common.shared == found.held - common.held > 0
  assert found.shared == 0
  monkeypatch.setattr(data_axis, 'SMALL', 0)
  wide = copy.deepcopy(config)
  wide['layout'] = {'data': 4}
  split_4 = capacity.need(build.build(wide), Job(4, 1, False))
  constants = common.shared
  share = (split_4.held - constants) / (found.held - constants)
  assert 0.25 <= share < 0.3, 'a piece of states and snapshots, but for scalars'
  assert split_4.moving < found.moving


def test_temporary_memory_is_of_the_right_size(config):
  """Against what the compiler says a call takes; a fifth to five times it."""
  big = copy.deepcopy(config)
  big['train']['batch_size'], big['layout'] = 256, {'microbatches': 1}
  setup = build.build(big)
  program, layout = stage.program_of(setup), stage.layout_of(setup)
  sizes = stage.schedule_of(setup, program)
  engine = engines.build(program, layout, sizes, False)
  runs = setup.sweep.runs()
  made = compiling.trace(engine, runs, sizes, layout).call.lower().compile()
  real = made.memory_analysis().temp_size_in_bytes
  assert 0.2 < capacity.need(setup, Job(1, 1, False)).moving / real < 5


@given(runs=st.integers(1, 14), groups=st.integers(1, 3))
@settings(deadline=None)
def test_the_fewest_shards_that_fit(config, runs, groups):
  setups = {str(i): build.build(config) for i in range(groups)}
  sweeps = [s.sweep for s in setups.values()]
  with mock.patch.object(capacity, 'runs_of', return_value=runs):
    count = capacity.shards(setups, Job(1, 1, False))
  most = lambda n: max(
    split.runs_of(p) for parts in split.plan(sweeps, n) for p in parts
  )
  assert count % groups == 0
  assert most(count) <= runs
  assert count == groups or most(count - groups) > runs


def test_a_part_that_does_not_fit(config):
  """Twelve shards of one run are the most; a vmapped block wants more."""
  setup = build.build({**config, 'layout': {'mode': 'vmap', 'block': 4}})
  n = capacity.need(setup, Job(1, 1, True))
  job = Job(1, int(4 * (n.moving + n.held) / capacity.SHARE) + 1, True)
  assert capacity.runs_of(setup, job) == 4
  assert capacity.shards({'': setup}, job) == 3
  small = job._replace(device_bytes=job.device_bytes // 2)
  with pytest.raises(UserError, match='a block of 4 runs needs'):
    capacity.shards({'': setup}, small)
  said = capacity.advice({'': setup}, small)
  assert said.startswith('no number of shards fits: a block of 4')
  assert capacity.advice({'': setup}, job).startswith('--shards=3 is advised')


@pytest.mark.parametrize('text', ['8', '8x', 'x16', '0x16', '8x0', '8x16GB'])
def test_a_job_is_written_as(text):
  assert capacity.parse('8x16') == Job(8, 16 << 30, True)
  with pytest.raises(UserError, match='DEVICESxGIB, as in 8x16, got'):
    capacity.parse(text)


def test_here():
  found = capacity.here()
  assert found.devices == len(jax.devices())
  assert not found.vmap
  assert 1 << 26 < found.device_bytes < 1 << 44


def test_every_shard_agrees(lab, tmp_path, monkeypatch, capsys):
  """The first decides; the others follow, whatever they have; N is kept."""
  config = build.complete(lab.tiny)
  setup = build.build(config)
  go = lambda shard, job, shards='auto': launch.train(
    config, tmp_path, shards=shards, shard=shard, job=job, say=print, quiet=True
  )
  little, much = job_of(setup, 2), job_of(setup, 40)
  go(0, little)
  assert 'train: --shards=2' in capsys.readouterr().out
  go(1, much)
  assert 'train: --shards=2' in capsys.readouterr().out
  assert len(stage.open_trajectory(tmp_path / 'stages' / 'train').runs) == 4
  with pytest.raises(UserError, match='cut into 2 shards: --shards=2, got 3'):
    go(0, little, 3)
  with pytest.raises(UserError, match='--shard counts from 0 to 1, got 2'):
    go(2, little)


def test_the_plan_advises(capsys, monkeypatch):
  """Before anything is timed; static groups are jobs of their own."""
  monkeypatch.setattr('jaxsynth.estimate.measure', lambda setup: {})
  monkeypatch.setattr('jaxsynth.estimate.lines', lambda plan: [])
  command = ['plan', '--config=markov_mixture:smoke']
  assert cli.main(command) == 0
  assert 'fits one job of 2 devices' in capsys.readouterr().err
  widths = '--config.sweep.static.model.d_model=(8,16)'
  assert cli.main([*command, widths, '--job=8x16']) == 0
  said = capsys.readouterr().err
  assert '--shards=2 is advised for jobs of 8 devices of 17.2 GB' in said
  assert cli.main([*command, widths, '--shards=auto', '--job=8x16']) == 0
  assert '2 shards, a job each' in capsys.readouterr().err


@pytest.mark.parametrize('option', ['--shards=atuo', '--shards=1.5'])
def test_no_number_of_shards(option, capsys):
  with pytest.raises(SystemExit):
    cli.main(['plan', '--config=markov_mixture:smoke', option])
  assert "a number or 'auto', got" in capsys.readouterr().err


def test_groups_of_more_devices_than_there_are(config):
  setup = build.build({**config, 'layout': {'data': 4}})
  with pytest.raises(UserError, match='is more than the 2 devices of a job'):
    capacity.need(setup, Job(2, 1 << 30, False))


def test_the_note_is_kept_as_it_was(tmp_path, config):
  made = build.complete(config)
  override(made, 'sweep.seeds', '2')
  groups = build.groups(made)
  split.agree(tmp_path, made, groups, 2)
  assert capacity.choose(tmp_path, groups, Job(1, 1, False)) == 2
