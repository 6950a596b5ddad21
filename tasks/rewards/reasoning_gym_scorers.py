"""The scorers that reasoning-gym has for its data sets. Imported by workers only."""

import functools
from collections.abc import Mapping
from typing import Any

from tasks.reasoning_gym_package import import_reasoning_gym

reasoning_gym = import_reasoning_gym()


def reasoning_gym_score(completion: str, entry: Mapping[str, Any]) -> float:
  """The score of reasoning-gym's data set, which for several is partial, for wrong answers too.

  Full for a few wrong ones (spell_backward's). `entry` is reasoning-gym's, with the "data_set": its
  name and its options, which some of the scorers look at.
  """
  if "data_set" not in entry:
    raise ValueError("only a task of reasoning-gym brings what its scorer needs")
  return float(_data_set(*entry["data_set"]).score_answer(completion, dict(entry)))


@functools.cache
def _data_set(name: str, options: tuple[tuple[str, Any], ...]):
  return reasoning_gym.create_dataset(name, seed=0, size=1, **dict(options))
