"""A few of the groups that a step trained on, as rows to read: texts, rewards, and their weights.

The weight of a response is what the loss really did to it, whatever the loss is called and whatever
it made of the rewards: -d loss / d log pi(y), its implied reward, times B*K (`loss_gradient`; the
metrics train/implied_rewards/* are means of it). It is the mean over the response's tokens; the
push is their sum, weight times tokens. A loss that averages over a response's tokens, as GRPO's
does, pushes each response by its advantage; one on log-probs of whole responses, such as
REINFORCE's or DPO's, has what one calls the advantage as the weight. With a term for the KL, that
term is in both; where a clip stops a token, that token has none.

With several updates a step these are of its first pass over the batch, in which a response of a
later minibatch meets a policy that has already moved.
"""

from typing import Any

import numpy as np

from tasks.rows.row import text_of
from training import hosts
from training.parts import Parts
from training.scoring import changes_rewards
from training.sources.batch import Batch, Source

GROUPS_KEPT = 2


def group_rows(
  parts: Parts, source: Source, batch: Batch, weights: np.ndarray | None, step: int
) -> list[dict[str, Any]]:
  """The first groups of the batch (this process's, of several): whichever they are, ties too.

  `weights` are [B, K], of all processes; None where the loss sees no log-probs (a reward model's).
  """
  own = None if weights is None else hosts.mine(parts.mesh, weights)
  scored, rows = batch.scored, []
  for b, row in enumerate(scored.rows[:GROUPS_KEPT]):
    item = source.item(int(row))
    responses = [_response(parts, batch, own, b, k) for k in range(scored.finished.shape[1])]
    about = {"step": step, "prompt": text_of(item.prompt), "answer": item.answer}
    rows.append(about | {"responses": responses})
  return rows


def _response(
  parts: Parts, batch: Batch, weights: np.ndarray | None, b: int, k: int
) -> dict[str, Any]:
  """One response. "reward" is the one that is trained on; the others are there if they differ."""
  scored, groups = batch.scored, batch.groups
  tokens = int(groups.mask[b, k].sum())  # 0: the scoring left it out
  found: dict[str, Any] = {
    "completion": parts.task.tokenizer.decode(groups.responses[b, k]),
    "finished": bool(scored.finished[b, k]),
    "tokens": tokens,
    "reward": float(groups.rewards[b, k]),
  }
  if changes_rewards(parts.config):
    found["task_reward"] = float(scored.task_rewards[b, k])
  names = parts.task.reward_names
  if len(names) > 1 and groups.reward_parts is not None:
    each = map(float, groups.reward_parts[b, k])
    found["rewards"] = dict(zip(names, each, strict=True))
  if weights is not None:
    found["weight"] = float(weights[b, k])
    found["push"] = found["weight"] * tokens
  return found
