"""PyTorch at its best: the fastest way found to train several runs.

One process a core with one thread each, the runs shared out between them, in
one of the modes of `benchmarks.peers.modes`.

  python -m benchmarks.peers.torch_best \\
      '{"config": "small", "runs": 4, "mode": "compile-mb8"}'

is one process of the contestant for `benchmarks.windows`.
"""

import json
import sys
import time
from collections.abc import Callable

import torch
from torch.func import functional_call, grad_and_value, stack_module_state

from benchmarks import configs, windows
from benchmarks.peers import gpt
from benchmarks.peers.modes import Mode


def compiled(mode: Mode, fn: Callable) -> Callable:
  how = 'max-autotune-no-cudagraphs' if mode.max else None
  return torch.compile(fn, mode=how)


class Separate:
  """Runs one after another, each with its module and its optimizer."""

  def __init__(self, mode: Mode, size: configs.Size, rates: list[float]):
    self._size, self._part = size, mode.part or size.batch
    models = [gpt.GPT(size) for _ in rates]
    self._runs = [
      (m, gpt.adamw(m.parameters(), r)) for m, r in zip(models, rates)
    ]
    loss = lambda model, x: gpt.cross_entropy(model(x[:, :-1]), x)
    self._loss = compiled(mode, loss) if mode.kind == 'compile' else loss

  def step(self, batches) -> torch.Tensor:
    """One step of each run on its batch, batches [R, B, T + 1]."""
    size = self._size
    for (model, optimizer), batch in zip(self._runs, batches):
      for part in batch.split(self._part):
        loss = self._loss(model, part) * (len(part) / size.batch)
        loss.backward()
      if size.clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), size.clip)
      optimizer.step()
      optimizer.zero_grad()
    return loss.detach()


class _State:
  """Parameters, moments and step count of one run, or of several stacked."""

  def __init__(self, parameters: dict[str, torch.Tensor], lr: torch.Tensor):
    self.parameters = {n: p.detach().clone() for n, p in parameters.items()}
    zeros = lambda: {n: torch.zeros_like(p) for n, p in parameters.items()}
    self.first, self.second, self.lr, self.count = zeros(), zeros(), lr, 0

  def corrections(self) -> tuple[torch.Tensor, torch.Tensor]:
    self.count += 1
    correct = lambda beta: torch.tensor(1 - beta**self.count)
    return correct(configs.B1), correct(configs.B2)


def _parameters(model: gpt.GPT) -> dict[str, torch.Tensor]:
  """Each parameter once, also where two layers share it."""
  return dict(model.named_parameters())


def _grad(mode: Mode, size: configs.Size, manual: bool) -> Callable:
  """(parameters, batch [B, T + 1]) -> (gradients, loss), in microbatches."""
  model = gpt.GPT(size, manual).to('meta')
  part = mode.part or size.batch

  def loss(parameters, x):
    call = functional_call(model, parameters, (x[:, :-1],), tie_weights=True)
    return gpt.cross_entropy(call, x) * (len(x) / size.batch)

  one = grad_and_value(loss)

  def total(parameters, batch):
    grads, value = one(parameters, batch[:part])
    for i in range(part, size.batch, part):
      more, extra = one(parameters, batch[i : i + part])
      grads = {n: g + more[n] for n, g in grads.items()}
      value = value + extra
    return grads, value

  return total


def _adamw(size: configs.Size, lead: int) -> Callable:
  """The optimizer on tensors with `lead` leading axes for the runs."""

  def wide(x, like):
    return x.view(*x.shape, *[1] * (like.dim() - x.dim()))

  def update(parameters, grads, first, second, lr, correct1, correct2):
    if size.clip:
      square = sum(g.square().flatten(lead).sum(-1) for g in grads.values())
      scale = (size.clip / (square.sqrt() + 1e-6)).clamp(max=1)
      grads = {n: g * wide(scale, g) for n, g in grads.items()}
    for n, p in parameters.items():
      g, m, v, rate = grads[n], first[n], second[n], wide(lr, p)
      m.mul_(configs.B1).add_(g, alpha=1 - configs.B1)
      v.mul_(configs.B2).addcmul_(g, g, value=1 - configs.B2)
      size_of = (v / correct2).sqrt() + configs.EPS
      p.mul_(1 - rate * configs.WEIGHT_DECAY).sub_(
        rate * (m / correct1) / size_of
      )

  return update


class Full:
  """Runs one after another, each step one compiled graph."""

  def __init__(self, mode: Mode, size: configs.Size, rates: list[float]):
    grad, update = _grad(mode, size, manual=False), _adamw(size, 0)

    def step(parameters, first, second, batch, lr, correct1, correct2):
      grads, loss = grad(parameters, batch)
      update(parameters, grads, first, second, lr, correct1, correct2)
      return loss

    self._step = compiled(mode, step)
    self._states = [
      _State(_parameters(gpt.GPT(size)), torch.tensor(r)) for r in rates
    ]

  @torch.no_grad()
  def step(self, batches) -> torch.Tensor:
    for s, batch in zip(self._states, batches):
      moments = s.parameters, s.first, s.second
      loss = self._step(*moments, batch, s.lr, *s.corrections())
    return loss


class Ensemble:
  """All runs of the process at once."""

  def __init__(self, mode: Mode, size: configs.Size, rates: list[float]):
    models = [gpt.GPT(size) for _ in rates]
    stacked, _ = stack_module_state(models)
    once = {n: stacked[n] for n in _parameters(models[0])}
    self._state = _State(once, torch.tensor(rates))
    grad = torch.func.vmap(_grad(mode, size, manual=True))
    self._grad = compiled(mode, grad) if mode.kind == 'vmapc' else grad
    self._update = _adamw(size, 1)

  @torch.no_grad()
  def step(self, batches) -> torch.Tensor:
    s = self._state
    grads, loss = self._grad(s.parameters, batches)
    moments = s.first, s.second, s.lr
    self._update(s.parameters, grads, *moments, *s.corrections())
    return loss


def make(mode: Mode, size: configs.Size, rates: list[float]):
  """The runs of this process, ready to step."""
  kinds = {'full': Full, 'vmap': Ensemble, 'vmapc': Ensemble}
  return kinds.get(mode.kind, Separate)(mode, size, rates)


def main() -> None:
  payload = json.loads(sys.argv[1])
  mode, size = Mode.parse(payload['mode']), configs.size(payload['config'])
  runs = payload['runs']
  torch.manual_seed(0)
  torch.set_num_threads(1)
  torch.set_flush_denormal(True)
  if mode.cpp:
    torch._inductor.config.cpp_wrapper = True
  chains = gpt.Chains(size)
  together = make(mode, size, configs.learning_rates(runs))

  def unit() -> int:
    drawn = chains.sample(size.call_steps * runs * size.batch)
    shape = (size.call_steps, runs, size.batch, size.length + 1)
    for batches in drawn.contiguous().view(shape):
      loss = together.step(batches)
    float(loss.sum())
    return size.call_steps * runs

  began = time.perf_counter()
  unit()
  facts = {
    'mode': payload['mode'],
    'threads': torch.get_num_threads(),
    'first_seconds': time.perf_counter() - began,
  }
  windows.serve(facts, lambda seconds: windows.until(seconds, unit))


if __name__ == '__main__':
  main()
