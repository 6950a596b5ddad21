"""The arrays a loss may ask for and their shapes, and the types of hyperparameters.

B prompts, K responses to each, T tokens in the longest response, R rewards that make up one, N
responses of the reference beside the K.
"""

from typing import Annotated

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from algorithms.ranges import RANGES

PerToken = Float[Array, "B K T"]
PerResponse = Float[Array, "B K"]
PerReward = Float[Array, "B K R"]
PerPrompt = Float[Array, " B"]
OfReference = Float[Array, "B N"]
Mask = Bool[Array, "B K T"]
Scalar = float | Float[Array, ""]
Count = int | Int[Array, ""] | Scalar
Metrics = dict[str, Float[Array, ""]]

# The vocabulary: a loss names its arrays with these words, and the trainer brings what is named.
# {word: (axes, where it comes from)}; read without jax, so a plain literal. It comes from
#   "network"    the networks that are trained, in every update: a gradient flows into it
#   "annotated"  a computation once a batch, before its first update
#   "sampler"    the policy that wrote the responses, as it was then
#   "batch"      the responses and their rewards, whoever wrote them
#   "online"     sampling that the loss asks for, of the source "online" only
VOCABULARY = {
  "logps": ("B K T", "network"),  # log pi_theta of the response's tokens
  "entropy": ("B K T", "network"),  # of pi_theta before each token
  "log_sum_sq_probs": ("B K T", "network"),  # log sum_v pi_theta(v)^2 before each token
  "values": ("B K T", "network"),  # the critic's estimate of the reward to come, before each token
  "scores": ("B K", "network"),  # of the reward model that is being trained
  "ref_logps": ("B K T", "annotated"),  # logps under the reference
  "reward_baseline": ("B K", "annotated"),  # running mean of the rewards of earlier steps
  "old_logps": ("B K T", "sampler"),  # logps under the policy that importance ratios start from
  "sampler_logps": ("B K T", "sampler"),  # as the sampler reported them, perhaps less exactly
  "old_values": ("B K T", "sampler"),  # values when the responses were collected
  "rewards": ("B K", "batch"),  # NaN: unscored
  "reward_parts": ("B K R", "online"),  # the rewards that `rewards` sums up, one by one
  "greedy_rewards": ("B", "online"),  # of the policy's greedy response, which is not among the K
  "reference_rewards": ("B N", "online"),  # of N responses of the reference, not among the K
  "by_reference": ("B K", "online"),  # 1: the reference wrote this response; 0: the policy
  "mask": ("B K T", "batch"),  # bool: the tokens that count
}
COMPUTED = tuple(word for word, (_, source) in VOCABULARY.items() if source == "network")

# Hyperparameters (`ranges.RANGES` says what each may be).
Beta = Annotated[Scalar, RANGES["Beta"]]
Weight = Annotated[Scalar, RANGES["Weight"]]
LowerClip = Annotated[Scalar, RANGES["LowerClip"]]
UpperClip = Annotated[Scalar, RANGES["UpperClip"]]
RatioCap = Annotated[Scalar, RANGES["RatioCap"]]
Distance = Annotated[Scalar, RANGES["Distance"]]
RatioFloor = Annotated[Scalar, RANGES["RatioFloor"]]
Smoothing = Annotated[Scalar, RANGES["Smoothing"]]
NonZeroSmoothing = Annotated[Scalar, RANGES["NonZeroSmoothing"]]
Fraction = Annotated[Scalar, RANGES["Fraction"]]
Share = Annotated[Scalar, RANGES["Share"]]
Positive = Annotated[Scalar, RANGES["Positive"]]
AtLeastTwo = Annotated[Count, RANGES["AtLeastTwo"]]
Ddof = Annotated[Count, RANGES["Ddof"]]


def check_shapes(**arrays: Array | None) -> None:
  """Raises ValueError, naming the argument, when an array does not have the shape of its word.

  Each array sets the sizes of the axes that no earlier one had; None (optional and absent) is
  skipped.
  """
  given = {name: array for name, array in arrays.items() if array is not None}
  unknown = [name for name in given if name not in VOCABULARY]
  if unknown:
    raise ValueError(f"no array {unknown[0]}; there are {', '.join(VOCABULARY)}")
  sizes: dict[str, tuple[int, str]] = {}  # axis -> size, and the array that set it
  for name, array in given.items():
    axes = VOCABULARY[name][0].split()
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
