"""The models and batches that are timed, by name. Weights and tokens are random."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Shape:
  """A decoder's shape, in the names of `models.transformer.ModelConfig`; its embedding is tied."""

  vocab_size: int
  layers: int
  d_model: int
  heads: int
  kv_heads: int
  head_dim: int
  ff_dim: int
  qk_norm: bool
  rope_theta: float


@dataclasses.dataclass(frozen=True)
class Size:
  """A decoder and its batches."""

  model: Shape
  prompt_tokens: int = 256  # P, of every prompt
  response_tokens: int = 256  # T, of every response: none ends earlier
  pairs: int = 16  # preference pairs a step
  rollouts: int = 128  # responses a step that samples: prompts x K


MICRO = Shape(32, 2, 16, 4, 2, 4, 24, qk_norm=True, rope_theta=1e4)
QWEN3_8M = Shape(8192, 6, 256, 4, 2, 64, 1024, qk_norm=True, rope_theta=1e6)
SMOLLM2_135M = Shape(49152, 30, 576, 9, 3, 64, 1536, qk_norm=False, rope_theta=1e5)
QWEN3_0_6B = Shape(151936, 28, 1024, 16, 8, 128, 3072, qk_norm=True, rope_theta=1e6)
LLAMA3_1B = Shape(128256, 16, 2048, 32, 8, 64, 8192, qk_norm=False, rope_theta=5e5)

SIZES = {
  "micro": Size(MICRO, 3, 4, pairs=2, rollouts=16),  # so small that a test can run all of it
  "tiny": Size(QWEN3_8M, 64, 64, pairs=8, rollouts=64),  # what benchmarks/peers/ compares
  "135m": Size(SMOLLM2_135M),
  "0.6b": Size(QWEN3_0_6B),
  "1b": Size(LLAMA3_1B),
}
