"""Policies with adapters that are trained on a reward model, and which reward models fit a run."""

import os

import numpy as np
import pytest

from tests.training.small_configs import SMALL_MODEL
from training import base_policy, build, reward_model, train
from training.checking import config_files
from training.compiled import compiled_scores
from training.errors import UserError
from training.records.run_folder import RunFolder
from training.scoring import Scorer
from training.sources.online import Online

SMALL = {
  "task.reward": "length(max=3)",
  "task.train_prompts": 32,
  "task.eval_prompts": 32,
  "base.steps": 0,  # random weights, which end some responses early
  "steps": 2,
  "batch_prompts": 8,
  "eval.every": 2,
  "eval.samples": 4,
  "scoring.reward": "model",
  "reward_model.steps": 2,
  "reward_model.batch_prompts": 8,
  "model.lora_rank": 2,
  "wandb.mode": "disabled",
  **SMALL_MODEL,
}


def load(name="configs/ppo.py", **overrides):
  return config_files.load(name, SMALL | {k.replace("__", "."): v for k, v in overrides.items()})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """(a run with adapters, whose critic began as the reward model; the reward model's folder)."""
  root = str(tmp_path_factory.mktemp("runs"))
  run = train(load(), os.path.join(root, "ppo"), root=root)
  (name,) = (path for path in os.listdir(f"{root}/reward_models") if not path.endswith(".lock"))
  return run, f"{root}/reward_models/{name}"


def test_a_policy_with_adapters_is_trained_on_a_reward_model_with_adapters(trained):
  run, _ = trained
  assert run.state == "finished" and np.isfinite(run.latest["eval/reward_model"])


def scores_of(path, root, **overrides):
  """What the reward model says, to a run of this config, of responses that are always the same."""
  config = load("configs/grpo.py", scoring__model=path, **overrides)
  parts = build.parts_of(config)
  base = base_policy.starting_params(config, parts, root, print)
  params = reward_model.params_of(RunFolder(path), parts, base, root, print)
  plain = build.parts_of(load("configs/grpo.py", model__lora_rank=0))
  policy = base_policy.untrained(plain)
  groups = Online(plain, Scorer(plain)).collect(0, policy).groups
  return np.asarray(compiled_scores(parts.model, parts.mesh)(params, groups))


def test_a_reward_model_says_the_same_to_policies_of_other_adapters_and_bases(trained):
  run, path = trained
  scores = scores_of(path, run.root)
  assert np.ptp(scores) > 0
  for other in (
    {"model__lora_rank": 0},
    {"model__lora_rank": 4, "model__lora_alpha": 1.0},
    {"base__seed": 1},
    {"model__remat": "none", "model__attention": "plain", "model__logits_at_once": 1000},
  ):
    np.testing.assert_allclose(scores_of(path, run.root, **other), scores, atol=1e-5)


def test_a_reward_model_of_another_network_is_refused(trained):
  run, path = trained
  with pytest.raises(UserError, match=r"trained with model.ff_dim=16, this config has 32"):
    scores_of(path, run.root, model__ff_dim=32)


def test_the_name_of_a_cached_reward_model_says_what_it_is_checked_for():
  def differs(**overrides):
    one, other = (reward_model.config_of(load(**changed)) for changed in ({}, overrides))
    return reward_model.name_of(one) != reward_model.name_of(other)

  assert differs(model__lora_rank=4) and differs(model__ff_dim=32) and differs(base__seed=1)
  assert not differs(model__remat="none", model__attention="plain", model__logits_at_once=1000)
