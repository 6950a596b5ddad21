"""Groups that a step trained on, as rows to read."""

import dataclasses

import numpy as np
import pytest

from models.groups import Groups
from tests.training.small_configs import SMALL_MODEL
from training.batches import minibatches, of_first_epoch
from training.build import parts_of
from training.checking import config_files
from training.group_rows import group_rows
from training.layouts import Lengths
from training.sources.batch import Batch, ScoredGroups
from training.sources.demonstrations import Demonstrations

SMALL = SMALL_MODEL | {
  "batch_prompts": 8,
  "group_size": 2,
  "task.train_prompts": 8,
  "task.eval_prompts": 4,
  "task.reward": "exact + 0.5*length(max=5)",
}


@pytest.fixture(scope="module")
def parts():
  return parts_of(config_files.load("configs/grpo.py", SMALL))


def batch_of(parts):
  """Each prompt's answer, and the answer without its end, which the scoring left out."""
  groups = Demonstrations(parts).collect(0, None).groups
  responses = np.repeat(groups.responses, 2, axis=1)
  mask = np.repeat(groups.mask, 2, axis=1)
  responses[:, 1, 3:], mask[:, 1] = parts.task.tokenizer.pad_id, False
  n = len(responses)
  rewards, each = np.tile([1.5, np.nan], (n, 1)), np.tile([[1.0, 1.0], [0.0, np.nan]], (n, 1, 1))
  made = Groups(groups.prompts, groups.prompt_mask, responses, mask, rewards, reward_parts=each)
  finished = np.tile([True, False], (n, 1))
  scored = ScoredGroups(made, rewards, finished, mask.sum(-1), np.ones(n, int), np.arange(n)[::-1])
  return Batch(scored, rollouts=0)


def test_a_row_has_the_texts_the_rewards_by_part_and_the_weight(parts):
  source, batch = Demonstrations(parts), batch_of(parts)
  weights = np.tile([0.5, 0.0], (8, 1))
  first, second = group_rows(parts, source, batch, weights, step=3)
  item = parts.task.train[7]  # the rows of the batch are in another order
  assert (first["step"], first["prompt"], first["answer"]) == (3, item.prompt, item.answer)
  assert second["prompt"] == parts.task.train[6].prompt
  right, cut = first["responses"]
  assert right["finished"] and not cut["finished"]
  assert right["rewards"] == {"exact": 1.0, "length": 1.0} and right["reward"] == 1.5
  assert np.isnan(cut["reward"]) and cut["tokens"] == 0 and cut["push"] == 0
  assert right["push"] == 0.5 * right["tokens"] and right["tokens"] > 1
  assert "task_reward" not in right


def test_what_is_trained_on_stands_beside_the_tasks_reward_where_it_differs(parts):
  config = config_files.load("configs/grpo.py", SMALL | {"scoring.unfinished": -1.0})
  other = dataclasses.replace(parts, config=config)
  rows = group_rows(other, Demonstrations(parts), batch_of(parts), None, step=1)
  assert rows[0]["responses"][0]["task_reward"] == 1.5
  assert "weight" not in rows[0]["responses"][0]  # a loss that sees no log-probs


@pytest.mark.parametrize(("pieces", "epochs"), [(1, 2), (4, 2)])
def test_weights_of_minibatches_come_back_in_the_order_of_the_batch(parts, pieces, epochs):
  config = config_files.load(
    "configs/grpo.py", SMALL | {"minibatches": pieces, "inner_epochs": epochs}
  )
  rewards = np.arange(16, dtype=np.float32).reshape(8, 2)
  groups = dataclasses.replace(batch_of(parts).groups, rewards=rewards)
  others = dataclasses.replace(parts, config=config)
  lengths = Lengths.of(parts, groups)
  values = [np.asarray(piece.rewards) for piece in minibatches(others, groups, lengths, 5)]
  values[pieces:] = [-value for value in values[pieces:]]  # a later epoch does not count
  np.testing.assert_array_equal(of_first_epoch(config, 5, values), rewards)
