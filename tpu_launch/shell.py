"""The two scripts, and how words pass through a shell unchanged.

Only here does anything become shell text. What a user wrote goes through
`words`, where every word is quoted; the rest is fixed.
"""

import shlex
from collections.abc import Sequence

from jaxsynth.launch import EXIT_FAILED
from tpu_launch.ends import FINAL

# Where a slice keeps the code with which its job ended for good.
EXIT = '/var/lib/jaxsynth/exit'
# How often the container is asked for.
PULLS = 30


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
  logs: str,
  restarts: int,
) -> str:
  """The startup script of a TPU VM, run as root at every boot of each host.

  Args:
    image: the container.
    argv: the training.
    nfs: HOST:/EXPORT of the shared folder.
    mount: where it is mounted, on the host and in the container.
    logs: folder below `mount` for a log of each host.
    restarts: how often a training that did not end for good is started again.
  """
  registry = image.split('/')[0]
  return f"""\
#!/usr/bin/env bash
# Mounts the shared folder and runs the training until it ends for good.
set -euo pipefail
image={shlex.quote(image)}
mount={shlex.quote(mount)}
logs={shlex.quote(logs)}
command=(
{words(argv)}
)

# What `watch` waits for; also if the steps before the training fail.
finish() {{
  echo "$1" > {EXIT}.new
  mv {EXIT}.new {EXIT}
}}
mkdir -p "$mount" {EXIT.rpartition('/')[0]}
rm -f {EXIT}
trap 'finish {EXIT_FAILED}' ERR
if ! mountpoint -q "$mount"; then
  command -v mount.nfs > /dev/null || {{
    apt-get update
    apt-get -o DPkg::Lock::Timeout=300 install -y nfs-common
  }}
  mount -t nfs -o hard {shlex.quote(nfs)} "$mount"
fi
mkdir -p "$logs"
exec >> "$logs/$(hostname).log" 2>&1
echo "$(date --utc +%FT%TZ) booted"

gcloud auth configure-docker {shlex.quote(registry)} --quiet
for ((pull = 0; pull < {PULLS}; pull++)); do
  docker pull --quiet "$image" && break
  sleep 10
done
docker image inspect "$image" > /dev/null
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
finish "$code"
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
# Since Slurm 22.05 srun does not read what sbatch sets.
if [[ -n "${{SLURM_CPUS_PER_TASK:-}}" ]]; then
  export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
fi
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
