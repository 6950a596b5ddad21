"""A task: prompts to train on, other prompts to evaluate on, and a reward."""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tasks.items import Item
from tasks.rows.row import Prompt, text_of
from tasks.tokenizers.tokenizer import CharTokenizer, Tokenizer, left_pad


@runtime_checkable  # so that tests check the types of arguments
class Rewards(Protocol):
  """The rewards that a response gets, R of them, and their sum (`rewards/reward.py`)."""

  names: tuple[str, ...]
  exact: str  # the first of them that is 1 for a right response and nothing else; or ""
  least: float  # the least sum, as far as that is known

  def open(self) -> None:
    """Makes ready. ValueError when a function cannot be had."""
    ...

  def refused(
    self, answers: Sequence[str], *, is_compared: bool = True, quick_only: bool = False
  ) -> list[str]:
    """The known answers that a reward cannot tell, in a line for each such reward."""
    ...

  def each(self, responses: Sequence[dict[str, Any]]) -> np.ndarray:
    """float32 [N, R] of responses as `response_of` has them; NaN: unscored."""
    ...

  def total(self, each: np.ndarray) -> np.ndarray:
    """The weighted sums [...] of rewards [..., R]."""
    ...

  def answer_of(self, name: str) -> Callable[[str], Hashable | None] | None:
    """How the reward of this name reads the answer of a response, to compare two; or None."""
    ...

  def new_faults(self) -> list[str]:
    """Faults that came up for the first time since this was last asked, a line each."""
    ...


@dataclasses.dataclass(frozen=True)
class Task:
  """No prompt of `evaluation` is in `train`. Prompts are left-padded to one length for both."""

  name: str
  train: tuple[Item, ...]
  evaluation: tuple[Item, ...]
  reward: Rewards
  tokenizer: Tokenizer = dataclasses.field(default_factory=CharTokenizer)
  scores_unfinished: bool = False  # a response that reached the length limit is scored as it stands

  @property
  def reward_names(self) -> tuple[str, ...]:
    return self.reward.names

  @cached_property
  def max_prompt_tokens(self) -> int:
    return max(map(len, self._prompt_ids.values()))

  @cached_property
  def max_answer_tokens(self) -> int:
    """The longest demonstration, EOS included."""
    return 1 + max(len(self.tokenizer.encode(item.answer)) for item in self.train + self.evaluation)

  @cached_property
  def train_prompts(self) -> tuple[np.ndarray, np.ndarray]:
    return self._encode(self.train)

  @cached_property
  def evaluation_prompts(self) -> tuple[np.ndarray, np.ndarray]:
    """Token ids [N, P] and mask [N, P]."""
    return self._encode(self.evaluation)

  @cached_property
  def _prompt_ids(self) -> dict[Prompt, list[int]]:
    prompts = (item.prompt for item in self.train + self.evaluation)
    return {prompt: self.tokenizer.encode_prompt(prompt) for prompt in prompts}

  def _encode(self, items):
    rows = [self._prompt_ids[item.prompt] for item in items]
    return left_pad(rows, self.max_prompt_tokens, self.tokenizer.pad_id)

  def rewards(
    self, items: Sequence[Item], responses: np.ndarray, finished: np.ndarray
  ) -> np.ndarray:
    """Rewards [B, K] of responses [B, K, T]; NaN: unscored."""
    return self.reward.total(self.reward_parts(items, responses, finished))

  def reward_parts(
    self, items: Sequence[Item], responses: np.ndarray, finished: np.ndarray
  ) -> np.ndarray:
    """Each reward of the sum, not weighed, [B, K, R]; NaN: unscored.

    A response that never ended gets 0, for it gave no answer, unless the task `scores_unfinished`.
    """
    parts = np.zeros((*finished.shape, len(self.reward.names)), np.float32)
    places = np.nonzero(finished | self.scores_unfinished)
    parts[places] = self.reward.each(
      [
        response_of(
          self.tokenizer.decode(responses[b, k]),
          text_of(items[b].prompt),
          items[b].answer,
          items[b].entry,
        )
        for b, k in zip(*places, strict=True)
      ]
    )
    return parts


def response_of(completion: str, prompt: Any, answer: str, entry: dict[str, Any]) -> dict[str, Any]:
  """A response as rewards look at it: `rewards/function.py` has the names."""
  return {"completion": completion, "prompt": prompt, "answer": answer, "entry": entry}
