"""Writes transformer.npz: logits of small transformers computed by PyTorch.

An implementation that shares no code with ours: torch.nn.functional for
every layer, rotary positions as multiplication by unit complex numbers.
Parameters are random and far from initialisation (weights of order one,
norms' scales and every bias moved), so that each of them matters.

  python tests/golden/make_transformer.py     needs the extra `bench` (torch)

The file holds, for each variant: `options` (JSON, fields of Transformer),
`params/PATH`, `inputs` and `logits`. It is a pure function of this script and
of torch's arithmetic; made with torch 2.13.0 on a CPU.
"""

import json
import pathlib

import numpy as np
import torch
from torch.nn import functional

D, H, L, T, B = 8, 2, 2, 6, 2
VOCAB, WIDTH_IN, OUTPUT = 7, 3, 5

VARIANTS = {
  'gpt2': {'activation': 'gelu_tanh'},
  'post': {'norm': 'post', 'activation': 'relu'},
  'rotary': {'positions': 'rotary'},
  'no_positions': {'positions': 'none', 'bias': False},
  'tied': {'tied': True, 'bias': False},
  'attention_only': {'mlp_ratio': 0.0, 'positions': 'rotary', 'bias': False},
  'post_attention_only': {'mlp_ratio': 0.0, 'norm': 'post'},
  'encoder': {'causal': False, 'norm': 'post', 'mlp_ratio': 1.5},
  'real': {'real': True, 'num_heads': 1, 'mlp_ratio': 2.0},
  'real_encoder': {'real': True, 'causal': False, 'positions': 'none'},
}
DEFAULTS = {
  'num_layers': L,
  'd_model': D,
  'num_heads': H,
  'mlp_ratio': 4.0,
  'norm': 'pre',
  'positions': 'learned',
  'max_len': T + 2,
  'tied': False,
  'bias': True,
  'causal': True,
  'activation': 'gelu',
}


def shapes(o: dict, real: bool) -> dict[str, tuple[int, ...]]:
  """The parameters of a variant by path, as a user finds them on disk."""
  out = {}

  def layer(path, rows, columns, bias=o['bias']):
    out[f'{path}/kernel'] = (rows, columns)
    if bias:
      out[f'{path}/bias'] = (columns,)

  def norm(path):
    out[f'{path}/scale'] = (D,)
    if o['bias']:
      out[f'{path}/bias'] = (D,)

  if real:
    layer('embed', WIDTH_IN, D)
  else:
    out['embed/embedding'] = (VOCAB, D)
  if o['positions'] == 'learned':
    out['pos_embed/embedding'] = (o['max_len'], D)
  for i in range(L):
    block = f'blocks_{i}'
    norm(f'{block}/ln1')
    for name in ('q', 'v', 'out'):
      layer(f'{block}/attn/{name}', D, D)
    rotary = o['positions'] == 'rotary'
    layer(f'{block}/attn/k', D, D, bias=o['bias'] and rotary)
    if o['mlp_ratio']:
      width = int(o['mlp_ratio'] * D)
      norm(f'{block}/ln2')
      layer(f'{block}/mlp/in', D, width)
      layer(f'{block}/mlp/out', width, D)
  if o['norm'] == 'pre':
    norm('ln_final')
  if not o['tied']:
    layer('unembed', D, OUTPUT)
  return out


def rope(x: torch.Tensor) -> torch.Tensor:
  """[B, H, T, C]: channels (c, c + C/2) as one complex number, turned."""
  half = x.shape[-1] // 2
  theta = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
  angle = torch.arange(x.shape[2], dtype=torch.float64)[:, None] * theta
  turn = torch.polar(torch.ones_like(angle), angle)
  z = torch.complex(x[..., :half].double(), x[..., half:].double()) * turn
  return torch.cat([z.real, z.imag], dim=-1).to(x.dtype)


def logits(p: dict, o: dict, inputs: torch.Tensor) -> torch.Tensor:
  """The forward pass, in the precision of the parameters."""

  def linear(path, x):
    return functional.linear(x, p[f'{path}/kernel'].T, p.get(f'{path}/bias'))

  def norm(path, x):
    weight, bias = p[f'{path}/scale'], p.get(f'{path}/bias')
    return functional.layer_norm(x, (D,), weight, bias, eps=1e-5)

  def attention(path, x):
    heads = lambda y: y.unflatten(-1, (o['num_heads'], -1)).transpose(1, 2)
    q, k, v = (heads(linear(f'{path}/{name}', x)) for name in 'qkv')
    if o['positions'] == 'rotary':
      q, k = rope(q), rope(k)
    z = functional.scaled_dot_product_attention(q, k, v, is_causal=o['causal'])
    return linear(f'{path}/out', z.transpose(1, 2).flatten(2))

  def mlp(path, x):
    h = linear(f'{path}/in', x)
    if o['activation'] == 'relu':
      h = functional.relu(h)
    else:
      tanh = o['activation'] == 'gelu_tanh'
      h = functional.gelu(h, approximate='tanh' if tanh else 'none')
    return linear(f'{path}/out', h)

  if 'embed/embedding' in p:
    x = functional.embedding(inputs, p['embed/embedding'])
  else:
    x = linear('embed', inputs)
  if o['positions'] == 'learned':
    x = x + p['pos_embed/embedding'][: x.shape[1]]
  for i in range(L):
    parts = [('ln1', 'attn', attention)]
    if o['mlp_ratio']:
      parts.append(('ln2', 'mlp', mlp))
    for ln, path, part in parts:
      ln, path = f'blocks_{i}/{ln}', f'blocks_{i}/{path}'
      if o['norm'] == 'pre':
        x = x + part(path, norm(ln, x))
      else:
        x = norm(ln, x + part(path, x))
  if o['norm'] == 'pre':
    x = norm('ln_final', x)
  if o['tied']:
    return functional.linear(x, p['embed/embedding'])
  return linear('unembed', x)


def main() -> None:
  rng = np.random.Generator(np.random.PCG64(0))
  arrays = {}
  for name, changes in VARIANTS.items():
    options = DEFAULTS | changes
    real = options.pop('real', False)
    params = {}
    for path, shape in shapes(options, real).items():
      scale = 1.0 if path.endswith('embedding') else 0.5
      value = scale * rng.standard_normal(shape)
      value += path.endswith('scale')
      params[path] = value.astype(np.float32)
    if real:
      inputs = rng.standard_normal((B, T, WIDTH_IN)).astype(np.float32)
      tensor = torch.from_numpy(inputs).double()
    else:
      inputs = rng.integers(0, VOCAB, (B, T)).astype(np.int32)
      tensor = torch.from_numpy(inputs).long()
    exact = {k: torch.from_numpy(v).double() for k, v in params.items()}
    arrays[f'{name}/options'] = np.array(json.dumps(options))
    arrays[f'{name}/inputs'] = inputs
    arrays[f'{name}/logits'] = logits(exact, options, tensor).numpy()
    for path, value in params.items():
      arrays[f'{name}/params/{path}'] = value
  path = pathlib.Path(__file__).with_name('transformer.npz')
  np.savez_compressed(path, **arrays)
  print(f'{path.name}: {len(VARIANTS)} variants, {path.stat().st_size} bytes')


if __name__ == '__main__':
  main()
