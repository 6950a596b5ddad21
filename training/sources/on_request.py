"""Sampling that a loss asks for by naming an array, beside the policy's K responses to a prompt.

  greedy_rewards     the policy's greedy response to each prompt, scored as the others are
  reference_rewards  reference.samples responses of the reference, once a prompt
  by_reference       half of the K responses are the reference's

Each counts as a rollout. What no loss names is not drawn.
"""

import dataclasses
from typing import Any

import numpy as np

from models import adapters
from models.partitioning import on_devices
from models.transformer import Params
from training import hosts
from training.parts import Parts
from training.scoring import Scorer
from training.sources.batch import ScoredGroups
from training.sources.writer import Writer, samplers

_OF_RESPONSES = ("responses", "mask", "rewards", "old_logps", "sampler_logps", "reward_parts")


class OnRequest:
  """Adds to groups what the loss asks for; knows the rewards that the reference got before."""

  def __init__(self, parts: Parts, scorer: Scorer, reference: Params | None):
    """`reference` at rest: on the devices, on the host, or under the policy's adapters."""
    self._mesh, self._reference = parts.mesh, reference
    self._writers = {purpose: Writer(parts, scorer, purpose) for purpose in samplers(parts)}
    self._known: dict[int, np.ndarray] = {}  # by row of the training prompts: float32 [N]

  def add(self, turn: int, params: Params, drawn: ScoredGroups) -> tuple[ScoredGroups, int]:
    """The groups with what the loss asks for, and the responses that it cost all processes."""
    groups, rows, cost = drawn.groups, drawn.rows, 0
    if writer := self._writers.get("greedy"):
      written = writer(turn, params, rows).groups.rewards[:, 0]
      groups = dataclasses.replace(groups, greedy_rewards=written)
      cost += len(hosts.gather(self._mesh, written))
    if self.remembers:
      rewards, drawn_anew = self._reference_rewards(turn, params, rows)
      groups = dataclasses.replace(groups, reference_rewards=rewards)
      cost += drawn_anew
    drawn = dataclasses.replace(drawn, groups=groups)
    if writer := self._writers.get("half"):
      written = writer(turn, self._reference_of(params), rows)
      cost += hosts.gather(self._mesh, written.groups.rewards).size
      drawn = _side_by_side(drawn, written)
    return drawn, cost

  def _reference_rewards(
    self, turn: int, params: Params, rows: np.ndarray
  ) -> tuple[np.ndarray, int]:
    """Rewards [b, N] of the reference's responses, and how many were drawn now.

    The processes draw together, so a batch with one new prompt is drawn whole; a prompt keeps the
    rewards that it got first.
    """
    everyone, cost = hosts.gather(self._mesh, rows).tolist(), 0
    if not self._known.keys() >= {*everyone}:
      written = self._writers["reference"](turn, self._reference_of(params), rows)
      rewards = hosts.gather(self._mesh, written.groups.rewards)
      self._known = dict(zip(everyone, rewards, strict=True)) | self._known
      cost = rewards.size
    return np.stack([self._known[row] for row in rows.tolist()]), cost

  def _reference_of(self, params: Params) -> Params:
    return on_devices(adapters.reference_of(params, self._reference))

  @property
  def remembers(self) -> bool:
    """Whether a resumed run has to know what was drawn before."""
    return "reference" in self._writers

  def to_arrays(self) -> dict[str, np.ndarray]:
    """All that it knows, for a file."""
    return {"rows": np.array([*self._known]), "rewards": np.stack([*self._known.values()])}

  def from_arrays(self, arrays: dict[str, np.ndarray]) -> None:
    """Knows again what these are `to_arrays` of."""
    self._known = dict(zip(arrays["rows"].tolist(), arrays["rewards"], strict=True))


def _side_by_side(own: ScoredGroups, theirs: ScoredGroups) -> ScoredGroups:
  """One group a prompt: the policy's responses, then the reference's."""

  def joined(names: tuple[str, ...], first: Any, second: Any) -> dict[str, np.ndarray]:
    pairs = {name: (getattr(first, name), getattr(second, name)) for name in names}
    there = {name: pair for name, pair in pairs.items() if pair[0] is not None}
    return {name: np.concatenate(pair, axis=1) for name, pair in there.items()}

  a, b = own.groups, theirs.groups
  who = np.concatenate([np.zeros_like(a.rewards), np.ones_like(b.rewards)], axis=1)
  groups = dataclasses.replace(a, by_reference=who, **joined(_OF_RESPONSES, a, b))
  rest = joined(("task_rewards", "finished", "lengths"), own, theirs)
  return dataclasses.replace(own, groups=groups, **rest)
