"""Tasks from reasoning-gym: procedurally made prompts with verifiable answers.

Two have prompts cut down to what matters, so that a model of half a million parameters learns them
in seconds; any other of reasoning-gym's hundred data sets runs by name, with its full question.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from tasks.rewards import QUICK
from tasks.rewards.reasoning_gym_package import import_reasoning_gym
from tasks.rewards.reward import SECONDS, Reward
from tasks.task import Item, Task
from tasks.tokenizers.tokenizer import CharTokenizer, Tokenizer

SHORT_PROMPTS: dict[str, Callable[[dict], str]] = {
  "spell_backward": lambda entry: entry["metadata"]["word"] + ">",  # "stone>" -> "enots"
  "chain_sum": lambda entry: (
    entry["metadata"]["expression"].replace(" ", "") + "="
  ),  # "4+13=" -> "17"
}

DEFAULT_OPTIONS: dict[str, dict[str, Any]] = {
  "spell_backward": {"min_word_len": 3, "max_word_len": 7},
  "chain_sum": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2},
}


@cache
def reasoning_task(
  name: str,
  options: tuple[tuple[str, Any], ...] = (),
  *,
  train_prompts: int,
  evaluation_prompts: int,
  reward: str = "exact",
  seconds: float = SECONDS,
  tokenizer: Tokenizer | None = None,
) -> Task:
  """The task of this name, its prompts made afresh (and always the same ones).

  Args:
    options: of reasoning-gym's data set, as (name, value) pairs; () takes `DEFAULT_OPTIONS`.
    reward: as tasks/rewards/spelling.py has it; "scorer" is reasoning-gym's own.
    seconds: the time limit for scoring a response.
    tokenizer: of a pretrained model, which is then asked the full question; None: characters.

  Raises:
    ValueError: reasoning-gym refuses the options, or has too few distinct prompts with them; or
      there is no such reward.
  """
  reasoning_gym = import_reasoning_gym()
  options_dict = dict(options) or DEFAULT_OPTIONS.get(name, {})
  wanted = train_prompts + evaluation_prompts
  try:
    entries = reasoning_gym.create_dataset(name, seed=0, size=20 * wanted, **options_dict)
  except (AssertionError, TypeError) as refusal:
    raise ValueError(f"reasoning-gym's {name} refuses {options_dict}: {refusal}") from None

  # One stream, each prompt once: evaluation takes its first prompts, training the next. (Separate
  # seeds would not do: reasoning-gym's item i of seed s is item i-1 of seed s+1.)
  short = SHORT_PROMPTS.get(name) if tokenizer is None else None
  items = []
  for item in distinct_items(name, entries, short or (lambda entry: entry["question"])):
    item.entry["data_set"] = (name, tuple(options_dict.items()))  # for reasoning_gym_score
    items.append(item)
    if len(items) == wanted:
      break
  if len(items) < wanted:
    raise ValueError(
      f"{name} has only {len(items)} distinct prompts with {options_dict or 'its own options'}; "
      f"train_prompts + eval_prompts = {wanted}"
    )

  quick = QUICK | {"scorer"} if name in SHORT_PROMPTS else QUICK  # whose scorers compare text
  return Task(
    name=name,
    train=tuple(items[evaluation_prompts:]),
    evaluation=tuple(items[:evaluation_prompts]),
    reward=Reward(reward, seconds, quick),
    tokenizer=tokenizer or CharTokenizer(),
  )


def distinct_items(name: str, entries, prompt_of: Callable[[dict], str]) -> Iterator[Item]:
  """The data set's items in order, without the prompts that came before."""
  seen = set()
  for index in range(len(entries)):
    entry = entries[index]
    prompt = prompt_of(entry)
    if prompt not in seen:
      seen.add(prompt)
      if entry["answer"] is None:
        raise ValueError(f"{name} stores no answers, which demonstrations and exact matches need")
      yield Item(prompt, str(entry["answer"]), entry)
