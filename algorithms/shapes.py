"""The arrays a loss may ask for, their shapes, and the check that a caller kept to them.

B prompts, K responses to each, T tokens in the longest response.
"""

from jaxtyping import Array, Bool, Float, Int

PerToken = Float[Array, "B K T"]
PerResponse = Float[Array, "B K"]
Mask = Bool[Array, "B K T"]
Scalar = float | Float[Array, ""]
Count = int | Int[Array, ""]
Metrics = dict[str, Float[Array, ""]]

# The vocabulary: a loss names its arrays with these words, and the trainer computes what is named.
PER_TOKEN = ("logps", "old_logps", "ref_logps", "entropy", "mask")
PER_RESPONSE = ("rewards",)


def check_shapes(**arrays: Array | None) -> None:
  """Raises ValueError, naming the argument, when an array does not have the shape of its word.

  `logps` sets B, K and T; arrays that are None (optional and absent) are skipped.
  """
  logps, mask = arrays["logps"], arrays.get("mask")
  per_token = () if logps is None else logps.shape
  if len(per_token) != 3:
    raise ValueError(
      f"logps has shape {per_token}; a loss takes [B prompts, K responses, T tokens]"
    )
  for name, array in arrays.items():
    if array is None:
      continue
    expected = per_token[:2] if name in PER_RESPONSE else per_token
    if array.shape != expected:
      raise ValueError(
        f"{name} has shape {array.shape}; with logps {per_token} it must be {expected}"
      )
  if mask is not None and mask.dtype != bool:
    raise ValueError(f"mask is {mask.dtype}; it must be bool (True where a token counts)")
