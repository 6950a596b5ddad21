"""Measures memory and time of the gradient of log-probs: all logits at once, and in pieces.

python -m benchmarks.logits

Two layers of width 256, 8 prompts of 64 tokens with 8 responses of 64 each, float32. Memory is the
amount that XLA allocates besides arguments and results (`compiled.memory_analysis()`).
"""

import dataclasses
import time

import jax
import numpy as np

from models.groups import Groups
from models.log_probs import token_log_probs
from models.transformer import ModelConfig, init

MODEL = ModelConfig(0, layers=2, d_model=256, heads=4, kv_heads=2, head_dim=64, ff_dim=1024)
ALL_AT_ONCE, REPEATS = 2**40, 3


def main() -> None:
  print("| vocabulary | logits at once | memory, MB | best s |\n| --- | --- | --- | --- |")
  for vocabulary in (8192, 151936):
    for at_once in (ALL_AT_ONCE, 2**26, 2**23):
      model = dataclasses.replace(MODEL, vocab_size=vocabulary, logits_at_once=at_once)
      memory, seconds = measure(model)
      name = "all" if at_once == ALL_AT_ONCE else f"2^{at_once.bit_length() - 1}"
      print(f"| {vocabulary:,} | {name} | {memory / 1e6:,.0f} | {seconds:.2f} |", flush=True)


def measure(model: ModelConfig) -> tuple[int, float]:
  """Returns (bytes, the least seconds of REPEATS calls)."""
  rng = np.random.default_rng(0)
  tokens, mask = rng.integers(0, model.vocab_size, (8, 9, 64)), np.ones((8, 9, 64), bool)
  groups = Groups(tokens[:, 0], mask[:, 0], tokens[:, 1:], mask[:, 1:], np.ones((8, 8)))
  params = jax.jit(init, static_argnums=0)(model, jax.random.key(0))
  gradient = jax.jit(jax.grad(lambda p, g: token_log_probs(model, p, g)[0].sum()))
  compiled = gradient.lower(params, groups).compile()
  memory: int = compiled.memory_analysis().temp_size_in_bytes  # pyrefly: ignore[missing-attribute]
  jax.block_until_ready(compiled(params, groups))
  seconds = []
  for _ in range(REPEATS):
    start = time.perf_counter()
    jax.block_until_ready(compiled(params, groups))
    seconds.append(time.perf_counter() - start)
  return memory, min(seconds)


if __name__ == "__main__":
  main()
