"""Responses to the step's prompts, drawn by a policy and scored."""

import numpy as np

from models.groups import Groups
from models.sampler import Sampler
from models.transformer import Params
from training.drawing import draw
from training.parts import Parts
from training.scoring import Scorer
from training.sources.batch import ScoredGroups
from training.sources.order import key_for


def samplers(parts: Parts) -> dict[str, Sampler]:
  """The samplers that the step's prompts go through, by purpose.

  "sampling"   the policy's responses that are trained on
  "half"       the reference's responses that are trained on, for `by_reference`
  "greedy"     the policy's likeliest response, for `greedy_rewards`
  "reference"  the reference's responses beside those, for `reference_rewards`
  """
  config, words = parts.config, parts.words
  likely = {"top_k": config.sampling.top_k, "top_p": config.sampling.top_p}
  half = config.group_size // 2 if "by_reference" in words else 0
  found = {"sampling": parts.sampler(config.group_size - half, **likely)}
  if half:
    found["half"] = parts.sampler(half, **likely)
  if "greedy_rewards" in words:
    found["greedy"] = parts.sampler(1, greedy=True)
  if "reference_rewards" in words:
    found["reference"] = parts.sampler(config.reference.samples, **likely)
  return found


class Writer:
  """Draws responses to training prompts for one purpose; the task scores them."""

  def __init__(self, parts: Parts, scorer: Scorer, purpose: str):
    """`purpose`: of `samplers`. Those of two have no random number in common."""
    self._parts, self._scorer, self._purpose = parts, scorer, purpose
    self._sampler, self._corrects = samplers(parts)[purpose], "sampler_logps" in parts.words

  @property
  def count(self) -> int:
    """The responses that it draws to a prompt."""
    return self._sampler.group_size

  def __call__(self, turn: int, params: Params, rows: np.ndarray) -> ScoredGroups:
    """Responses of the policy `params` to this process's training prompts `rows`."""
    config, task = self._parts.config, self._parts.task
    prompts, prompt_mask = (array[rows] for array in task.train_prompts)
    key = key_for(self._purpose, config.seed, turn)
    temperature = config.sampling.temperature
    samples = draw(self._parts, self._sampler, params, prompts, prompt_mask, key, temperature)
    items = [task.train[row] for row in rows]
    each = task.reward_parts(items, samples.responses, samples.finished)
    groups = Groups(
      prompts,
      prompt_mask,
      samples.responses,
      samples.mask,
      task.reward.total(each),
      old_logps=samples.logps,
      sampler_logps=samples.drawn_logps if self._corrects else None,
      reward_parts=each,
    )
    scored, lengths = self._scorer(groups, samples.finished), samples.mask.sum(axis=-1)
    prompt_lengths = prompt_mask.sum(axis=-1)
    return ScoredGroups(scored, groups.rewards, samples.finished, lengths, prompt_lengths, rows)
