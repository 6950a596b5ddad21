"""The batch of a step: groups, and what is known of them beside.

What a source collects is a function of the step alone (and of the policy): a run that resumes at
step n sees the groups that it would have seen. Of several processes each collects its own rows of
the batch (`hosts.py`).
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from models.groups import Groups
from models.transformer import Params
from tasks.items import Item
from training import hosts

_GROUPS = "groups."  # before the names of the arrays that are theirs


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ScoredGroups:
  """This process's groups of a batch of B, and what is known of them beside. A pytree."""

  groups: Groups  # with the rewards to train on
  task_rewards: np.ndarray  # float32 [B, K], the task's own
  finished: np.ndarray  # bool [B, K]: did the response end by itself?
  lengths: np.ndarray  # int [B, K], tokens, also of responses that the scoring leaves out
  prompt_lengths: np.ndarray  # int [B], tokens
  rows: np.ndarray  # int [B], of the task's training prompts or of the data set
  ages: np.ndarray | None = None  # int [B], steps since its policy was trained on; None: unknown

  @property
  def without_tokens(self) -> "ScoredGroups":
    """The few numbers a response that metrics are made of."""
    g = self.groups
    small = Groups(None, None, None, None, g.rewards, reward_parts=g.reward_parts)
    return dataclasses.replace(self, groups=small)


@dataclasses.dataclass(frozen=True)
class Batch:
  """The groups that a step trains on, and their cost."""

  scored: ScoredGroups
  rollouts: int  # responses that were sampled for it, those that were dropped included
  tied_left: int = 0  # groups of equal rewards that dynamic sampling could not replace

  @property
  def groups(self) -> Groups:
    return self.scored.groups

  def to_arrays(self) -> dict[str, np.ndarray]:
    """All that it holds, by name, for a file."""
    scored = {f.name: getattr(self.scored, f.name) for f in dataclasses.fields(self.scored)}
    groups = scored.pop("groups")
    arrays = scored | {
      _GROUPS + f.name: getattr(groups, f.name) for f in dataclasses.fields(groups)
    }
    arrays |= {"rollouts": self.rollouts, "tied_left": self.tied_left}
    return {name: np.asarray(x) for name, x in arrays.items() if x is not None}

  @classmethod
  def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Batch":
    """The batch that these are `to_arrays` of."""
    rest = dict(arrays)
    counts = {name: int(rest.pop(name)) for name in ("rollouts", "tied_left")}
    groups = {n.removeprefix(_GROUPS): rest.pop(n) for n in arrays if n.startswith(_GROUPS)}
    names = [field.name for field in dataclasses.fields(Groups)]
    whole = Groups(**{name: groups.get(name) for name in names})
    return cls(ScoredGroups(groups=whole, **rest), **counts)

  def for_metrics(self, mesh: Mesh) -> "Batch":
    """The batch without its tokens, and with the rows of all processes."""
    return dataclasses.replace(self, scored=hosts.gather(mesh, self.scored.without_tokens))


def _fields(record: Any) -> dict[str, Any]:
  return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


class Source(abc.ABC):
  """Where groups come from: the policy itself, a data set, or demonstrations."""

  @abc.abstractmethod
  def collect(self, step: int, params: Params) -> Batch:
    """The groups that step `step` trains on, this process's rows of them."""

  @abc.abstractmethod
  def seconds(self, steps: int) -> float:
    """The time that the groups of the first `steps` steps took before training began."""

  @abc.abstractmethod
  def item(self, row: int) -> Item:
    """The prompt, and answer, that `ScoredGroups.rows` means."""

  def keep(self, step: int) -> None:  # noqa: B027
    """Writes what later steps need and could not draw again, before the checkpoint of this one."""

  def resume(self, step: int) -> None:  # noqa: B027
    """Reads what `keep` wrote beside the checkpoint that a run goes on from."""


def is_tied(rewards: np.ndarray) -> np.ndarray:
  """bool [B]: no two scored responses of the group differ. (A std of equal floats may not be 0.)"""
  return ~(np.nan_to_num(rewards, nan=-np.inf).max(1) > np.nan_to_num(rewards, nan=np.inf).min(1))
