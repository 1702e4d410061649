"""The three trainings that are timed, as configs and as plain numbers.

  tiny    width 16, 32 tokens, batch 16       overheads
  small   width 64, 128 tokens, batch 32      the size of most studies
  paper   width 64, 511 tokens, batch 128     Park et al. (2024), as published

A two-layer transformer on `markov_mixture` with 10 states and 64 chains,
AdamW with weight decay 0.1 and betas 0.9 and 0.95, one learning rate a run.
`jaxsynth train --config=benchmarks/configs.py:small` trains one.
"""

import dataclasses

from ml_collections import ConfigDict

from jaxsynth.errors import unknown

STATES, CHAINS = 10, 64
PEAK_LR, WEIGHT_DECAY, B1, B2, EPS = 6e-4, 0.1, 0.9, 0.95, 1e-8


@dataclasses.dataclass(frozen=True)
class Size:
  """One training as numbers, for the peers and the floors.

  Attributes:
    width: D.
    length: positions T the model reads.
    batch: sequences B a step.
    vocab: V, rows of the embedding and of the prediction.
    tied: whether the output matrix is the transposed embedding.
    gelu: 'none' for the exact one, 'tanh' for its approximation.
    clip: global norm the gradient is clipped to; 0 for none.
    runs: trained together in the headline figure.
    call_steps: steps in one call: whole groups of those whose batches are
      drawn together, and seconds of work for all runs.
    flat: whether our optimizer works on one vector of all parameters, the
      option for models whose leaves are too small to be worth an operation.
  """

  width: int
  length: int
  batch: int
  vocab: int
  tied: bool
  gelu: str
  clip: float
  runs: int
  call_steps: int
  flat: bool = False
  layers: int = 2
  heads: int = 4

  @property
  def tokens(self) -> int:
    """Tokens of a run-step."""
    return self.batch * self.length

  @property
  def flops(self) -> float:
    """Nominal arithmetic of a run-step.

    6 (L 12 D^2 + D V) B T for the products with weights, forward and
    backward, and 12 L T D B T for attention without counting the mask:
    a rate of this is a rate of nominal work, as is usual.
    """
    D, L, T = self.width, self.layers, self.length
    weights = 6 * (L * 12 * D**2 + D * self.vocab) * self.tokens
    return float(weights + 12 * L * T * D * self.tokens)

  @property
  def parameters(self) -> int:
    """Weights and biases; keys have no bias."""
    D, L, V = self.width, self.layers, self.vocab
    block = 12 * D**2 + (3 + 4 + 1) * D + 4 * D  # products, biases, norms
    unembed = 0 if self.tied else D * V + V
    return V * D + self.length * D + L * block + 2 * D + unembed

  @property
  def bytes(self) -> float:
    """Least traffic of a run-step with an accelerator's memory, float32.

    Nine times the parameters: read forward, read backward, gradient written
    and read, two moments read and written, parameters written. And what the
    gradient needs of the activations, written once and read once: per token
    and layer the two norms' inputs, q, k, v, the mixed values and the MLP's
    inner layer, 6 D + 4 D; the embedding, the last norm's input and the
    logits. Attention patterns are recomputed in the chip.
    """
    D, L = self.width, self.layers
    activations = self.tokens * (L * 10 * D + 2 * D + self.vocab)
    return 4.0 * (9 * self.parameters + 2 * activations)


SIZES = {
  'tiny': Size(
    width=16, length=32, batch=16, vocab=10, tied=False, gelu='tanh',
    clip=0.0, runs=8, call_steps=128, flat=True,
  ),
  'small': Size(
    width=64, length=128, batch=32, vocab=10, tied=False, gelu='tanh',
    clip=0.0, runs=8, call_steps=32,
  ),
  'paper': Size(
    width=64, length=511, batch=128, vocab=676, tied=True, gelu='none',
    clip=0.01, runs=2, call_steps=4,
  ),
}  # fmt: skip


def size(name: str) -> Size:
  """The size of that name.

  Raises:
    UserError: there is none.
  """
  if name not in SIZES:
    raise unknown('config', name, SIZES)
  return SIZES[name]


def learning_rates(runs: int) -> list[float]:
  """One learning rate a run."""
  return [PEAK_LR * (1 + 0.1 * i / runs) for i in range(runs)]


def get_config(preset: str = 'small') -> ConfigDict:
  """The config of a size, with its headline number of runs."""
  s = size(preset)
  return ConfigDict(
    {
      'preset': preset,
      'task': {
        'name': 'markov_mixture',
        'num_states': STATES,
        'max_chains': CHAINS,
        'seq_len': s.length + 1,
        'vocab_size': s.vocab,
      },
      'model': {
        'name': 'transformer',
        'num_layers': s.layers,
        'd_model': s.width,
        'num_heads': s.heads,
        'max_len': s.length,
        'tied': s.tied,
        'activation': 'gelu' if s.gelu == 'none' else 'gelu_tanh',
      },
      'optimizer': {
        'name': 'adamw',
        'weight_decay': WEIGHT_DECAY,
        'b1': B1,
        'b2': B2,
        'eps': EPS,
        'clip': s.clip,
        'flat': s.flat,
      },
      'train': {'batch_size': s.batch, 'call_steps': s.call_steps},
      'sweep': {
        'seeds': 1,
        'traced': {'optimizer': {'peak_lr': learning_rates(s.runs)}},
      },
    }
  )
