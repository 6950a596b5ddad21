"""The one batch type: B prompts, K responses to each, K rewards."""

import dataclasses

import jax
from jaxtyping import Array, Bool, Float, Int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Groups:
  """B prompts with K responses each. A preference pair is a group with K = 2 and rewards (1, 0).

  The prompt is stored once a group, not K times. P and T are the longest prompt and response, in
  tokens. An array that nobody asked for is None.
  """

  prompts: Int[Array, "B P"]  # left-padded
  prompt_mask: Bool[Array, "B P"]
  responses: Int[Array, "B K T"]  # right-padded, the end-of-sequence token included
  mask: Bool[Array, "B K T"]  # the response tokens that count
  rewards: Float[Array, "B K"]
  old_logps: Float[Array, "B K T"] | None = None  # under the policy that wrote the responses
  ref_logps: Float[Array, "B K T"] | None = None  # under the frozen reference
