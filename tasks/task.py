"""A task: prompts to train on, other prompts to judge by, and a reward."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from tasks.tokenizer import CharTokenizer, Tokenizer, left_pad


@dataclasses.dataclass(frozen=True)
class Item:
  """A prompt and what is known of its answer. `entry` is what a scorer may need beside."""

  prompt: str
  answer: str  # "" in a task that has no answers to demonstrate
  entry: dict = dataclasses.field(default_factory=dict, compare=False)


# The reward of a completion; None: it could not be scored.
Scorer = Callable[[str, Item], float | None]


@dataclasses.dataclass(frozen=True)
class Task:
  """No prompt of `evaluation` is in `train`. Prompts are left-padded to one length for both."""

  name: str
  train: tuple[Item, ...]
  evaluation: tuple[Item, ...]
  scorers: tuple[tuple[str, Scorer], ...]  # (name, reward); the task's reward is their sum
  tokenizer: Tokenizer = dataclasses.field(default_factory=CharTokenizer)
  scores_unfinished: bool = False  # a response that reached the length limit is scored as it stands

  @property
  def reward_names(self) -> tuple[str, ...]:
    return tuple(name for name, _ in self.scorers)

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
  def _prompt_ids(self) -> dict[str, list[int]]:
    prompts = (item.prompt for item in self.train + self.evaluation)
    return {prompt: self.tokenizer.encode_prompt(prompt) for prompt in prompts}

  def _encode(self, items):
    rows = [self._prompt_ids[item.prompt] for item in items]
    return left_pad(rows, self.max_prompt_tokens, self.tokenizer.pad_id)

  def rewards(
    self, items: Sequence[Item], responses: np.ndarray, finished: np.ndarray
  ) -> np.ndarray:
    """Rewards [B, K] of responses [B, K, T]; NaN where a scorer gave None."""
    return self.reward_parts(items, responses, finished).sum(axis=-1)

  def reward_parts(
    self, items: Sequence[Item], responses: np.ndarray, finished: np.ndarray
  ) -> np.ndarray:
    """What each scorer gives, [B, K, R].

    A response that never ended gets 0, for it gave no answer, unless the task `scores_unfinished`.

    Raises ValueError, naming the scorer and the response, when a reward is infinite.
    """
    parts = np.zeros((*finished.shape, len(self.scorers)), np.float32)
    for b, k in zip(*np.nonzero(finished | self.scores_unfinished), strict=True):
      completion = self.tokenizer.decode(responses[b, k])
      for r, (name, score) in enumerate(self.scorers):
        reward = score(completion, items[b])
        parts[b, k, r] = np.nan if reward is None else reward
        if np.isinf(parts[b, k, r]):
          raise ValueError(f"{name} gives {completion!r} the reward {reward}; None says unscored")
    return parts


def exact_match(completion: str, item: Item) -> float:
  """1 for the answer to the letter, else 0. No partial credit, no case folding, no stripping."""
  return float(completion == item.answer)
