"""The one batch type: B prompts, K responses to each, K rewards."""

import dataclasses
from typing import Any

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Groups:
  """B prompts with K responses each. A preference pair is a group with K = 2 and rewards (1, 0).

  The prompt is stored once a group, not K times. P and T are the longest prompt and response, in
  tokens. An array that nobody asked for is None. A pytree: fields are jax or numpy arrays, or what
  jax's transformations put in their place.
  """

  prompts: Any  # int [B, P], left-padded
  prompt_mask: Any  # bool [B, P]
  responses: Any  # int [B, K, T], right-padded, the end-of-sequence token included
  mask: Any  # bool [B, K, T], the response tokens that count
  rewards: Any  # float32 [B, K]; NaN: unscored
  # The rest has the shapes and meanings of `algorithms/shapes.py`, float32.
  old_logps: Any = None  # [B, K, T], under the policy that wrote the responses
  ref_logps: Any = None  # [B, K, T], under the reference
  sampler_logps: Any = None  # [B, K, T], as the sampler reported them
  old_values: Any = None  # [B, K, T], of the critic when the responses were collected
  reward_baseline: Any = None  # [B, K], running mean of earlier rewards
  reward_parts: Any = None  # [B, K, R], the rewards that make up `rewards`
  greedy_rewards: Any = None  # [B], of the policy's greedy response, which is not among the K
  reference_rewards: Any = None  # [B, N], of N responses of the reference, not among the K
  by_reference: Any = None  # [B, K], 1 where the reference wrote the response, 0 where the policy
  layout: Any = None  # a `packing.Layout`: how the network reads it, if not as it stands
