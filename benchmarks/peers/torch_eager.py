"""PyTorch as its users run it: eager, one run at a time, all threads.

  python -m benchmarks.peers.torch_eager '{"config": "small", "runs": 8}'

is the contestant for `benchmarks.windows`. An nn.Module, its own AdamW
(fused), data drawn for many steps at once.
"""

import json
import os
import sys
import time

import torch

from benchmarks import configs, windows
from benchmarks.peers import gpt


def main() -> None:
  payload = json.loads(sys.argv[1])
  size = configs.size(payload['config'])
  torch.manual_seed(0)
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  chains = gpt.Chains(size)
  models = [gpt.GPT(size) for _ in range(payload['runs'])]
  rates = configs.learning_rates(len(models))
  runs = [(m, gpt.adamw(m.parameters(), r)) for m, r in zip(models, rates)]

  def one(model, optimizer) -> int:
    drawn = chains.sample(size.call_steps * size.batch)
    for sequences in drawn.split(size.batch):
      loss = gpt.cross_entropy(model(sequences[:, :-1]), sequences)
      loss.backward()
      if size.clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), size.clip)
      optimizer.step()
      optimizer.zero_grad()
    float(loss)
    return size.call_steps

  turn = [0]

  def unit() -> int:
    turn[0] += 1
    return one(*runs[turn[0] % len(runs)])

  began = time.perf_counter()
  unit()
  facts = {
    'mode': 'eager',
    'threads': torch.get_num_threads(),
    'first_seconds': time.perf_counter() - began,
    'matmul_flops_per_s': gpt.matmul_peak(),
  }
  windows.serve(facts, lambda seconds: windows.until(seconds, unit))


if __name__ == '__main__':
  main()
