"""A task: prompts to train on, other prompts to evaluate on, and a reward."""

import dataclasses
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np

from tasks.items import Item, first_distinct
from tasks.rewards.reward import SECONDS, Reward, response_of
from tasks.rows.row import Prompt, Row, text_of
from tasks.task_functions import ROWS, TaskFunction
from tasks.tokenizers.tokenizer import CHARACTER_TOKENIZER, CharTokenizer, Tokenizer, left_pad


@dataclasses.dataclass(frozen=True)
class Task:
  """No prompt of `evaluation` is in `train`. Prompts are left-padded to one length for both."""

  name: str
  train: tuple[Item, ...]
  evaluation: tuple[Item, ...]
  reward: Reward = dataclasses.field(default_factory=Reward)
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


@cache
def generated_task(
  function: TaskFunction,
  *,
  train_prompts: int,
  evaluation_prompts: int,
  reward: str = "",
  seconds: float = SECONDS,
  tokenizer: Tokenizer = CHARACTER_TOKENIZER,
) -> Task:
  """The task whose prompts this function makes: the first to evaluate on, the next to train on.

  Args:
    reward: as tasks/rewards/spelling.py has it; "": the task's own.
    seconds: the time limit for scoring a response.

  Raises:
    ValueError: the function raises, gives what is no item, or too few distinct prompts; or there is
      no such reward.
  """
  wanted = train_prompts + evaluation_prompts
  items = first_distinct(function.name, function(_known(function, wanted, tokenizer)), wanted)
  if len(items) < wanted:
    options = f" with {dict(function.options)}" if function.options else ""
    left = len(items) - evaluation_prompts
    raise ValueError(
      f"{function.name} has only {len(items):,} distinct prompts{options}; "
      f"train_prompts + eval_prompts = {wanted:,}"
      + (f" (train_prompts={left} is left)" if left > 0 else "")
    )
  halves = items[evaluation_prompts:], items[:evaluation_prompts]
  return _task(function, *halves, reward, seconds, tokenizer)


def task_of_rows(
  function: TaskFunction,
  train: Sequence[Row],
  held_out: Sequence[Row],
  *,
  train_prompts: int,
  evaluation_prompts: int,
  reward: str = "",
  seconds: float = SECONDS,
  tokenizer: Tokenizer = CHARACTER_TOKENIZER,
) -> Task:
  """The task that this function makes of rows, called once with those of either half.

  Each prompt held out makes one to evaluate on. There may be fewer than `train_prompts`. Raises
  what `generated_task` does.
  """

  def items(rows: Sequence[Row], wanted: int) -> tuple[Item, ...]:
    known = _known(function, wanted, tokenizer) | dict.fromkeys(ROWS, one_a_prompt(rows))
    return first_distinct(function.name, function(known), wanted)

  evaluation = items(held_out, evaluation_prompts)
  if len(evaluation) < evaluation_prompts:
    raise ValueError(
      f"{function.name} gives only {len(evaluation):,} distinct prompts for the "
      f"{evaluation_prompts:,} that are held out: leave rows out of the file, not in the task"
    )
  kept_back = {item.prompt for item in evaluation}
  left = tuple(item for item in items(train, train_prompts) if item.prompt not in kept_back)
  if not left:
    raise ValueError(f"{function.name} has no prompt to train on")
  return _task(function, left, evaluation, reward, seconds, tokenizer)


def one_a_prompt(rows: Sequence[Row]) -> list[Row]:
  """The first row of each prompt, in the order of the last ones."""
  firsts = {row.prompt: row for row in reversed(rows)}
  return list(reversed(firsts.values()))


def _known(function: TaskFunction, prompts: int, tokenizer: Tokenizer) -> dict[str, Any]:
  return {"name": function.name, "prompts": prompts, "tokenizer": tokenizer}


def _task(
  function: TaskFunction,
  train: tuple[Item, ...],
  evaluation: tuple[Item, ...],
  reward: str,
  seconds: float,
  tokenizer: Tokenizer,
) -> Task:
  if function.traits.answers != "none" and not any(item.answer for item in train + evaluation):
    raise ValueError(
      f'{function.name} gives no answers: write @traits(answers="none", reward=...) beside it'
    )
  return Task(
    name=function.name,
    train=train,
    evaluation=evaluation,
    reward=Reward(reward or function.traits.reward, seconds, function.quick),
    tokenizer=tokenizer,
    scores_unfinished=function.traits.scores_unfinished,
  )
