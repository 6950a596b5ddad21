"""Rotary positions and windows in the words of config.json, read and written."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from models.pretrained.stored_tensors import CheckpointError

CONTEXT = "original_max_position_embeddings"
# The numbers of each rope_type, and what is taken where one is not there; None: it must be.
NUMBERS = {
  "linear": {"factor": None},
  "llama3": {"factor": None, "low_freq_factor": None, "high_freq_factor": None, CONTEXT: None},
  "yarn": {"factor": None, "beta_fast": 32, "beta_slow": 1, CONTEXT: None},
}
FULL, LOCAL = "full_attention", "sliding_attention"  # the kinds of layers


def read(stated: Mapping[str, Any], kinds: Sequence[str], path: str) -> dict[str, Any]:
  """Reads rope_theta and rope_scaling. CheckpointError for a rope_type that is not in `kinds`."""
  kind = stated.get("rope_type", stated.get("type", "default"))
  if kind not in kinds:
    raise CheckpointError(
      f"{path}: rope type {kind!r} is not supported; {' and '.join(kinds)} "
      f"{'are' if len(kinds) > 1 else 'is'}"
    )
  if (share := stated.get("partial_rotary_factor", 1.0)) != 1.0:
    raise CheckpointError(f"{path}: partial_rotary_factor {share} is not supported; 1.0 is")
  theta = float(stated["rope_theta"])
  if kind == "default":
    return {"rope_theta": theta, "rope_scaling": None}
  numbers = {word: stated.get(word, usual) for word, usual in NUMBERS[kind].items()}
  if missing := [word for word, number in numbers.items() if number is None]:
    raise CheckpointError(f"{path}: rope type {kind} without {', '.join(missing)}")
  scaling = {word: n if word == CONTEXT else float(n) for word, n in numbers.items()}
  if kind == "yarn":
    scaling["attention_factor"] = _attention_factor_of_yarn(stated, scaling["factor"], path)
  return {"rope_theta": theta, "rope_scaling": scaling | {"rope_type": kind}}


def _attention_factor_of_yarn(stated: Mapping[str, Any], factor: float, path: str) -> float:
  """As config.json says it, or else Peng et al.'s, 0.1 ln(factor) + 1."""
  for word, usual in {"mscale": None, "mscale_all_dim": None, "truncate": True}.items():
    if stated.get(word, usual) != usual:
      raise CheckpointError(f"{path}: {word} {stated[word]} of rope type yarn is not supported")
  return float(stated.get("attention_factor") or 0.1 * math.log(max(factor, 1.0)) + 1)


# --- layers with a window among layers that see all ---------------------------------------------


def read_by_layers(config: Mapping[str, Any], kinds: Sequence[str], path: str) -> dict[str, Any]:
  """Reads rope_theta and rope_scaling of layers that see all, windows and local_rope_theta.

  Where `config` has no layer_types, the last of each sliding_window_pattern layers sees all.
  """
  layers, period = config["num_hidden_layers"], config["sliding_window_pattern"]
  usual = [LOCAL if (i + 1) % period else FULL for i in range(layers)]
  types = config.get("layer_types") or usual
  if len(types) != layers or set(types) - {FULL, LOCAL}:
    raise CheckpointError(
      f"{path}: layer_types={types}, expected {FULL} or {LOCAL} for each of {layers} layers"
    )
  window = config.get("sliding_window")
  if LOCAL in types and (not isinstance(window, int) or window < 1):
    raise CheckpointError(f"{path}: sliding_window={window}, expected a whole number above 0")
  stated = config.get("rope_parameters") or {FULL: config.get("rope_scaling") or {}, LOCAL: {}}
  if FULL not in stated or LOCAL not in stated:
    raise CheckpointError(f"{path}: rope_parameters without {FULL} or {LOCAL}")
  theta = config["rope_theta"]
  found = read({"rope_theta": theta, **stated[FULL]}, kinds, path)
  if LOCAL not in types:
    return found
  theta = config.get("rope_local_base_freq", theta)
  local = read({"rope_theta": theta, **stated[LOCAL]}, ("default",), path)["rope_theta"]
  windows = tuple(window if kind == LOCAL else 0 for kind in types)
  return found | {"windows": windows, "local_rope_theta": local}


def words_by_layers(model: Mapping[str, Any]) -> dict[str, Any]:
  """The words that `read_by_layers` reads back, for either generation of transformers."""
  theta, local, windows = model["rope_theta"], model["local_rope_theta"], model["windows"]
  scaling = model["rope_scaling"] or {"rope_type": "default"}
  return {
    "layer_types": [LOCAL if window else FULL for window in windows or model["layers"] * (0,)],
    "sliding_window": max(windows, default=None),
    "rope_local_base_freq": local or theta,
    "rope_parameters": {
      FULL: {"rope_theta": theta, **scaling},
      LOCAL: {"rope_theta": local or theta, "rope_type": "default"},
    },
  }
