"""Several policies evaluated by one command: runs and models, compared over the same prompts."""

import os
from typing import Any

import jax
import numpy as np
import pytest

from experiments import evaluate
from models.pretrained import exporting
from models.transformer import ModelConfig, init
from tests.experiments import commands
from tests.tasks.tokenizers import tiny_tokenizer
from tests.training.small_configs import SMALL_MODEL
from training import UserError, load_config, load_run, train
from training.checking import evaluated_config

SMALL = SMALL_MODEL | {"batch_prompts": 4, "group_size": 2, "base.steps": 0, "eval.samples": 2}
SMALL |= {"task.train_prompts": 32, "task.eval_prompts": 8, "wandb.mode": "disabled"}
SHAPE: dict[str, Any] = {key.removeprefix("model."): size for key, size in SMALL_MODEL.items()}
MODEL = ModelConfig(vocab_size=len(tiny_tokenizer.TOKENS), qk_norm=False, **SHAPE)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """A folder with runs of one and of two steps, and a model's files."""
  place = tmp_path_factory.mktemp("place")
  for steps in (1, 2):
    config = load_config("configs/grpo.py", SMALL | {"steps": steps, "mesh.data": steps})
    train(config, str(place / "runs" / f"steps{steps}"), root=str(place / "runs"))
  exporting.export(init(MODEL, jax.random.key(0)), MODEL, str(place / "model"))
  tiny_tokenizer.folder(place / "model")
  return place


def run(place, *words):
  return commands.run(evaluate.main, *words, place=place)


def test_differences_are_paired_over_prompts(place):
  done = run(place, "runs/steps1", "--run=runs/steps2", "--samples=2")
  assert done.returncode == 0, done.stderr
  one, two = (
    load_run(str(place / "runs" / name)).evaluate(samples=2) for name in ("steps1", "steps2")
  )
  gap = two.minus(one)["entropy (nats a token)"]
  each = two.per_prompt["entropy (nats a token)"] - one.per_prompt["entropy (nats a token)"]
  assert gap.value == pytest.approx(each.mean()) and len(each) == SMALL["task.eval_prompts"]
  assert gap.standard_error == pytest.approx(np.std(each) / np.sqrt(len(each)))
  assert f"{gap.value:+.4f} ± {gap.standard_error:.4f}" in done.stdout
  assert os.path.exists(place / "runs" / "steps2" / "evaluation.json")


def test_another_task_with_other_settings_leaves_the_runs_own_evaluation_alone(place):
  words = ("--task=chain_sum", "--config.task.eval_prompts=4", "--samples=1", "--show=9")
  evaluation = place / "runs" / "steps1" / "evaluation.json"
  evaluation.write_text("{}")
  done = run(place, "runs/steps1", *words)
  assert done.returncode == 0, done.stderr
  assert done.stdout.count("=") == 4  # a prompt each
  assert evaluation.read_text() == "{}"


def test_a_models_files_are_evaluated_on_the_first_runs_task(place):
  done = run(place, "runs/steps1", "model", "model/", "--samples=1")
  assert done.returncode == 0, done.stderr
  rows = [line.split() for line in done.stdout.splitlines() if " model" in line]
  kl = [line for line in done.stdout.splitlines() if line.startswith("KL")]
  assert len(kl) == 1 and "steps1" in kl[0]  # a model as it is has no base policy
  assert rows and not os.path.exists(place / "model" / "evaluation.json")


@pytest.mark.parametrize(
  ("words", "answer"),
  [
    ([], "name a run's folder, such as runs/quick/grpo-k8-s0"),
    (["runs/steps1", "runs/none"], "'runs/none' is no run's folder"),
    (["model"], "model is a model without a task of its own: give --task=NAME, or a run first"),
    (["runs/steps1", "--samples=0"], "--samples=0: at least 1"),
    (["runs/steps1", "--task=chain_sun"], "chain_sum"),
    (["runs/steps1", "--config.steps=9"], "--config.steps does not change an evaluation"),
    (["runs/steps1", "--config.task.eval_prompt=9"], "Did you mean --config.task.eval_prompts"),
    (["runs/steps1", "--config.eval.samples=9"], "say --samples=9"),
    (["runs/steps1", "--config.mesh.data=16"], "16"),
    (["runs/steps1", "--sample=2"], "Did you mean --samples=2?"),
  ],
)
def test_slips_are_refused_with_what_to_type(place, words, answer):
  done = run(place, *words)
  assert done.returncode == 2 and answer in done.stderr, done.stderr


def test_the_config_of_a_run_is_left_as_it_is():
  config = load_config("configs/grpo.py", SMALL)
  other = evaluated_config.of_run(config, "", {"task.eval_prompts": "4"})
  assert (config.task.eval_prompts, other.task.eval_prompts) == (8, 4)
  with pytest.raises(UserError, match="task.eval_prompts is int"):
    evaluated_config.of_run(config, "", {"task.eval_prompts": "few"})
