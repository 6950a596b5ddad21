"""GRPO's clip: how narrow, how lopsided, and what happens without one.

Four passes over each batch, because in the first update on fresh responses the ratio is 1 and no
clip does anything. K = 8, 28 batches of 256 responses, 112 updates, 5 seeds of 7 variants that
differ in numbers only, but for the last two:

  0.05, 0.1, 0.2, 0.4   the same on both sides
  0.2-higher            0.2 below and 0.4 above, "clip higher": unlikely tokens may grow
  none                  no clip: only the learning rate holds the policy to its sampler
  cispo                 the ratio is capped at 5 but every token keeps its gradient

Came out at commit 1e80fff, sampled reward, mean of 5 seeds: clip0.2 0.605, clip0.2-higher 0.595,
clip0.4 0.593, clip0.1 0.588, clip0.05 0.568, cispo 0.546, no-clip 0.508; base policy 0.256.
"""

from typing import Any

from configs.hyper import Item, product, sweep


def get_sweep() -> list[Item]:
  variants = [_clip(f"clip{width:g}", width, width) for width in (0.05, 0.1, 0.2, 0.4)]
  variants += [
    _clip("clip0.2-higher", 0.2, 0.4),
    _grpo("no-clip") | {"algorithm.loss": "unclipped_grpo"},
    _grpo("cispo") | {"config": "configs/cispo.py:k=8"},
  ]
  return product([sweep("seed", range(5)), variants])


def _clip(name: str, low: float, high: float) -> dict[str, Any]:
  return _grpo(name) | {"algorithm.clip_low": low, "algorithm.clip_high": high}


def _grpo(name: str) -> dict[str, Any]:
  return {"name": name, "config": "configs/grpo.py:k=8", "inner_epochs": 4, "eval.every": 7}
