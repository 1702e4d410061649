"""The timed transformer, its data and its loss in PyTorch, after its users.

The network is that of `jaxsynth.models.transformer` (GPT-2's, pre-norm); its
fused query-key-value layer has the key bias that ours leaves out, which the
softmax cancels. The data are those of `jaxsynth.tasks.markov_mixture`, drawn
by inverting cumulative laws, many sequences at once.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from benchmarks import configs
from benchmarks.configs import Size


class Block(nn.Module):
  """Attention and MLP; `manual` attention is one that vmap can batch."""

  def __init__(self, size: Size, manual: bool):
    super().__init__()
    D = size.width
    self.heads, self.gelu, self.manual = size.heads, size.gelu, manual
    self.ln1, self.ln2 = nn.LayerNorm(D), nn.LayerNorm(D)
    self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
    self.fc, self.proj = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

  def forward(self, x_BTD):
    B, T, D = x_BTD.shape
    parts = self.qkv(self.ln1(x_BTD)).split(D, -1)
    q, k, v = (p.view(B, T, self.heads, -1).transpose(1, 2) for p in parts)
    if self.manual:
      mask = torch.ones(T, T, dtype=torch.bool).tril()
      scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
      z = scores.masked_fill(~mask, -1e9).softmax(-1) @ v
    else:
      z = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    x_BTD = x_BTD + self.out(z.transpose(1, 2).reshape(B, T, D))
    h = functional.gelu(self.fc(self.ln2(x_BTD)), approximate=self.gelu)
    return x_BTD + self.proj(h)


class GPT(nn.Module):
  """Tokens [B, T] -> logits [B, T, V]."""

  def __init__(self, size: Size, manual: bool = False):
    super().__init__()
    self.embed = nn.Embedding(size.vocab, size.width)
    self.positions = nn.Embedding(size.length, size.width)
    self.blocks = nn.ModuleList(Block(size, manual) for _ in range(size.layers))
    self.ln = nn.LayerNorm(size.width)
    self.unembed = nn.Linear(size.width, size.vocab, bias=not size.tied)
    for name, p in self.named_parameters():
      if p.dim() == 2:
        into = name.endswith(('out.weight', 'proj.weight'))
        scale = math.sqrt(2 * size.layers) if into else 1
        nn.init.normal_(p, std=0.02 / scale)
      elif name.endswith('bias'):
        nn.init.zeros_(p)
    if size.tied:
      self.unembed.weight = self.embed.weight

  def forward(self, tokens_BT):
    x = self.embed(tokens_BT) + self.positions.weight[: tokens_BT.shape[1]]
    for block in self.blocks:
      x = block(x)
    return self.unembed(self.ln(x))


def cross_entropy(logits, sequences):
  """Mean next-token loss of logits [B, T, V] on sequences [B, T + 1]."""
  targets = sequences[:, 1:].reshape(-1)
  return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets)


class Chains:
  """Sequences from a mixture of Markov chains with random weights."""

  def __init__(self, size: Size):
    self.length, k = size.length + 1, configs.STATES
    law = torch.distributions.Dirichlet(torch.ones(k))
    rows = law.sample((configs.CHAINS, k))
    stationary = torch.linalg.matrix_power(rows, 64)[:, 0]
    weights = torch.rand(configs.CHAINS)
    inner = lambda p: p.cumsum(-1)[..., :-1].contiguous()
    self.prior = inner(weights / weights.sum())
    self.initial, self.rows = inner(stationary), inner(rows).view(-1, k - 1)

  def sample(self, count: int):
    """int64 tokens [count, length]."""
    chain = torch.searchsorted(self.prior, torch.rand(count))
    uniform = torch.rand(self.length, count, 1)
    state = (self.initial[chain] <= uniform[0]).sum(-1)
    out = torch.empty(self.length, count, dtype=torch.long)
    out[0] = state
    chain = chain * configs.STATES
    for t in range(1, self.length):
      state = (self.rows[chain + state] <= uniform[t]).sum(-1)
      out[t] = state
    return out.t()


def adamw(parameters, lr: float):
  """AdamW as the configs ask for it, in PyTorch's fastest own form."""
  return torch.optim.AdamW(
    parameters,
    lr=lr,
    betas=(configs.B1, configs.B2),
    eps=configs.EPS,
    weight_decay=configs.WEIGHT_DECAY,
    fused=True,
  )


def matmul_peak(size: int = 2048, times: int = 8) -> float:
  """FLOP/s of a float32 product with the threads of this process."""
  import time

  a, best = torch.randn(size, size), float('inf')
  for _ in range(times):
    began = time.perf_counter()
    a @ a
    best = min(best, time.perf_counter() - began)
  return 2 * size**3 / best
