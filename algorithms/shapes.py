"""The arrays a loss may ask for and their shapes, and the types of hyperparameters.

B prompts, K responses to each, T tokens in the longest response, R rewards that make up one.
"""

from typing import Annotated

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from algorithms.ranges import RANGES

PerToken = Float[Array, "B K T"]
PerResponse = Float[Array, "B K"]
PerReward = Float[Array, "B K R"]
Mask = Bool[Array, "B K T"]
Scalar = float | Float[Array, ""]
Count = int | Int[Array, ""] | Scalar
Metrics = dict[str, Float[Array, ""]]

# The vocabulary: a loss names its arrays with these words, and the trainer computes what is named.
PER_TOKEN = (
  "logps",  # log pi_theta of the response's tokens
  "old_logps",  # the same under the policy that the importance ratio starts from
  "ref_logps",  # under the reference
  "sampler_logps",  # as the sampler reported them, perhaps in other arithmetic than the trainer's
  "entropy",  # of pi_theta before each token
  "log_sum_sq_probs",  # log sum_v pi_theta(v)^2 before each token
  "values",  # the critic's estimate of the reward to come, before each token
  "old_values",  # the same when the responses were collected
  "mask",  # bool: the tokens that count
)
PER_RESPONSE = (
  "rewards",  # NaN: unscored
  "scores",  # of the reward model that is being trained
  "reward_baseline",  # running mean of the rewards of earlier steps
)
PER_REWARD = ("reward_parts",)  # the rewards that `rewards` sums up, one by one

# Hyperparameters (`ranges.RANGES` says what each may be).
Beta = Annotated[Scalar, RANGES["Beta"]]
Weight = Annotated[Scalar, RANGES["Weight"]]
LowerClip = Annotated[Scalar, RANGES["LowerClip"]]
UpperClip = Annotated[Scalar, RANGES["UpperClip"]]
RatioCap = Annotated[Scalar, RANGES["RatioCap"]]
Smoothing = Annotated[Scalar, RANGES["Smoothing"]]
NonZeroSmoothing = Annotated[Scalar, RANGES["NonZeroSmoothing"]]
Fraction = Annotated[Scalar, RANGES["Fraction"]]
Share = Annotated[Scalar, RANGES["Share"]]
Positive = Annotated[Scalar, RANGES["Positive"]]
Ddof = Annotated[Count, RANGES["Ddof"]]


def check_shapes(**arrays: Array | None) -> None:
  """Raises ValueError, naming the argument, when an array does not have the shape of its word.

  Each array sets the sizes of the axes that no earlier one had; None (optional and absent) is
  skipped.
  """
  given = {name: array for name, array in arrays.items() if array is not None}
  sizes: dict[str, tuple[int, str]] = {}  # axis -> size, and the array that set it
  for name, array in given.items():
    axes = "BK" if name in PER_RESPONSE else "BKR" if name in PER_REWARD else "BKT"
    if array.ndim != len(axes):
      raise ValueError(f"{name} has shape {array.shape}; it must be [{', '.join(axes)}]")
    expected = tuple(sizes.get(axis, (n,))[0] for axis, n in zip(axes, array.shape, strict=True))
    for axis, n, wanted in zip(axes, array.shape, expected, strict=True):
      if n != wanted:
        other = sizes[axis][1]
        beside = f"with {other} {given[other].shape} it must be {expected}"
        raise ValueError(f"{name} has shape {array.shape}; {beside}")
    sizes = {axis: (n, name) for axis, n in zip(axes, array.shape, strict=True)} | sizes
    if name == "mask" and array.dtype != bool:
      raise ValueError(f"mask is {array.dtype}; it must be bool (True where a token counts)")
    if name != "mask" and array.dtype not in (jnp.float32, jnp.float64):
      raise ValueError(f"{name} is {array.dtype}; losses are computed in float32 (or float64)")
