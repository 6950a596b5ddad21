"""What a loss really rewards: the weight it puts on the log-prob of each response.

Any loss's gradient is that of REINFORCE, -sum_it w_it log pi_theta(y_it), with the weights
w_it = -d loss / d log pi_theta(y_it). Looking at w makes losses comparable that look nothing alike.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from algorithms.reductions import lengths, sequence_sum
from algorithms.shapes import Mask, PerResponse, PerToken


def implied_rewards(loss: Callable, *, per: str = "sequence") -> Callable[..., PerResponse]:
  """The function with `loss`'s arguments (logps and mask by name) that returns R [B, K].

  per="sequence": -d loss / d l_i with l_i the log-prob of the whole response: the R that turns the
    loss into REINFORCE, -sum_i R_i l_i (the mean of w_it over the response's tokens).
  per="tokens": the sum of w_it over the response's tokens: the whole push that the response gets.

  The two differ by the length n_i, and that is how length enters a loss. Losses on whole-sequence
  log-probs (dpo, offline_grpo) have R that sum to zero in each group per "sequence", whatever the
  lengths; those that average over a response's tokens (grpo) per "tokens"; with equal lengths both.
  """
  if per not in ("sequence", "tokens"):
    raise ValueError(f'per={per!r} is unknown; choose "sequence" or "tokens"')

  def rewards_of(*, logps: PerToken, mask: Mask, **arguments) -> PerResponse:
    gradient = jax.grad(lambda x: loss(logps=x, mask=mask, **arguments)[0])(logps)
    return from_gradient(gradient, mask, per=per)

  return rewards_of


def from_gradient(gradient: PerToken, mask: Mask, *, per: str = "sequence") -> PerResponse:
  """The same, from d loss / d logps when it is already at hand (as it is in a training step)."""
  total = -sequence_sum(gradient, mask)
  return total if per == "tokens" else total / lengths(mask)


def best_and_worst(implied: PerResponse, rewards: PerResponse) -> dict[str, jax.Array]:
  """Mean implied reward of each group's best and worst responses, over groups that are no tie.

  Times B*K, so that "1 on each response" reads as 1 whatever the batch size.
  """
  best = rewards == jnp.nanmax(rewards, axis=1, keepdims=True)
  worst = rewards == jnp.nanmin(rewards, axis=1, keepdims=True)
  untied = ~(best & worst)

  def mean_over(chosen):
    return (implied * chosen).sum() * implied.size / jnp.maximum(chosen.sum(), 1)

  return {
    "implied_rewards/best": mean_over(best & untied),
    "implied_rewards/worst": mean_over(worst & untied),
  }
