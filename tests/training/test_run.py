"""A run from Python: trained, read, asked, evaluated; and refused in the words of the command."""

import os
import shutil

import numpy as np
import pytest

import training
from configs import grpo
from experiments import train as train_command
from tests.experiments import commands
from tests.training.small_configs import SMALL_MODEL
from training import UserError, load_config, load_run, load_runs, train
from training.records.run_folder import RunFolder

SMALL = SMALL_MODEL | {
  "steps": 3,
  "batch_prompts": 4,
  "group_size": 2,
  "task.train_prompts": 32,
  "task.eval_prompts": 8,
  "base.steps": 0,
  "eval.every": 2,
  "eval.samples": 2,
  "wandb.mode": "disabled",
}
PROMPTS = ["stone>", "at>"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  return str(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def run(root):
  return train(load_config("configs/grpo.py", SMALL), root=root)


def test_it_is_finished_and_its_metrics_are_columns(run):
  assert run.state == "finished" and run.name.startswith("grpo-")
  metrics = run.metrics
  assert list(metrics["step"]) == [0, 1, 2, 3]
  assert np.isfinite(metrics["eval/reward_sampled"]).tolist() == [True, False, True, True]
  assert metrics["train/loss"][3] == run.latest["train/loss"] and run.latest["rollouts"] == 24


def test_the_rewards_of_each_held_out_prompt_are_kept_and_their_means_are_the_metrics(run):
  metrics, rows = run.metrics, RunFolder(run.folder).read_prompts()
  assert [row["step"] for row in rows] == [0, 2, 3]
  for row in rows:
    assert len(row["greedy"]) == len(row["sampled"]) == SMALL["task.eval_prompts"]
    for name, metric in (("greedy", "eval/reward"), ("sampled", "eval/reward_sampled")):
      assert np.mean(row[name]) == pytest.approx(metrics[metric][row["step"]], abs=1e-4)


def test_a_finished_run_is_returned_without_training(run, root):
  rows = []
  again = train(load_config("configs/grpo.py", SMALL), root=root, report=rows.append)
  assert again == run and not rows


def test_a_config_made_in_python_is_the_run_of_the_same_config_from_a_file(run, root):
  config = grpo.get_config()
  with config.unlocked():
    config.update_from_flattened_dict(SMALL)
  assert train(config, root=root) == run


def test_the_policy_answers_and_the_same_seed_answers_alike(run):
  drawn = run.policy.sample(PROMPTS, n=3, seed=1)
  assert [len(texts) for texts in drawn] == [3, 3]
  assert drawn == run.policy.sample(PROMPTS, n=3, seed=1) != run.policy.sample(PROMPTS, n=3, seed=2)


def test_log_probs_are_of_each_token_and_its_end(run):
  groups = run.policy.groups(PROMPTS, [["enots", "s"], ["ta", "at"]])
  logps = run.policy.log_probs(groups)
  assert groups.mask.sum(axis=-1).tolist() == [[6, 2], [3, 3]]
  assert (logps[groups.mask] < 0).all() and (logps[~groups.mask] == 0).all()
  alone = run.policy.groups(PROMPTS[1:], [["ta"]])
  np.testing.assert_allclose(run.policy.log_probs(alone)[0, 0], logps[1, 0, :3], rtol=1e-5)


def test_prompts_with_different_numbers_of_responses_make_no_groups(run):
  with pytest.raises(ValueError, match="K must be one"):
    run.policy.groups(PROMPTS, [["a"], ["b", "c"]])


def test_a_text_in_the_place_of_a_list_of_prompts_is_refused(run):
  with pytest.raises(ValueError, match="prompts are a list, such as"):
    run.policy.sample("stone>")


def test_the_name_of_a_config_file_is_its_config(root):
  with pytest.raises(UserError, match="no config file 'grop'. Did you mean configs"):
    train("grop", root=root)


def test_evaluation_on_its_own_task_and_on_another(run):
  own = run.evaluate(samples=2)
  assert {"reward, greedy", "pass@2", "finished"} <= own.metrics.keys()
  assert own.metrics["entropy (nats a token)"].standard_error > 0
  other = run.evaluate(task="chain_sum", samples=2)
  assert "=" in other.completions[0]["prompt"] and ">" in own.completions[0]["prompt"]


def test_a_teacher_is_the_reference_of_the_loss_and_not_of_the_evaluation(tmp_path):
  """The teacher is a run that went far; a student begins at the base policy, and stays there."""
  fast = SMALL | {"optimizer.learning_rate": 0.1, "base.seed": 1, "group_size": 1}
  teacher = train(load_config("configs/sft.py", fast), root=str(tmp_path))
  still = SMALL | {"optimizer.learning_rate": 1e-9, "base.seed": 1}
  still |= {"algorithm.loss": "on_policy_distillation", "reference.run": teacher.folder}
  student = train(load_config("configs/grpo.py", still), root=str(tmp_path))
  groups = student.policy.groups(PROMPTS, [["enots"], ["ta"]])
  apart = student.policy.log_probs(groups) - teacher.policy.log_probs(groups)
  assert np.abs(apart[groups.mask]).max() > 0.1
  assert abs(student.metrics["train/kl"][1]) > 0.01
  assert np.nanmax(abs(student.metrics["eval/kl"])) < 1e-4


def test_runs_are_loaded_from_their_folders(run, root):
  assert load_run(run.folder, root=root) == run
  assert run.name in [found.name for found in load_runs(root, root=root)]
  assert load_run(run.folder).config.algorithm.loss == "grpo"
  for load in (load_run, load_runs):
    with pytest.raises(UserError, match="no run's folder"):
      load(os.path.join(root, "nothing"))


def test_a_loaded_run_finds_its_base_policy_wherever_it_lies(run, tmp_path):
  moved = shutil.copytree(run.folder, tmp_path / "sweep" / "grpo-s0")
  assert load_run(str(moved)).root == "runs"  # none is near
  shutil.copytree(run.folder, tmp_path / "base" / "spell_backward-1")
  assert load_run(str(moved)).root == str(tmp_path)


@pytest.mark.parametrize(
  "overrides",
  [{"group_size": 1}, {"task.name": "spel_backward"}, {"optimizer.learning_rate": -1.0}],
)
def test_train_refuses_in_the_words_of_the_command(overrides, root, tmp_path):
  with pytest.raises(UserError) as refused:
    train(load_config("configs/grpo.py", SMALL | overrides), root=root)
  flags = [f"--config.{key}={value}" for key, value in (SMALL | overrides).items()]
  done = commands.run(train_command.main, "--config=configs/grpo.py", *flags, place=tmp_path)
  assert done.returncode == 2
  assert done.stderr.split() == f"error: {refused.value}".split()


def test_a_run_of_another_config_is_not_trained_over(run, root):
  other = load_config("configs/grpo.py", SMALL | {"steps": 4})
  with pytest.raises(UserError, match="holds a run of another config .steps 3 -> 4"):
    train(other, run.folder, root=root)


def test_a_step_without_a_checkpoint_is_named(run):
  with pytest.raises(UserError, match="no checkpoint 7 in .*; there: "):
    run.policy_at(7)


def test_what_training_offers_is_listed():
  assert {"train", "load_run", "load_runs", "load_config"} <= set(dir(training))
  with pytest.raises(AttributeError, match="no attribute 'trian'"):
    training.trian  # noqa: B018
