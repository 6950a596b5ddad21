"""The rewards to train on: the task's or a reward model's, by stated rules.

Evaluation knows none of this: it reports the task's own reward, and beside it the reward model's.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from ml_collections import ConfigDict

from models.groups import Groups
from models.transformer import Params
from training import hosts
from training.compiled import compiled_scores
from training.layouts import placed
from training.parts import Parts


class Scorer:
  """Gives groups, whose rewards are the task's, the rewards and the mask to train with."""

  def __init__(
    self, parts: Parts, reward_model: Params | None = None, *, scored_already: bool = False
  ):
    """`scored_already`: the rewards came with the responses, also of those without an end."""
    self._parts, self._scored_already = parts, scored_already
    self._config, self._task, self._reward_model = parts.config, parts.task, reward_model
    self._scores, self._mesh = compiled_scores(parts.model, parts.mesh), parts.mesh
    self._words = parts.loss.words

  def __call__(self, groups: Groups, finished: Bool[np.ndarray, "B K"]) -> Groups:
    """config.scoring, in its order: whose reward, responses without an end, responses near it."""
    scoring, max_tokens = self._config.scoring, self._config.sampling.max_tokens
    rewards, mask = groups.rewards, groups.mask
    if self._reward_model is not None:
      scores = self._scores(self._reward_model, placed(self._parts, groups))
      rewards = np.where(mask.any(axis=-1), hosts.to_local(scores), np.nan)  # none of no response
    as_it_stands = (
      self._scored_already or self._reward_model is not None or self._task.scores_unfinished
    )
    if scoring.unfinished != 0:
      rewards = np.where(finished, rewards, np.float32(scoring.unfinished))
    elif not as_it_stands:
      rewards = np.where(finished, rewards, self._least(self._task.reward.least, rewards, finished))
      groups = self._with_least_parts(groups, finished)
    rewards = rewards + soft_overlong_penalty(mask, max_tokens, scoring.overlong_tokens)
    if scoring.mask_truncated:
      mask = mask & finished[..., None]
    return dataclasses.replace(groups, rewards=rewards, mask=mask)

  def _with_least_parts(self, groups: Groups, finished: np.ndarray) -> Groups:
    """The same of each reward of the sum, where the loss looks at them."""
    parts = groups.reward_parts
    if parts is None or "reward_parts" not in self._words:
      return groups
    least = [self._least(0.0, parts[..., r], finished) for r in range(parts.shape[-1])]
    parts = np.where(finished[..., None], parts, np.array(least, np.float32))
    return dataclasses.replace(groups, reward_parts=parts)

  def _least(self, known: float, rewards: np.ndarray, finished: np.ndarray) -> np.float32:
    """The least reward that is known, or that a response of the batch got.

    A response that was cut off gave no answer. If it got more than a wrong one, the policy would
    learn never to stop.
    """
    rewards, finished = hosts.gather(self._mesh, (rewards, finished))
    given = np.where(finished & np.isfinite(rewards), rewards, known)
    return np.float32(min(known, given.min()))


def changes_rewards(config: ConfigDict) -> bool:
  """Whether what is trained on can differ from the task's own reward."""
  scoring = config.scoring
  return scoring.reward == "model" or scoring.unfinished != 0 or scoring.overlong_tokens > 0


def soft_overlong_penalty(
  mask: Bool[np.ndarray, "B K T"], max_tokens: int, overlong_tokens: int
) -> Float[np.ndarray, "B K"]:
  """0 to -1, falling linearly over the last `overlong_tokens` before the limit; 0 of them: none.

  DAPO (Yu et al., 2025, eq. 13): with L_cache = overlong_tokens, (L_max - L_cache - |y|) / L_cache.
  """
  if overlong_tokens == 0:
    return np.zeros(mask.shape[:2], np.float32)
  left = max_tokens - overlong_tokens - mask.sum(axis=-1)
  return np.clip(left / overlong_tokens, -1, 0).astype(np.float32)
