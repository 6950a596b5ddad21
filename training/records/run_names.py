"""Names of runs and variants, made of a config and its overrides: "grpo-k8-lr2e-4-s0"."""

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any

LONGEST = 200  # bytes of a name; a file's may have 255, with what is added to it


def run_name(config_file: str, overrides: Mapping[str, Any]) -> str:
  """("configs/grpo.py:k=8", {"algorithm.beta": 0.1, "seed": 2}) -> "grpo-k8-beta0.1-s2"."""
  return f"{variant_name(config_file, overrides)}-s{overrides.get('seed', 0)}"


def variant_name(config_file: str, overrides: Mapping[str, Any]) -> str:
  """The name without the seed: runs that differ only in their seed share it."""
  path, _, argument = config_file.partition(":")
  parts = [os.path.splitext(os.path.basename(path))[0]]
  parts += [part.replace("=", "") for part in argument.split(",") if part]
  parts += [_short(key, value) for key, value in overrides.items() if key != "seed"]
  return file_name("-".join(parts))


def file_name(text: str) -> str:
  """`text` with every run of characters that a path or a shell could mistake as one "_".

  Of one that is longer than a file's name may be, the beginning and a digest of all of it.
  """
  name = re.sub(r"[^\w.+-]+", "_", text)
  if name.strip(".") and len(name.encode()) <= LONGEST:
    return name
  beginning = name.encode()[: LONGEST - 9].decode(errors="ignore")
  return f"{beginning.strip('.')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def short_field(key: str) -> str:
  """ "optimizer.learning_rate" -> "lr", as the names of runs have it."""
  section, _, field = key.rpartition(".")
  if section in ("base", "eval", "mesh", "checkpoint"):  # their fields repeat others' names
    field = key
  return {"learning_rate": "lr", "group_size": "k"}.get(field, field)


def _short(key: str, value: Any) -> str:
  """("optimizer.learning_rate", 0.001) -> "lr0.001"; a word says enough alone: "cosine"."""
  is_word = isinstance(value, str) and not re.fullmatch(r"[-+.\d].*|true|false|", value.lower())
  return re.split(r"[/:]", value)[-1] if is_word else f"{short_field(key)}{value}"
