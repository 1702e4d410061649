"""Cloud TPU slices and zones, as a table: a name that is not in it is a typo.

Sources: the pages "TPU v5e", "TPU v6e", "TPU v5p", "TPU v4", "TPU regions and
zones" and "TPU software versions" of cloud.google.com/tpu/docs, and "Plan TPUs
in GKE" of cloud.google.com/kubernetes-engine/docs, in stored copies; those that
have a date are of August and September 2025. New kinds appear and zones come
and go: see `beyond`.
"""

import dataclasses
import math
import re

from jaxsynth.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Kind:
  """A generation of chips.

  Attributes:
    name: of a slice, with its size left out.
    per_chip: what the number in a slice's name counts, in units a chip.
    accelerator: GKE's label of its nodes.
    runtime: the software of a TPU VM.
    zones: where it is offered.
    shapes: topologies, small to large.
    whole: chips up to which a slice is one host; larger ones have four a host.
    gib: memory of a chip, which is one device of JAX.
  """

  name: str
  per_chip: int
  accelerator: str
  runtime: str
  zones: tuple[str, ...]
  shapes: tuple[str, ...]
  whole: int
  gib: int


_FLAT = ('1x1', '2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16')
_CUBE = ('2x2x1', '2x2x2', '2x2x4', '2x4x4', '4x4x4', '4x4x8', '4x8x8')

KINDS = (
  Kind(
    'v5litepod-{}', 1, 'tpu-v5-lite-podslice', 'v2-alpha-tpuv5-lite',
    ('us-central1-a', 'us-south1-a', 'us-west1-c', 'us-west4-a',
     'europe-west4-b'), _FLAT, 8, 16,
  ),
  Kind(
    'v6e-{}', 1, 'tpu-v6e-slice', 'v2-alpha-tpuv6e',
    ('us-central1-b', 'us-east1-d', 'us-east5-a', 'us-east5-b',
     'europe-west4-a', 'asia-northeast1-b'), _FLAT, 8, 32,
  ),
  Kind(
    'v5p-{}', 2, 'tpu-v5p-slice', 'v2-alpha-tpuv5',
    ('us-central1-a', 'us-east5-a', 'europe-west4-b'), _CUBE, 4, 95,
  ),
  Kind(
    'v4-{}', 2, 'tpu-v4-podslice', 'tpu-ubuntu2204-base',
    ('us-central2-b',), _CUBE, 4, 32,
  ),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Slice:
  """What is asked for.

  Attributes:
    name: of the Cloud TPU interface ('v5litepod-16').
    topology: chips along each axis ('4x4').
    hosts: machines, one process each.
    chips_per_host: chips of each.
    accelerator: GKE's label.
    runtime: software of a TPU VM.
    zones: where it is offered; empty where nobody knows.
    gib: memory of a chip; 0 where nobody knows.
  """

  name: str
  topology: str
  hosts: int
  chips_per_host: int
  accelerator: str
  runtime: str
  zones: tuple[str, ...]
  gib: int = 0

  @property
  def chips(self) -> int:
    return self.hosts * self.chips_per_host


def _chips(topology: str) -> int:
  return math.prod(map(int, topology.split('x')))


def _listed() -> dict[str, Slice]:
  out = {}
  for kind in KINDS:
    for shape in kind.shapes:
      chips = _chips(shape)
      hosts = 1 if chips <= kind.whole else chips // 4
      name = kind.name.format(chips * kind.per_chip)
      out[name] = Slice(
        name, shape, hosts, chips // hosts, kind.accelerator, kind.runtime,
        kind.zones, kind.gib,
      )  # fmt: skip
  return out


SLICES = _listed()
ZONES = sorted({zone for kind in KINDS for zone in kind.zones})


def find(name: str) -> Slice:
  """The slice of that name.

  Raises:
    UserError: it is not in the table; names the nearest that is.
  """
  if name not in SLICES:
    known = unknown('slice', name, SLICES)
    raise UserError(f'{known} (--unlisted goes beyond the table)')
  return SLICES[name]


def beyond(
  name: str,
  topology: str,
  hosts: int,
  accelerator: str = '',
  runtime: str = '',
) -> Slice:
  """A slice of a kind that is not in the table.

  Raises:
    UserError: the topology is none, or its chips do not divide among hosts.
  """
  if not re.fullmatch(r'[a-z0-9][a-z0-9-]*', name):
    raise UserError(f'--slice is a name such as v5litepod-16, got {name!r}')
  if not re.fullmatch(r'[1-9]\d*(x[1-9]\d*){1,2}', topology):
    raise UserError(f'--topology is as in 4x4 or 2x2x4, got {topology!r}')
  if hosts < 1 or _chips(topology) % hosts:
    raise UserError(
      f'{_chips(topology)} chips of --topology={topology} do not divide '
      f'among --hosts={hosts}'
    )
  per_host = _chips(topology) // hosts
  return Slice(name, topology, hosts, per_host, accelerator, runtime, ())


def check_zone(wanted: Slice, zone: str) -> None:
  """Checks that a slice is offered in a zone.

  Raises:
    UserError: it is not, or there is no such zone; names where it is.
  """
  if not wanted.zones:
    if not re.fullmatch(r'[a-z]+-[a-z]+\d+-[a-z0-9]+', zone):
      raise UserError(f'--zone is a name such as us-west4-a, got {zone!r}')
  elif zone not in ZONES:
    known = unknown('zone', zone, ZONES)
    raise UserError(f'{known} (--unlisted goes beyond the table)')
  elif zone not in wanted.zones:
    raise UserError(
      f'{wanted.name} is not offered in {zone} but in '
      f'{", ".join(wanted.zones)} (--unlisted goes beyond the table)'
    )
