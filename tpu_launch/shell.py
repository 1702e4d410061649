"""The two scripts, and how words pass through a shell unchanged.

Only here does anything become shell text. What a user wrote goes through
`words`, where every word is quoted; the rest is fixed.
"""

import shlex
from collections.abc import Sequence

from tpu_launch.ends import FINAL

# Where a slice keeps the code with which its job ended for good.
EXIT = '/var/lib/jaxsynth/exit'


def words(argv: Sequence[str]) -> str:
  """An argv as the content of a bash array, a word a line."""
  return '\n'.join(f'  {shlex.quote(word)}' for word in argv)


def _final() -> str:
  return ' | '.join(map(str, FINAL))


def startup(
  *,
  image: str,
  argv: Sequence[str],
  nfs: str,
  mount: str,
  folder: str,
  restarts: int,
) -> str:
  """The startup script of a TPU VM, run as root at every boot of each host.

  Args:
    image: the container.
    argv: the training.
    nfs: HOST:/EXPORT of the shared folder.
    mount: where it is mounted, on the host and in the container.
    folder: of the job, below `mount`; its logs go there.
    restarts: how often a training that did not end for good is started again.
  """
  registry = image.split('/')[0]
  return f"""\
#!/usr/bin/env bash
# Mounts the shared folder and runs the training until it ends for good.
set -euo pipefail
image={shlex.quote(image)}
mount={shlex.quote(mount)}
folder={shlex.quote(folder)}
command=(
{words(argv)}
)

mkdir -p "$mount" {EXIT.rpartition('/')[0]}
rm -f {EXIT}
if ! mountpoint -q "$mount"; then
  command -v mount.nfs > /dev/null || {{
    apt-get update
    apt-get install -y nfs-common
  }}
  mount -t nfs -o hard {shlex.quote(nfs)} "$mount"
fi
mkdir -p "$folder/logs"
exec >> "$folder/logs/$(hostname).log" 2>&1
echo "$(date --utc +%FT%TZ) booted"

gcloud auth configure-docker {shlex.quote(registry)} --quiet
until docker pull --quiet "$image"; do sleep 10; done
for ((start = 0; start <= {restarts}; start++)); do
  docker rm --force jaxsynth > /dev/null 2>&1 || true
  code=0
  docker run --name jaxsynth --init --privileged --network host \\
    --stop-timeout 60 --volume "$mount:$mount" \\
    "$image" "${{command[@]}}" || code=$?
  echo "$(date --utc +%FT%TZ) start $start ended with $code"
  case "$code" in {_final()}) break ;; esac
  sleep 10
done
echo "$code" > {EXIT}.new
mv {EXIT}.new {EXIT}
"""


def batch(*, argv: Sequence[str], restarts: int) -> str:
  """The batch script of a Slurm job.

  Slurm tells the tasks, and not this script, that time is running out; they
  save, and the job goes back into the queue. Whoever cancels the job tells
  this script too, and it stays out of the queue.

  Args:
    argv: the training, of each task.
    restarts: how often the job goes back into the queue.
  """
  return f"""\
#!/usr/bin/env bash
# Runs the training, and queues the job again where that helps.
set -uo pipefail
command=(
{words(argv)}
)
told=0
trap 'told=1' TERM
code=0
srun --kill-on-bad-exit=1 "${{command[@]}}" || code=$?
echo "start ${{SLURM_RESTART_COUNT:-0}} ended with $code"
case "$code" in {_final()}) exit "$code" ;; esac
if ((told)) || ((${{SLURM_RESTART_COUNT:-0}} >= {restarts})); then
  exit "$code"
fi
scontrol requeue "$SLURM_JOB_ID"
"""
