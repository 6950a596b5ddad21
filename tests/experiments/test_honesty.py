"""Comparisons that would be unfair are refused."""

import dataclasses
import json
import os

import jax.numpy as jnp
import numpy as np
import pytest

from tasks import group_dataset
from training import offline_data
from training.build import parts_of
from training.checking import config_files, digests
from training.epochs import prompt_order
from training.errors import UserError
from training.optimizer import linear, scheduled
from training.scoring import Scorer
from training.sources.demonstrations import Demonstrations

SMALL = {"task.train_prompts": 64, "task.eval_prompts": 16, "group_size": 2, "batch_prompts": 8}


@pytest.fixture(scope="module")
def parts():
  return parts_of(config_files.load("configs/off_policy_grpo.py", SMALL))


def written(folder, items, temperature=1.0):
  t = 8
  row = {
    "responses": np.full((2, t), 5, np.int32),
    "mask": np.ones((2, t), bool),
    "finished": np.ones(2, bool),
  }
  row |= {"rewards": np.array([1, 0], np.float32), "logps": np.zeros((2, t), np.float32)}
  rows = [row | {"prompt": item.prompt, "answer": item.answer} for item in items]
  path = group_dataset.write(str(folder), rows, 2, t)
  with open(os.path.join(path, offline_data.RECIPE), "w") as file:
    json.dump({"sampling": {"temperature": temperature}, "seconds": 8.0}, file)
  return path


def test_a_data_set_is_charged_for_as_it_is_used(parts, tmp_path):
  source = offline_data.load(parts, written(tmp_path, parts.task.train[:32]), Scorer(parts))
  assert [source.collect(n, None).rollouts for n in (0, 1, 3, 4, 9)] == [16, 16, 16, 0, 0]
  assert [source.seconds(n) for n in (0, 1, 4, 9)] == [0, 2, 8, 8]


def test_a_data_set_with_held_out_prompts_is_refused(parts, tmp_path):
  path = written(tmp_path, parts.task.train[:4] + parts.task.evaluation[:3])
  with pytest.raises(UserError, match="3 of the prompts held out"):
    offline_data.load(parts, path, Scorer(parts))


def test_a_data_set_sampled_at_another_temperature_is_refused(parts, tmp_path):
  with pytest.raises(UserError, match=r"log-probs at temperature 0.7"):
    offline_data.load(
      parts, written(tmp_path, parts.task.train[:4], temperature=0.7), Scorer(parts)
    )


def test_answers_that_do_not_fit_a_response_are_refused():
  with pytest.raises(UserError, match=r"sampling.max_tokens=6: the longest answer .* has 8 tokens"):
    parts_of(config_files.load("configs/grpo.py", SMALL | {"sampling.max_tokens": 6}))


def test_demonstrations_end_with_one_eos_that_counts(parts):
  config = config_files.load("configs/sft.py", SMALL | {"group_size": 1})
  parts = dataclasses.replace(parts, config=config)
  groups = Demonstrations(parts).collect(0, None).groups
  eos = parts.task.tokenizer.eos_id
  assert ((groups.responses == eos) & groups.mask).sum(axis=-1).tolist() == [[1]] * 8
  last = groups.mask.sum(axis=-1) - 1
  assert (np.take_along_axis(groups.responses, last[..., None], -1) == eos).all()


def test_each_epoch_sees_every_prompt_once_in_another_order():
  epochs = [np.concatenate([prompt_order(0, e * 4 + s, 8, 32) for s in range(4)]) for e in range(2)]
  assert all(sorted(epoch) == list(range(32)) for epoch in epochs)
  assert (epochs[0] != epochs[1]).any()


def test_the_code_of_a_loss_is_part_of_the_digest_and_its_comments_are_not(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)

  def digest(code):
    (tmp_path / "mine_alone.py").write_text(code)
    overrides = {"algorithm.loss": "mine_alone:f"}
    return digests.of_run(config_files.load("configs/grpo.py", overrides))["digest"]

  first = digest("def f(logps, mask, *, a=1.0):\n  return logps.sum() * a, {}\n")
  commented = digest("# why\ndef f(logps, mask, *, a=1.0):\n  return logps.sum() * a, {}\n")
  edited = digest("def f(logps, mask, *, a=1.0):\n  return -logps.sum() * a, {}\n")
  assert first == commented != edited


def test_the_learning_rate_reaches_its_peak_after_the_warm_up_and_then_decays():
  numbers = {"learning_rate": 1.0, "warmup_steps": 4.0, "steps": 8.0}
  rates = [float(scheduled(jnp.int32(step), numbers, linear)) for step in range(8)]
  assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]
