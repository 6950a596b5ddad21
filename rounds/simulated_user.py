"""A simulated user, who prefers one of two responses, and how often the true rewards agree."""

import numpy as np
from jaxtyping import Float, Float32


def simulated_user(
  rewards: Float32[np.ndarray, "N 2"],
  rng: np.random.Generator,
  temperature: float,
  noise: float,
) -> Float32[np.ndarray, "N 2"]:
  """Scores of a user who knows the true rewards: 1 for the preferred response, 0 for the other.

  The user follows Bradley and Terry's model (1952), P(a over b) = sigmoid((r_a - r_b) /
  temperature); at temperature 0 it always prefers the better one. Then a share `noise` of all
  choices is flipped. Equal rewards, or an unscored response (NaN), are a tie: both score 0.
  """
  difference = (rewards[:, 0] - rewards[:, 1]).astype(np.float64)
  with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
    prefers_first = 1 / (1 + np.exp(-difference / temperature))  # exp(-inf or inf) at temperature 0
  first = rng.random(len(rewards)) < prefers_first
  first ^= rng.random(len(rewards)) < noise
  scores = np.stack([first, ~first], axis=1).astype(np.float32)
  is_tie = ~(difference != 0) | np.isnan(difference)
  scores[is_tie] = 0
  return scores


def agreement(
  scores: Float[np.ndarray, "N K"], rewards: Float[np.ndarray, "N K"]
) -> dict[str, float | None]:
  """Compares the scores with the true rewards, over pairs of a group.

  ties       share of groups without a preference
  agreement  share of the preferences whose response has the higher true reward, among those whose
             rewards differ; None if there are none
  """
  scores, rewards = (x[:, :, None] - x[:, None, :] for x in (scores, rewards))
  told = (scores > 0) & (rewards != 0) & np.isfinite(rewards)
  right = (rewards > 0)[told]
  return {
    "ties": float((~(scores > 0).any(axis=(1, 2))).mean()),
    "agreement": float(right.mean()) if right.size else None,
  }
