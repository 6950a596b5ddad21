"""Tasks from reasoning-gym: procedurally made prompts with verifiable answers.

Two have prompts cut down to what matters, so that a model of half a million parameters learns them
in seconds; any other of reasoning-gym's hundred data sets runs by name, with its full question.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tasks.items import LOOKED_AT, Item, Traits
from tasks.reasoning_gym_package import import_reasoning_gym

# Imported where it is needed: a config is checked without numpy.
if TYPE_CHECKING:
  from tasks.tokenizers.tokenizer import Tokenizer

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

# What their base policies are taught: to be right less than half of the time, and otherwise to do
# something else that is easier, or a near miss.
TRAITS: dict[str, Traits] = {
  "spell_backward": Traits(
    demonstrations="0.4*right + 0.3*forward + 0.15*sorted_letters + 0.15*half_backward"
  ),
  "chain_sum": Traits(
    demonstrations="0.4*right + 0.3*last_term + 0.15*first_terms + 0.15*one_more"
  ),
}


def prompts_of(name: str, prompts: int, tokenizer: "Tokenizer", **options: Any) -> Iterator[Item]:
  """The items of this data set, always the same ones.

  Args:
    tokenizer: a pretrained model's asks the full question; characters, the short prompt.
    options: of reasoning-gym's data set.

  Raises:
    ValueError: reasoning-gym refuses the options, or stores no answers.
  """
  from tasks.tokenizers.tokenizer import CharTokenizer

  # One stream for training and evaluation. (Separate seeds would not do: reasoning-gym's item i of
  # seed s is item i-1 of seed s+1.)
  with _its_faults(name, options):
    entries = import_reasoning_gym().create_dataset(
      name, seed=0, size=LOOKED_AT * prompts, **options
    )
  short = SHORT_PROMPTS.get(name) if type(tokenizer) is CharTokenizer else None
  for index in range(len(entries)):
    with _its_faults(name, options):
      entry = entries[index]
    if entry["answer"] is None:
      raise ValueError(f"{name} stores no answers, which demonstrations and exact matches need")
    entry["data_set"] = (name, tuple(options.items()))  # for reasoning_gym_score
    yield Item(short(entry) if short else entry["question"], str(entry["answer"]), entry)


@contextlib.contextmanager
def _its_faults(name: str, options: Mapping[str, Any]) -> Iterator[None]:
  """ValueError, in a line, for whatever reasoning-gym raises of options that it cannot take."""
  try:
    yield
  except (AssertionError, TypeError) as refusal:
    raise ValueError(f"reasoning-gym's {name} refuses {dict(options)}: {refusal}") from None
  except Exception as error:  # of its own code, or of a package that it needs
    if "pycosat" in str(error):
      raise ValueError(f"{name} needs the SAT solver pycosat: pip install pycosat") from None
    fault = f"{type(error).__name__}: {error}"
    given = f"cannot work with {dict(options)}" if options else "fails"
    raise ValueError(f"reasoning-gym's {name} {given}: {fault}") from None
