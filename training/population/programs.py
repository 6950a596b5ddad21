"""Which runs one program can train: those whose configs differ in nothing but numbers.

A number (a seed, beta, a learning rate, a temperature) is an argument of the compiled functions, so
runs that differ in numbers alone can be members of one population. No jax is imported.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from configs.config_values import flatten, is_number

# Members may differ in these, in the numbers of `algorithm` and `optimizer`, and in those that
# correction.weight spells.
NUMBERS = (
  "seed",
  "sampling.temperature",
  "reference.mix",
  "reference.target_kl",
  "scoring.unfinished",
  "base.seed",
  "base.learning_rate",
)


def program_of(config: Mapping[str, Any]) -> str:
  """Equal for configs that share a program: all that compiled functions depend on, and more."""
  sections = ("algorithm.", "optimizer.")
  rest = {
    name: value
    for name, value in flatten(config).items()
    if name not in NUMBERS
    and not name.startswith("wandb.")
    and not (name.startswith(sections) and is_number(value))
  }
  rest["correction.weight"] = re.sub(r"\d[\d.e+-]*", "#", config["correction"]["weight"])
  rest["adapts_beta"] = config["reference"]["target_kl"] > 0
  rest["needs_reference"] = config["algorithm"].get("beta") != 0
  on_host = config["reference"].get("memory") == "host"
  if math.prod(config["mesh"].values()) > 1 or on_host:
    rest["all_of"] = config  # a run on a mesh of its own, or with the host's memory, shares nothing
  return json.dumps(rest, sort_keys=True)
