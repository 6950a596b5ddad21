"""Whether a mesh splits a network evenly; what it cannot split, every device would hold whole."""

import math
from collections.abc import Iterator
from typing import Any


def problems(fsdp: int, tensor: int, model: Any) -> Iterator[str]:
  """One line for each axis of the mesh that does not divide what it splits.

  `model` has the numbers of the network: a config's `model` section, or a `ModelConfig`.
  """
  splits = (("fsdp", fsdp, ("d_model",)), ("tensor", tensor, ("heads", "kv_heads", "ff_dim")))
  for axis, devices, names in splits:
    sizes = {f"model.{name}": getattr(model, name) for name in names}
    uneven = [f"{name}={size}" for name, size in sizes.items() if size % max(devices, 1)]
    if uneven:
      common = math.gcd(*sizes.values())
      fits = [str(n) for n in range(1, common + 1) if common % n == 0]
      yield f"mesh.{axis}={devices}: does not divide {', '.join(uneven)}; try {' or '.join(fits)}"
