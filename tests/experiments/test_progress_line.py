"""The terminal's lines about one run: its numbers, where it goes on, what to type when it ended."""

import os

import pytest

from experiments import train as train_command
from experiments.command_line import progress_line
from tests.comparing import fake_sweep
from tests.experiments import commands
from tests.training.small_configs import SMALL_MODEL
from training import load_config
from training.records.run_folder import RunFolder

TINY = SMALL_MODEL | {"steps": 4, "batch_prompts": 4, "base.steps": 0, "eval.samples": 2}
TINY |= {"task.train_prompts": 32, "task.eval_prompts": 8, "wandb.mode": "disabled"}
TINY |= {"checkpoint.every": 2, "group_size": 2}
ROW = {"eval/reward_sampled": 0.59184, "train/reward": 0.3791, "train/loss": 9.5, "eval/kl": 0.28}


@pytest.mark.parametrize(
  ("config", "row", "line"),
  [
    ("grpo", ROW, "eval 0.592  · train 0.379  · kl 0.280 "),
    ("grpo", {}, "eval —      · train —      · kl —     "),
    ("grpo", ROW | {"train/reward": -0.5}, "eval 0.592  · train -0.500 · kl 0.280 "),
    ("dpo", ROW, "eval 0.592  · loss 9.500  · kl 0.280 "),
    ("reward_model", {"eval/accuracy": 0.75, "train/loss": 0.5}, "accuracy 0.750  · loss 0.500 "),
  ],
)
def test_the_labels_are_fixed_and_the_widths_do_not_jump(config, row, line):
  assert progress_line.numbers(load_config(f"configs/{config}.py"), row) == line


def test_the_end_names_the_change_to_the_base_policy_and_the_next_commands(tmp_path):
  files = fake_sweep.write_run(str(tmp_path), "grpo-k8", 0)
  latest = {}
  for row in files.read_metrics():
    latest |= row
  files.write_status("finished", step=8, steps=8, metrics=latest)
  first, *rest = progress_line.done(files, load_config("configs/grpo.py")).splitlines()
  gain = latest["eval/reward_sampled"] - fake_sweep.BASE["eval/reward_sampled"]
  assert f"{latest['eval/reward_sampled']:.3f} (Δ {gain:+.3f} to the base policy)" in first
  assert f"greedy {latest['eval/reward']:.3f}  kl " in first and "20,480 rollouts" in first
  assert rest == [
    f"next: python -m experiments.evaluate {files.path}",
    f"      python -m experiments.report {files.path}",
  ]


@pytest.mark.parametrize(
  ("kept", "line"),
  [
    ([], "stopped at 3: the same command goes on, from the start"),
    (["2", "9.orbax-tmp"], "stopped at 3: the same command goes on, from step 2"),
    (["1", "3"], "stopped at 3: the same command goes on"),
  ],
)
def test_where_a_stopped_run_goes_on_is_its_latest_checkpoint(tmp_path, kept, line):
  files = RunFolder(str(tmp_path))
  files.write_status("stopped", step=3, steps=9)
  for name in kept:
    os.makedirs(os.path.join(files.checkpoints, name))
  assert progress_line.stopped(files) == line


def test_interrupted_it_says_so_and_typed_again_where_it_resumes(tmp_path):
  words = ["--config=configs/grpo.py", *(f"--config.{key}={v}" for key, v in TINY.items())]
  report = train_command.Shown.report

  def interrupt(shown, row):
    report(shown, row)
    if row.get("step") == 3:
      raise KeyboardInterrupt

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(train_command.Shown, "report", interrupt)
    stopped = commands.run(train_command.main, *words, "--out=here", place=tmp_path)
  assert stopped.returncode == 130
  assert stopped.stdout.endswith("stopped at 3: the same command goes on, from step 2\n")
  again = commands.run(train_command.main, *words, "--out=here", place=tmp_path)
  assert again.returncode == 0 and "\nresuming at step 2\n" in again.stdout
  assert "next: python -m experiments.evaluate here\n" in again.stdout
