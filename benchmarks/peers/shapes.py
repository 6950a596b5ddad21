"""The shapes of the work that all libraries do, and the file that each peer's script writes.

They are those of size "tiny" in benchmarks/sizes.py, which the peers' environments cannot import.
"""

import importlib.metadata
import json
import random
import resource
import sys
from collections.abc import Sequence

VOCABULARY, LAYERS, WIDTH, HEADS, KV_HEADS, HEAD_DIM, FF_DIM = 8192, 6, 256, 4, 2, 64, 1024
ROPE_THETA, NORM_EPS = 1e6, 1e-6
PROMPT, RESPONSE = 64, 64  # tokens
PAIRS, ROLLOUTS = 8, 64  # a step
PAD, EOS = 0, 1  # of the peers' tokenizers; the other tokens are words
GROUP_SIZES = {"grpo": 8, "grpo_kl": 8, "rloo": 2, "generate": 1}
GROUP_SIZES |= {"grpo_gsm8k": 8, "generate_gsm8k": 1}
BETAS = {"dpo": 0.1, "dpo_precomputed": 0.1, "grpo": 0.0, "grpo_kl": 0.04, "rloo": 0.05}
BETAS |= {"dpo_pandalm": 0.1, "grpo_gsm8k": 0.0}


def random_ids(rows: int, tokens: int | Sequence[int], seed: int) -> list[list[int]]:
  """Returns token ids that are neither padding nor the end, so many, or so many in each row."""
  rng = random.Random(seed)
  each = [tokens] * rows if isinstance(tokens, int) else tokens
  return [[rng.randrange(2, VOCABULARY) for _ in range(count)] for count in each]


def text(ids: Sequence[int]) -> str:
  """Spells token ids, a word each: "w17 w4"."""
  return " ".join(f"w{i}" for i in ids)


def write(path: str, first_done: float, steps: list[float], packages: Sequence[str]) -> None:
  """Writes a process's record: its times, peak memory and versions of packages.

  `first_done` is in seconds since 1970, `steps` are the seconds of every later step.
  """
  in_kibibytes = sys.platform != "darwin"
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if in_kibibytes else 1)
  versions = {package: importlib.metadata.version(package) for package in packages}
  record = {"first_done": first_done, "steps": steps, "peak_bytes": peak, "versions": versions}
  with open(path, "w") as file:
    json.dump(record, file)
